# shellcheck shell=bats disable=SC2030,SC2031
# SPDX-License-Identifier: MIT
# bench/run in its quick form: that it measures, not what. No time is asserted.

load helper

# shellcheck disable=SC2034 # as helper.bash has it
PATIENCE=60
BENCH=$BATS_TEST_DIRNAME/../../bench

setup() {
    freeport_setup
    local options=(--net --pid --mount --fork --kill-child --mount-proc) # what bench/run needs
    ((UID == 0)) || options+=(--user --map-root-user)
    needs_namespace "${options[@]}"
}

# measured [OPTION...] GROUP...
measured() { timeout --kill-after=5 "$PATIENCE" "$BENCH/run" --output "$BATS_TEST_TMPDIR" "$@" 3>&-; }

results() { jq -e -r "$1" "$BATS_TEST_TMPDIR/results.json"; }

@test "each row is there, with its variants, in the table and in the JSON" {
    run -0 measured --quick empty elsewhere
    assert_equal "$(results '.rows | map(.name) | join(" ")')" "empty.tcp empty.tcp.bind elsewhere.unix-bind \
elsewhere.connect elsewhere.sendto elsewhere.recvfrom elsewhere.getsockname elsewhere.syscall"
    local name
    for name in $(results '.rows[].name'); do assert_output --partial "[$name]"; done
    assert_equal "$(results '[.rows[] | .results | map(.label) | join(", ")] | unique | join("; ")')" \
        "kernel, kernel, IP_LOCAL_PORT_RANGE, shim; kernel, shim"
    results 'all(.rows[].results[]; 0 < .median and .q1 <= .median and .median <= .q3 and .samples > 1)'
    results 'all(.rows[].results[]; 0 < .ratio and .ratio_q1 <= .ratio and .ratio <= .ratio_q3)'
    results 'all(.rows[]; .results[0].ratio == 1)'
    assert_equal "$(results '[.rows[] | select(.name == "empty.tcp") | .results[] | .reach] | join(",")')" ",,≤ 1.3"
    results '.machine | all(.cpu, .kernel, .libc, .system; length > 0)'
}

@test "processes at once lose no port and get none twice; nobody loses the port that it binds again" {
    run -0 measured --quick processes rebind
    assert_equal "$(results '[.rows[].results[] | select(.label == "shim") | .met] | length == 2 and all')" true
    assert_equal "$(results '.rows | map(.name) | join(" ")')" "processes.4 processes.rate rebind"
}

@test "beside sessions, assignments and strangers" {
    run -0 measured --quick fill none sessions assignments
    assert_equal "$(results '[.rows[] | select(.problem)] | length')" 0
    assert_equal "$(results '.rows | map(.group) | unique | join(" ")')" "assignments fill none sessions"
}

@test "what can't be measured is named, and is a failure" {
    mkdir -p "$BATS_TEST_TMPDIR"/build/{bench,shim}
    ln -s "$FREEPORT_BUILD/shim/libfreeport_shim.so" "$BATS_TEST_TMPDIR/build/shim/"
    ln -s "$FREEPORT_BUILD/bench/libfpempty.so" "$BATS_TEST_TMPDIR/build/bench/"
    printf '#!/bin/sh\necho no such thing >&2; exit 3\n' >"$BATS_TEST_TMPDIR/build/bench/fpbench"
    chmod +x "$BATS_TEST_TMPDIR/build/bench/fpbench"
    configure FREEPORT_BUILD="$BATS_TEST_TMPDIR/build"
    run ! measured --quick empty
    assert_output --partial "could not be measured: empty.tcp, empty.tcp.bind"
    assert_output --partial "no such thing"
}

@test "a group that is none, and a build that has nothing to measure, are told" {
    run ! measured --quick nonsense
    assert_output --partial "no such group: nonsense; there are: empty fill "
    configure FREEPORT_BUILD="$BATS_TEST_TMPDIR"
    run ! measured --quick empty
    assert_output --partial "FREEPORT_BUILD: no bench/fpbench in $BATS_TEST_TMPDIR"
}
