# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# Java: ServerSocket and DatagramSocket, dual stack; the JVM asks the socket for its name after each bind.

load helper

export PATIENCE=60

setup_file() {
    cat >"$BATS_FILE_TMPDIR/Serve.java" <<'JAVA'
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.ServerSocket;
import java.net.Socket;

/** Opens tcp:PORT and udp:PORT one after another, prints the port that each sees, answers clients with the process. */
public class Serve {
    static final byte[] ANSWER = (ProcessHandle.current().pid() + "\n").getBytes();

    public static void main(String[] sockets) throws Exception {
        for (String each : sockets) {
            int port = Integer.parseInt(each.substring(4));
            if (each.startsWith("tcp:")) {
                ServerSocket listener = new ServerSocket(port);
                System.out.println("tcp " + listener.getLocalPort());
                serve(() -> {
                    try (Socket client = listener.accept()) {
                        client.getOutputStream().write(ANSWER);
                    }
                });
            } else {
                DatagramSocket socket = new DatagramSocket(port);
                System.out.println("udp " + socket.getLocalPort());
                serve(() -> {
                    DatagramPacket packet = new DatagramPacket(new byte[100], 100);
                    socket.receive(packet);
                    socket.send(new DatagramPacket(ANSWER, ANSWER.length, packet.getSocketAddress()));
                });
            }
        }
    }

    interface Turn {
        void run() throws Exception;
    }

    static void serve(Turn turn) {
        new Thread(() -> {
            try {
                while (true) {
                    turn.run();
                }
            } catch (Exception e) {
                e.printStackTrace();
            }
        }).start();
    }
}
JAVA
    # Once for all tests: a compiler takes longer than a test.
    javac -d "$BATS_FILE_TMPDIR" "$BATS_FILE_TMPDIR/Serve.java"
}

serve() {
    local name=$1
    shift
    shim_background "$name" java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx64m -cp "$BATS_FILE_TMPDIR" Serve "$@"
}

@test "ServerSocket(0) and DatagramSocket(0) get ports of their ranges in sequence, over all processes" {
    tcp=$(own_range)
    udp=$(own_range)
    configure FREEPORT_TCP="$tcp" FREEPORT_UDP="$udp"
    turn=0
    for name in first second; do
        serve "$name" tcp:0 udp:0 tcp:0 udp:0 tcp:0 udp:0
        wait_lines "$BATS_TEST_TMPDIR/$name.log" 6
        seen=()
        for ((i = 0; i < 3; i++, turn++)); do
            seen+=("tcp $(even_port "$tcp" "$turn")" "udp $(even_port "$udp" "$turn")")
        done

        assert_equal "$(<"$BATS_TEST_TMPDIR/$name.log")" "$(printf '%s\n' "${seen[@]}")"
        assert_report "$(report_of "$name")" \
            "$(printf '%s\n' "${seen[@]}" | sed "s/ / 0 /; s/\$/ :: $BACKGROUND_PID default/")"
        for socket in "${seen[@]}"; do
            assert_equal "$(ask "${socket% *}" 127.0.0.1 "${socket#* }" hello)" "$BACKGROUND_PID"
            assert_equal "$(ask "${socket% *}" ::1 "${socket#* }" hello)" "$BACKGROUND_PID"
        done
    done
}

@test "two programs with port 8080 run at once, and getLocalPort() is 8080 in each" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=8080
    serve first tcp:8080 udp:8080
    first_pid=$BACKGROUND_PID
    serve second tcp:8080 udp:8080
    second_pid=$BACKGROUND_PID
    for name in first second; do
        wait_lines "$BATS_TEST_TMPDIR/$name.log" 2
        assert_equal "$(<"$BATS_TEST_TMPDIR/$name.log")" "$(printf '%s\n' "tcp 8080" "udp 8080")"
    done

    first=$(reported_port "$(report_of first)" tcp 8080)
    second=$(reported_port "$(report_of second)" tcp 8080)
    assert_not_equal "$first" "$second"
    assert_in_range "$first" "$range"
    assert_in_range "$second" "$range"

    for host in 127.0.0.1 ::1; do
        for protocol in tcp udp; do
            assert_equal "$(ask "$protocol" "$host" "$first" hello)" "$first_pid"
            assert_equal "$(ask "$protocol" "$host" "$second" hello)" "$second_pid"
        done
    done
    # TCP and UDP have the same number, since the ranges are the same.
    assert_report "$(report_of first)" \
        "tcp 8080 $first :: $first_pid default" "udp 8080 $first :: $first_pid default"
    assert_report "$(report_of second)" \
        "tcp 8080 $second :: $second_pid default" "udp 8080 $second :: $second_pid default"
}
