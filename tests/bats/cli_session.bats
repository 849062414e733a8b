# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# Living in sessions: joining one, finding its servers, ending it.

load helper
load cli

setup() {
    freeport_setup
    [[ -x ${FREEPORT_CLI:-} ]] || fail "FREEPORT_CLI is no program: '${FREEPORT_CLI:-}'"
    range=$(own_range)
    mkdir "$BATS_TEST_TMPDIR/shop"
}

# serves NAME OPTION... -- PORT...: a run in the background with a server of these ports; until it is ready.
serves() {
    local name=$1
    shift
    local options=()
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    freeport_background "$name" run --tcp "$range" "${options[@]}" /usr/bin/python3 -uc "$LISTEN" "${@:2}"
    wait_lines "$BATS_TEST_TMPDIR/$name.log" 1 >/dev/null
}

# --- Joining ---------------------------------------------------------------------------------------------------------

@test "who joins a session by its name has its sentinels and settings, unless told others" {
    serves server --session j --sentinels 3000,3001 --name team --sockname real -- 3000
    run -0 freeport run --session j sh -c 'echo "$FREEPORT_TCP $FREEPORT_UDP. $FREEPORT_SENTINELS $FREEPORT_NAME \
$FREEPORT_SOCKNAME"'
    assert_output "$range . 3000,3001 team real"
    run -0 freeport run --session j --sentinels 9 --tcp 30000 sh -c 'echo "$FREEPORT_TCP $FREEPORT_SENTINELS"'
    assert_output "30000 9"
    FREEPORT_SENTINELS=10 run -0 freeport run --session j sh -c 'echo "$FREEPORT_SENTINELS"'
    assert_output 10
    # Its server is reached by the sentinel; where it has none, the host's own is not.
    stranger host tcp4 bind 127.0.0.1 0 listen
    run -0 freeport run --session j /usr/bin/python3 -c '
import socket
socket.create_connection(("127.0.0.1", 3000))
print("reached")'
    assert_output reached
    run -0 freeport run --session j /usr/bin/python3 -c '
import errno, socket
print(errno.errorcode[socket.socket().connect_ex(("127.0.0.1", 3001))])'
    assert_output ECONNREFUSED
}

@test "a session that nothing runs in has nothing to bring along" {
    freeport run --session j --sentinels 3000 true
    run -0 freeport run --session j sh -c 'echo "$FREEPORT_SENTINELS"'
    assert_output all
}

@test "two directories of one name at once have two sessions" {
    mkdir -p "$BATS_TEST_TMPDIR/other/shop"
    cd "$BATS_TEST_TMPDIR/shop"
    serves server -- 3000
    run -0 freeport run sh -c 'echo "$FREEPORT_SESSION"'
    assert_output shop
    cd "$BATS_TEST_TMPDIR/other/shop"
    run -0 freeport run sh -c 'echo "$FREEPORT_SESSION"'
    assert_output --regexp '^shop-[0-9a-f]{6}$'
    run -1 freeport port 3000 --session auto
    cd "$BATS_TEST_TMPDIR/shop"
    run -0 freeport port 3000 --session auto
}

@test "a named session has the same ports after all of it is gone, a made-up one the next" {
    cd "$BATS_TEST_TMPDIR/shop"
    serves server -- 3000 3001
    first=$(freeport port 3000) second=$(freeport port 3001)
    assert_in_range "$first" "$range"
    stop "$BACKGROUND_PID"
    rm "/dev/shm$TEST_SEGMENT" # as a reboot would
    # Others have ports before it, by number and by any.
    freeport get --tcp "$range" -n 5 >"$BATS_TEST_TMPDIR/got"
    run ! grep -x -e "$first" -e "$second" "$BATS_TEST_TMPDIR/got"
    serves again -- 3001 3000
    assert_equal "$(freeport port 3000) $(freeport port 3001)" "$first $second"
    # What a process had that is gone counts as free.
    stop "$BACKGROUND_PID"
    rm "/dev/shm$TEST_SEGMENT"
    FREEPORT_TCP=$first fpsock tcp4 bind 127.0.0.1 0
    serves third -- 3000
    assert_equal "$(freeport port 3000)" "$first"
    # A stranger's does not.
    stop "$BACKGROUND_PID"
    rm "/dev/shm$TEST_SEGMENT"
    stranger host tcp4 bind 127.0.0.1 "$first" listen
    serves fourth -- 3000
    assert_not_equal "$(freeport port 3000)" "$first"
}

