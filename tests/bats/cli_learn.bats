# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport learn: which ports a suite hard-codes, who binds and who reaches them, and the line to run it with.

load helper
load cli

# learnt: what was learnt of a command, without the command's own output.
learnt() { freeport learn --output "$BATS_TEST_TMPDIR/learnt" "$@" >/dev/null 2>&1 && cat "$BATS_TEST_TMPDIR/learnt"; }

# $BIND HOST PORT[/udp]...: a Python program that binds each, and holds them all until its end. Scripts stand in files: the
# last line is one line then.
setup() {
    freeport_setup
    [[ -x ${FREEPORT_CLI:-} ]] || fail "FREEPORT_CLI is no program: '${FREEPORT_CLI:-}'"
    BIND=$BATS_TEST_TMPDIR/bind.py
    script bind.py <<'PYTHON'
import socket, sys
held = []
for argument in sys.argv[1:]:
    host, port = argument.split()
    held.append(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                              socket.SOCK_DGRAM if "udp" in port else socket.SOCK_STREAM))
    held[-1].bind((host, int(port.removesuffix("/udp"))))
PYTHON
}

# script NAME: a file of the test's, from standard input.
script() { cat >"$BATS_TEST_TMPDIR/$1"; }

# The last line, up to the command.
run_line() { sed -n '$s/ -- .*//p' "$BATS_TEST_TMPDIR/learnt"; }

@test "ports that are bound by number, by whom, and the line that replaces them" {
    range=$(own_range)
    read -r one two three < <(range_ports "$range" 0 3)
    run -0 learnt /usr/bin/python3 "$BIND" "127.0.0.1 $one" "127.0.0.1 $two/udp" "::1 $three" "127.0.0.1 $three/udp"
    assert_line --index 0 "freeport: hard-coded ports:"
    assert_line --index 1 "  tcp $one  bound by python3"
    assert_line --index 2 "  tcp $three  bound by python3"
    assert_line --index 3 "  udp $two  bound by python3"
    assert_line --index 4 "  udp $three  bound by python3"
    assert_equal "${#lines[@]}" 6
    assert_equal "$(run_line | sed 's/--tcp.*--udp [^ ]* //')" "freeport run --sentinels $one/tcp,$two/udp,$three"
    assert_line --index 5 --partial " -- /usr/bin/python3 $BIND '127.0.0.1 $one' "
}

@test "the line is one that works: neighbours together, ports of the default range left out of it" {
    needs_networks
    run -0 learnt unshare -n /usr/bin/python3 "$BIND" "127.0.0.1 8080" "127.0.0.1 8081" "127.0.0.1 8082/udp" \
        "127.0.0.1 20000" "127.0.0.1 27017" "127.0.0.1 9000" "127.0.0.1 9000/udp"
    assert_equal "$(run_line)" "freeport run --tcp 20001-27016,27018-32767 --udp 20001-27016,27018-32767 \
--sentinels 8080-8081/tcp,8082/udp,9000,20000/tcp,27017/tcp"
    read -ra options < <(run_line | cut -d' ' -f3-)
    run -0 freeport run "${options[@]}" echo started
    assert_output started
}

@test "a port that the kernel chose is none, nor is it when it is bound again or reached" {
    script test.py <<'PYTHON'
import socket
first = socket.socket()
first.bind(("127.0.0.1", 0))
name = first.getsockname()
assert name[1] != 0
first.close()
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(name)
server.listen()
socket.create_connection(name)
unbound = socket.socket()
unbound.listen()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("", 0))
PYTHON
    run -0 learnt /usr/bin/python3 "$BATS_TEST_TMPDIR/test.py"
    assert_line --index 0 "freeport: no port is hard-coded"
    assert_line --index 1 "freeport run -- /usr/bin/python3 $BATS_TEST_TMPDIR/test.py"
    assert_equal "${#lines[@]}" 2
}

@test "who reaches it, over TCP or by a datagram" {
    range=$(own_range)
    read -r one two < <(range_ports "$range" 0 2)
    script test.py <<'PYTHON'
import socket, sys
one, two = map(int, sys.argv[1:])
server = socket.socket()
server.bind(("127.0.0.1", one))
server.listen()
socket.create_connection(("127.0.0.1", one))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", two))
datagrams.sendto(b"x", ("127.0.0.1", two))
print(datagrams.recv(1))
PYTHON
    run -0 learnt /usr/bin/python3 "$BATS_TEST_TMPDIR/test.py" "$one" "$two"
    assert_line --index 1 "  tcp $one  bound by python3, reached by python3"
    assert_line --index 2 "  udp $two  bound by python3, reached by python3"
    assert_equal "${#lines[@]}" 4
}

