# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of the command have in common.

setup() {
    freeport_setup
    [[ -x ${FREEPORT_CLI:-} ]] || fail "FREEPORT_CLI is no program: '${FREEPORT_CLI:-}'"
}

# The command under test. No timeout(1) between it and the test: whose child it is matters to it.
freeport() {
    env ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} \
        ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" "$FREEPORT_CLI" "$@" 3>&-
}

# freeport_background NAME ARGUMENT...: the same in the background, as background does it.
freeport_background() {
    local name=$1
    shift
    background "$name" env ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} \
        ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" "$FREEPORT_CLI" "$@"
}

# freeport_program: the same as a program, for others to start; prints its path.
freeport_program() {
    printf '#!/bin/sh\nexec env %s ASAN_OPTIONS=detect_leaks=0 "%s" "$@"\n' \
        "${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD=$FREEPORT_SANITIZER_RUNTIME}" "$FREEPORT_CLI" \
        >"$BATS_TEST_TMPDIR/freeport"
    chmod +x "$BATS_TEST_TMPDIR/freeport"
    echo "$BATS_TEST_TMPDIR/freeport"
}

# LISTEN, for python3 -uc: listens on 127.0.0.1 at each argument, says "ready", waits.
# shellcheck disable=SC2034
LISTEN='
import socket, sys, time
servers = []
for port in sys.argv[1:]:
    servers.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM if "udp" in port else socket.SOCK_STREAM))
    servers[-1].bind(("127.0.0.1", int(port.removesuffix("/udp"))))
    if "udp" not in port:
        servers[-1].listen()
print("ready")
time.sleep(600)'

# config LINE...: a configuration file of these lines, as $CONFIG.
config() {
    CONFIG=$BATS_TEST_TMPDIR/freeport.ini
    printf '%s\n' "$@" >"$CONFIG"
}

# other_version: the test's segment is one of another version of freeport; what every verb says then is $OTHER_VERSION.
other_version() {
    printf 'freeport\377\377\377\377%0200d' 0 >"/dev/shm$TEST_SEGMENT"
    # shellcheck disable=SC2034
    OTHER_VERSION="freeport: segment $TEST_SEGMENT: of another version of freeport: layout 4294967295, and this one has 2; \
FREEPORT_SEGMENT names another, or remove it once nothing uses it: rm /dev/shm$TEST_SEGMENT"
}
