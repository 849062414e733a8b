# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# Hosts that lack something, or share more than usual: the program gets the right ports all the same, or one clear line
# and a known errno. Nothing crashes, nothing hangs. What becomes of the segment itself is in segment.bats.

load helper

setup() {
    freeport_setup
    FPSOCK=$FREEPORT_PROGRAMS/fpsock
    range=$(own_range)
    first=${range%-*}
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8080
}

teardown() {
    [[ -z ${PUBLIC:-} ]] || rm -rf "$PUBLIC"
    freeport_teardown
}

fpsock() { shim "$FPSOCK" "$@"; }

got() { assert_output "$(printf '%s\n' "$@")"; }

port() { even_port "$range" "$1"; }

# in_world OPTION... SHELL -- WORD...: with namespaces of its own (unshare's options), as the shell command furnishes them.
in_world() {
    read_world "$@"
    shim_last "${world[@]}" -- "${words[@]}"
}

# in_world_to_stay NAME OPTION... SHELL -- WORD...: the same in the background, until the test ends.
in_world_to_stay() {
    read_world "${@:2}"
    background "$1" "${world[@]}" env LD_PRELOAD="$(preload)" ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" "$FPSOCK" \
        "${words[@]}" stay
}

# The command that leads to such a world, and the words that are said there.
read_world() {
    local options=(--mount)
    while [[ $1 == --* ]]; do
        options+=("$1")
        shift
    done
    local furnish=$1
    words=("${@:3}")
    ((UID == 0)) || options+=(--map-root-user)
    needs_namespace "${options[@]}"
    world=(unshare "${options[@]}" sh -c "$furnish"' && exec "$@"' sh)
}

# filtered RULES -- WORD...: under a filter of system calls from the start.
filtered() { shim_last "$FREEPORT_PROGRAMS/fpfilter" "$1" -- "${@:3}"; }