@test "the same port again over connections in TIME_WAIT, without the segment" {
    serve='import socket
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 3000))
server.listen()
client = socket.create_connection(("127.0.0.1", 3000))
accepted = server.accept()[0]
accepted.close() # the server first: it waits
client.recv(1)
client.close()'
    freeport run --tcp "$range" --session s /usr/bin/python3 -c "$serve"
    first=$(freeport port 3000 --session s)
    ss -Htan "sport = :$first" | grep -q TIME-WAIT
    for _ in 1 2; do
        rm "/dev/shm$TEST_SEGMENT"
        freeport run --tcp "$range" --session s /usr/bin/python3 -c "$serve"
        assert_equal "$(freeport port 3000 --session s)" "$first"
    done
    # Without SO_REUSEADDR it is busy, as on the real port.
    rm "/dev/shm$TEST_SEGMENT"
    FREEPORT_TCP=$range FREEPORT_SENTINELS=3000 FREEPORT_SESSION=s fpsock tcp4 bind 127.0.0.1 3000
    assert_not_equal "$(freeport port 3000 --session s)" "$first"
}

# --- The terminal ----------------------------------------------------------------------------------------------------

# on_terminal COMMAND...: what the command, which ends by itself, says on a terminal of its own.
on_terminal() {
    /usr/bin/python3 -c '
import pty, sys
status = pty.spawn(sys.argv[1:])
sys.exit(status >> 8)' env ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} \
        ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" "$@" </dev/null | tr -d '\r'
}

BIND='import socket, sys
for port in sys.argv[1:]:
    for again in range(2):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if "udp" in port else socket.SOCK_STREAM)
        s.bind(("127.0.0.1", int(port.removesuffix("/udp"))))
        s.close()'

@test "on a terminal a line says where each sentinel is to be reached, once" {
    run -0 on_terminal "$FREEPORT_CLI" run --session s --tcp "$range" --udp "$range" \
        /usr/bin/python3 -c "$BIND" 3000 5353/udp 5432 53 8443
    for sentinel in 3000 5432 53 8443; do eval "port_$sentinel=$(freeport port "$sentinel" --session s)"; done
    assert_output "freeport: 3000 is http://localhost:$port_3000 (tcp)
freeport: 5353 is localhost:$(freeport port 5353/udp --session s) (udp)
freeport: 5432 is postgresql://localhost:$port_5432 (tcp)
freeport: 53 is localhost:$port_53 (tcp)
freeport: 8443 is https://localhost:$port_8443 (tcp)"
}

@test "also where the program's own standard error is something else; not with --quiet, nor without a terminal" {
    run -0 on_terminal "$FREEPORT_CLI" run --session s --tcp "$range" \
        sh -c '"$@" 2>/dev/null' sh /usr/bin/python3 -c "$BIND" 3000
    assert_output --regexp '^freeport: 3000 is http://localhost:[0-9]+ \(tcp\)$'
    for option in --quiet -q; do
        run -0 on_terminal "$FREEPORT_CLI" run $option --session s --tcp "$range" /usr/bin/python3 -c "$BIND" 3000
        assert_output ""
    done
    run -0 on_terminal sh -c '"$@" 2>&1 | cat' sh "$FREEPORT_CLI" run --session s --tcp "$range" \
        /usr/bin/python3 -c "$BIND" 3000
    assert_output ""
}

@test "a client that is refused is told why, once in a process, on a terminal" {
    connect='import socket
for again in range(2):
    print(socket.socket().connect_ex(("127.0.0.1", 3000)))'
    run -0 on_terminal "$FREEPORT_CLI" run --session s --tcp "$range" --sentinels 3000 /usr/bin/python3 -c "$connect"
    assert_output "freeport: tcp 3000 is refused: no server of session s has bound it (freeport list --all); \
FREEPORT_CONNECT=fallthrough lets clients reach the host's own
111
111"
    run -0 freeport run --session s --tcp "$range" --sentinels 3000 /usr/bin/python3 -c "$connect"
    assert_output $'111\n111'
}

# --- Finding one's way -----------------------------------------------------------------------------------------------

