# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# What the shim has no business with: it is as it would be without.

load helper

# Ranges for both protocols, everything a sentinel: what is untouched now is so for a better reason than luck.
everything() {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=all \
        FREEPORT_REPORT="$BATS_TEST_TMPDIR/all.report"
}

nothing_assigned() { [[ ! -s $BATS_TEST_TMPDIR/all.report ]] || fail "assigned: $(cat "$BATS_TEST_TMPDIR/all.report")"; }

@test "AF_UNIX sockets, by path and by number" {
    everything
    run -0 fpsock unix bindpath "$BATS_TEST_TMPDIR/socket" listen name unix listen name
    got ok ok "family 1" EINVAL "family 1"
    [[ -S $BATS_TEST_TMPDIR/socket ]]
    nothing_assigned
}

@test "netlink sockets" {
    everything
    run -0 fpsock netlink bindnetlink name
    got ok "family 16"
    nothing_assigned
}

@test "raw sockets, even with TCP's protocol number, and ICMP" {
    needs_root
    everything
    run -0 fpsock raw4 bind 127.0.0.1 0 name bind 127.0.0.1 8080 name icmp4 bind 127.0.0.1 0 name bind 127.0.0.1 8080 name
    got ok "127.0.0.1 6" ok "127.0.0.1 6" ok "127.0.0.1 1" ok "127.0.0.1 1"
    nothing_assigned
}

@test "the protocol that has no range" {
    range=$(own_range)
    sentinel=$(range_port "$(own_range)" 0)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS="$sentinel" FREEPORT_REPORT="$BATS_TEST_TMPDIR/all.report"
    run -0 fpsock udp4 bind 127.0.0.1 0 name udp4 bind 127.0.0.1 "$sentinel" name udp4 bind 127.0.0.1 "${range%-*}" name
    assert_line --index 0 ok
    ((${lines[1]##* } >= 32768)) || fail "not the kernel's: ${lines[1]}"
    assert_equal "${lines[*]:2}" "ok 127.0.0.1 $sentinel ok 127.0.0.1 ${range%-*}"
    nothing_assigned

    unset FREEPORT_TCP
    configure FREEPORT_UDP="$range"
    run -0 fpsock tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 "$sentinel" name tcp4 listen name
    assert_line --index 0 ok
    ((${lines[1]##* } >= 32768)) || fail "not the kernel's: ${lines[1]}"
    assert_equal "${lines[*]:2:3}" "ok 127.0.0.1 $sentinel ok"
    ((${lines[5]##* } >= 32768)) || fail "not the kernel's: ${lines[5]}"
    nothing_assigned
}

@test "a sentinel of one protocol is none of the other's" {
    range=$(own_range)
    sentinel=$(range_port "$(own_range)" 0)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS="$sentinel/udp" FREEPORT_SOCKNAME=real
    run -0 fpsock tcp4 bind 127.0.0.1 "$sentinel" name udp4 bind 127.0.0.1 "$sentinel" name
    got ok "127.0.0.1 $sentinel" ok "127.0.0.1 ${range%-*}"
}

@test "a port outside the range that is no sentinel, and one inside" {
    range=$(own_range)
    outside=$(range_port "$(own_range)" 0)
    inside=$(range_port "$range" 7)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8080 FREEPORT_REPORT="$BATS_TEST_TMPDIR/all.report"
    run -0 fpsock tcp4 bind 127.0.0.1 "$outside" name listen tcp4 bind 127.0.0.1 "$inside" name tcp4 bind 127.0.0.1 "$outside"
    got ok "127.0.0.1 $outside" ok ok "127.0.0.1 $inside" EADDRINUSE
    nothing_assigned
}

@test "bindresvport" {
    needs_root
    everything
    run -0 fpsock tcp4 bindresvport name listen udp4 bindresvport name
    assert_equal "${lines[0]} ${lines[2]} ${lines[3]}" "ok ok ok"
    ((${lines[1]##* } < 1024 && ${lines[1]##* } >= 512)) || fail "no reserved port: ${lines[1]}"
    ((${lines[4]##* } < 1024 && ${lines[4]##* } >= 512)) || fail "no reserved port: ${lines[4]}"
    nothing_assigned
}

@test "a socket that is bound already" {
    everything
    run -0 fpsock tcp4 bind 127.0.0.1 0 bind 127.0.0.1 0 bind 127.0.0.1 8080 bind 127.0.0.1 "${range#*-}" name
    got ok EINVAL EINVAL EINVAL "127.0.0.1 ${range%-*}"
    assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/all.report")" 1
}

@test "a program without any range: no segment, no session, nothing said" {
    configure FREEPORT_SENTINELS=all FREEPORT_LOG=debug FREEPORT_NAME='a b' FREEPORT_REPORT="$BATS_TEST_TMPDIR/all.report"
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 name sh 'env | grep ^FREEPORT_ | sort'
    assert_line --index 0 ok
    ((${lines[1]##* } >= 32768)) || fail "not the kernel's: ${lines[1]}"
    refute_output --partial FREEPORT_SESSION
    refute_output --partial FREEPORT_REPORT_ID
    refute_output --partial FREEPORT_SEGMENT_OWNER
    refute_output --partial FREEPORT_SEGMENT_ID
    assert_equal "$stderr" ""
    [[ ! -e /dev/shm$TEST_SEGMENT ]]
    nothing_assigned
}
