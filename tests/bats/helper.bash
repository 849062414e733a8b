# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What every test in this folder stands on. CTest sets FREEPORT_SHIM (and FREEPORT_CLI, FREEPORT_BUILD,
# FREEPORT_PROGRAMS, FREEPORT_SANITIZER_RUNTIME); see CMakeLists.txt for running a file by hand.
#
# Tests run side by side, so each has a segment, a block of ports and a directory of its own, and gives them all back.
# Nothing here sleeps for a fixed time, and nothing waits without an end.

bats_require_minimum_version 1.5.0
export BATS_LIB_PATH="${BATS_LIB_PATH:+$BATS_LIB_PATH:}/usr/lib/bats:/usr/lib"
bats_load_library bats-support
bats_load_library bats-assert

# Seconds that anything may take, for a machine with two cores and four tests at once. A test file may raise them.
PATIENCE=20
# A test that hangs all the same is ended by bats, whose teardown still cleans up: sooner than CTest, which does not.
BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-300}

# Blocks of ports are handed out here, to all tests of one user: above the ports that are written into the tests'
# programs (memcached's 11211, which is no sentinel in a range that has it), below the kernel's own from 32768 on.
PORT_BLOCKS=/tmp/freeport-test-ports.$UID
PORT_BLOCK_SIZE=100
PORT_BLOCK_FIRST=12000
PORT_BLOCK_END=32000

# ---------------------------------------------------------------------------------------------------------------------
# Around each test

setup() { freeport_setup; }
teardown() { freeport_teardown; }

freeport_setup() {
    # Without its shim a server would bind the host's real port, and a test could pass by accident.
    [[ -f ${FREEPORT_SHIM:-} ]] || fail "FREEPORT_SHIM is no file: '${FREEPORT_SHIM:-}'"

    [[ -e /proc/self/stat ]] || cannot "no /proc, in which these tests find their processes"

    skip_if_different

    local variable
    for variable in "${!FREEPORT_@}"; do
        case $variable in
            FREEPORT_TEST_VIA) ;;
            FREEPORT_SHIM | FREEPORT_CLI | FREEPORT_BUILD | FREEPORT_LIBRARY | FREEPORT_PROGRAMS) ;;
            FREEPORT_SANITIZE | FREEPORT_SANITIZER_RUNTIME) ;;
            *) unset "$variable" ;;
        esac
    done
    export LC_ALL=C
    export PATH=$PATH:/usr/sbin:/sbin # nginx and ip are there, and not everybody looks there
    TEST_SEGMENT=/freeport-test-$$-${EPOCHREALTIME//[.,]/}
    export FREEPORT_SEGMENT=$TEST_SEGMENT
    export FREEPORT_CONFIG= # not the one of whoever runs the tests
}

freeport_teardown() {
    end_background
    local wrong=
    wait_for "$PATIENCE" nobody_is_left || wrong="left behind, and with them their ports: $(left_behind | xargs ps -o pid,args -p)"
    # Whoever cleans up in /dev/shm meanwhile splits a session in two: what is started later finds nothing.
    [[ -e /dev/shm${TEST_SEGMENT:-} ]] || echo "--- no segment /dev/shm$TEST_SEGMENT at the end"
    rm -f "/dev/shm${TEST_SEGMENT:-/freeport-test-none}"*
    free_ranges
    show_files # bats shows it where the test failed, and only there
    if grep -qsE 'Sanitizer: |runtime error: ' "$BATS_TEST_TMPDIR"/*.log; then wrong="a sanitizer found something"; fi
    [[ -z $wrong ]] || fail "$wrong"
}

# left_behind: the processes that were started with this test's segment, and are there still.
left_behind() (
    unset FREEPORT_SEGMENT
    grep -lzxF "FREEPORT_SEGMENT=$TEST_SEGMENT" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
)
nobody_is_left() { [[ -z $(left_behind) ]]; }

# take_lock_away: from here on, processes use the segment, which is there, without its lock. So does a process that could
# not have the lock in time.
take_lock_away() {
    # The lock's state, which is not FP_LOCK_READY then; see lib/layout.h.
    printf '\001' | dd of="/dev/shm$FREEPORT_SEGMENT" bs=1 seek=144 conv=notrunc status=none
}

# configure NAME=VALUE...: for all processes that the test starts from here on.
configure() { export "${@?}"; }

# What the servers said, for the reader of a failure.
show_files() {
    local file
    for file in "$BATS_TEST_TMPDIR"/*.log "$BATS_TEST_TMPDIR"/*.report; do
        [[ -s $file ]] || continue
        printf -- '--- %s\n' "${file##*/}"
        tail -n 40 "$file"
    done
    return 0
}

