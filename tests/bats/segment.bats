# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# The shared segment when it is somebody else's, damaged, or can't be had: a clear line, no crash, no hang, and a managed
# bind that works or fails with EINVAL.

load helper

setup() {
    OTHER_SEGMENT=/other-freeport-test-$$ # first of all: teardown removes it, whatever becomes of the rest
    freeport_setup
    range=$(own_range)
    first=${range%-*}
    second=$(even_port "$range" 1)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8080
}

teardown() {
    rm -rf "/dev/shm$OTHER_SEGMENT" ${PUBLIC:+"$PUBLIC"}
    if [[ -d /dev/shm${TEST_SEGMENT:-/none} ]]; then rmdir "/dev/shm$TEST_SEGMENT"; fi
    freeport_teardown
}

# Copies of program and shim that every user can read.
publish() {
    PUBLIC=$(mktemp -d)
    chmod 755 "$PUBLIC"
    install -m 755 "$FPSOCK" "$FREEPORT_SHIM" "$PUBLIC/"
    FPSOCK=$PUBLIC/fpsock
    FREEPORT_SHIM=$PUBLIC/${FREEPORT_SHIM##*/}
}

# as USER_ID WORD...: fpsock as another user.
as() { shim_last setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"; }

# in_shm COMMAND -- WORD...: with a /dev/shm of its own, as the shell command makes it.
in_shm() {
    local mount=$1 user=()
    shift 2
    ((UID == 0)) || user=(--map-root-user)
    needs_namespace --mount "${user[@]}"
    shim_last unshare --mount "${user[@]}" sh -c "$mount"' && exec "$@"' sh -- "$@"
}

# refused PART...: one line that names the variable, the segment and these, and managed binds fail.
refused() {
    local part
    got EINVAL EINVAL EINVAL ok
    ((${#stderr_lines[@]} == 1)) || fail "not one line: $stderr"
    [[ $stderr == "freeport: FREEPORT_SEGMENT $FREEPORT_SEGMENT"*"EINVAL" ]] || fail "$stderr"
    for part in "$@"; do [[ $stderr == *"$part"* ]] || fail "'$part' is not in: $stderr"; done
}

REFUSED=(tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 8080 tcp4 listen udp4 bind 127.0.0.1 0)

works() {
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 8080 name
    got ok "127.0.0.1 $first" ok "127.0.0.1 8080"
    assert_equal "$stderr" ""
}

# Eight processes, each with a port: what getsockname tells them.
eight_at_once() {
    local n pid pids=()
    for n in {1..8}; do
        fpsock tcp4 bind 127.0.0.1 0 name hold </dev/null >"$BATS_TEST_TMPDIR/$n" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    grep -h 127.0.0.1 "$BATS_TEST_TMPDIR"/[1-8]
}

# --- What is there from the start ------------------------------------------------------------------------------------

@test "a segment is made for its user alone, whole, whatever the umask is" {
    umask 077
    works
    run -0 stat -c '%a %u %h' "/dev/shm$TEST_SEGMENT"
    assert_output "600 $UID 1"
    rm "/dev/shm$TEST_SEGMENT"
    umask 000
    configure FREEPORT_SEGMENT_MODE=0640
    works
    run -0 stat -c '%a' "/dev/shm$TEST_SEGMENT"
    assert_output 640
}

@test "without a name: one for each user, found again by the next process, exported to children" {
    unset FREEPORT_SEGMENT
    # A namespace of its own, so that the test leaves the user's own segment alone.
    in_own_network() { shim_last unshare --net "$@"; }
    needs_root
    run -0 in_own_network -- sh 'echo "$FREEPORT_SEGMENT"' sh 'ls /dev/shm$FREEPORT_SEGMENT'
    assert_line --index 0 --regexp "^/freeport-$UID-[0-9]+\$"
    assert_line --index 1 "/dev/shm${lines[0]}"
    rm -f "/dev/shm${lines[0]}"
}

# The number of a namespace's inode is given to the next one when it is gone; its cookie is not.
@test "without a name: a new network namespace has a segment of its own, whatever was before it" {
    needs_root
    /usr/bin/python3 -c 'import socket; socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8)' 2>/dev/null ||
        skip "network namespaces have no cookie before Linux 5.14"
    unset FREEPORT_SEGMENT
    names=()
    for _ in 1 2 3; do
        run -0 shim_last unshare --net -- sh 'echo "$FREEPORT_SEGMENT"'
        names+=("${lines[0]}")
        rm -f "/dev/shm${lines[0]}"
    done
    assert_equal "$(printf '%s\n' "${names[@]}" | sort -u | wc -l)" 3
}

@test "processes that start at once make one segment" {
    for _ in 1 2 3 4; do
        rm -f "/dev/shm$TEST_SEGMENT"
        assert_equal "$(eight_at_once | sort -u | wc -l)" 8
        assert_equal "$(find /dev/shm -name "*${TEST_SEGMENT#/}*" | wc -l)" 1
    done
}

@test "the shim leaves no descriptor and no temporary file" {
    run -0 fpsock sh 'ls -l /proc/$PPID/fd | grep -c /dev/shm' sh "ls /dev/shm | grep -c '^\.freeport'"
    got 0 "exit 1" 0 "exit 1"
}

# --- Another user's --------------------------------------------------------------------------------------------------

@test "another user's segment of mode 0600 is refused, and the line names FREEPORT_SEGMENT_MODE" {
    needs_root
    publish
    run -0 fpsock tcp4 bind 127.0.0.1 0
    run -0 --separate-stderr as 65534 "${REFUSED[@]}"
    refused "of user 0" "FREEPORT_SEGMENT_MODE=0660 and a group"
}

@test "a segment that can't be used is nobody's business who binds and connects to nothing of the session's" {
    needs_root
    publish
    configure FREEPORT_SENTINELS=8080
    install -m 755 "$FREEPORT_PROGRAMS/fpclient" "$PUBLIC/"
    install -m 600 -o 1 /dev/null "/dev/shm$TEST_SEGMENT"
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 "$(range_port "$(own_range)" 0)" name unix \
        bindpath "$BATS_TEST_TMPDIR/socket"
    assert_equal "${lines[0]} ${lines[2]} $stderr" "ok ok "
    FPSOCK=$PUBLIC/fpclient run -0 --separate-stderr fpsock tcp4 connect 127.0.0.1 8080 tcp4 connect 127.0.0.1 8080
    got ECONNREFUSED ECONNREFUSED
    ((${#stderr_lines[@]} == 1)) || fail "not one line: $stderr"
    [[ $stderr == "freeport: FREEPORT_SEGMENT $FREEPORT_SEGMENT (of user 1)"* ]] || fail "$stderr"
}

@test "and one of mode 0666 is shared" {
    needs_root
    publish
    configure FREEPORT_SEGMENT_MODE=0666 FREEPORT_SESSION=one
    works
    run -0 --separate-stderr as 65534 tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.2 8080 name
    got ok "127.0.0.1 $second" ok "127.0.0.2 8080"
    assert_equal "$stderr" ""
    FREEPORT_SOCKNAME=real run -0 fpsock tcp4 bind 127.0.0.4 8080 name
    local port=${lines[1]##* }
    FREEPORT_SOCKNAME=real run -0 as 65534 tcp4 bind 127.0.0.3 8080 name
    got ok "127.0.0.3 $port"
}

@test "and one of mode 0660 is shared with its group, and with nobody else" {
    needs_root
    publish
    configure FREEPORT_SEGMENT_MODE=0660
    run -0 shim_last setpriv --regid=4711 --clear-groups -- tcp4 bind 127.0.0.1 0
    run -0 stat -c '%u %g %a' "/dev/shm$TEST_SEGMENT"
    assert_output "0 4711 660"
    run -0 --separate-stderr shim_last setpriv --reuid=65534 --regid=65534 --groups=4711 -- tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $second"
    run -0 --separate-stderr as 65534 "${REFUSED[@]}"
    refused "mode does not let this user in" "FREEPORT_SEGMENT_MODE=0660 and a group"
}

@test "a child under another user finds the same world through what its parent exports" {
    needs_root
    publish
    unset FREEPORT_SEGMENT
    configure FREEPORT_SEGMENT_MODE=0666
    child="setpriv --reuid=65534 --regid=65534 --clear-groups '$FPSOCK' tcp4 bind 127.0.0.1 0 name"
    run -0 --separate-stderr shim_last unshare --net sh -c 'ip link set lo up; exec "$@"' sh -- \
        tcp4 bind 127.0.0.1 0 name sh "$child" sh 'echo "$FREEPORT_SEGMENT"'
    rm -f "/dev/shm${lines[4]}"
    got ok "127.0.0.1 $first" ok "127.0.0.1 $second" "${lines[4]}"
    assert_equal "$stderr" ""
}

@test "a name that another user has squatted on is refused, and the line names that user" {
    needs_root
    needs_open_shm
    publish
    run -0 as 1 tcp4 bind 127.0.0.1 0
    chmod 666 "/dev/shm$TEST_SEGMENT"
    run -0 --separate-stderr fpsock "${REFUSED[@]}"
    refused "of user 1)"
    run -0 --separate-stderr as 65534 "${REFUSED[@]}"
    refused "of user 1)"
    # Left alone.
    [[ -e /dev/shm$TEST_SEGMENT ]]
    run -0 as 1 tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $second"
}

@test "a squatter's file that is no segment is refused, too" {
    needs_root
    install -m 666 -o 1 /dev/null "/dev/shm$TEST_SEGMENT"
    run -0 --separate-stderr fpsock "${REFUSED[@]}"
    refused "of user 1)"
    [[ -e /dev/shm$TEST_SEGMENT ]]
}

# --- Damaged ---------------------------------------------------------------------------------------------------------

# Ways to damage a segment, each the beginning of a shell command that ends in its path.
DAMAGE=(
    'truncate -s 0'
    'truncate -s 100'
    'truncate -s 4096'
    'truncate -s 100M'
    'dd if=/dev/zero conv=notrunc status=none bs=1M count=9 of='
    'dd if=/dev/urandom conv=notrunc status=none bs=4096 count=2200 of='
    'dd if=/dev/urandom conv=notrunc status=none bs=80 count=1 of='
)

damage() {
    if [[ $1 == *of= ]]; then eval "$1'$2'"; else eval "$1 '$2'"; fi
}

@test "a damaged segment of freeport's own name is replaced" {
    for way in "${DAMAGE[@]}"; do
        rm -f "/dev/shm$TEST_SEGMENT"
        run -0 fpsock tcp4 bind 127.0.0.1 0
        damage "$way" "/dev/shm$TEST_SEGMENT"
        works
        rm -f "/dev/shm$TEST_SEGMENT"
        run -0 fpsock tcp4 bind 127.0.0.1 0
        damage "$way" "/dev/shm$TEST_SEGMENT"
        FREEPORT_LOG=warn run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0
        ((${#stderr_lines[@]} == 1)) || fail "$way: not one line: $stderr"
        [[ $stderr == "freeport: segment $TEST_SEGMENT was damaged"* ]] || fail "$way: $stderr"
    done
}

@test "a file of another name that is no segment is refused, and left as it is" {
    configure FREEPORT_SEGMENT="$OTHER_SEGMENT"
    for size in 0 10 100 9000000; do
        head -c "$size" /dev/urandom >"/dev/shm$OTHER_SEGMENT"
        sum=$(sha256sum "/dev/shm$OTHER_SEGMENT")
        run -0 --separate-stderr fpsock "${REFUSED[@]}"
        refused
        assert_equal "$(sha256sum "/dev/shm$OTHER_SEGMENT")" "$sum"
    done
}

@test "a segment of another version is refused, and left as it is" {
    run -0 fpsock tcp4 bind 127.0.0.1 0
    printf '\x63' | dd of="/dev/shm$TEST_SEGMENT" bs=1 seek=8 conv=notrunc status=none
    sum=$(sha256sum "/dev/shm$TEST_SEGMENT")
    run -0 --separate-stderr fpsock "${REFUSED[@]}"
    refused
    assert_equal "$(sha256sum "/dev/shm$TEST_SEGMENT")" "$sum"
}

# A sound head, and anything at all behind it: from the lock on, or from the tables on.
@test "random bytes behind a sound head: no crash, no hang, and a port of the range or a word" {
    configure FREEPORT_LOG=quiet FREEPORT_UDP="$range"
    for offset in 80 144 656 98960 131728 156304 1467024 2515600; do
        for _ in 1 2 3; do
            rm -f "/dev/shm$TEST_SEGMENT"
            run -0 fpsock tcp4 bind 127.0.0.1 0
            size=$(stat -c %s "/dev/shm$TEST_SEGMENT")
            head -c $((size - offset)) /dev/urandom |
                dd of="/dev/shm$TEST_SEGMENT" bs=1M seek="$offset" oflag=seek_bytes conv=notrunc status=none
            run -0 fpsock tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 8080 name listen udp4 bind 127.0.0.1 0 \
                udp6 bind ::1 8080 tcp4 bind 127.0.0.1 "$first" fork tcp4 bind 127.0.0.1 0 join
            # With every name's slot in somebody's use, by what it says, none can be had.
            [[ ${lines[0]} == ok || ${lines[0]} == EADDRINUSE ]] || fail "offset $offset: $output"
            [[ ${lines[0]} != ok ]] || assert_in_range "${lines[1]##* }" "$range"
            refute_output --regexp 'failed|but errno|wrote around'
        done
    done
}

@test "processes that find a damaged segment at once replace it once" {
    run -0 fpsock tcp4 bind 127.0.0.1 0
    truncate -s 4096 "/dev/shm$TEST_SEGMENT"
    assert_equal "$(eight_at_once | sort)" "$(seq -f '127.0.0.1 %.0f' "$first" 2 "$(even_port "$range" 7)")"
}

@test "a segment that is removed under a program: it goes on" {
    run -0 fpsock tcp4 bind 127.0.0.1 0 sh "rm /dev/shm$TEST_SEGMENT" tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 8080
    got ok ok "127.0.0.1 $second" ok
}

@test "a segment that is replaced under a program: two worlds, and the kernel keeps their ports apart" {
    configure FREEPORT_SESSION=one
    mkfifo "$BATS_TEST_TMPDIR/go"
    shim_background old "$FPSOCK" tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 8080 listen \
        sh "unset LD_PRELOAD; cat '$BATS_TEST_TMPDIR/go'" tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.2 8080 name stay
    wait_lines "$BATS_TEST_TMPDIR/old.log" 3
    rm "/dev/shm$TEST_SEGMENT"
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 8080 name
    got ok "127.0.0.1 $(range_port "$range" 2)" ok "127.0.0.1 8080"
    assert_equal "$stderr" ""
    : >"$BATS_TEST_TMPDIR/go"
    wait_lines "$BATS_TEST_TMPDIR/old.log" 7
    run -0 cat "$BATS_TEST_TMPDIR/old.log"
    got ok ok ok ok ok "127.0.0.2 8080" stay
    read -r bound again < <(reported_ports "$(report_of old)" tcp 8080)
    assert_equal "$again" "$bound"
}

CHANGED="not the segment that this session began with"

@test "a segment that is removed below a session: whoever is started later works, and says so once" {
    removed="rm /dev/shm$TEST_SEGMENT"
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 8080 sh "$removed" \
        sh "'$FPSOCK' tcp4 bind 127.0.0.2 0 tcp4 bind 127.0.0.2 8080" tcp4 bind 127.0.0.1 0
    got ok ok ok ok
    ((${#stderr_lines[@]} == 1)) || fail "not one line: $stderr"
    [[ $stderr == "freeport: FREEPORT_SEGMENT $TEST_SEGMENT (of user $UID): $CHANGED"* ]] || fail "$stderr"
    # And so does a client.
    fpclient=$FREEPORT_PROGRAMS/fpclient
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 8080 sh "$removed" sh "'$fpclient' tcp4 connect 127.0.0.1 8080"
    got ok ECONNREFUSED
    [[ $stderr == *"$CHANGED"* ]] || fail "$stderr"
}

@test "nothing is said of a segment that is removed to who has no use for it, or is given another" {
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 8080 sh "rm /dev/shm$TEST_SEGMENT" sh true \
        sh "FREEPORT_SEGMENT=$OTHER_SEGMENT '$FPSOCK' tcp4 bind 127.0.0.2 0"
    got ok ok
    assert_equal "$stderr" ""
}

# What cannot be helped: see freeport(7), LIMITS.
@test "a segment that is truncated under a program ends it with SIGBUS, and the next one gets a fresh segment" {
    [[ -z ${FREEPORT_SANITIZE:-} ]] || skip "a sanitizer catches the signal"
    run -135 fpsock tcp4 bind 127.0.0.1 0 sh "unset LD_PRELOAD; truncate -s 0 /dev/shm$TEST_SEGMENT" tcp4 bind 127.0.0.1 0
    works
}

@test "another user can't truncate, remove, lock or read a segment of mode 0600" {
    needs_root
    run -0 fpsock tcp4 bind 127.0.0.1 0
    sum=$(sha256sum "/dev/shm$TEST_SEGMENT")
    for attempt in 'truncate -s 0 "$1"' 'rm -f "$1"' 'mv "$1" "$1.moved"' 'flock -n "$1" true' 'cat "$1"' ': >"$1"' \
        'chmod 666 "$1"'; do
        run setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "$attempt" sh "/dev/shm$TEST_SEGMENT"
        ((status != 0)) || fail "$attempt"
    done
    assert_equal "$(sha256sum "/dev/shm$TEST_SEGMENT")" "$sum"
}

# --- No segment at all -----------------------------------------------------------------------------------------------

@test "a symbolic link, a directory, a FIFO: refused, and left as they are" {
    for name in "$TEST_SEGMENT" "$OTHER_SEGMENT"; do
        configure FREEPORT_SEGMENT="$name"
        echo precious >"$BATS_TEST_TMPDIR/precious"
        ln -s "$BATS_TEST_TMPDIR/precious" "/dev/shm$name"
        run -0 --separate-stderr fpsock "${REFUSED[@]}"
        refused
        assert_equal "$(cat "$BATS_TEST_TMPDIR/precious")" precious
        rm "/dev/shm$name"
        ln -s "$BATS_TEST_TMPDIR/nothing" "/dev/shm$name"
        run -0 --separate-stderr fpsock "${REFUSED[@]}"
        refused
        [[ ! -e $BATS_TEST_TMPDIR/nothing ]]
        rm "/dev/shm$name"
        mkdir "/dev/shm$name"
        run -0 --separate-stderr fpsock "${REFUSED[@]}"
        refused
        rmdir "/dev/shm$name"
        mkfifo "/dev/shm$name"
        run -0 --separate-stderr fpsock "${REFUSED[@]}"
        refused
        rm "/dev/shm$name"
    done
}

@test "a read-only /dev/shm" {
    needs_own_mounts
    run -0 --separate-stderr in_shm 'mount -t tmpfs -o ro tmpfs /dev/shm' -- "${REFUSED[@]}"
    refused "/dev/shm" writable
}

@test "a missing /dev/shm" {
    needs_own_mounts
    run -0 --separate-stderr in_shm 'mount -t tmpfs tmpfs /dev' -- "${REFUSED[@]}"
    refused "/dev/shm"
}

@test "a /dev/shm that is a file" {
    needs_own_mounts
    run -0 --separate-stderr in_shm 'mount -t tmpfs tmpfs /dev && : >/dev/shm' -- "${REFUSED[@]}"
    refused "/dev/shm"
}

@test "a /dev/shm that is full: an error now, and no SIGBUS later" {
    needs_own_mounts
    run -0 --separate-stderr in_shm 'mount -t tmpfs -o size=1m tmpfs /dev/shm' -- "${REFUSED[@]}"
    refused "/dev/shm" "to spare"
    run -0 --separate-stderr in_shm 'mount -t tmpfs -o nr_inodes=1 tmpfs /dev/shm' -- "${REFUSED[@]}"
    refused "/dev/shm"
}

@test "a /dev/shm that others may not write to" {
    needs_own_mounts
    needs_root
    needs_mounts
    publish
    run -0 --separate-stderr in_shm 'mount -t tmpfs -o mode=755 tmpfs /dev/shm' -- "${REFUSED[@]}"
    got ok ok ok ok
    run -0 --separate-stderr shim_last unshare --mount sh -c \
        'mount -t tmpfs -o mode=755 tmpfs /dev/shm && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"' sh -- \
        "${REFUSED[@]}"
    refused
}

@test "a small RLIMIT_FSIZE: a line, and no SIGXFSZ; with a segment that is there, all works" {
    run -0 --separate-stderr shim_last sh -c 'ulimit -f 100 && exec "$@"' sh -- "${REFUSED[@]}"
    refused
    run -0 fpsock tcp4 bind 127.0.0.1 0
    run -0 --separate-stderr shim_last sh -c 'ulimit -f 100 && exec "$@"' sh -- tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $second"
    assert_equal "$stderr" ""
}

@test "a small RLIMIT_AS: a line, and the program runs" {
    [[ -z ${FREEPORT_SANITIZE:-} ]] || skip "a sanitizer needs the address space"
    run -0 fpsock tcp4 bind 127.0.0.1 0
    run -0 --separate-stderr shim_last sh -c 'ulimit -v 9000 && exec "$@"' sh -- "${REFUSED[@]}"
    refused
}

@test "no descriptor to open it with: a line, and the program runs" {
    run -0 fpsock tcp4 bind 127.0.0.1 0
    # The loader needs one, too, and gives it back.
    run -0 --separate-stderr shim_last sh -c 'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; ulimit -n 4 && exec "$@"' sh -- \
        tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $second"
}
