# shellcheck shell=bats disable=SC2030,SC2031
# SPDX-License-Identifier: MIT
# Other libraries and programs that have the shim's calls, too: each call ends, and is rewritten once.

load client

setup() { client_setup; }

# Every call that the shim has, once: a TCP server and its client, which are sockets 0 and 1, and a UDP server and its
# client, 3 and 4; 5 is bound to port 0, and 6 to nothing.
every_call() {
    printf '%s\n' tcp4 reuseaddr bind 127.0.0.1 "$SENTINEL" listen tcp4 connect 127.0.0.1 "$SENTINEL" peer \
        use 0 accept4 name \
        udp4 bind 127.0.0.1 "$SENTINEL" name udp4 bind 127.0.0.1 "$SENTINEL2" \
        sendto 127.0.0.1 "$SENTINEL" one use 3 recvfrom reply a use 4 recvfrom \
        sendmsg 127.0.0.1 "$SENTINEL" two use 3 recvmsg reply b use 4 recvmsg \
        sendmmsg 1 127.0.0.1 "$SENTINEL" three use 3 recvmmsg 1 \
        tcp4 bind 127.0.0.1 0 tcp4 listen
}

# all_well COMMAND...: says of every call what it says where the shim is alone; four ports are assigned, each once, none
# of them as one that was bound by its number.
all_well() {
    local -a words expected
    mapfile -t words < <(every_call)
    run -0 client libc "${words[@]}"
    # The client's own port is the kernel's.
    # shellcheck disable=SC2180 # a pattern, no second index
    expected=("${lines[@]%%127.0.0.1 [3-6][0-9][0-9][0-9][0-9]}")
    [[ ${#expected[@]} -ge 15 ]] || fail "too little: $output"
    run ! grep -E '^E' <<<"$output"
    rm "/dev/shm$FREEPORT_SEGMENT"
    configure FREEPORT_REPORT="$BATS_TEST_TMPDIR/all.report"
    rm -f "$FREEPORT_REPORT"
    run -0 timeout --kill-after=5 "$PATIENCE" env ASAN_OPTIONS=detect_leaks=0 "$@" "${words[@]}"
    # shellcheck disable=SC2180
    assert_equal "$(printf '%s\n' "${lines[@]%%127.0.0.1 [3-6][0-9][0-9][0-9][0-9]}")" "$(printf '%s\n' "${expected[@]}")"
    assert_equal "$(awk '{ print $1, $2 }' "$FREEPORT_REPORT" | paste -sd,)" \
        "tcp $SENTINEL,udp $SENTINEL,udp $SENTINEL2,tcp 0,tcp 0"
    if [[ -n ${FREEPORT_CLI:-} ]]; then
        run -0 "$FREEPORT_CLI" list --all --raw --noheadings -o PROTO,SENTINEL,STATE
        refute_output --partial explicit
    fi
}

ranges_and_all() {
    local sentinels
    for sentinels in "$SENTINEL,$SENTINEL2" all; do
        configure FREEPORT_SENTINELS="$sentinels"
        all_well "$@"
    done
}

@test "a library behind the shim whose calls are made by syscall(2)" {
    ranges_and_all LD_PRELOAD="$(preload):$FREEPORT_PROGRAMS/libfpbynumber.so" "$FREEPORT_PROGRAMS/fpclient"
}

@test "a library before the shim whose calls are made by syscall(2)" {
    ranges_and_all \
        LD_PRELOAD="${FREEPORT_SANITIZER_RUNTIME:+$FREEPORT_SANITIZER_RUNTIME:}$FREEPORT_PROGRAMS/libfpbynumber.so:$FREEPORT_SHIM" \
        "$FREEPORT_PROGRAMS/fpclient"
}

@test "a program whose own calls are made by syscall(2)" {
    ranges_and_all LD_PRELOAD="$(preload)" "$FREEPORT_PROGRAMS/fpclient_bynumber"
}

@test "a program whose functions have the names of the calls, and nothing to do with them" {
    ranges_and_all LD_PRELOAD="$(preload)" "$FREEPORT_PROGRAMS/fpclient_namesakes" sys
}

# shim32: the shim for 32-bit programs; skips the test where there is none, or nothing to run under it.
shim32() {
    SHIM32=${FREEPORT_SHIM%/*}/freeport/i686/${FREEPORT_SHIM##*/}
    [[ -f $SHIM32 && -x $FREEPORT_PROGRAMS/fpclient32 ]] || skip "no compiler for 32-bit programs (gcc-multilib)"
    "$FREEPORT_PROGRAMS/fpclient32" unix || skip "32-bit programs can't run here"
}

@test "32-bit programs, also through syscall(2)" {
    shim32
    ranges_and_all LD_PRELOAD="$SHIM32" "$FREEPORT_PROGRAMS/fpclient32"
    ranges_and_all LD_PRELOAD="$SHIM32" "$FREEPORT_PROGRAMS/fpclient32" sys
}

@test "32-bit programs that are built for 64-bit times, also through syscall(2)" {
    shim32
    nm --dynamic "$FREEPORT_PROGRAMS/fpclient32_time64" | grep -q __recvmmsg64 || skip "glibc before 2.34"
    ranges_and_all LD_PRELOAD="$SHIM32" "$FREEPORT_PROGRAMS/fpclient32_time64"
    ranges_and_all LD_PRELOAD="$SHIM32" "$FREEPORT_PROGRAMS/fpclient32_time64" sys
}

@test "32-bit programs whose calls are made by SYS_socketcall" {
    shim32
    ranges_and_all LD_PRELOAD="$SHIM32" "$FREEPORT_PROGRAMS/fpclient32_socketcall"
}
