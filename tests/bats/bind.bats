# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# A bind to port 0: which port it is, in which order, when it is free, and what the socket looks like afterwards.

load helper

# next WORD...: the number that the next socket gets; the words are its kind and options.
next() {
    local words=("$@")
    ((${#words[@]})) || words=(tcp4)
    run -0 fpsock "${words[@]}" bind 127.0.0.1 0 name
    assert_line --index 0 ok
    echo "${lines[1]##* }"
}

# --- Which port ------------------------------------------------------------------------------------------------------

@test "a bind to port 0 gets the next port of the range, and getsockname tells it" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    run -0 fpsock tcp4 bind 127.0.0.1 0 name tcp4 bind 0.0.0.0 0 name tcp6 bind ::1 0 name tcp6 bind :: 0 name
    got ok "127.0.0.1 $(even_port "$range" 0)" ok "0.0.0.0 $(even_port "$range" 1)" \
        ok "::1 $(even_port "$range" 2)" ok ":: $(even_port "$range" 3)"
}

@test "MPTCP is TCP" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    run -0 fpsock mptcp4 bind 127.0.0.1 0 name listen
    if [[ $output == EPROTONOSUPPORT* ]]; then skip "a kernel without MPTCP"; fi
    got ok "127.0.0.1 ${range%-*}" ok
}

@test "UDP has a range and a sequence of its own" {
    tcp=$(own_range)
    udp=$(own_range)
    configure FREEPORT_TCP="$tcp" FREEPORT_UDP="$udp"
    run -0 fpsock udp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0 name udp6 bind :: 0 name
    got ok "127.0.0.1 ${udp%-*}" ok "127.0.0.1 ${tcp%-*}" ok ":: $(even_port "$udp" 1)"
}

@test "a range of several pieces is gone through in order" {
    range=$(own_range)
    ports=("$(range_port "$range" 2)" "$(range_port "$range" 10)" "$(range_port "$range" 11)")
    configure FREEPORT_TCP="${ports[1]}-${ports[2]},${ports[0]}" FREEPORT_LOG=quiet
    run -0 fpsock tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0
    got ok "127.0.0.1 ${ports[0]}" ok "127.0.0.1 ${ports[1]}" ok "127.0.0.1 ${ports[2]}" EADDRINUSE
}

@test "an address of AF_UNSPEC with the wildcard, the 24 bytes of old IPv6, longer lengths" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    run -0 fpsock tcp4 bindunspec 0.0.0.0 0 name tcp6 bindlen ::1 0 24 name tcp6 bindlen ::1 0 128 name \
        tcp4 bindlen 127.0.0.1 0 28 name tcp4 bindlen 127.0.0.1 0 128 name
    got ok "0.0.0.0 $(even_port "$range" 0)" ok "::1 $(even_port "$range" 1)" ok "::1 $(even_port "$range" 2)" \
        ok "127.0.0.1 $(even_port "$range" 3)" ok "127.0.0.1 $(even_port "$range" 4)"
}

@test "a bind through syscall(2) is one like any other" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range"
    run -0 fpsock tcp4 bindsys 127.0.0.1 0 name namesys udp6 bindsys ::1 0 namesys
    got ok "127.0.0.1 ${range%-*}" "127.0.0.1 ${range%-*}" ok "::1 ${range%-*}"
}

@test "a bind that the kernel refuses for another reason takes no port" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    run -0 fpsock tcp4 bind 192.0.2.1 0 tcp4 bindunspec 127.0.0.1 0 tcp6 bind 127.0.0.1 0 tcp4 bind ::1 0 name \
        tcp4 bind 127.0.0.1 0 name
    got EADDRNOTAVAIL EAFNOSUPPORT EINVAL EAFNOSUPPORT "0.0.0.0 0" ok "127.0.0.1 ${range%-*}"
}

@test "a socket that asks for no port gets none" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    run -0 fpsock tcp4 noport bind 127.0.0.1 0 name get noport tcp6 noport bind ::1 0 name tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 0" 1 ok "::1 0" ok "127.0.0.1 ${range%-*}"
}

# --- Order -----------------------------------------------------------------------------------------------------------

@test "all processes go on where the last one was" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    for turn in 0 1 2; do assert_equal "$(next)" "$(even_port "$range" "$turn")"; done
}

