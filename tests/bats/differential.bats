#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What tests/differential finds, and how it tells it. What freeport does there is its own test: differential.sample.

load helper

setup() {
    freeport_setup
    programs=$FREEPORT_BUILD/tests/differential
    run -0 "$programs/differential" --player "$programs/player" --under env --seed 1 --calls none ||
        skip "no network namespaces to be had"
}

differential() {
    "$programs/differential" --player "$programs/player" "$@"
}

@test "the plain kernel does not differ from itself" {
    run -0 differential --under env --count 30
    assert_output --regexp '^30 sequences, .*: 0 differences, 0 intended'
}

@test "a program that no preload reaches does not differ from the plain kernel" {
    [[ -x $programs/player_static ]] || skip "no libc to link statically"
    run -0 "$programs/differential" --player "$programs/player_static" --under "env LD_PRELOAD=$FREEPORT_SHIM" --count 30
    assert_output --regexp '^30 sequences, .*: 0 differences, 0 intended'
}

@test "a difference is shortened, and played again by the options that are printed" {
    local real="env LD_PRELOAD=$FREEPORT_SHIM FREEPORT_SOCKNAME=real"
    run -1 differential --under "$real" --count 40
    assert_line --regexp '^    kernel: .*:(8080|3000|443|5353|9000|20500)'
    local options
    options=$(printf '%s\n' "${lines[@]}" | grep -m 1 '^difference: ')
    options=${options#difference: }
    # A socket, its bind and its name, say; and whoever it talks to.
    [[ $options =~ --calls\ ([0-9,]+) ]]
    (($(tr -dc , <<<"${BASH_REMATCH[1]}" | wc -c) < 12))
    # shellcheck disable=SC2086 # they are words
    run -1 differential --under "$real" $options
    assert_line --regexp '^    freeport: '
}

@test "a player that dies is a difference" {
    run -1 differential --under false --seed 1 --calls all
    assert_line '    freeport: the player exited with 1'
}

@test "what differs on purpose stands in freeport(7), LIMITS" {
    local limits reason
    limits=$(sed -n '/^# LIMITS/,/^# SEE ALSO/p' "$BATS_TEST_DIRNAME/../../docs/freeport.7.scd" | tr -s '\n\t ' ' ')
    run -0 "$programs/differential" --reasons
    ((${#lines[@]} > 0))
    for reason in "${lines[@]}"; do
        [[ $limits == *"$reason"* ]] || fail "not in the limits of freeport(7): $reason"
    done
}