@test "a port that nobody binds is told apart: as a sentinel it would be refused" {
    port=$(range_port "$(own_range)" 0)
    script test.py <<'PYTHON'
import socket, sys
socket.socket().connect_ex(("127.0.0.1", int(sys.argv[1])))
PYTHON
    run -0 learnt /usr/bin/python3 "$BATS_TEST_TMPDIR/test.py" "$port"
    assert_line --index 0 "freeport: ports of this host that nobody here binds; as sentinels they would be refused:"
    assert_line --index 1 "  tcp $port  reached by python3"
    assert_line --index 2 "freeport: no port is hard-coded"
    assert_equal "$(run_line)" "freeport run"
}

@test "static programs, threads, and processes of processes" {
    range=$(own_range)
    read -r one two three < <(range_ports "$range" 0 3)
    run -0 learnt sh -c '"$0" tcp4 bind 127.0.0.1 "$1"; "$0" threads 1 udp4 bind 127.0.0.1 "$2"
        sh -c "sh -c \"$0 tcp6 bind ::1 $3; :\"; :"' "$FREEPORT_PROGRAMS/fpsock_static" "$one" "$two" "$three"
    assert_line --index 1 "  tcp $one  bound by fpsock_static"
    assert_line --index 2 "  tcp $three  bound by fpsock_static"
    assert_line --index 3 "  udp $two  bound by fpsock_static"
}

@test "a static program's ports are sentinels as any other's, unless no launcher is installed" {
    range=$(own_range)
    read -r one two three < <(range_ports "$range" 0 3)
    script test.sh <<'SHELL'
"$1" tcp4 bind 127.0.0.1 "$3"
"$1" tcp4 bind 127.0.0.1 "$4"
"$2" tcp4 bind 127.0.0.1 "$4"
"$2" tcp4 bind 127.0.0.1 "$5"
SHELL
    run -0 learnt sh "$BATS_TEST_TMPDIR/test.sh" "$FREEPORT_PROGRAMS/fpsock_static" "$FREEPORT_PROGRAMS/fpsock" \
        "$one" "$two" "$three"
    assert_line --index 1 "  tcp $one  bound by fpsock_static"
    assert_line --index 2 "  tcp $two  bound by fpsock_static, fpsock"
    assert_line --index 3 "  tcp $three  bound by fpsock"
    assert_equal "${#lines[@]}" 5
    assert_equal "$(run_line | sed 's/--tcp.*--udp [^ ]* //')" "freeport run --sentinels $one-$three/tcp"
    mkdir -p "$BATS_TEST_TMPDIR/bin"
    cp "$FREEPORT_CLI" "$BATS_TEST_TMPDIR/bin/freeport"
    FREEPORT_CLI=$BATS_TEST_TMPDIR/bin/freeport
    run -0 learnt "$FREEPORT_PROGRAMS/fpsock_static" tcp4 bind 127.0.0.1 "$one"
    if [[ $output == *--sentinels* ]]; then skip "a launcher is installed on this host"; fi
    assert_line --index 0 "freeport: hard-coded ports:"
    assert_line --index 1 "  tcp $one  bound by fpsock_static (not covered)"
    assert_line --index 2 "freeport: fpsock_static: not covered: a static program, into which nothing can be loaded; let \
it take its port from the environment (freeport run --export PORT=8080) or as an argument (freeport get)"
}

@test "the calls are as ever: results, errors, what else is bound, and no socket of another kind" {
    port=$(range_port "$(own_range)" 0)
    background hold /usr/bin/python3 -uc "$LISTEN" "$port"
    wait_lines "$BATS_TEST_TMPDIR/hold.log" 1
    words=(tcp4 bind 127.0.0.1 "$port" bind 192.0.2.1 0 bind 127.0.0.1 0 bind 127.0.0.1 0 bindnull bindbad
        bindcut 127.0.0.1 0 16 unix bindpath "$BATS_TEST_TMPDIR/socket" netlink bindnetlink udp6 v6only bind ::1 0)
    run -0 freeport learn --output /dev/null "$FREEPORT_PROGRAMS/fpsock" "${words[@]}"
    rm "$BATS_TEST_TMPDIR/socket"
    assert_equal "$output" "$("$FREEPORT_PROGRAMS/fpsock" "${words[@]}")"
    assert_line EADDRINUSE
    assert_line EADDRNOTAVAIL
}

@test "the command's output is its own; what was learnt goes to standard error, or a file" {
    freeport learn sh -c 'echo out' >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
    assert_equal "$(cat "$BATS_TEST_TMPDIR/out")" out
    assert_equal "$(cat "$BATS_TEST_TMPDIR/err")" "freeport: no port is hard-coded
freeport run -- sh -c 'echo out'"
    for option in -o --output; do
        run -0 freeport learn "$option" "$BATS_TEST_TMPDIR/file" true
        assert_output ""
        assert_equal "$(tail -n 1 "$BATS_TEST_TMPDIR/file")" "freeport run -- true"
    done
    run -125 freeport learn -o /none/file echo started
    assert_output "freeport: --output: '/none/file': No such file or directory; expected a file that can be written to"
}