# ---------------------------------------------------------------------------------------------------------------------
# Ports

# own_range [COUNT]: prints FROM-TO, COUNT ports (100) that no other running test has and that nothing uses.
own_range() {
    local count=${1:-$PORT_BLOCK_SIZE} first
    mkdir -p "$PORT_BLOCKS"
    first=$(
        exec 9>"$PORT_BLOCKS/lock"
        flock --timeout "$PATIENCE" 9 && take_blocks $(((count + PORT_BLOCK_SIZE - 1) / PORT_BLOCK_SIZE))
    ) || fail "no block of $count free ports in $PORT_BLOCKS"
    echo "$first-$((first + count - 1))"
}

# Round the blocks, not the first free one: ports in TIME_WAIT, which a range skips, are left alone for a while.
take_blocks() {
    local size=$(($1 * PORT_BLOCK_SIZE)) first=$PORT_BLOCK_FIRST block tried
    [[ ! -s $PORT_BLOCKS/next ]] || first=$(<"$PORT_BLOCKS/next")
    for ((tried = PORT_BLOCK_FIRST; tried < PORT_BLOCK_END; tried += PORT_BLOCK_SIZE)); do
        if ((first + size > PORT_BLOCK_END)); then first=$PORT_BLOCK_FIRST; fi
        if blocks_are_free "$first" "$size"; then
            for ((block = first; block < first + size; block += PORT_BLOCK_SIZE)); do
                echo "$$ $(process_start $$)" >"$PORT_BLOCKS/$block"
            done
            echo $((first + size)) >"$PORT_BLOCKS/next"
            echo "$first"
            return 0
        fi
        first=$((first + PORT_BLOCK_SIZE))
    done
    return 1
}

# Neither a running test's (a killed one gives nothing back), nor with any socket in it, be it in TIME_WAIT; or bound and
# not listening, which ss does not show.
blocks_are_free() {
    local first=$1 last=$(($1 + $2 - 1)) block pid start
    for ((block = first; block <= last; block += PORT_BLOCK_SIZE)); do
        [[ -s $PORT_BLOCKS/$block ]] || continue
        read -r pid start <"$PORT_BLOCKS/$block"
        if [[ $(process_start "$pid") == "$start" ]]; then return 1; fi
    done
    [[ -z $(ss -Htuan "sport >= :$first and sport <= :$last") ]] || return 1
    perl -MSocket -e 'for ($ARGV[0] .. $ARGV[1]) {
        socket(S, PF_INET, SOCK_STREAM, 0) && bind(S, sockaddr_in($_, INADDR_ANY)) or exit 1
    }' "$first" "$last"
}

free_ranges() {
    local block mine
    mine="$$ $(process_start $$)"
    for block in "$PORT_BLOCKS"/[0-9]*; do
        # Another test's may go while this one looks.
        if [[ $(cat "$block" 2>/dev/null) == "$mine" ]]; then rm -f "$block"; fi
    done
}

# range_port RANGE N: the range's port number N, from 0.
range_port() { echo $((${1%-*} + $2)); }

# even_port RANGE N: the port that bind to port 0 number N gets, from 0, as long as the range has even ones.
even_port() { echo $((${1%-*} + ${1%-*} % 2 + 2 * $2)); }

# range_ports RANGE N COUNT: the COUNT ports from number N on, in one line.
range_ports() { seq -s ' ' "$(range_port "$1" "$2")" "$(range_port "$1" $(($2 + $3 - 1)))"; }

