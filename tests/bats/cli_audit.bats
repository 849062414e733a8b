# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport run --audit: who listens past the shim, and why; and that the command does not notice that it is watched.
#
# Each server is left running by the command, so that the last look, at its end, is sure to see it.

load helper
load cli

setup() {
    freeport_setup
    configure FREEPORT_SENTINELS= # which ports are sentinels, each test says
}

# audited OPTION... -- COMMAND: what the audit says, of a command that starts a server and ends when that is ready. The
# server is the process in the file "pid"; $LAUNCH may name who starts it.
audited() {
    local options=() status=0
    rm -f "$BATS_TEST_TMPDIR/server.log" # of the server before, which was ready
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    freeport run --audit "${options[@]}" sh -c '
        $LAUNCH sh -c '"'"'echo $$ >"$0/pid"; exec "$@"'"'"' "$0" "$@" >"$0/server.log" 2>&1 </dev/null &
        for i in $(seq 400); do
            grep -qs -e ready -e stay "$0/server.log" && exit
            sleep 0.05
        done
        exit 9' "$BATS_TEST_TMPDIR" "${@:2}" 2>"$BATS_TEST_TMPDIR/said" >/dev/null || status=$?
    end_later "$(cat "$BATS_TEST_TMPDIR/pid")"
    grep '^freeport: audit:' "$BATS_TEST_TMPDIR/said"
    return "$status"
}

