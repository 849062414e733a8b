# shellcheck shell=bats disable=SC2030,SC2031
# SPDX-License-Identifier: MIT
# What the shim costs, in what noise can't change: instructions, counted by callgrind, within a bound that holds for any
# host and compiler; and system calls, since one costs more than all else.

load helper

TIMES=1000
BENCH=$BATS_TEST_DIRNAME/../../bench

setup() {
    freeport_setup
    [[ -x ${FREEPORT_BUILD:-}/bench/fpbench ]] || fail "FREEPORT_BUILD has no bench/fpbench: '${FREEPORT_BUILD:-}'"
    configure FREEPORT_TCP=20000-20999 FREEPORT_UDP=20000-20999 FREEPORT_SENTINELS=8080 FREEPORT_SESSION=suite
    local options=(--net)
    ((UID == 0)) || options+=(--user --map-root-user)
    needs_namespace "${options[@]}"
    valgrind --quiet --tool=none /bin/true 2>/dev/null || cannot "valgrind can't run a program here"
}

# bounded PATH...: what these cost has to do with what is recorded of them.
bounded() {
    local status=0
    "$BENCH/instructions" --bound "$@" >"$BATS_TEST_TMPDIR/counts" 2>&1 3>&- || status=$?
    sed 's/^/# /' "$BATS_TEST_TMPDIR/counts" >&3
    ((status == 0)) || fail "$(<"$BATS_TEST_TMPDIR/counts")"
}

# system_calls CALL: how many there are in one run of TIMES, by name.
system_calls() {
    strace -qq -o /dev/null true || cannot "strace can't trace a process here"
    strace -qq -o "$BATS_TEST_TMPDIR/strace" -e trace=network env LD_PRELOAD="$(preload)" \
        "$FREEPORT_BUILD/bench/fpbench" --range 20000-20999 --count "$TIMES" "$1" 3>&-
    sed -En 's/^([a-z0-9]+)\(.*/\1/p' "$BATS_TEST_TMPDIR/strace" | sort | uniq -c | awk '{ print $2, $1 }'
}

@test "instructions of a bind to port 0" {
    bounded bind-0 bind-0-round-the-range bind-0-of-90-percent-taken bind-0-of-99-percent-taken bind-0-none-left
}

@test "instructions of a bind to a sentinel, and of the library" {
    bounded bind-sentinel-first bind-sentinel-again freeport_get
}

@test "instructions of calls that are not ours" {
    bounded bind-unix connect-elsewhere connect-elsewhere-no-sentinels connect-elsewhere-no-range \
        sendto-elsewhere recvfrom-elsewhere getsockname-elsewhere syscall-elsewhere
}

@test "instructions of calls to a sentinel" {
    bounded connect-sentinel sendto-sentinel recvfrom-sentinel getsockname-sentinel
}

@test "instructions of starting a program, with a range and without" { bounded start start-no-range; }

@test "a path that got dearer or cheaper fails; elsewhere, one that costs twice as much" {
    local bench=$BATS_TEST_TMPDIR/bench count more
    mkdir "$bench"
    cp "$BENCH/instructions" "$bench/"
    "$bench/instructions" --record getsockname-sentinel 3>&-
    count=$(sed -n 's/^getsockname-sentinel  *//p' "$bench/instructions.txt")
    more=$((count / 40 + 9)) # past 2 % and 8
    says() { sed -i "s/^\(getsockname-sentinel *\) .*/\1 $1/" "$bench/instructions.txt"; }
    run -0 "$bench/instructions" getsockname-sentinel
    run -0 "$bench/instructions" --bound getsockname-sentinel
    says $((count - more))
    run -1 "$bench/instructions" getsockname-sentinel
    assert_output --partial "dearer than $((count - more)), which is recorded"
    says $((count + more))
    run -1 "$bench/instructions" getsockname-sentinel
    assert_output --partial "cheaper than $((count + more)), which is recorded"
    sed -i 's/^\(# recorded with: \).*/\1cc 1.0/' "$bench/instructions.txt"
    run -77 "$bench/instructions" getsockname-sentinel
    assert_output --partial "recorded with cc 1.0; here is "
    run -0 "$bench/instructions" --bound getsockname-sentinel
    says $(((count - 42) / 2))
    run -1 "$bench/instructions" --bound getsockname-sentinel
    assert_output --partial "more than $(((count - 42) / 2 * 2 + 40)), for $(((count - 42) / 2)) that are recorded"
}

# The third socket made the namespace's loopback ready.
@test "no system call more" {
    local expected
    expected=$(printf '%s\n' 'bind 1' "connect $TIMES" 'socket 3')
    assert_equal "$(system_calls connect)" "$expected"
    expected=$(printf '%s\n' 'bind 1' "recvfrom $TIMES" "sendto $TIMES" 'socket 3')
    assert_equal "$(system_calls recvfrom)" "$expected"
}

@test "no system call more where all ports are sentinels, and the session has none of that number" {
    local expected
    # The bind of the server looks at its socket.
    expected=$(printf '%s\n' 'bind 1' "connect $TIMES" 'getsockname 1' 'getsockopt 2' 'socket 3')
    configure FREEPORT_SENTINELS=all
    unset FREEPORT_UDP # or that server's port were one
    assert_equal "$(system_calls connect)" "$expected"
}

@test "a later bind of a TCP sentinel asks three things of its socket, and never for its name" {
    local counts
    counts=$(system_calls sentinel-again)
    refute [ "$(awk '$1 == "getsockname"' <<<"$counts")" ]
    # The protocol in two, and SO_REUSEPORT; the first one asks once more.
    assert [ "$(awk '$1 == "getsockopt" { print $2 }' <<<"$counts")" -le $((3 * TIMES + 9)) ]
}