# even_ports RANGE N COUNT: the same of those that bind to port 0 gets.
even_ports() { seq -s ' ' "$(even_port "$1" "$2")" 2 "$(even_port "$1" $(($2 + $3 - 1)))"; }

assert_in_range() {
    local port=$1 range=$2
    if ((port < ${range%-*} || port > ${range#*-})); then fail "port $port is not in $range"; fi
}

# ---------------------------------------------------------------------------------------------------------------------
# Processes

# shim COMMAND...: the command under the shim, which bats itself is not. NAME=VALUE may stand before it, as with env.
shim() {
    if [[ ${FREEPORT_TEST_VIA:-} ]]; then
        filter_command "$@"
        timeout --kill-after=5 "$PATIENCE" "${FILTER_COMMAND[@]}" 3>&-
        return
    fi
    timeout --kill-after=5 "$PATIENCE" \
        env LD_PRELOAD="$(preload)" ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" "$@" 3>&-
}

# shim_background NAME COMMAND...: the same in the background, as process $BACKGROUND_PID and in a process group of its
# own; output in NAME.log, report in NAME.report, both in the test's directory. Ended in teardown.
shim_background() {
    local name=$1
    shift
    if [[ ${FREEPORT_TEST_VIA:-} ]]; then
        filter_command FREEPORT_REPORT="${FREEPORT_REPORT-$(report_of "$name")}" "$@"
        background "$name" "${FILTER_COMMAND[@]}"
        return
    fi
    background "$name" env LD_PRELOAD="$(preload)" ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" \
        FREEPORT_REPORT="${FREEPORT_REPORT-$(report_of "$name")}" "$@"
}

# filter_command [NAME=VALUE...] COMMAND...: with FREEPORT_TEST_VIA=seccomp, a test file runs a second time, with static
# programs in FREEPORT_PROGRAMS. FILTER_COMMAND is what runs the command under the filter, in a session as the shim makes
# up; and with no more sentinels than the test has named.
filter_command() {
    local variables=("FREEPORT_SESSION=${FREEPORT_SESSION-$(tree "$BASHPID$RANDOM")}")
    variables+=("FREEPORT_SENTINELS=${FREEPORT_SENTINELS-}")
    while [[ $1 == *=* || $1 == env ]]; do
        [[ $1 == env ]] || variables+=("$1")
        shift
    done
    FILTER_COMMAND=(env "${variables[@]}" "$FREEPORT_CLI" run --via "$FREEPORT_TEST_VIA" --quiet -- "$@")
}

# What differs by nature under the filter is listed, each test with its reason.
skip_if_different() {
    local reason
    [[ ${FREEPORT_TEST_VIA:-} ]] || return 0
    reason=$(awk -F '\t' -v file="${BATS_TEST_FILENAME##*/}" -v name="$BATS_TEST_DESCRIPTION" \
        '$1 == file && $2 == name { print $3 }' "$BATS_TEST_DIRNAME/seccomp.differs")
    [[ -z $reason ]] || skip "$reason"
}

# background NAME COMMAND...: without the shim. No descriptor of bats' own is left open, or bats would wait for it.
background() {
    local name=$1
    shift
    setsid "$@" </dev/null >"$BATS_TEST_TMPDIR/$name.log" 2>&1 3>&- 4>&- &
    BACKGROUND_PID=$!
    end_later "$BACKGROUND_PID"
}

preload() { echo "${FREEPORT_SANITIZER_RUNTIME:+$FREEPORT_SANITIZER_RUNTIME:}$FREEPORT_SHIM"; }

# tree N: a session of a process tree, as the shim makes them up. Its sentinels follow the name's sequence; those of a
# session that was named have places of their own in the range.
tree() { printf '%d-%016x' "$1" "$1"; }

# end_later PID: a process, with its group if it leads one, that teardown is to end.
end_later() { echo "$1 $(process_start "$1")" >>"$BATS_TEST_TMPDIR/.background"; }

end_background() {
    [[ -f $BATS_TEST_TMPDIR/.background ]] || return 0
    local pid start
    # All are asked at once, then waited for: some take a second to go.
    while read -r pid start; do
        if process_runs "$pid" "$start"; then kill "$pid" 2>/dev/null || true; fi
    done <"$BATS_TEST_TMPDIR/.background"
    while read -r pid start; do
        end_process "$pid" "$start"
    done <"$BATS_TEST_TMPDIR/.background"
    rm -f "$BATS_TEST_TMPDIR/.background"
}

# stop PID: ends it before teardown does, and waits for it.
stop() { end_process "$1" "$(process_start "$1")"; }

# Never a stranger that has got the number since: the start time tells. What is left of the group is its workers.
end_process() {
    local pid=$1 start=$2
    if process_runs "$pid" "$start"; then
        kill "$pid" 2>/dev/null || true
        wait_for 5 process_is_gone "$pid" "$start" || true
    fi
    kill -KILL -- "-$pid" 2>/dev/null || true
    if process_runs "$pid" "$start"; then kill -KILL "$pid" 2>/dev/null || true; fi
    wait "$pid" 2>/dev/null || true # also where it is no child of ours
}

process_runs() { [[ -n $2 && $(process_start "$1") == "$2" ]]; }
process_is_gone() { ! process_runs "$@"; }

# process_start PID: when it was started, in clock ticks; nothing where there is no such process or just a zombie.
process_start() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    local -a field
    read -ra field <<<"${stat##*) }"
    [[ ${field[0]} == Z ]] || echo "${field[19]}"
}

# ---------------------------------------------------------------------------------------------------------------------
# What a host may lack

# cannot REASON: this test can't work here, and is skipped. .ci/run sets TESTS_NO_SKIPS: nobody would see it there.
cannot() {
    [[ -z ${TESTS_NO_SKIPS:-} ]] || fail "can't be tested here: $1"
    skip "$1"
}

needs_root() { ((UID == 0)) || cannot "needs root"; }

# A user's own need a user namespace around them, which a test that means this user can't have.
needs_networks() { needs_namespace --net; }

# In a chroot, whose root is no mount, there are none.
needs_mounts() { needs_namespace --mount; }

# With a user namespace around them, where the test can be of any user. Not within bats' `run`, where a skip is lost.
needs_own_mounts() {
    local options=(--mount)
    ((UID == 0)) || options+=(--map-root-user)
    needs_namespace "${options[@]}"
}

needs_namespace() {
    local why
    why=$(unshare "$@" true 2>&1) || cannot "no namespaces for this user: unshare $*: ${why#unshare: }"
}

# Where another user than this one can have a segment.
needs_open_shm() {
    local mode
    mode=$(stat -Lc %a /dev/shm)
    [[ $mode == *[2367] ]] || cannot "/dev/shm is not for all users: mode $mode"
}

needs_terminals() {
    /usr/bin/python3 -c 'import pty; pty.openpty()' 2>/dev/null || cannot "no pseudo-terminals to be had (/dev/pts)"
}

needs_localhost() { getent ahosts localhost >/dev/null || cannot "the name localhost is not known (/etc/hosts)"; }

# A port below net.ipv4.ip_unprivileged_port_start, 1024 as a rule, is root's.
may_bind() {
    ((UID == 0 || $1 >= $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2>/dev/null || echo 1024)))
}
needs_port() { may_bind "$1" || cannot "port $1 is root's (net.ipv4.ip_unprivileged_port_start)"; }

# ---------------------------------------------------------------------------------------------------------------------
# fpsock: socket calls by the word, see tests/programs

FPSOCK=${FREEPORT_PROGRAMS:-}/fpsock

# shim_last COMMAND... -- WORD...: the shim in fpsock alone, not in the commands that lead to it.
shim_last() {
    local command=()
    while [[ $1 != -- ]]; do
        command+=("$1")
        shift
    done
    shift
    timeout --kill-after=5 "$PATIENCE" "${command[@]}" env LD_PRELOAD="$(preload)" \
        ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" "$FPSOCK" "$@" 3>&-
}

# fpsock WORD...: under the shim.
fpsock() { shim "$FPSOCK" "$@"; }

# got LINE...: what it said.
got() { assert_output "$(printf '%s\n' "$@")"; }

# stranger NAME WORD...: without the shim, with its sockets as the words make them, until the test ends.
stranger() {
    local name=$1
    shift
    background "$name" "$FPSOCK" "$@" stay
    is_there "$name"
}

# is_there NAME: until one in the background has come to its word `stay`, and nothing has failed before it.
is_there() {
    wait_for "$PATIENCE" grep -qx stay "$BATS_TEST_TMPDIR/$1.log" || fail "$1: not there"
    run ! grep -E '^E' "$BATS_TEST_TMPDIR/$1.log"
}

# ---------------------------------------------------------------------------------------------------------------------
# Waiting

# wait_for SECONDS COMMAND...: until the command succeeds; fails after SECONDS.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > deadline)); then return 1; fi
        sleep 0.05
    done
}