# Copies of program and shim that every user can read.
publish() {
    PUBLIC=$(mktemp -d)
    chmod 755 "$PUBLIC"
    install -m 755 "$FPSOCK" "$FREEPORT_PROGRAMS/fpfilter" "$FREEPORT_SHIM" "$PUBLIC/"
    FPSOCK=$PUBLIC/fpsock
    FREEPORT_SHIM=$PUBLIC/${FREEPORT_SHIM##*/}
}

# A bit of everything that is managed, and what it says on any host.
DEED=(tcp4 bind 127.0.0.1 0 name tcp6 reuseaddr bind ::1 8080 name listen tcp4 bind 127.0.0.1 8080 name tcp4 listen
    fork tcp4 bind 127.0.0.1 0 name join tcp4 bind 127.0.0.1 8080)

done_well() {
    got ok "127.0.0.1 $(port "${1:-0}")" ok "::1 8080" ok ok "127.0.0.1 8080" ok \
        ok "127.0.0.1 $(port $((${1:-0} + 2)))" EADDRINUSE
    assert_equal "$stderr" ""
}

# --- /dev/shm, where it is not as it should be -----------------------------------------------------------------------

@test "a full /dev/shm where nobody can reserve room in advance: an error now, and no SIGBUS later" {
    needs_own_mounts
    for error in ENOSYS EPERM EOPNOTSUPP; do
        run -0 --separate-stderr in_world 'mount -t tmpfs -o size=1m tmpfs /dev/shm &&
            set -- "$FREEPORT_PROGRAMS/fpfilter" fallocate:'"$error"' "$@"' -- tcp4 bind 127.0.0.1 0
        got EINVAL
        ((${#stderr_lines[@]} == 1)) || fail "$error: not one line: $stderr"
        [[ $stderr == *"no space left in /dev/shm"* ]] || fail "$error: $stderr"
    done
}

@test "a /dev/shm that fills up behind a segment's back" {
    needs_own_mounts
    PRELOAD=$(preload)
    export PRELOAD
    run -0 --separate-stderr in_world 'mount -t tmpfs -o size=12m tmpfs /dev/shm && ASAN_OPTIONS=detect_leaks=0 \
        LD_PRELOAD=$PRELOAD "$FREEPORT_PROGRAMS/fpsock" tcp4 bind 127.0.0.1 0 >/dev/null &&
        ! dd if=/dev/zero of=/dev/shm/filler bs=64k count=1000 status=none 2>/dev/null' -- "${DEED[@]}"
    done_well 1
}

# --- No /proc --------------------------------------------------------------------------------------------------------

NO_PROC='mount -t tmpfs tmpfs /proc'

# The runtimes of ASan and TSan want /proc and many a call.
needs_no_runtime() { [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer's runtime needs what is missing here"; }

@test "no /proc" {
    needs_own_mounts
    needs_no_runtime
    run -0 --separate-stderr in_world "$NO_PROC" -- "${DEED[@]}"
    done_well
}

@test "no /proc, and no privilege to name an object by its descriptor" {
    needs_own_mounts
    needs_no_runtime
    needs_root
    publish
    export PUBLIC
    # Kernels before 6.10 refuse that with ENOENT.
    run -0 --separate-stderr in_world "$NO_PROC"' && set -- setpriv --reuid=65534 --regid=65534 --clear-groups \
        "$PUBLIC/fpfilter" "linkat/4&0x1000:ENOENT" "$@"' -- \
        "${DEED[@]}"
    done_well
    run -0 stat -c '%u %a %h' "/dev/shm$TEST_SEGMENT"
    assert_output "65534 600 1"
    assert_equal "$(find /dev/shm -name '.freeport-*' -user 65534)" ""
}

@test "no /proc: a session comes back to its port; where somebody has taken it, the kernel's word stands" {
    needs_own_mounts
    needs_no_runtime
    configure FREEPORT_SESSION="$(tree 1)"
    run -0 --separate-stderr in_world "$NO_PROC" -- tcp4 bind 127.0.0.1 8080
    got ok
    FREEPORT_SOCKNAME=real run -0 --separate-stderr in_world "$NO_PROC" -- tcp4 bind 127.0.0.1 8080 name
    got ok "127.0.0.1 $first"
    background stranger "$FPSOCK" tcp4 bind 0.0.0.0 "$first" stay
    wait_lines "$BATS_TEST_TMPDIR/stranger.log" 2
    run -0 --separate-stderr in_world "$NO_PROC" -- tcp4 bind 127.0.0.1 8080
    got EADDRINUSE
}

@test "a /proc that hides other users' processes: a conflict with one of theirs is a conflict" {
    needs_own_mounts
    needs_root
    configure FREEPORT_SESSION=one FREEPORT_SEGMENT_MODE=0666
    shim_background server "$FPSOCK" tcp4 bind 127.0.0.1 8080 listen stay
    wait_lines "$BATS_TEST_TMPDIR/server.log" 3
    run -0 --separate-stderr in_world 'mount -t proc -o hidepid=2 proc /proc' -- user 65534 tcp4 bind 127.0.0.1 8080
    got EADDRINUSE
    assert_equal "$stderr" ""
}

# --- No descriptor, no memory ----------------------------------------------------------------------------------------

@test "no descriptor to spare: a sentinel is bound all the same, as it would be without freeport" {
    run -0 --separate-stderr fpsock tcp4 nofds bind 127.0.0.1 8080 name listen
    got ok "127.0.0.1 8080" ok
    assert_equal "$stderr" ""
    # Of a port that is taken on that address, too: the next one.
    configure FREEPORT_SOCKNAME=real FREEPORT_SESSION="$(tree 2)"
    background stranger "$FPSOCK" tcp4 bind 127.0.0.1 "$(range_port "$range" 1)" stay
    wait_lines "$BATS_TEST_TMPDIR/stranger.log" 2
    run -0 fpsock tcp4 reuseaddr nofds bind 127.0.0.1 8080 name get reuseaddr
    got ok "127.0.0.1 $(range_port "$range" 2)" 1
}

@test "no descriptor to spare, both protocols: TCP and UDP get one number" {
    configure FREEPORT_UDP="$range" FREEPORT_SOCKNAME=real
    run -0 --separate-stderr fpsock tcp4 udp4 nofds use 0 bind 127.0.0.1 8080 name use 1 bind 127.0.0.1 8080 name
    got ok "127.0.0.1 $first" ok "127.0.0.1 $first"
}

@test "one or two descriptors to spare: who has a sentinel's port is not known, and no reason to give out another" {
    configure FREEPORT_SESSION=one
    shim_background server "$FPSOCK" tcp4 bind 127.0.0.1 8080 listen stay
    wait_lines "$BATS_TEST_TMPDIR/server.log" 3
    run -0 --separate-stderr fpsock tcp4 tcp4 tcp4 tcp4 nofds use 0 bind 127.0.0.1 8080 \
        use 1 close use 0 bind 127.0.0.1 8080 use 2 close use 0 bind 127.0.0.1 8080 use 3 close use 0 bind 127.0.0.1 8080
    got EADDRINUSE ok EADDRINUSE ok EADDRINUSE ok EADDRINUSE
    assert_equal "$stderr" ""
}

@test "no descriptor to spare at a privileged port without the privilege: the kernel's word" {
    needs_root
    publish
    configure FREEPORT_TCP=900-910
    run -0 --separate-stderr fpsock user 65534 tcp4 nofds bind 127.0.0.1 8080
    if [[ $(</proc/sys/net/ipv4/ip_unprivileged_port_start) -gt 910 ]]; then got EACCES; else got ok; fi
}

@test "no memory and no address space once the program runs" {
    [[ -z ${FREEPORT_SANITIZE:-} ]] || skip "a sanitizer needs the address space"
    run -0 --separate-stderr fpsock sh 'prlimit --as=1 --data=1 --pid $PPID' tcp4 bind 127.0.0.1 0 name \
        tcp4 bind 127.0.0.1 8080 name listen
    got ok "127.0.0.1 $first" ok "127.0.0.1 8080" ok
    assert_equal "$stderr" ""
}

# --- Sandboxes and older kernels -------------------------------------------------------------------------------------

# What the shim asks of a kernel beyond the socket calls; all but the loader's needs.
REFUSED_CALLS=(linkat fallocate 'openat/2&020200000' flock ftruncate statx clock_nanosleep rt_sigprocmask pwritev2
    getdents64 kill prlimit64 set_robust_list madvise getrandom rseq clock_gettime fcntl readlinkat)

@test "a sandbox that refuses the newer calls, with EPERM or ENOSYS, one by one" {
    needs_no_runtime
    for error in EPERM ENOSYS; do
        for call in "${REFUSED_CALLS[@]}"; do
            rm -f "/dev/shm$TEST_SEGMENT" "$BATS_TEST_TMPDIR/report"
            FREEPORT_REPORT="$BATS_TEST_TMPDIR/report" run -0 --separate-stderr filtered "$call:$error" -- "${DEED[@]}"
            # A port that has just been let go may be found busy by a search from the bottom.
            assert_equal "$call $error ${lines[0]} ${lines[*]:2:6} ${lines[8]} ${lines[10]}" \
                "$call $error ok ok ::1 8080 ok ok 127.0.0.1 8080 ok ok EADDRINUSE"
            assert_in_range "${lines[1]##* }" "$range"
            assert_in_range "${lines[9]##* }" "$range"
            assert_equal "$call $error: $stderr" "$call $error: "
            assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/report")" 5
            [[ $(stat -c '%a %h' "/dev/shm$TEST_SEGMENT") == "600 1" ]]
        done
    done
}

@test "a sandbox that refuses them all at once" {
    needs_no_runtime
    for error in EPERM ENOSYS; do
        rm -f "/dev/shm$TEST_SEGMENT"
        refused=("${REFUSED_CALLS[@]/%/:$error}")
        run -0 --separate-stderr filtered "${refused[*]}" -- tcp4 bind 127.0.0.1 0 name \
            tcp4 bind 127.0.0.1 8080 name tcp4 bind 127.0.0.2 8080 name
        assert_line --index 0 ok
        assert_in_range "${lines[1]##* }" "$range"
        assert_equal "${lines[*]:2}" "ok 127.0.0.1 8080 ok 127.0.0.2 8080"
        assert_equal "$stderr" ""
    done
}

# getsockopt/1=LEVEL/2=OPTION
PROTOCOL_OPTION=getsockopt/1=1/2=38
NO_PORT_OPTION=getsockopt/1=0/2=24
REUSEPORT_OPTION=getsockopt/1=1/2=15

@test "a kernel that has no SO_PROTOCOL, no IP_BIND_ADDRESS_NO_PORT, no SO_REUSEPORT" {
    configure FREEPORT_UDP="$range"
    for error in ENOPROTOOPT EINVAL EPERM; do
        rm -f "/dev/shm$TEST_SEGMENT"
        run -0 --separate-stderr filtered "$PROTOCOL_OPTION:$error $NO_PORT_OPTION:$error $REUSEPORT_OPTION:$error" -- \
            tcp4 bind 127.0.0.1 0 name tcp6 reuseaddr bind ::1 8080 name udp4 bind 127.0.0.1 0 name \
            udp6 bind ::1 8080 name tcp4 listen
        assert_equal "$error ${lines[0]} ${lines[*]:2:3} ${lines[*]:6}" "$error ok ok ::1 8080 ok ok ::1 8080 ok"
        assert_in_range "${lines[1]##* }" "$range"
        assert_in_range "${lines[5]##* }" "$range"
        assert_equal "$stderr" ""
    done
}

@test "a sandbox without getsockopt: nobody can tell whose protocol it is, and nothing falls back to another port" {
    run -0 --separate-stderr filtered getsockopt:EPERM -- tcp4 bind 127.0.0.1 0 name bind 127.0.0.1 8080 listen \
        unix bindpath "$BATS_TEST_TMPDIR/socket"
    got EPERM "0.0.0.0 0" EPERM EPERM ok
    ((${#stderr_lines[@]} == 3)) || fail "not a line each: $stderr"
    for line in "${stderr_lines[@]}"; do
        [[ $line == "freeport: "*getsockopt* ]] || fail "$line"
    done
}

@test "a sandbox without getsockopt once the server is bound: names and destinations are the session's all the same" {
    configure FREEPORT_UDP="$range" FREEPORT_SESSION=one FREEPORT_SENTINELS=8080,8081/udp
    run -0 fpsock tcp4 bind 127.0.0.1 8080 udp4 bind 127.0.0.1 8080 udp4 bind 127.0.0.1 8081 filter getsockopt:EPERM \
        use 0 name use 1 name use 2 name
    got ok ok ok "127.0.0.1 8080" "127.0.0.1 8080" "127.0.0.1 8081"
    # Of one number, a sentinel's in UDP and none in TCP, nobody can tell which it is: it reads as what it is.
    FREEPORT_SESSION=two FREEPORT_TCP=$(port 9) FREEPORT_UDP=$(port 9) run -0 fpsock tcp4 bind 127.0.0.1 0 \
        udp4 bind 127.0.0.1 8081 filter getsockopt:EPERM use 0 name use 1 name
    got ok ok "127.0.0.1 $(port 9)" "127.0.0.1 $(port 9)"

    local fpclient=$FREEPORT_PROGRAMS/fpclient
    shim_background tcp "$fpclient" tcp4 bind 127.0.0.1 8080 listen serve session
    shim_background udp "$fpclient" udp4 bind 127.0.0.1 8081 echo session
    wait_report "$(report_of tcp)" 1
    wait_report "$(report_of udp)" 1
    run -0 shim "$FREEPORT_PROGRAMS/fpfilter" getsockopt:EPERM "$fpclient" tcp4 connect 127.0.0.1 8080 peer read \
        udp4 sendto 127.0.0.1 8081 hello recvfrom
    got ok "127.0.0.1 8080" session ok "session:hello 127.0.0.1 8081"
}

@test "a sandbox without IPv6 sockets, or without any more sockets" {
    for error in EAFNOSUPPORT EPERM EACCES; do
        rm -f "/dev/shm$TEST_SEGMENT"
        run -0 --separate-stderr filtered "socket/0=10:$error" -- tcp4 bind 127.0.0.1 8080 name
        got ok "127.0.0.1 8080"
        assert_equal "$stderr" ""
        run -0 --separate-stderr fpsock tcp4 filter "socket:$error" bind 127.0.0.1 8080 name
        got ok "127.0.0.1 8080"
        assert_equal "$stderr" ""
    done
}

# What a sandbox has to let through, as freeport(7) has it; and what fpsock itself needs.
CALLS=bind,getsockname,getsockopt,setsockopt,socket,close,openat,read,write,newfstatat,getdents64,readlinkat
CALLS+=,sendto,pwritev2,poll,rt_sigprocmask,rt_sigpending,rt_sigtimedwait,getpid,kill,mmap,madvise,munmap
CALLS+=,clock_nanosleep
FPSOCK_CALLS=write,mprotect,listen,exit_group

@test "a sandbox that ends a program for any other call than those of freeport(7)" {
    sed 's|[\]||g' "$BATS_TEST_DIRNAME/../../docs/freeport.7.scd" | tr -s '[:space:]' ' ' |
        grep -qF ": _${CALLS//,/_, _}_. " || fail "not the list of freeport(7)"
    [[ -z ${FREEPORT_SANITIZE:-} ]] || skip "a sanitizer makes calls of its own" # UBSan's, too
    configure FREEPORT_UDP="$range" FREEPORT_REPORT="$BATS_TEST_TMPDIR/all.report" FREEPORT_LOG=info
    run -0 --separate-stderr fpsock tcp4 tcp6 tcp4 tcp4 udp4 filter "only:$CALLS,$FPSOCK_CALLS" \
        use 0 bind 127.0.0.1 0 name use 1 reuseaddr bind ::1 8080 listen name use 2 bind ::1 8080 \
        use 3 bind 127.0.0.1 8080 listen use 4 bind 127.0.0.1 8080 name
    got ok "127.0.0.1 $first" ok ok "::1 8080" EAFNOSUPPORT ok ok ok "127.0.0.1 8080"
    assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/all.report")" 4
    # One call less, and it ends: the filter is there.
    run -159 --separate-stderr fpsock tcp4 filter "only:${CALLS/getsockopt,/},$FPSOCK_CALLS" bind 127.0.0.1 0
}

# --- Namespaces ------------------------------------------------------------------------------------------------------

@test "a user namespace, with the user mapped to root, and with nobody mapped" {
    unshare --user true 2>/dev/null || cannot "no user namespaces"
    run -0 fpsock tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $first"
    run -0 --separate-stderr shim_last unshare --user --map-root-user -- tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $(port 1)"
    assert_equal "$stderr" ""
    run -0 --separate-stderr shim_last unshare --user -- tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $(port 2)"
    assert_equal "$stderr" ""
    rm "/dev/shm$TEST_SEGMENT"
    run -0 --separate-stderr shim_last unshare --user -- tcp4 bind 127.0.0.1 0 name
    assert_line --index 0 ok
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0
    got ok
    assert_equal "$stderr" ""
}

# A pid namespace each, with a /proc that fits: fpsock is process 1 in all of them.
OWN_PIDS=(--pid --fork --kill-child)

@test "pid namespaces that share a segment: the same process id twice is two owners" {
    needs_own_mounts
    ((UID == 0)) || OWN_PIDS+=(--user)
    configure FREEPORT_SOCKNAME=real
    worlds=()
    for n in 1 2 3; do
        FREEPORT_SESSION=$(tree "$n") in_world_to_stay "$n" "${OWN_PIDS[@]}" 'mount -t proc proc /proc' -- \
            tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 8080 name sh 'echo "pid $PPID"'
        worlds+=("$BACKGROUND_PID")
        is_there "$n"
        run -0 cat "$BATS_TEST_TMPDIR/$n.log"
        got ok "127.0.0.1 $(range_port "$range" $((2 * n - 2)))" ok \
            "127.0.0.1 $(range_port "$range" $((2 * n - 1)))" "pid 1" stay
    done
    # All three are there, in one table, for one who sees their ids and for one who does not.
    FREEPORT_SESSION=$(tree 2) run -0 fpsock tcp4 bind 127.0.0.1 8080 tcp4 bind 127.0.0.2 8080 name tcp4 bind 127.0.0.1 0 name
    got EADDRINUSE ok "127.0.0.2 $(range_port "$range" 3)" ok "127.0.0.1 $(range_port "$range" 6)"
    kill -KILL "${worlds[@]}" # unshare ignores SIGTERM, and so does the first process of a namespace
}

@test "pid namespaces that come and go in one small range: none of their ports is lost" {
    needs_own_mounts
    ((UID == 0)) || OWN_PIDS+=(--user)
    configure FREEPORT_TCP="$first-$(range_port "$range" 3)"
    for n in 1 2 3 4 5 6 7; do
        FREEPORT_SESSION=$n run -0 --separate-stderr in_world "${OWN_PIDS[@]}" 'mount -t proc proc /proc' -- \
            tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 8080
        got ok ok
    done
}

@test "a port that was reserved in another pid namespace is kept for it: nobody here can tell that it is gone" {
    ((UID == 0)) || OWN_PIDS+=(--user --map-root-user)
    [[ -n ${FREEPORT_CLI:-} ]] || cannot "no command was built"
    needs_namespace --mount "${OWN_PIDS[@]}"
    configure FREEPORT_TCP="$first"
    run -0 unshare --mount "${OWN_PIDS[@]}" sh -c 'mount -t proc proc /proc && "$FREEPORT_CLI" get'
    assert_output "$first"
    FREEPORT_LOG=quiet run -0 fpsock tcp4 bind 127.0.0.1 0
    got EADDRINUSE
}

@test "network namespaces that share a segment by its name: one sequence, and no conflict where there is none" {
    needs_own_mounts
    needs_root
    local elsewhere='ip link set lo up'
    configure FREEPORT_SESSION="$(tree 1)" FREEPORT_SOCKNAME=real
    shim_background here "$FPSOCK" tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 8080 listen stay
    wait_lines "$BATS_TEST_TMPDIR/here.log" 4
    # A session's port is its port in both; and there, nobody has bound it.
    run -0 --separate-stderr in_world --net "$elsewhere" -- tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 8080 name
    got ok "127.0.0.1 $(range_port "$range" 2)" ok "127.0.0.1 $(range_port "$range" 1)"
    assert_equal "$stderr" ""
    # A range that is used up here is not used up there.
    configure FREEPORT_TCP="$first-$(range_port "$range" 1)" FREEPORT_SESSION="$(tree 2)"
    run -0 --separate-stderr in_world --net "$elsewhere" -- tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $first" ok "127.0.0.1 $(range_port "$range" 1)"
    # And here, nothing is given away that is held.
    FREEPORT_LOG=quiet run -0 fpsock tcp4 bind 127.0.0.1 0
    got EADDRINUSE
}

@test "network namespaces without a name for the segment: one each" {
    needs_own_mounts
    needs_root
    unset FREEPORT_SEGMENT
    for _ in 1 2; do
        run -0 --separate-stderr in_world --net 'ip link set lo up' -- tcp4 bind 127.0.0.1 0 name \
            sh 'echo "$FREEPORT_SEGMENT"; rm -f "/dev/shm$FREEPORT_SEGMENT"'
        got ok "127.0.0.1 $first" "${lines[2]}"
        [[ ${lines[2]} =~ ^/freeport-0-[1-9][0-9]*$ ]] || fail "${lines[2]}"
    done
}

# --- Locked memory ----------------------------------------------------------------------------------------------------

# locks LIMIT FLAGS...: what a program says that locks its memory below that limit, without the privilege to pass it.
locks() {
    local -a as_user=()
    if ((UID == 0)); then as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups); fi
    timeout --kill-after=5 "$PATIENCE" prlimit --memlock="$1:$1" "${as_user[@]}" "${variables[@]}" \
        "$FREEPORT_PROGRAMS/fplock" "${@:2}"
}

@test "mlockall: the segment takes nothing of the limit" {
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer's runtime maps terabytes"
    [[ $(ulimit -H -l) == unlimited ]] || (($(ulimit -H -l) >= 8192)) || skip "the limit is below its default, 8 MiB"
    shim=$(mktemp -d) # the build folder may be in a home that others can't look into
    install -m 755 "$FREEPORT_SHIM" "$FREEPORT_PROGRAMS/fplock" "$shim"
    chmod 755 "$shim"
    FREEPORT_PROGRAMS=$shim
    # MCL_CURRENT 1, MCL_FUTURE 2, MCL_ONFAULT 4
    for flags in 1 2 3 5 7 "3 1" "7 2 3"; do
        for limit in 8388608 65536; do
            variables=(env)
            # shellcheck disable=SC2086
            plain=$(locks "$limit" $flags 2>&1)
            variables=(env FREEPORT_TCP="$(own_range)" FREEPORT_SEGMENT="$TEST_SEGMENT-$UID"
                LD_PRELOAD="$shim/${FREEPORT_SHIM##*/}")
            # shellcheck disable=SC2086
            assert_equal "$flags, $limit: $(locks "$limit" $flags 2>&1)" "$flags, $limit: $plain"
        done
    done
    rm -r "$shim"
}
