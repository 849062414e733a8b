# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# Programs that never call libc, under the filter: a static program gets its ports as any other, whoever starts it, and
# what stands between it and its caller is not to be seen.

load helper
load cli

setup() {
    freeport_setup
    STATIC=$FREEPORT_PROGRAMS/fpsock_static
    CLI=("$FREEPORT_CLI")
    if [[ -n ${FREEPORT_SANITIZER_RUNTIME:-} ]]; then # env becomes the command: the process is the same
        CLI=(env LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME" ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" "$FREEPORT_CLI")
    fi
    FREEPORT_TCP=$(own_range)
    configure FREEPORT_TCP="$FREEPORT_TCP" FREEPORT_UDP="$FREEPORT_TCP" FREEPORT_SENTINELS=8080
}

# runs OPTION... -- COMMAND...: in a session of its own, reported to the file `report`.
runs() { timeout --kill-after=5 "$PATIENCE" "${CLI[@]}" run --report "$(report_of it)" "$@" 3>&-; }

@test "a static program: any port, a sentinel, and a listen without a bind" {
    run -0 runs -- "$STATIC" tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 8080 name udp4 bind 127.0.0.1 8080 name \
        tcp4 listen
    first=${FREEPORT_TCP%-*}
    got ok "127.0.0.1 $first" ok "127.0.0.1 8080" ok "127.0.0.1 8080" ok
    run -0 wait_report "$(report_of it)" 4
    assert_equal "$(reported_port "$(report_of it)" tcp 8080)" "$(reported_port "$(report_of it)" udp 8080)"
    assert_equal "$(reported_ports "$(report_of it)" tcp 0 | wc -w)" 2
}

@test "whoever starts it: a shell, env -i, and with --via seccomp what is below the filter" {
    run -0 runs -- sh -c '"$0" tcp4 bind 127.0.0.1 8080 name; env -i "$0" tcp4 bind 127.0.0.1 8080 name' "$STATIC"
    got ok "127.0.0.1 8080" ok "127.0.0.1 8080"
    run -0 runs --via seccomp -- sh -c '"$0" tcp4 bind 127.0.0.1 8080 name' "$STATIC"
    got ok "127.0.0.1 8080"
    assert_equal "$(awk '$2 == 8080' "$(report_of it)" | wc -l)" 3
}