@test "the even ports come first, one after the other, and the odd ones when those are used up" {
    range=$(own_range 4)
    configure FREEPORT_TCP="$range"
    mapfile -t ports < <(seq "${range%-*}" "${range#*-}")
    run -0 fpsock tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0 name use 1 close \
        tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 ${ports[0]}" ok "127.0.0.1 ${ports[2]}" ok "127.0.0.1 ${ports[3]}" ok \
        ok "127.0.0.1 ${ports[1]}" ok "127.0.0.1 ${ports[2]}"
}

@test "the number behind a port from bind 0 is left to who takes it by itself" {
    range=$(own_range)
    configure FREEPORT_UDP="$range"
    run -0 fpsock udp4 bind 127.0.0.1 0 name udp4 bind 127.0.0.1 0 name udp4 bind 127.0.0.1 "$(range_port "$range" 1)"
    got ok "127.0.0.1 ${range%-*}" ok "127.0.0.1 $(range_port "$range" 2)" ok
}

@test "round the range, whether a port was closed or its process has ended" {
    range=$(own_range 6)
    mapfile -t ports < <(seq "${range%-*}" 2 "${range#*-}")
    configure FREEPORT_TCP="${ports[0]},${ports[1]},${ports[2]}"
    run -0 fpsock tcp4 bind 127.0.0.1 0 name close tcp4 bind 127.0.0.1 0 name close
    got ok "127.0.0.1 ${ports[0]}" ok ok "127.0.0.1 ${ports[1]}" ok
    assert_equal "$(next)" "${ports[2]}"
    assert_equal "$(next)" "${ports[0]}"
    assert_equal "$(next)" "${ports[1]}"
}

@test "a port that another process was given and has closed comes last" {
    range=$(own_range 6)
    mapfile -t ports < <(seq "${range%-*}" 2 "${range#*-}")
    configure FREEPORT_TCP="${ports[0]},${ports[1]},${ports[2]}"
    # While the first process is there, another goes round the range more than once.
    run -0 fpsock tcp4 bind 127.0.0.1 0 name close \
        sh "for turn in 1 2 3 4; do '$FPSOCK' tcp4 bind 127.0.0.1 0 name; done" \
        tcp4 bind 127.0.0.1 "${ports[0]}" name
    got ok "127.0.0.1 ${ports[0]}" ok ok "127.0.0.1 ${ports[1]}" ok "127.0.0.1 ${ports[2]}" ok "127.0.0.1 ${ports[1]}" \
        ok "127.0.0.1 ${ports[2]}" ok "127.0.0.1 ${ports[0]}"
}

@test "and is given all the same where no other is to be had" {
    range=$(own_range 1)
    configure FREEPORT_TCP="${range%-*}"
    run -0 fpsock tcp4 bind 127.0.0.1 0 name close sh "'$FPSOCK' tcp4 bind 127.0.0.1 0 name"
    got ok "127.0.0.1 ${range%-*}" ok ok "127.0.0.1 ${range%-*}"
}