# wait_lines FILE N [SECONDS]: until the file has N lines; prints it.
wait_lines() {
    wait_for "${3:-$PATIENCE}" has_lines "$1" "$2" || fail "${1##*/}: fewer than $2 lines after ${3:-$PATIENCE} s"
    cat "$1"
}

has_lines() { [[ -f $1 ]] && (($(wc -l <"$1") >= $2)); }

# wait_report FILE N [SECONDS]: the same for a report.
wait_report() { wait_lines "$@"; }

# wait_tcp HOST PORT [SECONDS]: until something accepts there.
wait_tcp() {
    wait_for "${3:-$PATIENCE}" tcp_answers "$1" "$2" || fail "nothing listens on $1 port $2 after ${3:-$PATIENCE} s"
}

tcp_answers() { (exec 5<>"/dev/tcp/$1/$2"); }

# ---------------------------------------------------------------------------------------------------------------------
# Reports

report_of() { echo "$BATS_TEST_TMPDIR/$1.report"; }

# reported_port FILE PROTOCOL REQUESTED: the one real port of all these lines.
reported_port() {
    local port
    port=$(awk -v protocol="$2" -v requested="$3" '$1 == protocol && $2 == requested { print $3 }' "$1" | sort -u)
    [[ $port =~ ^[0-9]+$ ]] || fail "${1##*/}: not one real port for $2 $3, but: ${port:-none}"
    echo "$port"
}