@test "port and url: of the session one is in, of the worktree's, of the only one" {
    cd "$BATS_TEST_TMPDIR/shop"
    serves shop -- 3000
    serves other --session other -- 3000 5432
    shop=$(freeport port 3000 --session shop) other=$(freeport port 3000 --session other)
    assert_not_equal "$shop" "$other"
    assert_equal "$(freeport port 3000)" "$shop" # the worktree's
    assert_equal "$(freeport url 3000)" "http://localhost:$shop"
    assert_equal "$(freeport url 5432)" "postgresql://localhost:$(freeport port 5432 --session other)" # the only one
    assert_equal "$(FREEPORT_SESSION=other freeport url 3000)" "http://localhost:$other"
    assert_equal "$(freeport run --session other "$FREEPORT_CLI" port 3000)" "$other"
    cd /
    run -2 freeport url 3000
    assert_output --regexp "^freeport: url: 3000/tcp: 2 sessions have it: (shop, other|other, shop); name one in --session\$"
    run -1 freeport port 3001
    assert_output "freeport: no session has a server for 3001/tcp; freeport list shows what there is, --wait SECONDS \
waits for it"
}

@test "--wait: until a server is there, and no longer than it says" {
    run -4 freeport url --wait 0 3000
    assert_output "freeport: url: --wait 0: nothing has bound 3000/tcp in that time; freeport list shows what there is"
    run -4 freeport port --wait 1 3000 --session s
    assert_output "freeport: port: --wait 1: nothing has bound 3000/tcp in session s in that time; freeport list shows \
what there is"
    for bad in x -1 1.5 86401 ''; do
        run -2 freeport url --wait "$bad" 3000
        assert_output "freeport: --wait: '$bad': expected seconds, 0 to 86400"
    done
    freeport_background url url --wait "$PATIENCE" 3000 --session s
    serves server --session s -- 3000
    wait_lines "$BATS_TEST_TMPDIR/url.log" 1 >/dev/null
    assert_equal "$(cat "$BATS_TEST_TMPDIR/url.log")" "http://localhost:$(freeport port 3000 --session s)"
}

@test "list for people: a line a server, its session, directory and command line; the rest with --all" {
    cd "$BATS_TEST_TMPDIR/shop"
    freeport_background server run --tcp "$range" --udp "$range" /usr/bin/python3 -uc "$LISTEN" 3000
    wait_lines "$BATS_TEST_TMPDIR/server.log" 1 >/dev/null
    serves other --session other -- 3000
    run -0 freeport list --session shop
    assert_equal "${#lines[@]}" 2
    assert_line --index 0 --regexp '^SENTINEL PROTO +PORT SESSION +PID STATE AGE DIRECTORY +CMDLINE$'
    assert_line --index 1 --regexp "^ +3000 tcp +[0-9]+ shop +[0-9]+ bound +[0-9]+s $PWD +/usr/bin/python3 -uc "
    assert_equal "$(freeport ls --session auto -rno SESSION)" shop
    run -0 freeport ls --all --session shop
    assert_equal "${#lines[@]}" 3
    assert_line --index 2 --partial reserved
    run -0 freeport list --noheadings
    assert_equal "${#lines[@]}" 2
}

# --- stop ------------------------------------------------------------------------------------------------------------

@test "stop: ends the servers of a session, their launchers and children, and nothing else" {
    serves other --session other -- 3000
    other=$BACKGROUND_PID
    # A launcher that starts its server again, one that cleans the environment, and one that has to be killed.
    freeport_background again run --session s --tcp "$range" bash -c '
        while :; do /usr/bin/python3 -uc "$1" 3000; done' bash "$LISTEN"
    again=$BACKGROUND_PID
    freeport_background clean run --session s --follow no --tcp "$range" sh -c 'env -i sleep 600; exit'
    clean=$BACKGROUND_PID
    freeport_background stubborn run --session s --tcp "$range" bash -c 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
    wait_lines "$BATS_TEST_TMPDIR/stubborn.log" 1 >/dev/null
    wait_lines "$BATS_TEST_TMPDIR/again.log" 1 >/dev/null
    stubborn=$BACKGROUND_PID
    freeport stop --kill-after 1 s
    for pid in "$again" "$clean" "$stubborn"; do
        [[ -z $(process_start "$pid") ]] || fail "$pid is there"
    done
    [[ -n $(process_start "$other") ]] || fail "another session's was ended"
    run -1 freeport stop s
    assert_output "freeport: session 's': nothing runs in it; freeport list shows the sessions"
    run -2 freeport stop a b
    assert_output "freeport: stop: 'b': expected one SESSION"
    run -2 freeport stop -k x s
    assert_output "freeport: --kill-after: 'x': expected seconds, 0 to 86400"
}