@test "one name is one sequence, two names are two" {
    range=$(own_range)
    upper=$(even_port "$range" 25)-${range#*-}
    # Where one process leaves off at 50, another of the same name goes on; one of another name begins at its beginning.
    assert_equal "$(FREEPORT_TCP=$upper FREEPORT_NAME=one next)" "$(even_port "$range" 25)"
    assert_equal "$(FREEPORT_TCP=$range FREEPORT_NAME=one next)" "$(even_port "$range" 26)"
    assert_equal "$(FREEPORT_TCP=$range FREEPORT_NAME=two next)" "$(even_port "$range" 0)"
    assert_equal "$(FREEPORT_TCP=$range FREEPORT_NAME=one next)" "$(even_port "$range" 27)"
    assert_equal "$(FREEPORT_TCP=$range FREEPORT_NAME=two next)" "$(even_port "$range" 1)"
}

@test "two names never have one port at once" {
    range=$(own_range 2)
    configure FREEPORT_TCP="$range"
    run -0 fpsock tcp4 reuseaddr reuseport bind 127.0.0.1 0 name \
        sh "FREEPORT_NAME=two '$FPSOCK' tcp4 reuseaddr reuseport bind 127.0.0.1 0 name"
    got ok "127.0.0.1 ${range%-*}" ok "127.0.0.1 ${range#*-}"
}

@test "no port left: EADDRINUSE, and one line with the variable, its value and what to do" {
    range=$(own_range 2)
    configure FREEPORT_UDP="$range" FREEPORT_NAME=small
    run -0 --separate-stderr fpsock udp4 bind 127.0.0.1 0 udp4 bind 127.0.0.1 0 udp4 reuseaddr bind 127.0.0.1 0 name \
        get reuseaddr use 0 close udp4 bind 127.0.0.1 0 name
    got ok ok EADDRINUSE "0.0.0.0 0" 1 ok ok "127.0.0.1 ${range%-*}"
    ((${#stderr_lines[@]} == 1)) || fail "not one line: $stderr"
    [[ $stderr =~ ^"freeport: FREEPORT_UDP=$range: "no\ port\ left.*name\ small.*widen\ the\ range ]] || fail "$stderr"
}

@test "FREEPORT_TIMEOUT is for those who wait: a look for a port may take as long as it takes" {
    needs_networks
    configure FREEPORT_TCP=20000-22999 FREEPORT_TIMEOUT=1
    # All but the last are strangers'.
    run -0 unshare --net sh -c 'ip link set lo up && exec "$@"' sh python3 -c '
import resource, socket, subprocess, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
sockets = [socket.socket() for port in range(20000, 22999)]
for number, stranger in enumerate(sockets):
    stranger.bind(("127.0.0.1", 20000 + number))
sys.exit(subprocess.run(sys.argv[1:]).returncode)' \
        env LD_PRELOAD="$(preload)" ASAN_OPTIONS=detect_leaks=0 "$FPSOCK" tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 22999"
}

@test "threads that bind at once get a port each" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    fpsock threads 32 tcp4 bind 127.0.0.1 0 name listen >"$BATS_TEST_TMPDIR/out"
    assert_equal "$(grep -cx ok "$BATS_TEST_TMPDIR/out")" 64
    assert_equal "$(grep -v ok "$BATS_TEST_TMPDIR/out" | sort)" \
        "$(seq -f '127.0.0.1 %.0f' "${range%-*}" 2 "$(even_port "$range" 31)")"
}

@test "processes that bind at once get a port each, also with both reuse flags" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    fpsock processes 32 tcp4 reuseaddr reuseport bind 127.0.0.1 0 name listen >"$BATS_TEST_TMPDIR/out"
    assert_equal "$(grep -cx ok "$BATS_TEST_TMPDIR/out")" 64
    assert_equal "$(grep -v ok "$BATS_TEST_TMPDIR/out" | sort)" \
        "$(seq -f '127.0.0.1 %.0f' "${range%-*}" 2 "$(even_port "$range" 31)")"
}

# --- Free means free -------------------------------------------------------------------------------------------------

@test "a stranger's port is passed over" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range"
    stranger tcp tcp4 bind 127.0.0.1 "${range%-*}" listen
    assert_equal "$(next tcp4)" "$(even_port "$range" 1)"
    assert_equal "$(next udp4)" "$(even_port "$range" 0)"
}

# The kernel, asked for the range's first port with those flags, says yes: without the care that is taken, the tests below
# would fail.
kernel_would_share() {
    run -0 timeout "$PATIENCE" "$FPSOCK" "$@" bind 127.0.0.1 "${range%-*}"
    got ok
}

@test "a stranger's SO_REUSEPORT server is not joined" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range"
    stranger tcp tcp4 reuseport bind 127.0.0.1 "${range%-*}" listen
    stranger udp udp4 reuseport bind 127.0.0.1 "${range%-*}"
    kernel_would_share tcp4 reuseport
    kernel_would_share udp4 reuseport
    assert_equal "$(next tcp4 reuseport)" "$(even_port "$range" 1)"
    assert_equal "$(next udp4 reuseport)" "$(even_port "$range" 1)"
}

@test "a stranger that is bound and does not listen yet is no less there" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    stranger tcp tcp4 reuseaddr bind 127.0.0.1 "${range%-*}"
    kernel_would_share tcp4 reuseaddr
    assert_equal "$(next tcp4 reuseaddr)" "$(even_port "$range" 1)"
}

@test "a stranger's datagrams are not stolen with SO_REUSEADDR" {
    range=$(own_range)
    configure FREEPORT_UDP="$range"
    stranger udp udp4 reuseaddr bind 127.0.0.1 "${range%-*}"
    kernel_would_share udp4 reuseaddr
    assert_equal "$(next udp4 reuseaddr)" "$(even_port "$range" 1)"
}