# reported_ports FILE PROTOCOL REQUESTED: the real ports of these lines, in their order, in one line.
reported_ports() {
    awk -v protocol="$2" -v requested="$3" '$1 == protocol && $2 == requested { print $3 }' "$1" | paste -sd' '
}

# assert_report FILE LINE...: these lines, in any order, and no others.
assert_report() {
    local file=$1
    shift
    assert_equal "$(sort "$file")" "$(printf '%s\n' "$@" | sort)"
}

# ---------------------------------------------------------------------------------------------------------------------
# Clients, which know nothing of the shim

# get URL: what an HTTP server answers.
get() { curl --silent --show-error --fail --globoff --noproxy '*' --max-time "$PATIENCE" "$1"; }

# ask PROTOCOL HOST PORT [TEXT]: sends the text (\r and such as in Python), prints the first line or datagram of the
# answer. Tried again until somebody is there.
ask() {
    /usr/bin/python3 - "$PATIENCE" "$@" <<'PYTHON'
import socket
import sys
import time

patience, protocol, host, port, text = (sys.argv[1:] + [""])[:5]
deadline = time.monotonic() + float(patience)
data = text.encode().decode("unicode_escape").encode("latin-1")
family = socket.AF_INET6 if ":" in host else socket.AF_INET


def attempt(seconds):
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as client:
        client.settimeout(seconds)
        client.connect((host, int(port)))
        client.sendall(data) if protocol == "tcp" else client.send(data)
        if protocol == "udp":
            return client.recv(65536)
        with client.makefile("rb") as answer:
            return answer.readline()


while True:
    left = deadline - time.monotonic()
    try:
        # A datagram may be lost before its server is there; a connection is not.
        answer = attempt(max(0.1, left if protocol == "tcp" else min(left, 1)))
        break
    except (ConnectionError, TimeoutError) as error:
        if time.monotonic() >= deadline:
            sys.exit(f"{protocol} {host} {port}: {error}")
        time.sleep(0.05)
sys.stdout.buffer.write(answer)
PYTHON
}
