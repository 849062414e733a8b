# shellcheck shell=bats disable=SC2030,SC2031
# SPDX-License-Identifier: MIT
# Calls that are not ours: how many instructions more they cost in the program under the shim. Counted by callgrind, so
# that it is the same on every machine and every run; system calls are counted, too, since one costs more than all else.

load client

TIMES=1000

setup() {
    client_setup
}

# instructions CALL [COMMAND...]: of one such call, rounded.
instructions() {
    local call=$1 out=$BATS_TEST_TMPDIR/callgrind
    shift
    env "$@" valgrind --quiet --tool=callgrind --callgrind-out-file="$out" --toggle-collect=measured \
        "$FREEPORT_PROGRAMS/fpcost" "$call" "$TIMES" "$ORDINARY" >"$BATS_TEST_TMPDIR/valgrind.log" 2>&1 3>&- || return
    # The first call of each function also finds it.
    awk -v times="$TIMES" '/^(summary|totals):/ { sum = $2 } END { printf "%d\n", sum / times + 0.5 }' "$out"
}

# costs_at_most MORE CALL [NAME=VALUE...]: instructions, under the shim, more than without.
costs_at_most() {
    local most=$1 call=$2 without with
    without=$(instructions "$call")
    with=$(instructions "$call" LD_PRELOAD="$(preload)" "${@:3}")
    echo "# $call${3:+ ($3)}: $without instructions, under the shim $with: $((with - without)) more" >&3
    ((without > 0)) || fail "nothing was counted without the shim"
    ((with > without || most == 0)) || fail "the shim was not there"
    ((with - without <= most)) || fail "$call: $((with - without)) instructions more, which is more than $most"
}

# system_calls CALL [NAME=VALUE...]: how many there are in one run of TIMES, by name.
system_calls() {
    strace -qq -o "$BATS_TEST_TMPDIR/strace" -e trace=network env LD_PRELOAD="$(preload)" "${@:2}" \
        "$FREEPORT_PROGRAMS/fpcost" "$1" "$TIMES" "$ORDINARY" 3>&-
    sed -En 's/^([a-z0-9]+)\(.*/\1/p' "$BATS_TEST_TMPDIR/strace" | sort | uniq -c | awk '{ print $2, $1 }'
}

@test "what is counted: nothing costs nothing more" {
    run instructions nothing
    local plain=$output
    run instructions nothing LD_PRELOAD="$(preload)"
    assert_equal "$output" "$plain"
    ((plain > 0)) || fail "nothing was counted"
}

@test "connect elsewhere" { costs_at_most 60 connect; }
@test "sendto elsewhere" { costs_at_most 65 sendto; }
@test "recvfrom, of an ordinary datagram" { costs_at_most 80 recvfrom; }

@test "without sentinels" {
    for call in connect sendto recvfrom; do costs_at_most 50 "$call" FREEPORT_SENTINELS=; done
}

@test "without a range the shim does nothing at all" {
    unset FREEPORT_TCP FREEPORT_UDP
    for call in connect sendto recvfrom; do costs_at_most 40 "$call"; done
}

@test "no system call more" {
    local expected
    expected=$(printf '%s\n' 'bind 1' "connect $TIMES" 'socket 2')
    assert_equal "$(system_calls connect)" "$expected"
    expected=$(printf '%s\n' 'bind 1' "recvfrom $TIMES" "sendto $TIMES" 'socket 2')
    assert_equal "$(system_calls recvfrom)" "$expected"
}

@test "no system call more where all ports are sentinels, and the session has none of that number" {
    local expected
    # The bind of the server looks at its socket.
    expected=$(printf '%s\n' 'bind 1' "connect $TIMES" 'getsockname 1' 'getsockopt 1' 'socket 2')
    configure FREEPORT_SENTINELS=all
    unset FREEPORT_UDP # or that server's port were one
    assert_equal "$(system_calls connect)" "$expected"
}