@test "two sockets with SO_REUSEADDR both listen" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    run -0 fpsock tcp4 reuseaddr bind 127.0.0.1 0 tcp4 reuseaddr bind 127.0.0.1 0 listen name use 0 listen name
    got ok ok ok "127.0.0.1 $(even_port "$range" 1)" ok "127.0.0.1 ${range%-*}"
}

@test "a socket that is bound already is the kernel's to refuse, also where the range is used up" {
    range=$(own_range 1)
    configure FREEPORT_TCP="${range%-*}"
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 bind 127.0.0.1 0
    got ok EINVAL
    assert_equal "$stderr" ""
    # Whichever protocol was bound before it.
    configure FREEPORT_UDP="${range%-*}"
    run -0 --separate-stderr fpsock udp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 0 bind 127.0.0.1 0 use 0 bind 127.0.0.1 0
    got ok ok EINVAL EINVAL
    assert_equal "$stderr" ""
}

@test "TCP, MPTCP and UDP by turns: each of its own range" {
    run -0 fpsock mptcp4 bind 127.0.0.1 0
    if [[ $output == EPROTONOSUPPORT* ]]; then skip "a kernel without MPTCP"; fi
    tcp=$(own_range)
    udp=$(own_range)
    configure FREEPORT_TCP="$tcp" FREEPORT_UDP="$udp"
    words=() expected=()
    for n in 0 1 2 3; do
        words+=(tcp4 bind 127.0.0.1 0 name udp4 bind 127.0.0.1 0 name udp6 bind ::1 0 name mptcp4 bind 127.0.0.1 0 name)
        expected+=(ok "127.0.0.1 $(even_port "$tcp" $((2 * n)))" ok "127.0.0.1 $(even_port "$udp" $((2 * n)))"
            ok "::1 $(even_port "$udp" $((2 * n + 1)))" ok "127.0.0.1 $(even_port "$tcp" $((2 * n + 1)))")
    done
    run -0 fpsock "${words[@]}"
    got "${expected[@]}"
}

@test "a port that its process has bound by its number on another address is not assigned again" {
    range=$(own_range)
    first=${range%-*}
    configure FREEPORT_TCP="$first-$((first + 1))" FREEPORT_LOG=quiet
    run -0 fpsock tcp4 bind 127.0.0.1 0 close tcp6 bind ::1 "$first" tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0
    got ok ok ok ok "127.0.0.1 $((first + 1))" EADDRINUSE
}

@test "reuse flags are back as they were, also after a failure" {
    range=$(own_range 1)
    configure FREEPORT_TCP="${range%-*}" FREEPORT_LOG=quiet
    run -0 fpsock tcp4 reuseaddr reuseport bind 127.0.0.1 0 get reuseaddr get reuseport \
        tcp4 reuseport bind 127.0.0.1 0 get reuseaddr get reuseport tcp4 reuseaddr bind 192.0.2.1 0 get reuseaddr \
        get reuseport use 0 close tcp4 bind 127.0.0.1 0 get reuseaddr get reuseport
    got ok 1 1 EADDRINUSE 0 1 EADDRNOTAVAIL 1 0 ok ok 0 0
}

@test "workers share a port that was assigned to the first of them" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range"
    port=${range%-*}
    run -0 fpsock tcp4 reuseport bind 127.0.0.1 0 name listen tcp4 reuseport bind 127.0.0.1 "$port" listen name \
        udp4 reuseport bind 127.0.0.1 0 name udp4 reuseport bind 127.0.0.1 "$port" name
    got ok "127.0.0.1 $port" ok ok ok "127.0.0.1 $port" ok "127.0.0.1 $port" ok "127.0.0.1 $port"
}

# --- A port of the range, by its number ------------------------------------------------------------------------------

@test "bind 0, close, bind that number again: nobody else gets it meanwhile" {
    range=$(own_range 4)
    configure FREEPORT_TCP="$range"
    port=${range%-*}
    run -0 fpsock tcp4 bind 127.0.0.1 0 name close \
        sh "for turn in 1 2 3 4 5 6 7; do '$FPSOCK' tcp4 bind 127.0.0.1 0 name; done | grep -c ' $port'" \
        tcp4 bind 127.0.0.1 "$port" name
    got ok "127.0.0.1 $port" ok 0 "exit 1" ok "127.0.0.1 $port"
}