@test "stop without a session: the worktree's; what it is called from is spared" {
    cd "$BATS_TEST_TMPDIR/shop"
    serves server -- 3000
    freeport stop
    [[ -z $(process_start "$BACKGROUND_PID") ]] || fail "it is there"
    run -0 freeport run --tcp "$range" sh -c 'sleep 600 & "$0" stop; echo "still here"; wait' "$FREEPORT_CLI"
    assert_line "still here"
}

@test "help VERB is VERB --help, and ls is list" {
    assert_equal "$(freeport help)" "$(freeport --help)"
    for verb in run url stop; do assert_equal "$(freeport help "$verb")" "$(freeport "$verb" --help)"; done
    assert_equal "$(freeport help ls)" "$(freeport list --help)"
    run -2 freeport help fly
    assert_output --partial "freeport: 'fly': expected a verb"
}

# --- PORT=REAL -------------------------------------------------------------------------------------------------------

@test "PORT=REAL: that real port, each time, and by both protocols' own" {
    real=$(range_port "$range" 7)
    for _ in 1 2; do
        serves server --session s --udp "$range" --sentinels "3000=$real,4000,5000=$(range_port "$range" 9)/udp" -- \
            3000 4000 5000/udp
        assert_equal "$(freeport port 3000 --session s)" "$real"
        assert_equal "$(freeport port 5000/udp --session s)" "$(range_port "$range" 9)"
        assert_not_equal "$(freeport port 4000 --session s)" "$real"
        stop "$BACKGROUND_PID"
    done
    # Asked for later, by a session that had another.
    serves other --session t -- 3000
    stop "$BACKGROUND_PID"
    serves other --session t --sentinels "3000=$(range_port "$range" 8)" -- 3000
    assert_equal "$(freeport port 3000 --session t)" "$(range_port "$range" 8)"
    run -0 freeport run --tcp "$range" --session u --sentinels "3000=$(range_port "$range" 11)" --export P=3000 \
        sh -c 'echo "$P"'
    assert_output "$(range_port "$range" 11)"
}

@test "PORT=REAL for a port that is taken: an error that says by whom" {
    real=$(range_port "$range" 7)
    stranger host tcp4 bind 127.0.0.1 "$real" listen
    run -3 freeport run --tcp "$range" --session s --sentinels "3000=$real" echo started
    assert_output "freeport: --sentinels: '3000=$real': tcp port $real is taken by process $BACKGROUND_PID (fpsock); \
end it, or ask for another"
    FREEPORT_TCP=$range FREEPORT_SENTINELS=3000=$real run -0 fpsock tcp4 bind 127.0.0.1 3000
    assert_line "freeport: FREEPORT_SENTINELS: 3000=$real: tcp port $real is bound by a program that freeport does not \
know; end it, or ask for another (ss -tulpn)"
    assert_line EADDRINUSE
    serves server --session one --sentinels "3000=$(range_port "$range" 8)" -- 3000
    run -3 freeport run --tcp "$range" --session two --sentinels "3000=$(range_port "$range" 8)" echo started
    assert_output --regexp "is taken by process [0-9]+ \(python3\); end it, or ask for another\$"
}

@test "PORT=REAL outside of the range, twice, or of several ports: a usage error" {
    first=${range%-*}
    for bad in 3000=9 "3000=$first,3000=$((first + 1))" "3000=$first,4000=$first" "3000-3001=$first" \
        "3000=$first-$((first + 1))" 3000= all=1; do
        run -2 freeport run --tcp "$range" --sentinels "$bad" echo started
        assert_output "freeport: --sentinels: '$bad': expected PORT, FROM-TO, PORT=REAL or all, each with /tcp or /udp or \
neither, several with commas, 1 to 65535; REAL in the range, and once"
    done
}
