# SPDX-License-Identifier: MIT
# Two tests with port 8080 written into them, at once (bats --jobs wants GNU parallel):
#
#     $ bats --jobs 2 suite.bats
#     suite.bats
#      ✓ the first test has port 8080
#      ✓ the second test has port 8080, too
#
# Each `freeport run` is a session of its own. Without it (ISOLATE= bats --jobs 2 suite.bats), one of them fails.

ISOLATE=${ISOLATE-freeport run --session new --sentinels 8080 --}

setup() {
    cd "$BATS_RUN_TMPDIR"
}

@test "the first test has port 8080" {
    $ISOLATE "$BATS_TEST_DIRNAME/../suite" one two
}

@test "the second test has port 8080, too" {
    $ISOLATE "$BATS_TEST_DIRNAME/../suite" two one
}
