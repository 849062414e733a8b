# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# A segment that the command can't use: 5, why, and the way out; "rm" only where that is one.

load helper
load cli

# Names that are not freeport's own are not replaced when they are damaged.
setup() {
    freeport_setup
    [[ -x ${FREEPORT_CLI:-} ]] || fail "FREEPORT_CLI is no program: '${FREEPORT_CLI:-}'"
    TEST_SEGMENT=/other-test-$$-${EPOCHREALTIME//[.,]/}
    configure FREEPORT_SEGMENT="$TEST_SEGMENT" FREEPORT_TCP="$(own_range)"
}

# refused LINE: of the verbs that only look, and of one that would make a segment; %S stands for the segment.
refused() {
    for verb in list "run echo started"; do
        # shellcheck disable=SC2086 # words
        run -5 freeport $verb
        assert_output "freeport: segment ${1//%S/$TEST_SEGMENT}"
    done
}

# in_shm SCRIPT ARGUMENT...: the command, in a mount namespace in which SCRIPT was run.
in_shm() {
    local script=$1
    shift
    unshare --mount sh -ec "$script"'; exec "$@"' sh env ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} \
        ASAN_OPTIONS=detect_leaks=0 "$FREEPORT_CLI" "$@"
}

@test "of another version: what it has, and how it goes" {
    other_version
    run -5 freeport list
    assert_output "$OTHER_VERSION"
    # The way out is one.
    sh -c "${output##*: }"
    run -0 freeport list
}

@test "damaged: how it goes, with a name as a shell takes it" {
    TEST_SEGMENT+=" it's"
    configure FREEPORT_SEGMENT="$TEST_SEGMENT"
    run -0 freeport get --tcp "$(own_range)"
    printf '\377' | dd of="/dev/shm$TEST_SEGMENT" bs=1 seek=0 conv=notrunc status=none
    refused "%S: damaged; FREEPORT_SEGMENT names another, or remove it once nothing uses it: rm \
'/dev/shm${TEST_SEGMENT//\'/\'\\\'\'}'"
    sh -c "${output##*: }"
    run -0 freeport list
}

@test "somebody's own file, a link and a directory stay: another name is the way out" {
    echo precious >"/dev/shm$TEST_SEGMENT"
    refused "%S: no freeport segment; FREEPORT_SEGMENT names another"
    rm "/dev/shm$TEST_SEGMENT"
    ln -s /none/such "/dev/shm$TEST_SEGMENT"
    refused "%S: no freeport segment; FREEPORT_SEGMENT names another"
    rm "/dev/shm$TEST_SEGMENT"
    mkdir "/dev/shm$TEST_SEGMENT"
    refused "%S: no freeport segment; FREEPORT_SEGMENT names another"
    rmdir "/dev/shm$TEST_SEGMENT"
}

@test "another user's: who removes it" {
    needs_root
    other_version
    chmod 666 "/dev/shm$TEST_SEGMENT"
    run -5 setpriv --reuid 65534 --regid 65534 --clear-groups "$FREEPORT_CLI" list
    assert_output "freeport: segment $TEST_SEGMENT: of another version of freeport: layout 4294967295, and this one has 2; \
FREEPORT_SEGMENT names another, or user 0 removes it once nothing uses it"
}

@test "/dev/shm: missing, read-only, full, or somebody else's" {
    needs_root
    needs_mounts
    run -5 in_shm 'mount -t tmpfs tmpfs /dev' get
    assert_output "freeport: segment $TEST_SEGMENT: no /dev/shm; freeport needs one that can be written"
    run -5 in_shm 'mount -t tmpfs -o ro tmpfs /dev/shm' get
    assert_output "freeport: segment $TEST_SEGMENT: /dev/shm is read-only; freeport needs one that can be written"
    run -5 in_shm 'mount -t tmpfs -o size=64k tmpfs /dev/shm' get
    assert_output "freeport: segment $TEST_SEGMENT: /dev/shm is full; make room in it"
    run -5 unshare --mount sh -ec 'mount -t tmpfs -o mode=755 tmpfs /dev/shm
        exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0" get' "$FREEPORT_CLI"
    assert_output "freeport: segment $TEST_SEGMENT: /dev/shm: Permission denied; freeport needs one that user 65534 may \
write to"
}

@test "too small a limit: which one" {
    [[ -z ${FREEPORT_SANITIZE:-} ]] || skip "a sanitizer needs memory and descriptors of its own"
    run -5 sh -c 'ulimit -f 100; exec "$0" get' "$FREEPORT_CLI"
    assert_output "freeport: segment $TEST_SEGMENT: larger than RLIMIT_FSIZE; raise it (ulimit -f)"
    freeport get
    run -5 sh -c 'ulimit -v 9000; exec "$0" get' "$FREEPORT_CLI"
    assert_output "freeport: segment $TEST_SEGMENT: no memory or address space for it; raise RLIMIT_AS (ulimit -v)"
    # The loader needs a descriptor, and gives it back; this report keeps it.
    run -5 sh -c 'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; ulimit -n 4; exec "$0" run --report - true' "$FREEPORT_CLI"
    assert_output "freeport: segment $TEST_SEGMENT: no descriptor left; raise RLIMIT_NOFILE (ulimit -n)"
}

@test "what is wrong is shown without a byte that a terminal would obey" {
    run -2 freeport get --tcp $'\e[31m\x9b\xc2\x9b\xff\xc3\xa9'
    assert_line --partial "--tcp: '\x1b[31m\x9b\xc2\x9b\xff"$'\xc3\xa9'"': expected"
    : >"/dev/shm$TEST_SEGMENT"$'\e\x9b'
    FREEPORT_SEGMENT=$TEST_SEGMENT$'\e\x9b' run -5 freeport get
    assert_output "freeport: segment $TEST_SEGMENT\x1b\x9b: no freeport segment; FREEPORT_SEGMENT names another"
}
