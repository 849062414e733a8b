# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# Many processes at once, on nearly all ports there are: each test has a network namespace of its own.

load helper

# shellcheck disable=SC2034 # bats reads it
BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-240}
PATIENCE=200

# alone COMMAND...: in a network namespace with a loopback and nobody else. LOCAL_RANGE="FROM TO": the kernel's own range.
alone() {
    local unshare=(unshare --net)
    ((EUID == 0)) || unshare=(unshare --user --map-root-user --net)
    # shellcheck disable=SC2016
    "${unshare[@]}" bash -c '
        ip link set lo up
        if [[ $LOCAL_RANGE ]]; then echo "$LOCAL_RANGE" >/proc/sys/net/ipv4/ip_local_port_range; fi
        exec "$@"' alone "$@"
}

# alone_with_shim COMMAND...
alone_with_shim() {
    alone timeout --kill-after=5 "$PATIENCE" env LD_PRELOAD="$(preload)" \
        ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" "$@" 3>&-
}

setup() {
    freeport_setup
    alone true 2>/dev/null || skip "no network namespace to be had"
    stress=$FREEPORT_BUILD/tests/stress
}

# A sanitizer makes each bind many times dearer, and a thousand of them no better a test.
binds=1000
[[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || binds=100

@test "64 processes hold 64000 listening sockets at once, and no bind fails and no port is held twice" {
    configure FREEPORT_TCP=1024-65535
    run -0 alone_with_shim "$stress/storm" 64 "$binds"
    assert_output "sockets failed 0, binds failed 0, listens failed 0, held twice 0, held at once $((64 * binds))"
}

@test "the same with SO_REUSEADDR, which lets two sockets bind and only one listen" {
    configure FREEPORT_TCP=1024-65535
    run -0 alone_with_shim "$stress/storm" 64 "$binds" reuse
    assert_output "sockets failed 0, binds failed 0, listens failed 0, held twice 0, held at once $((64 * binds))"
}

@test "one process more than the range has ports for is told so, and the others keep theirs" {
    configure FREEPORT_TCP=20000-20799 FREEPORT_LOG=quiet
    run -1 alone_with_shim "$stress/storm" 9 100
    assert_output "sockets failed 0, binds failed 100, listens failed 0, held twice 0, held at once 800"
}

# The kernel has as many ports to give as the shim, and gives them at random: few enough that some loss is sure.
@test "400 processes that bind 0, close and bind that number again lose none, which the kernel alone does" {
    LOCAL_RANGE="30000 31999" run -0 alone "$stress/rebind" 400 5
    echo "# without the shim: $output" >&3
    assert_regex "$output" '^lost [1-9][0-9]* of 2000, failed 0$'

    configure FREEPORT_TCP=30000-31999
    LOCAL_RANGE="30000 31999" run -0 alone_with_shim "$stress/rebind" 400 5
    echo "# with the shim:    $output" >&3
    assert_output "lost 0 of 2000, failed 0"
}

@test "as many processes as ports lose none either" {
    configure FREEPORT_TCP=30000-30399
    run -0 alone_with_shim "$stress/rebind" 400 1
    assert_output "lost 0 of 400, failed 0"
}

# with_and_without COMMAND...: prints what it says with the kernel's ports alone, and what with the shim; the range is
# the same. The kernel loses some of them; the shim none.
with_and_without() {
    local range=$1
    shift
    LOCAL_RANGE="${range/-/ }" run -0 alone "$@"
    echo "# without the shim: $output" >&3
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range"
    LOCAL_RANGE="${range/-/ }" run -0 alone_with_shim "$@"
    echo "# with the shim:    $output" >&3
}

crowd=64
[[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || crowd=16

@test "a crowd on few ports that holds some, and closes and binds others again, loses none" {
    with_and_without 30000-33999 "$stress/scarce" "$crowd" 8 400
    assert_regex "$output" '^lost 0 of [0-9]+, failed 0$'
}

@test "a crowd on fewer ports that holds nothing loses none" {
    with_and_without 30000-30999 "$stress/scarce" "$crowd" 0 400
    assert_regex "$output" '^lost 0 of [0-9]+, failed 0$'
}

@test "who takes the number behind a port from bind 0 finds it free" {
    with_and_without 30000-33999 "$stress/pair" 8 400
    assert_output "lost 0 of 3200, failed 0"
}

@test "sessions that fight over fewer ports than they have sentinels: no port is in two of them" {
    configure FREEPORT_TCP=20000-20004 FREEPORT_UDP=20000-20004 FREEPORT_SENTINELS=8080-8082 FREEPORT_SOCKNAME=real \
        FREEPORT_LOG=quiet
    for seed in $(seq "${STRESS_RUNS:-3}"); do
        run -0 alone_with_shim "$stress/sessions" 4 2 2 200 "$seed"
        assert_regex "$output" '^in two sessions 0 of [0-9]+$'
    done
}

# The lock is a courtesy: the claim of an entry and the kernel's bind have to do.
without_lock() {
    FREEPORT_LOG=quiet run -0 alone_with_shim "$stress/storm" 1 1
    take_lock_away
}

@test "without the lock, no bind fails and no port is held twice either" {
    configure FREEPORT_TCP=1024-65535
    without_lock
    run -0 alone_with_shim "$stress/storm" 64 "$binds" reuse
    assert_output "sockets failed 0, binds failed 0, listens failed 0, held twice 0, held at once $((64 * binds))"
}

@test "without the lock, no process loses the port that it was given either" {
    configure FREEPORT_TCP=30000-30400
    without_lock
    run -0 alone_with_shim "$stress/rebind" 400 1
    assert_output "lost 0 of 400, failed 0"
}
