# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# freeport for bats: bats_load_library freeport
#
#     setup() { freeport_setup 8080; }     # a session for each test, in which 8080 is a port of its own
#     teardown() { freeport_teardown; }    # ends what the test has left running in it
#     @test "it answers" {
#         in_session ./server &
#         in_session curl "localhost:8080"
#         curl "localhost:$(freeport port --wait 10 8080)"    # from outside
#     }
#
# bats itself is not in the session: it has descriptors and processes of its own.

# freeport_setup [SENTINELS]: a session for the test; all ports are sentinels unless some are named.
freeport_setup() {
    FREEPORT_SESSION=bats-$BATS_ROOT_PID-${BATS_SUITE_TEST_NUMBER:-0}
    export FREEPORT_SESSION
    if (($# > 0)); then export FREEPORT_SENTINELS=$1; fi
}

# in_session COMMAND...: in the test's session. Descriptor 3 is bats' own.
in_session() { freeport run --quiet -- "$@" 3>&-; }

# freeport_teardown: ends what runs in the test's session.
freeport_teardown() {
    freeport stop --kill-after 5 "$FREEPORT_SESSION" 2>/dev/null || true
}
