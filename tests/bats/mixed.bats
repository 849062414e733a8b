# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# Programs of glibc, of musl and of 32 bits in one session: each finds its shim, and all share one table.

load helper
load cli

PEERS=${FREEPORT_BUILD:-}/tests/mixed
KINDS=(native musl 32)

# Without their compiler there are no such programs; where CI is set, there have to be.
needs_kinds() {
    local kind
    for kind in "$@"; do
        if [[ -x $PEERS/peer.$kind ]]; then continue; fi
        [[ $(uname -m) != x86_64 || -z ${CI:-} ]] || fail "no peer.$kind in $PEERS"
        skip "no compiler for peer.$kind (musl-tools; gcc-i686-linux-gnu or gcc-multilib)"
    done
}

# By the shims that lie in the build folder as they are installed: not by one that FREEPORT_SHIM names.
setup() {
    freeport_setup
    needs_kinds "${KINDS[@]}"
    unset FREEPORT_SHIM
}

peer() { "$FREEPORT_CLI" run --session mixed "$PEERS/peer.$1" "${@:2}" 3>&-; }

# serve NAME KIND PROTOCOL PORT: a server of that kind, until the test ends.
serve() {
    background "$1" "$FREEPORT_CLI" run --session mixed "$PEERS/peer.$2" serve "$3" "$4" "$2"
    wait_for "$PATIENCE" grep -qx ready "$BATS_TEST_TMPDIR/$1.log" || fail "$1: not there"
}

@test "a client of each kind, static ones too, reaches a server of each kind, by TCP and by UDP" {
    KINDS+=(musl_static 32_static) # under the filter
    needs_kinds "${KINDS[@]}"
    range=$(own_range)
    export FREEPORT_TCP=$range FREEPORT_UDP=$range FREEPORT_SENTINELS=8080-8090
    port=8080
    for protocol in tcp udp; do
        for server in "${KINDS[@]}"; do
            serve "$protocol-$server" "$server" "$protocol" "$port"
            for client in "${KINDS[@]}"; do
                run -0 peer "$client" ask "$protocol" "$port"
                assert_output "$server"
            done
            port=$((port + 1))
        done
    done
}

@test "32 bits by socketcall(2): names and destinations are the sentinel's, by the shim and under the filter" {
    range=$(own_range)
    export FREEPORT_TCP=$range FREEPORT_UDP=$range FREEPORT_SENTINELS=8080
    for kind in 32 32_static; do
        run -0 "$FREEPORT_CLI" run --session "$kind" "$PEERS/socketcall.$kind"
        assert_output "bind 0 0
listen 0 0
getsockname 0 8080
connect 0 0
getpeername 0 8080
bind 0 0
sendto 1 0
recvfrom 1 8080
sendmsg 1 0
recvmsg 1 8080"
    done
}

@test "the programs that a shell starts are each managed, and nobody says a word" {
    range=$(own_range)
    export FREEPORT_TCP=$range FREEPORT_REPORT=$BATS_TEST_TMPDIR/all.report
    run -0 "$FREEPORT_CLI" run sh -c \
        "for kind in ${KINDS[*]}; do $PEERS/peer.\$kind rush $BATS_TEST_TMPDIR/\$kind 1 1 0 0; done"
    assert_output ""
    assert_equal "$(cut -d' ' -f1,2 "$FREEPORT_REPORT" | sort | uniq -c | xargs)" "3 tcp 0"
}

@test "64 processes of all kinds at once: no port twice, one winner for each sentinel" {
    range=$(own_range 2000)
    export FREEPORT_TCP=$range FREEPORT_SENTINELS=8080-8099
    for ((i = 0; i < 64; i++)); do
        kind=${KINDS[i % ${#KINDS[@]}]}
        background "rush-$i" "$FREEPORT_CLI" run --session mixed "$PEERS/peer.$kind" rush "$BATS_TEST_TMPDIR/board" 64 20 8080 20
        pids[i]=$BACKGROUND_PID
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    run -0 "$PEERS/peer.native" board "$BATS_TEST_TMPDIR/board"
    assert_line --index 0 "processes 64, failed 0, ports 1280, held twice 0"
    for ((port = 8080; port < 8100; port++)); do assert_line "$port: 1"; done
    assert_equal "${#lines[@]}" 21
}

@test "the 64-bit shim takes nothing from its C library that musl does not have" {
    needed() { nm --dynamic --undefined-only --format=posix "$1" | awk '$2 != "w" { sub(/@.*/, "", $1); print $1 }' | sort -u; }
    provided() { nm --dynamic --defined-only --format=posix "$1" | awk '{ print $1 }' | sort -u; }
    musl=$(readelf --program-headers --wide "$PEERS/peer.musl" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
    shim=$FREEPORT_BUILD/shim/libfreeport_shim.so
    [[ $(needed "$shim" | wc -l) -gt 40 ]]
    assert_equal "$(comm -23 <(needed "$shim") <(provided "$musl"))" ""
}

@test "a plain path of the 64-bit shim serves musl, too; to 32-bit programs the loader says what is wrong, and they run" {
    export FREEPORT_TCP FREEPORT_REPORT=$BATS_TEST_TMPDIR/all.report LD_PRELOAD=$FREEPORT_BUILD/shim/libfreeport_shim.so
    FREEPORT_TCP=$(own_range)
    run -0 "$PEERS/peer.musl" rush "$BATS_TEST_TMPDIR/board" 1 1 0 0
    assert_output ""
    run -0 "$PEERS/peer.32" rush "$BATS_TEST_TMPDIR/board" 1 1 0 0
    assert_output --partial "wrong ELF class: ELFCLASS64"
    assert_equal "$(wc -l <"$FREEPORT_REPORT")" 1
}

@test "a shim that is built with musl serves musl, and keeps no program of glibc from starting" {
    export FREEPORT_TCP FREEPORT_REPORT=$BATS_TEST_TMPDIR/all.report LD_PRELOAD=$PEERS/musl/shim/libfreeport_shim.so
    FREEPORT_TCP=$(own_range)
    for kind in musl native; do
        run -0 "$PEERS/peer.$kind" rush "$BATS_TEST_TMPDIR/board.$kind" 1 1 0 0
        assert_output ""
    done
    assert_equal "$(wc -l <"$FREEPORT_REPORT")" 2
}

@test "a static program, and one for which no shim is there, are named in one line and run" {
    export FREEPORT_TCP
    FREEPORT_TCP=$(own_range)
    cp -r "$FREEPORT_BUILD/shim" "$BATS_TEST_TMPDIR/shim"
    mkdir "$BATS_TEST_TMPDIR/cli"
    cp "$FREEPORT_CLI" "$BATS_TEST_TMPDIR/cli/freeport"
    rm -r "$BATS_TEST_TMPDIR/shim/freeport"
    run -0 "$BATS_TEST_TMPDIR/cli/freeport" run --via preload "$PEERS/peer.32" rush "$BATS_TEST_TMPDIR/board" 1 1 0 0
    assert_line --index 0 --regexp "^freeport: $PEERS/peer.32: not covered: a 32-bit program, for which there is no shim; "
    run -0 "$BATS_TEST_TMPDIR/cli/freeport" run --via preload "$PEERS/peer.musl_static" rush "$BATS_TEST_TMPDIR/board2" 1 1 0 0
    assert_output --regexp "^freeport: $PEERS/peer.musl_static: not covered: a static program, [^
]*\$"
}
