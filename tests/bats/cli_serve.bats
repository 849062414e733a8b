# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport serve: portpicker's own client, and clients that do not behave.

load helper
load cli

setup() {
    freeport_setup
    [[ -x ${FREEPORT_CLI:-} ]] || fail "FREEPORT_CLI is no program: '${FREEPORT_CLI:-}'"
    range=$(own_range "${RANGE_SIZE:-100}")
    ADDRESS=$BATS_TEST_TMPDIR/socket
}

# serve: in the background, at $ADDRESS, until it is ready.
serve() {
    freeport_background serve serve --tcp "$range" --udp "$range" "$ADDRESS"
    wait_lines "$BATS_TEST_TMPDIR/serve.log" 1 >/dev/null
}

# asks [TEXT]: what a client gets that sends the text: its process id, unless another is said.
asks() {
    /usr/bin/python3 - "$ADDRESS" "${1-}" <<'PYTHON'
import os, socket, sys
address, text = sys.argv[1:]
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect("\0" + address[1:] if address[0] == "@" else address)
client.sendall(text.encode() or b"%d\n" % os.getpid())
print(client.recv(100).decode().strip())
PYTHON
}

@test "1,000 ports in 10 processes of portpicker, while shimmed servers bind beside them: none twice" {
    /usr/bin/python3 -c 'import portpicker' 2>/dev/null || skip "no python3-portpicker"
    free_ranges
    range=$(own_range 3000)
    serve
    background servers env LD_PRELOAD="$(preload)" FREEPORT_TCP="$range" /usr/bin/python3 -uc '
import socket, time
kept = []
for i in range(300):
    kept.append(socket.socket())
    kept[-1].bind(("127.0.0.1", 0))
    print(kept[-1].getsockname()[1])
    time.sleep(0.005)
time.sleep(600)'
    run -0 timeout 80 env PORTSERVER_ADDRESS="$ADDRESS" /usr/bin/python3 -c '
import multiprocessing, portpicker
def draw(drawn, all_drawn):
    drawn.put([portpicker.pick_unused_port() for _ in range(100)])
    all_drawn.wait()
drawn, all_drawn = multiprocessing.Queue(), multiprocessing.Event()
workers = [multiprocessing.Process(target=draw, args=(drawn, all_drawn)) for _ in range(10)]
for worker in workers: worker.start()
for _ in workers: print(*drawn.get(), sep="\n")
all_drawn.set()
for worker in workers: worker.join()'
    wait_lines "$BATS_TEST_TMPDIR/servers.log" 300 >/dev/null
    { printf '%s\n' "${lines[@]}"; cat "$BATS_TEST_TMPDIR/servers.log"; } | sort >"$BATS_TEST_TMPDIR/all"
    assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/all")" 1300
    assert_equal "$(uniq -d "$BATS_TEST_TMPDIR/all")" ""
    for port in $(head -n 1 "$BATS_TEST_TMPDIR/all") $(tail -n 1 "$BATS_TEST_TMPDIR/all"); do
        assert_in_range "$port" "$range"
    done
}

@test "a port is its process's, in both protocols, until that is gone" {
    range=${range%-*}-$((${range%-*} + 1))
    serve
    background keeper sleep 600
    port=$(asks "$BACKGROUND_PID"$'\n')
    assert_in_range "$port" "$range"
    assert_equal "$(freeport list -rn -o PROTO,PORT,PID,STATE)" "tcp $port $BACKGROUND_PID reserved
udp $port $BACKGROUND_PID reserved"
    other=$(asks)
    assert_not_equal "$other" "$port"
    assert_equal "$(asks)" "$other" # its process is gone
    assert_equal "$(asks "$BACKGROUND_PID"$'\n')" "$other"
    assert_equal "$(asks)" 0
    run -0 cat "$BATS_TEST_TMPDIR/serve.log"
    assert_line --partial "freeport: no tcp port left in $range"
    stop "$BACKGROUND_PID"
    assert_in_range "$(asks)" "$range"
}

@test "an abstract name, and what is printed" {
    ADDRESS=@freeport-test-$$
    serve
    assert_equal "$(cat "$BATS_TEST_TMPDIR/serve.log")" "export PORTSERVER_ADDRESS=$ADDRESS"
    assert_in_range "$(asks)" "$range"
    run -1 freeport serve "$ADDRESS"
    assert_output "freeport: serve: '$ADDRESS': a server is there, or a file; name another address"
}

@test "the socket is this user's, goes with the server, and one that was left behind is replaced" {
    serve
    assert_equal "$(stat -c %a "$ADDRESS")" 700
    run -1 freeport serve "$ADDRESS"
    assert_output "freeport: serve: '$ADDRESS': a server is there, or a file; name another address"
    kill -KILL "$BACKGROUND_PID"
    wait_for "$PATIENCE" process_is_gone "$BACKGROUND_PID" "$(process_start "$BACKGROUND_PID")"
    rm "$BATS_TEST_TMPDIR/serve.log"
    serve
    assert_in_range "$(asks)" "$range"
    stop "$BACKGROUND_PID"
    [[ ! -e $ADDRESS ]] || fail "the socket is there"
    touch "$ADDRESS"
    run -1 freeport serve "$ADDRESS"
    assert_output "freeport: serve: '$ADDRESS': a server is there, or a file; name another address"
    run -2 freeport serve "$(printf 'a%.0s' {1..200})"
    assert_output --partial "expected the path of a UNIX socket, or @ and a name, 107 bytes at most"
    run -2 freeport serve a b
    assert_output "freeport: serve: 'b': expected one ADDRESS at most"
    run -2 freeport serve --udp "$range" "$ADDRESS"
    assert_output "freeport: serve: expected a range for tcp, in --tcp or FREEPORT_TCP"
    run -1 freeport serve "$BATS_TEST_TMPDIR/none/socket"
    assert_output --partial "No such file or directory; expected a path where a socket can be made"
}

@test "a client that says nothing, nonsense, or too much holds up no other" {
    serve
    background silent /usr/bin/python3 -uc '
import socket, sys, time
clients = [socket.socket(socket.AF_UNIX) for _ in range(50)]
for client in clients: client.connect(sys.argv[1])
print("there")
time.sleep(600)' "$ADDRESS"
    wait_lines "$BATS_TEST_TMPDIR/silent.log" 1 >/dev/null
    assert_in_range "$(asks)" "$range"
    asks "$(printf 'x%.0s' {1..500})" 2>/dev/null || true # hung up on
    # What is no process of its user is the client itself.
    for text in nonsense -1 0 1 999999999999; do assert_in_range "$(asks "$text"$'\n')" "$range"; done
}

@test "another user's client gets none" {
    needs_root
    ADDRESS=@freeport-test-$$ # which no permission keeps it from
    serve
    assert_equal "$(setpriv --reuid 65534 --clear-groups /usr/bin/python3 -c '
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect("\0" + sys.argv[1][1:])
client.sendall(b"1\n")
print(client.recv(9).decode().strip())' "$ADDRESS")" 0
    run -0 cat "$BATS_TEST_TMPDIR/serve.log"
    assert_line "freeport: serve: a client that is another user's, or gone, gets no port"
}
