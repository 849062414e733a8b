# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport run --export: a program that takes its port from the environment, and its session, meet at one port.

load helper
load cli

setup() {
    freeport_setup
    configure FREEPORT_SESSION=new
}

@test "VAR is the real port behind the sentinel, which is the session's from the start" {
    range=$(own_range)
    run -0 freeport run --tcp "$range" --session "$(tree 1)" --sentinels 9000 --export PORT=8080 sh -c '
        echo "$PORT"
        "$0" port 8080
        "$0" list --all -rn -o PORT,SENTINEL,SESSION,PID,STATE
        echo "$FREEPORT_SENTINELS $(sed -n "s|^PPid:[[:space:]]*||p" "/proc/$PPID/status")"' "$FREEPORT_CLI"
    assert_line --index 0 "${range%-*}"
    assert_line --index 1 "${range%-*}"
    assert_line --index 3 --regexp '^9000,8080/tcp [0-9]+$'
    assert_line --index 2 "${range%-*} 8080 $(tree 1) ${lines[3]#* } reserved"
}

@test "several, in either protocol, in one option or more, beside sentinels that were said" {
    range=$(own_range)
    configure FREEPORT_SENTINELS=9000
    run -0 freeport run --tcp "$range" --udp "$range" --export A=8080,B=8081/tcp --export C=8082/udp \
        sh -c 'echo "$A $B $C $FREEPORT_SENTINELS"'
    assert_output "${range%-*} $(range_port "$range" 1) ${range%-*} 9000,8080/tcp,8081/tcp,8082/udp"
}

@test "a sentinel of both protocols has one number in both" {
    range=$(own_range)
    run -0 freeport run --tcp "$range" --udp "$range" --sentinels 8080 --export T=8080 --export U=8080/udp \
        sh -c 'echo "$T"; [ "$T" = "$U" ]'
    assert_output "${range%-*}"
}