@test "a port of the range that a program binds by its number is noted: it keeps it when it closes it" {
    range=$(own_range 3)
    configure FREEPORT_TCP="$range"
    second=$(range_port "$range" 1)
    run -0 fpsock tcp4 bind 127.0.0.1 "$second" name close \
        sh "for turn in 1 2 3 4; do '$FPSOCK' tcp4 bind 127.0.0.1 0 name; done"
    got ok "127.0.0.1 $second" ok ok "127.0.0.1 ${range%-*}" ok "127.0.0.1 ${range#*-}" ok "127.0.0.1 ${range%-*}" \
        ok "127.0.0.1 ${range#*-}"
}

@test "a port that is bound by its number and taken: the kernel's EADDRINUSE, and no line" {
    range=$(own_range 3)
    configure FREEPORT_TCP="$range"
    stranger tcp tcp4 bind 127.0.0.1 "${range%-*}" listen
    run -0 --separate-stderr fpsock tcp4 reuseaddr bind 127.0.0.1 "${range%-*}" name get reuseaddr
    got EADDRINUSE "0.0.0.0 0" 1
    assert_equal "$stderr" ""
}

# --- Whose port it is ------------------------------------------------------------------------------------------------

@test "a child keeps its parent's port" {
    range=$(own_range 2)
    configure FREEPORT_TCP="$range" FREEPORT_LOG=quiet
    # The parent is gone by the time the child says that it is there.
    shim_background daemon /bin/sh -c "'$FPSOCK' tcp4 bind 127.0.0.1 0 name \
        sh \"'$FPSOCK' fd 3 stay &\""
    wait_for "$PATIENCE" grep -qx stay "$BATS_TEST_TMPDIR/daemon.log"
    wait_for "$PATIENCE" process_is_gone "$BACKGROUND_PID" "$(process_start "$BACKGROUND_PID")"
    run -0 fpsock tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 0
    got ok "127.0.0.1 ${range#*-}" EADDRINUSE
}

@test "a process that is killed leaves nothing behind" {
    range=$(own_range 2)
    configure FREEPORT_TCP="$range"
    for turn in 1 2 3; do
        shim_background "$turn" "$FPSOCK" tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 0 listen stay
        wait_for "$PATIENCE" grep -qx stay "$BATS_TEST_TMPDIR/$turn.log"
        assert_equal "$(grep -cx ok "$BATS_TEST_TMPDIR/$turn.log")" 3
        assert_equal "$(reported_ports "$(report_of "$turn")" tcp 0)" "${range%-*} ${range#*-}"
        kill -KILL "$BACKGROUND_PID"
        wait "$BACKGROUND_PID" || true
    done
}

@test "children of fork and vfork bind ports of their own" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    run -0 fpsock tcp4 bind 127.0.0.1 0 name fork tcp4 bind 127.0.0.1 0 name join vfork tcp4 bind 127.0.0.1 0 name join \
        tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $(even_port "$range" 0)" ok "127.0.0.1 $(even_port "$range" 1)" \
        ok "127.0.0.1 $(even_port "$range" 2)" ok "127.0.0.1 $(even_port "$range" 3)"
}

@test "a program that has changed its root and its user binds as before" {
    needs_root
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=8080
    mkdir "$BATS_TEST_TMPDIR/root"
    run -0 fpsock chroot "$BATS_TEST_TMPDIR/root" user 65534 tcp4 reuseaddr bind 127.0.0.1 0 name tcp4 bind 0.0.0.0 8080 \
        listen name udp4 bind 0.0.0.0 8080 fork tcp4 bind 127.0.0.1 0 name join
    got ok "127.0.0.1 $(even_port "$range" 0)" ok ok "0.0.0.0 8080" ok ok "127.0.0.1 $(even_port "$range" 1)"
    assert_equal "$(next)" "$(even_port "$range" 2)"
}

@test "a program without a descriptor to spare binds to port 0, and the shim keeps none" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    run -0 fpsock tcp4 nofds bind 127.0.0.1 0 name listen
    got ok "127.0.0.1 ${range%-*}" ok
    run -0 fpsock sh 'ls /proc/self/fd | wc -l' tcp4 bind 127.0.0.1 0 close sh 'ls /proc/self/fd | wc -l'
    assert_equal "${lines[0]}" "${lines[3]}"
}