@test "the line holds for any words" {
    words=("a b" "it's" '$(id)' '' $'new\nline' $'\xff\xfe' 'plain-1.2/3=4,5:6@7%8+9')
    freeport learn -o "$BATS_TEST_TMPDIR/learnt" printf '<%s>' "${words[@]}" >"$BATS_TEST_TMPDIR/once"
    line=$(sed -n '/^freeport run/,$p' "$BATS_TEST_TMPDIR/learnt")
    # Nothing in it that a terminal would obey.
    assert_equal "$(tr -d '[:print:]' <<<"$line" | od -An -tx1)" " 0a"
    (eval "$line") >"$BATS_TEST_TMPDIR/twice"
    cmp "$BATS_TEST_TMPDIR/once" "$BATS_TEST_TMPDIR/twice"
}

@test "a program's name can't break the lines" {
    port=$(range_port "$(own_range)" 0)
    {
        printf '%s\n' 'import ctypes; ctypes.CDLL(None).prctl(15, b"a\n\x1b[2J\x9b\xc2\x9b\xc3\xa9")'
        cat "$BIND"
    } | script test.py
    run -0 learnt /usr/bin/python3 "$BATS_TEST_TMPDIR/test.py" "127.0.0.1 $port"
    assert_line "  tcp $port  bound by a\\x0a\\x1b[2J\\x9b\\xc2\\x9bé"
}

@test "the exit status is the command's, a signal too" {
    run -42 freeport learn sh -c 'exit 42'
    run -143 freeport learn sh -c 'kill -TERM $$'
    run -127 freeport learn sh -c 'exit 127'
    assert_line "freeport run -- sh -c 'exit 127'"
    run -2 freeport learn
    assert_output "freeport: learn: expected a command; see freeport learn --help"
}

@test "of a command that there is not, or that can't be run, nothing is learnt: 127, 126" {
    run -127 freeport learn "$BATS_TEST_TMPDIR/nothing"
    assert_output "freeport: $BATS_TEST_TMPDIR/nothing: No such file or directory"
    run -126 freeport learn "$BATS_TEST_TMPDIR"
    assert_output "freeport: $BATS_TEST_TMPDIR: Permission denied"
}

@test "what the command leaves behind goes on, and binds" {
    port=$(range_port "$(own_range)" 0)
    mkfifo "$BATS_TEST_TMPDIR/go"
    run -0 freeport learn --output "$BATS_TEST_TMPDIR/learnt" bash -c '
        (read -r line <"$0"; exec /usr/bin/python3 -uc "$1" "$2") >"$3" 2>&1 </dev/null &
        echo $!' "$BATS_TEST_TMPDIR/go" "$LISTEN" "$port" "$BATS_TEST_TMPDIR/left.log"
    end_later "$output"
    echo >"$BATS_TEST_TMPDIR/go"
    wait_lines "$BATS_TEST_TMPDIR/left.log" 1
    assert_equal "$(cat "$BATS_TEST_TMPDIR/left.log")" ready
}

@test "not root: it watches its own processes" {
    ((UID == 0)) || skip "is not root anyway"
    port=$(range_port "$(own_range)" 0)
    chmod a+rx "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test"
    : >"$BATS_TEST_TMPDIR/learnt"
    chmod 666 "$BATS_TEST_TMPDIR/learnt"
    run -0 setpriv --reuid 4711 --regid 4711 --clear-groups "$FREEPORT_CLI" learn -o "$BATS_TEST_TMPDIR/learnt" \
        /usr/bin/python3 "$BIND" "127.0.0.1 $port"
    run -0 cat "$BATS_TEST_TMPDIR/learnt"
    assert_line "  tcp $port  bound by python3"
}

@test "what it may not look into is told" {
    ((UID == 0)) || skip "is not root anyway"
    chmod a+rx "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test"
    {
        printf '%s\n' 'import ctypes; ctypes.CDLL(None).prctl(4, 0)' # not dumpable
        cat "$BIND"
    } | script test.py
    run -0 setpriv --reuid 4711 --regid 4711 --clear-groups "$FREEPORT_CLI" learn \
        /usr/bin/python3 "$BATS_TEST_TMPDIR/test.py" "127.0.0.1 $(range_port "$(own_range)" 0)"
    assert_line --index 0 "freeport: 1 calls not seen, of processes that user 4711 may not look into; learn as root"
    assert_line --index 1 "freeport: no port is hard-coded"
}

@test "where it can't watch, it says so, and nothing is started" {
    run -125 freeport learn "$FREEPORT_CLI" learn echo started
    assert_line "freeport: learn: can't watch the command's calls: Device or resource busy; it takes Linux 5.6, a sandbox \
that allows seccomp(2), and no other freeport learn around it"
    refute_line started
}

@test "what was learnt and can't be written is an error" {
    run -1 freeport learn --output /dev/full true
    assert_output "freeport: --output: '/dev/full': No space left on device; expected a file that can be written to"
}