# meet ARGUMENT: in one session, a server that binds ARGUMENT; clients of the sentinel and of the real port reach it.
meet() {
    local range=$1 server=$2
    freeport run --tcp "$range" --export PORT=8080 sh -c '
        /usr/bin/python3 -c "
import os, socket, sys
server = socket.socket()
server.bind((\"127.0.0.1\", '"$server"'))
server.listen()
for port in 8080, int(os.environ[\"PORT\"]):
    client = socket.create_connection((\"127.0.0.1\", port))
    print(\"reached\", client.getpeername()[1])
"'
}

@test "a server that binds the sentinel, and clients of either number, meet" {
    range=$(own_range)
    run -0 meet "$range" 8080
    assert_output "reached 8080
reached ${range%-*}"
}

@test "a server that binds the real number, and clients of either number, meet" {
    range=$(own_range)
    run -0 meet "$range" 'int(os.environ[\"PORT\"])'
    assert_output "reached 8080
reached ${range%-*}"
}

@test "a server that no preload reaches binds the real number, and a client of the sentinel reaches it" {
    range=$(own_range)
    # The server runs without the shim, as a Go program does.
    run -0 freeport run --tcp "$range" --export PORT=8080 sh -c '
        mkfifo "$0/ready"
        env -u LD_PRELOAD /usr/bin/python3 -c "
import os, socket, sys
server = socket.socket()
server.bind((\"127.0.0.1\", int(os.environ[\"PORT\"])))
server.listen()
open(sys.argv[1], \"w\").close()
server.accept()[0].sendall(b\"hello\")
" "$0/ready" &
        : <"$0/ready"
        /usr/bin/python3 -c "
import socket
print(socket.create_connection((\"127.0.0.1\", 8080)).recv(10).decode())"
        wait' "$BATS_TEST_TMPDIR"
    assert_output hello
}

@test "before anybody has bound it, the sentinel is refused" {
    range=$(own_range)
    run -0 freeport run --tcp "$range" --export PORT=8080 /usr/bin/python3 -c '
import socket
print(socket.socket().connect_ex(("127.0.0.1", 8080)))'
    assert_output 111
}

@test "a number that was told stays: one for each sentinel, or none" {
    range=$(own_range 1)
    one=${range%-*}
    run -3 freeport run --tcp "$one" --export A=8080,B=8081 echo started
    refute_line started
    freeport_background server run --tcp "$one" --session s1 --export PORT=8080 sh -c 'echo "$PORT"; exec sleep 600'
    wait_lines "$BATS_TEST_TMPDIR/server.log" 1
    run -3 freeport run --tcp "$one" --session s2 --export PORT=8080 echo started
    run -0 freeport port 8080 --session s1
    assert_output "$one"
}

@test "nobody else is given the port while another is to be had" {
    range=$(own_range 3)
    freeport_background server run --tcp "$range" --export PORT=8080 sh -c 'echo "$PORT"; exec sleep 600'
    wait_lines "$BATS_TEST_TMPDIR/server.log" 1
    for _ in 1 2 3 4; do
        port=$(freeport run --tcp "$range" --export PORT=8080 sh -c 'echo $PORT')
        assert_not_equal "$port" "${range%-*}"
        run -1 freeport reset
    done
}

@test "3 where no port is left" {
    one=$(own_range 1)
    one=${one%-*}
    background stranger /usr/bin/python3 -uc "$LISTEN" "$one"
    wait_lines "$BATS_TEST_TMPDIR/stranger.log" 1
    run -3 freeport run --tcp "$one" --export PORT=8080 true
    assert_output "freeport: no tcp port left in $one; freeport list shows whose they are, freeport doctor who else is \
there"
}

@test "a joined session's port is taken over, unless a stranger has come" {
    range=$(own_range 3)
    configure FREEPORT_TCP="$range"
    assert_equal "$(freeport run --session "$(tree 1)" --export PORT=8080 sh -c 'echo $PORT')" "${range%-*}"
    assert_equal "$(freeport run --session "$(tree 1)" --export PORT=8080 sh -c 'echo $PORT')" "${range%-*}"
    background stranger /usr/bin/python3 -uc "$LISTEN" "${range%-*}"
    wait_lines "$BATS_TEST_TMPDIR/stranger.log" 1
    assert_equal "$(freeport run --session "$(tree 1)" --export PORT=8080 sh -c 'echo $PORT')" "$(range_port "$range" 1)"
}

@test "4 where the time is up before a port is found" {
    range=$(own_range 900)
    background hold /usr/bin/python3 -uc "$LISTEN" $(seq -f '%.0f/udp' "${range%-*}" $((${range#*-} - 1)))
    wait_lines "$BATS_TEST_TMPDIR/hold.log" 1
    run -4 freeport run --udp "$range" --timeout 1 --export PORT=8080/udp true
    assert_output "freeport: no udp port of $range within 1 ms"
}

@test "a bad one is a usage error that says what is expected" {
    for bad in PORT PORT= PORT=0 PORT=x 8080 =8080 1A=8080 'A B=8080' 'A=8080,' ',A=8080' A=80/sctp LD_PRELOAD=80 \
        FREEPORT_TCP=80; do
        run -2 freeport run --export "$bad" echo started
        assert_output "freeport: --export: '$bad': expected VAR=PORT, VAR=PORT/tcp or VAR=PORT/udp, with commas; not \
LD_PRELOAD, nor FREEPORT_..."
    done
    run -2 freeport run --tcp 8080 --export PORT=8080 echo started
    assert_output "freeport: --sentinels: 'all,8080/tcp': expected sentinels that leave a port of FREEPORT_TCP; name fewer, or \
widen FREEPORT_TCP"
    run -2 freeport run --tcp 30000 --export PORT=8080/udp echo started
    assert_output "freeport: --export: 'PORT=8080/udp': expected a range for it, in --udp or FREEPORT_UDP"
    run -2 freeport run --udp 30000 --export PORT=8080 echo started
    assert_output "freeport: --export: 'PORT=8080/tcp': expected a range for it, in --tcp or FREEPORT_TCP"
}

@test "5 where the segment can't be used, and nothing is started" {
    other_version
    run -5 freeport run echo started
    assert_output "$OTHER_VERSION"
}
