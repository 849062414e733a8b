# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# A bind that succeeds proves nothing where the program has set SO_REUSEADDR or SO_REUSEPORT: a fresh port has to be free
# all the same. The strangers here run without the shim.

load helper

setup() {
    freeport_setup
    hold=$FREEPORT_BUILD/tests/stress/hold
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range"
    first=$(range_port "$range" 0)
    second=$(range_port "$range" 1)
}

# stranger PROTOCOL FLAG: on the range's first port.
stranger() {
    background stranger "$hold" "$1" "$2" "$first"
    assert_equal "$(wait_lines "$BATS_TEST_TMPDIR/stranger.log" 1)" "$first"
}

# managed_port PROTOCOL FLAG: the port that a managed bind with that flag gets.
managed_port() {
    shim_background managed "$hold" "$1" "$2" 0
    wait_lines "$BATS_TEST_TMPDIR/managed.log" 1
}

# The kernel, asked for that very port with that flag, says yes: the test would fail without the care that is taken.
assert_kernel_would_share() {
    background naive "$hold" "$1" "$2" "$first"
    assert_equal "$(wait_lines "$BATS_TEST_TMPDIR/naive.log" 1)" "$first"
}

@test "a TCP bind with SO_REUSEPORT does not join a stranger's group" {
    stranger tcp reuseport
    assert_equal "$(managed_port tcp reuseport)" "$second"
    assert_kernel_would_share tcp reuseport
}

@test "a UDP bind with SO_REUSEPORT does not join a stranger's group" {
    stranger udp reuseport
    assert_equal "$(managed_port udp reuseport)" "$second"
    assert_kernel_would_share udp reuseport
}

@test "a UDP bind with SO_REUSEADDR does not take a stranger's datagrams" {
    stranger udp reuseaddr
    assert_equal "$(managed_port udp reuseaddr)" "$second"
    assert_kernel_would_share udp reuseaddr
}

@test "a TCP bind with SO_REUSEADDR gets a port on which it can listen" {
    stranger tcp reuseaddr
    assert_equal "$(managed_port tcp reuseaddr)" "$second"
}

@test "a sentinel with SO_REUSEPORT does not join a stranger's group" {
    configure FREEPORT_SENTINELS=8080
    stranger tcp reuseport
    shim_background managed "$hold" tcp reuseport 8080
    wait_report "$(report_of managed)" 1
    assert_equal "$(reported_port "$(report_of managed)" tcp 8080)" "$second"
    assert_kernel_would_share tcp reuseport
}

@test "two of our own with SO_REUSEPORT and port 0 get a port each" {
    assert_equal "$(managed_port tcp reuseport)" "$first"
    shim_background other "$hold" tcp reuseport 0
    assert_equal "$(wait_lines "$BATS_TEST_TMPDIR/other.log" 1)" "$second"
}