# assert_seen LISTENERS PAST: what the last line says. It can't tell more than its looks have shown.
assert_seen() {
    assert_line --index $((${#lines[@]} - 1)) --regexp "^freeport: audit: $1 seen, $2 went past the shim; one that was \
there for less than [0-9]+ ms may not have been seen\$"
}

# assert_went_past LINE: the one line before that, with %PID for the server's.
assert_went_past() {
    assert_line --index 0 "freeport: audit: ${1//%PID/$(cat "$BATS_TEST_TMPDIR/pid")}"
    assert_seen "1 listener" 1
    assert_equal "${#lines[@]}" 2
}

ANOTHER_WAY="let it take its port from the environment (freeport run --export PORT=8080) or as an argument (freeport get)"

@test "nothing went past: sentinels, port 0, and a port of the range by its number" {
    range=$(own_range)
    run -0 audited --tcp "$range" --sentinels 8080 -- /usr/bin/python3 -uc "$LISTEN" 8080 0 "$(range_port "$range" 50)"
    assert_seen "3 listeners" 0
    assert_equal "${#lines[@]}" 1
}

@test "a port that is neither 0 nor a sentinel" {
    range=$(own_range)
    port=$(range_port "$(own_range)" 0)
    run -0 audited --tcp "$range" --sentinels 8080 -- /usr/bin/python3 -uc "$LISTEN" 8080 "$port"
    assert_line --index 0 "freeport: audit: tcp $port of python3 ($(cat "$BATS_TEST_TMPDIR/pid")) went past the shim: a \
port that is neither 0 nor a sentinel; add it to --sentinels"
    assert_seen "2 listeners" 1
}

@test "a protocol without a range" {
    range=$(own_range)
    port=$(range_port "$(own_range)" 0)
    run -0 audited --tcp "$range" -- /usr/bin/python3 -uc "$LISTEN" "$port/udp"
    assert_went_past "udp $port of python3 (%PID) went past the shim: udp has no range; give it one in --udp"
}

@test "a static and a Go program" {
    [[ -z ${FREEPORT_SANITIZE:-} ]] || skip "fpsock_go is sanitized, and counts its sockets"
    port=$(range_port "$(own_range)" 0)
    for program in fpsock_static fpsock_go; do
        reason="a static program, into which nothing can be loaded"
        if [[ $program == fpsock_go ]]; then
            reason="a Go program, which calls the kernel itself and not libc"
        fi
        run -0 audited --via preload --tcp "$(own_range)" -- \
            "$FREEPORT_PROGRAMS/$program" tcp4 bind 127.0.0.1 "$port" listen stay
        assert_went_past "tcp $port of $program (%PID) went past the shim: $reason; $ANOTHER_WAY"
        stop "$(cat "$BATS_TEST_TMPDIR/pid")"
    done
}

@test "LD_PRELOAD that was dropped" {
    configure FREEPORT_FOLLOW=no # or it would be back
    port=$(range_port "$(own_range)" 0)
    run -0 audited --tcp "$(own_range)" --sentinels "$port" -- env -u LD_PRELOAD /usr/bin/python3 -uc "$LISTEN" "$port"
    assert_went_past "tcp $port of python3 (%PID) went past the shim: LD_PRELOAD is not in its environment any more; let \
whoever starts it hand that on"
}

@test "LD_PRELOAD that was there, and nothing was loaded" {
    port=$(range_port "$(own_range)" 0)
    run -0 audited --tcp "$(own_range)" --sentinels "$port" -- env LD_PRELOAD=/none/libfreeport_shim.so /usr/bin/python3 -uc "$LISTEN" "$port"
    assert_went_past "tcp $port of python3 (%PID) went past the shim: the dynamic linker has not loaded the shim; in a \
chroot or container it has to be there too"
}

@test "a program that was started with another user or group than its own" {
    needs_root
    port=$(range_port "$(own_range)" 0)
    for who in --ruid=65534 --rgid=65534; do
        run -0 audited --tcp "$(own_range)" --sentinels "$port" -- \
            setpriv "$who" --keep-groups /usr/bin/python3 -uc "$LISTEN" "$port"
        assert_went_past "tcp $port of python3 (%PID) went past the shim: it was started by one whose real and effective \
user or group differ, where LD_PRELOAD is ignored; start it as that user from the beginning (setpriv)"
        stop "$(cat "$BATS_TEST_TMPDIR/pid")"
    done
}

@test "a sentinel that the shim has passed over" {
    range=$(own_range)
    port=$(range_port "$(own_range)" 0)
    run -0 audited --tcp "$range" --sentinels "$port" -- env -u FREEPORT_SENTINELS /usr/bin/python3 -uc "$LISTEN" "$port"
    assert_went_past "tcp $port of python3 (%PID) went past the shim: a sentinel, which the shim in it did not take: hand \
the FREEPORT_ variables on to it; where it has them, it bound past libc (io_uring), and freeport get has a port for it"
}

@test "a daemon that has left its parent counts" {
    port=$(range_port "$(own_range)" 0)
    LAUNCH="setsid --fork" run -0 audited --tcp "$(own_range)" -- /usr/bin/python3 -uc "$LISTEN" "$port"
    assert_went_past "tcp $port of python3 (%PID) went past the shim: a port that is neither 0 nor a sentinel; add it to \
--sentinels"
}

@test "what others open meanwhile does not count" {
    port=$(range_port "$(own_range)" 0)
    mkfifo "$BATS_TEST_TMPDIR/go"
    freeport_background audit run --audit sh -c 'echo started; read -r line <"$0"' "$BATS_TEST_TMPDIR/go"
    wait_lines "$BATS_TEST_TMPDIR/audit.log" 1
    background stranger /usr/bin/python3 -uc "$LISTEN" "$port"
    wait_lines "$BATS_TEST_TMPDIR/stranger.log" 1
    echo >"$BATS_TEST_TMPDIR/go"
    run -0 wait_lines "$BATS_TEST_TMPDIR/audit.log" 2
    assert_line --index 0 started
    assert_seen "0 listeners" 0
}

# --- The command is as it would be without ---------------------------------------------------------------------------

@test "the exit status is the command's, a signal too" {
    run -42 freeport run --audit sh -c 'exit 42'
    run -143 freeport run --audit sh -c 'kill -TERM $$'
    run -127 freeport run --audit "$BATS_TEST_TMPDIR/nothing"
    assert_output "freeport: $BATS_TEST_TMPDIR/nothing: No such file or directory" # and nothing was audited
    run -126 freeport run --audit "$BATS_TEST_TMPDIR"
    assert_output "freeport: $BATS_TEST_TMPDIR: Permission denied"
}

@test "a signal ends freeport as it has ended the command" {
    run -0 /usr/bin/python3 -c '
import signal, subprocess, sys
ended = subprocess.run([sys.argv[1], "run", "--audit", "sh", "-c", "kill -USR1 $$"], stderr=subprocess.DEVNULL)
print(ended.returncode == -signal.SIGUSR1)' "$(freeport_program)"
    assert_output True
}

@test "signals go on to the command" {
    freeport_background audit run --audit /usr/bin/python3 -uc '
import signal
for name in "HUP", "INT", "QUIT", "USR1", "USR2", "TERM":
    signal.signal(signal.Signals["SIG" + name], lambda number, frame: print(signal.Signals(number).name[3:]))
print("ready")
while True:
    signal.pause()'
    wait_lines "$BATS_TEST_TMPDIR/audit.log" 1
    n=1
    for name in HUP INT QUIT USR1 USR2 TERM; do
        kill -s "$name" "$BACKGROUND_PID"
        n=$((n + 1))
        wait_lines "$BATS_TEST_TMPDIR/audit.log" "$n"
        assert_equal "$(tail -n 1 "$BATS_TEST_TMPDIR/audit.log")" "$name"
    done
}

@test "what is ignored stays ignored, and the mask stays" {
    run -0 sh -c 'trap "" USR1; exec "$@"' sh "$(freeport_program)" run --audit \
        grep -E 'SigIgn|SigBlk' /proc/self/status
    assert_line --regexp '^SigBlk:\s+0000000000000000$'
    assert_line --regexp '^SigIgn:\s+0000000000000200$'
}

# process_state PID: T where it is stopped.
process_state() { awk '{ print $3 }' "/proc/$1/stat"; }
is_stopped() { [[ $(process_state "$1") == T ]]; }
is_running() { [[ $(process_state "$1") != T ]]; }

@test "when the command stops, so does freeport, and both go on together" {
    freeport_background audit run --audit sh -c 'echo $$; exec sleep 600'
    command=$(wait_lines "$BATS_TEST_TMPDIR/audit.log" 1)
    kill -STOP "$command"
    wait_for "$PATIENCE" is_stopped "$BACKGROUND_PID"
    kill -CONT "$BACKGROUND_PID"
    wait_for "$PATIENCE" is_running "$command"
    wait_for "$PATIENCE" is_running "$BACKGROUND_PID"
}

@test "a program's name reaches the terminal without a byte that it would obey" {
    range=$(own_range)
    port=$(range_port "$(own_range)" 0)
    run -0 audited --tcp "$range" --sentinels 8080 -- /usr/bin/python3 -uc \
        "import ctypes; ctypes.CDLL(None).prctl(15, b'a\x1b[2J\x9bb');$LISTEN" "$port"
    assert_line --index 0 --partial "tcp $port of a\x1b[2J\x9bb ("
}

@test "on a terminal: stopped from the keyboard, put in the foreground, and ended" {
    needs_terminals
    run /usr/bin/python3 - "$(freeport_program)" "$PATIENCE" <<'PYTHON'
import os
import pty
import select
import sys
import time

shell, terminal = pty.fork()
if shell == 0:
    os.environ["PS1"] = "$ "
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
seen = b""


def until(text):
    global seen
    deadline = time.monotonic() + float(sys.argv[2])
    while text not in seen:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            sys.exit(f"no {text!r} in {seen!r}")
        seen += os.read(terminal, 4096)
    seen = seen[seen.index(text) + len(text) :]


def type_in(text):
    os.write(terminal, text)


until(b"$ ")
type_in(sys.argv[1].encode() + b" run --audit sh -c 'echo up$((1)); exec cat'\n")
until(b"up1")
type_in(b"\x1a")
until(b"Stopped")
until(b"$ ")
type_in(b"fg\n")
until(b"cat")
type_in(b"hello\n")
until(b"hello")
until(b"hello")
type_in(b"\x03")
until(b"$ ")
type_in(b"echo status-$?\n")
until(b"status-130")
type_in(b"exit\n")
PYTHON
    assert_success
}

@test "a freeport that is killed takes the command with it" {
    freeport_background audit run --audit sh -c 'echo $$; exec sleep 600'
    command=$(wait_lines "$BATS_TEST_TMPDIR/audit.log" 1)
    start=$(process_start "$command")
    kill -KILL "$BACKGROUND_PID"
    wait_for "$PATIENCE" process_is_gone "$command" "$start"
}