@test "a static program that is told a port reads it as that, and one that has the sentinel in it the sentinel" {
    cd "$BATS_TEST_TMPDIR"
    run -0 runs --export PORT=8080/udp -- sh -c '
        "$0" udp4 bind 127.0.0.1 "$PORT" name | sed "s/ $PORT$/ told/"
        "$0" udp4 bind 127.0.0.1 8080 name
        python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((\"127.0.0.1\", 8080))
print(\"ready\", flush=True)
while True: s.sendto(*s.recvfrom(100))" >server & server=$!
        until grep -qs ready server; do sleep 0.05; done
        "$1" udp4 sendto 127.0.0.1 "$PORT" x recvfrom sendto 127.0.0.1 8080 y recvfrom | sed "s/ $PORT$/ told/"
        kill $server' "$STATIC" "$FREEPORT_PROGRAMS/fpclient"
    got ok "127.0.0.1 told" ok "127.0.0.1 8080" ok "x 127.0.0.1 told" ok "y 127.0.0.1 8080"
    run -0 runs --via seccomp --export PORT=8080/udp -- sh -c '
        "$0" udp4 bind 127.0.0.1 8080 echo it >server & server=$!
        until grep -qs ready server; do sleep 0.05; done
        "$0" udp4 sendto 127.0.0.1 "$PORT" x arrived recvfrom sendto 127.0.0.1 8080 y arrived recvfrom |
            sed "s/ $PORT$/ told/"
        kill $server' "$FREEPORT_PROGRAMS/fpclient"
    got ok "it:x 127.0.0.1 told" ok "it:y 127.0.0.1 8080"
}

@test "two sessions at once have their own, and a dynamic client reaches the static server of its own" {
    for session in red blue; do
        background "$session" "${CLI[@]}" run --session "$session" --report "$(report_of "$session")" -- \
            "$STATIC" tcp4 bind 127.0.0.1 8080 listen stay
        is_there "$session"
        run -0 runs --session "$session" -- python3 -c 'import socket
s = socket.create_connection(("127.0.0.1", 8080)); print(s.getpeername()[1])'
        assert_output 8080
    done
    refute [ "$(reported_port "$(report_of red)" tcp 8080)" = "$(reported_port "$(report_of blue)" tcp 8080)" ]
    run -0 freeport list -rn -o SENTINEL,SESSION,COMMAND,STATE
    assert_line "8080 red fpsock_static bound"
    assert_line "8080 blue fpsock_static bound"
}

@test "exit status and signals are the command's, and nothing stays behind" {
    run -42 runs -- sh -c 'exit 42'
    run -9 runs -- sh -c 'trap "exit 9" TERM; kill -TERM $$; sleep 5'
    run -127 runs -- "$BATS_TEST_TMPDIR/none"
    run -137 runs --via seccomp -- sh -c 'kill -KILL $$'
    # A signal to freeport reaches the command, and its end is freeport's.
    background it "${CLI[@]}" run -- sh -c 'trap "exit 17" USR1; echo ready; while :; do sleep 0.1; done'
    wait_lines "$BATS_TEST_TMPDIR/it.log" 1
    kill -USR1 "$BACKGROUND_PID"
    wait "$BACKGROUND_PID" || assert_equal "$?" 17
}

@test "a daemon is served after freeport run has ended, and its supervisor ends with it" {
    cd "$BATS_TEST_TMPDIR"
    run -0 runs -- sh -c 'setsid sh -c "until [ -e go ]; do sleep 0.05; done; $0 tcp4 bind 127.0.0.1 8080 name >out 2>&1; touch done" >/dev/null 2>&1 </dev/null & exit 0' "$STATIC"
    touch go
    wait_for "$PATIENCE" test -e "done"
    assert_equal "$(cat out)" "$(printf 'ok\n127.0.0.1 8080')"
    wait_for "$PATIENCE" nobody_is_left
}

@test "a name for which there is room up to the midst of the port is the sentinel's" {
    run -0 runs --via seccomp -- python3 -c '
import ctypes, socket
s = socket.socket()
s.bind(("127.0.0.1", 8080))
name, room = ctypes.create_string_buffer(3), ctypes.c_int(3)
assert ctypes.CDLL(None).getsockname(s.fileno(), name, ctypes.byref(room)) == 0
print(name.raw[2])'
    assert_output $((8080 >> 8))
}

@test "a program that has the shim, too, is rewritten once: one report each, and one number in both protocols" {
    command -v busybox >/dev/null || cannot "no busybox"
    cat >"$BATS_TEST_TMPDIR/both.py" <<'PYTHON'
import socket
print(open("/proc/self/maps").read().count("libfreeport_shim.so") > 0)
tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for server in tcp, udp:
    server.bind(("127.0.0.1", 8080))
    print(server.getsockname()[1])
tcp.listen()
print(socket.create_connection(("127.0.0.1", 8080)).getpeername()[1])
PYTHON
    run -0 runs -- "$(command -v busybox)" sh -c 'grep Seccomp: /proc/self/status; python3 "$0"' "$BATS_TEST_TMPDIR/both.py"
    got "$(printf 'Seccomp:\t2')" True 8080 8080 8080
    assert_equal "$(wc -l <"$(report_of it)")" 2
    assert_equal "$(reported_port "$(report_of it)" tcp 8080)" "$(reported_port "$(report_of it)" udp 8080)"
}

# interrupted PYTHON: what becomes of a program that blocks in a call under the filter, at a Ctrl-C.
interrupted() {
    timeout "$PATIENCE" /usr/bin/python3 "$BATS_TEST_DIRNAME/../programs/terminal.py" "${CLI[@]}" run --quiet \
        --via seccomp --session "$(tree "$BASHPID$RANDOM")" -- /usr/bin/python3 -c "
import signal, socket
signal.signal(signal.SIGINT, signal.SIG_DFL)
tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tcp.bind(('127.0.0.1', 8080)); udp.bind(('127.0.0.1', 8080)); tcp.listen(0)
print('ready', flush=True)
$1" 3>&-
}

@test "a Ctrl-C interrupts a blocked accept, receive and connect" {
    assert_equal "$(interrupted 'tcp.accept()')" "signal 2"
    assert_equal "$(interrupted 'udp.recvfrom(9)')" "signal 2"
    assert_equal "$(interrupted 'udp.recvmsg(9)')" "signal 2"
    assert_equal "$(interrupted 'clients = [socket.socket() for _ in range(9)]
for client in clients: client.connect(("127.0.0.1", 8080))')" "signal 2"
}

# process_state PID: R, S, T and so on.
process_state() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    echo "${stat%% *}"
}
state_is() { [[ $(process_state "$1") == "$2" ]]; }

@test "freeport stops with its command, and goes on with it" {
    background it "${CLI[@]}" run -- sh -c 'echo $$; while :; do sleep 0.1; done'
    wait_lines "$BATS_TEST_TMPDIR/it.log" 1
    command=$(cat "$BATS_TEST_TMPDIR/it.log")
    kill -STOP "$command"
    wait_for "$PATIENCE" state_is "$BACKGROUND_PID" T
    kill -CONT "$BACKGROUND_PID"
    wait_for "$PATIENCE" state_is "$command" S
    refute state_is "$BACKGROUND_PID" T
}

@test "a freeport that is killed takes its command along" {
    background it "${CLI[@]}" run -- sh -c 'echo $$; exec sleep 60'
    wait_lines "$BATS_TEST_TMPDIR/it.log" 1
    command=$(cat "$BATS_TEST_TMPDIR/it.log")
    start=$(process_start "$command")
    kill -KILL "$BACKGROUND_PID"
    wait_for "$PATIENCE" process_is_gone "$command" "$start"
}

@test "a supervisor that is killed: the command goes on and ends as itself, and what was served gets ENOSYS" {
    cd "$BATS_TEST_TMPDIR"
    background it "${CLI[@]}" run --via seccomp -- sh -c 'echo $PPID
        until [ -e go ]; do sleep 0.05; done; "$0" tcp4 bind 127.0.0.1 0; exit 23' "$STATIC"
    wait_lines it.log 1
    kill -KILL "$(cat it.log)"
    wait_lines it.log 2
    assert_equal "$(tail -n 1 it.log)" "freeport: the supervisor of this run was killed: in programs that are under its \
filter, bind, listen and connect fail with ENOSYS from now on; start them anew"
    touch go
    wait "$BACKGROUND_PID" || assert_equal "$?" 23
    assert_equal "$(tail -n 1 it.log)" ENOSYS
}

@test "where the supervisor may not look into programs: one line says what is missing, before the program starts" {
    way="start the container with --cap-add SYS_PTRACE, or freeport run --export gives it a port all the same"
    refuses() { timeout "$PATIENCE" "$FREEPORT_PROGRAMS/fpfilter" "$1:EPERM" "${CLI[@]}" run "${@:2}" 3>&-; }
    for call in pidfd_getfd process_vm_readv; do
        run -0 refuses "$call" -- sh -c '"$0" tcp4 bind 127.0.0.1 0; "$0" tcp4 bind 127.0.0.1 0' "$STATIC"
        got "freeport: $STATIC: not covered: $call is refused: Operation not permitted; $way" ok ok
        run -125 refuses "$call" --via seccomp -- "$STATIC" tcp4 bind 127.0.0.1 0
        got "freeport: $STATIC: can't be put under the filter: $call is refused: Operation not permitted; $way"
    done
    run -0 refuses pidfd_getfd --log quiet -- "$STATIC" tcp4 bind 127.0.0.1 0
    got ok
}

@test "a run inside a run that is under the filter: one line, and the outer one's ports" {
    run -0 runs --via seccomp --session outer -- "$FREEPORT_CLI" run --quiet --via auto --session inner -- \
        "$STATIC" tcp4 bind 127.0.0.1 8080 name
    assert_line --partial "not covered: another supervisor listens to its system calls already"
    assert_line "127.0.0.1 8080"
}

@test "programs that are killed at random leave nothing in the supervisor" {
    run -0 timeout 85 "${CLI[@]}" run --quiet --via seccomp --session storm -- \
        python3 "$BATS_TEST_DIRNAME/../stress/filter_storm.py" "$STATIC" "${FREEPORT_SEED:-1}" 5
    assert_output --regexp '^seed [0-9]+: [0-9]+ programs; nothing is left over$'
}

# crowd OPTION...: a thousand static programs at once, with a range that has room for them.
crowd() {
    range=$(own_range 3000)
    run -0 timeout 85 "${CLI[@]}" run --quiet --tcp "$range" --udp "$range" "$@" -- \
        python3 "$BATS_TEST_DIRNAME/../stress/filter_crowd.py" "$STATIC" 1000
    assert_output "1000 ports, few threads, 0 descriptors left over"
}

@test "a thousand programs at once, each under a filter of its own" {
    (($(ulimit -Hn) >= 4096)) || cannot "a limit of $(ulimit -Hn) descriptors"
    crowd --session crowd
}

@test "a thousand programs at once, under one filter" { crowd --via seccomp --session crowd; }
