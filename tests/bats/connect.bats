# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# Clients inside a session: where connect and its kin lead, for TCP and UDP.

load client

setup() { client_setup; }

LOCAL4=(127.0.0.1 127.0.0.5 127.255.0.1 0.0.0.0)
LOCAL6=(::1 :: ::ffff:127.0.0.1 ::ffff:127.0.0.5 ::ffff:0.0.0.0)
ANSWERING=(127.0.0.1 0.0.0.0 ::1 :: ::ffff:127.0.0.1 ::ffff:0.0.0.0) # a UDP server's answer comes from there

# arrives SERVER TEXT: a datagram that begins so.
arrives() {
    wait_for "$PATIENCE" grep -qF "$2" "$(log_of "$1")" || fail "not received: $2"
}

# --- To the session's real port ----------------------------------------------------------------------------------------

@test "connect: a sentinel on any loopback address leads to the session's server, TCP" {
    host_tcp host :: "$SENTINEL"
    tcp_server session :: "$SENTINEL"
    for address in "${LOCAL4[@]}" "${LOCAL6[@]}"; do tcp_leads_to "$address" session; done
    assert_equal "$(heard host)" ""
}

@test "connect: a sentinel on any loopback address leads to the session's server, UDP" {
    host_udp host :: "$SENTINEL"
    udp_server session :: "$SENTINEL"
    for address in "${ANSWERING[@]}"; do udp_leads_to "$address" session; done
    # The answer comes from 127.0.0.1, which a client that is connected to another address is not shown.
    says $'ok\nok' udp4 connect 127.0.0.5 "$SENTINEL" send last
    arrives session 'last '
    assert_equal "$(heard host)" ""
}

@test "connect: MPTCP counts as TCP" {
    tcp_server session 0.0.0.0 "$SENTINEL"
    run plain mptcp4
    [[ -z $output ]] || skip "this kernel has no MPTCP: $output"
    says $'ok\nsession' mptcp4 connect 127.0.0.1 "$SENTINEL" read
}

@test "connect: TCP and UDP are told apart, also where a sentinel is one of them only" {
    configure FREEPORT_SENTINELS="$SENTINEL/udp"
    host_tcp host-tcp 127.0.0.1 "$SENTINEL"
    udp_server session 127.0.0.1 "$SENTINEL"
    tcp_leads_to 127.0.0.1 host-tcp
    udp_leads_to 127.0.0.1 session
}

@test "connect: an IPv6 address as RFC 2133 had it, without a scope" {
    tcp_server session ::1 "$SENTINEL"
    says $'ok\nsession' tcp6 length 24 connect ::1 "$SENTINEL" read
}

@test "connect: an address with room behind it" {
    tcp_server session 127.0.0.1 "$SENTINEL"
    says $'ok\nsession' tcp4 length 128 connect 127.0.0.1 "$SENTINEL" read
}

@test "MSG_FASTOPEN: a connection that is opened by sendto or sendmsg" {
    host_tcp host 127.0.0.1 "$SENTINEL"
    tcp_server session 127.0.0.1 "$SENTINEL"
    for way in "${WAYS[@]}"; do
        for call in fastopen fastopenmsg; do
            says $'ok\nsession' "$way" tcp4 "$call" 127.0.0.1 "$SENTINEL" hello sh : read
        done
    done
    assert_equal "$(heard host)" ""
}

@test "a connection that does not wait: in progress, then there, and its peer is the sentinel" {
    tcp_server session 127.0.0.1 "$SENTINEL"
    for way in "${WAYS[@]}"; do
        says "$(printf '%s\n' EINPROGRESS ok "127.0.0.1 $SENTINEL" ok EISCONN)" "$way" tcp4 nonblock \
            connect 127.0.0.1 "$SENTINEL" connected peer connect 127.0.0.1 "$SENTINEL" connect 127.0.0.1 "$SENTINEL"
    done
}

@test "AF_UNSPEC: a UDP socket is disconnected, and may go elsewhere" {
    udp_server session 127.0.0.1 "$SENTINEL"
    host_udp host 127.0.0.1 "$ORDINARY"
    for way in "${WAYS[@]}"; do
        says $'ok\nok\nENOTCONN\nok\nok\nhost:x 127.0.0.1 '"$ORDINARY" "$way" udp4 connect 127.0.0.1 "$SENTINEL" \
            family 0 connect 127.0.0.1 "$SENTINEL" peer connect 127.0.0.1 "$ORDINARY" send x recvfrom
    done
}

@test "AF_UNSPEC: the kernel's word, on TCP too, with whatever behind it" {
    for socket in tcp4 tcp6 udp4 udp6; do
        same "$socket" family 0 connect 127.0.0.1 "$SENTINEL"
        same "$socket" family 0 length 2 connect 127.0.0.1 "$SENTINEL"
        same "$socket" family 0 length 2 connect ::1 "$SENTINEL" peer
    done
}

# Its name reads as if it were bound. "Is anybody there? Then I am": on one socket.
@test "a socket whose connection was refused is bound as any other" {
    first=${RANGE%-*}
    says "$(printf '%s\n' ECONNREFUSED ok ok "127.0.0.1 $SENTINEL" EADDRINUSE)" tcp4 connect 127.0.0.1 "$ORDINARY" \
        bind 127.0.0.1 "$SENTINEL" listen name tcp4 bind 127.0.0.1 "$SENTINEL"
    says "$(printf '%s\n' ECONNREFUSED ok "::1 $first" EINVAL "::1 $first")" FREEPORT_SOCKNAME=real \
        tcp6 connect ::1 "$ORDINARY" bind ::1 "$SENTINEL" name bind ::1 "$SENTINEL" name
    # Port 0, whichever protocol was bound before it; and where the range is used up, no port outside of it.
    says "$(printf '%s\n' ok ECONNREFUSED ok "127.0.0.1 $((first + 2))")" \
        udp4 bind 127.0.0.1 0 tcp4 connect 127.0.0.1 "$ORDINARY" bind 127.0.0.1 0 name
    says "$(printf '%s\n' ok ECONNREFUSED EINVAL)" FREEPORT_TCP="$first" \
        tcp4 bind 127.0.0.1 0 tcp4 connect 127.0.0.1 "$ORDINARY" bind 127.0.0.1 0
}

@test "a port that is no sentinel, and the real port by its number, go where they say" {
    tcp_server session 127.0.0.1 "$SENTINEL"
    host_tcp host 127.0.0.1 "$ORDINARY"
    says $'ok\nhost' tcp4 connect 127.0.0.1 "$ORDINARY" read
    says $'ok\nsession' tcp4 connect 127.0.0.1 "$(real_port session tcp)" read
}

# --- Where the session has none ----------------------------------------------------------------------------------------

@test "FREEPORT_CONNECT=session: refused, and the host's own server is not reached, TCP" {
    host_tcp host :: "$SENTINEL"
    for way in "${WAYS[@]}"; do
        for address in "${LOCAL4[@]}" "${LOCAL6[@]}"; do
            says ECONNREFUSED "$way" "tcp$(family_of "$address")" connect "$address" "$SENTINEL"
        done
        says $'EINPROGRESS\nECONNREFUSED' "$way" tcp4 nonblock connect 127.0.0.1 "$SENTINEL" connected
        says ECONNREFUSED "$way" tcp4 fastopen 127.0.0.1 "$SENTINEL" hello
        says ECONNREFUSED "$way" tcp4 fastopenmsg 127.0.0.1 "$SENTINEL" hello
        says ECONNREFUSED FREEPORT_CONNECT=session "$way" tcp4 connect 127.0.0.1 "$SENTINEL"
    done
    assert_equal "$(heard host)" ""
}

@test "FREEPORT_CONNECT=session: refused by the kernel in its own way, and the host's own server is not reached, UDP" {
    host_udp host :: "$SENTINEL"
    for way in "${WAYS[@]}"; do
        for address in "${LOCAL4[@]}" "${LOCAL6[@]}"; do
            local socket
            socket=udp$(family_of "$address")
            says $'ok\nok\nECONNREFUSED' "$way" "$socket" connect "$address" "$SENTINEL" send x recvfrom
            says $'ok\nok\n1 sent' "$way" "$socket" sendto "$address" "$SENTINEL" x sendmsg "$address" "$SENTINEL" x \
                sendmmsg 1 "$address" "$SENTINEL" x
        done
    done
    assert_equal "$(heard host)" ""
}

@test "FREEPORT_CONNECT=session: no way round it, to the host's own server, by an odd address that the kernel takes" {
    host_udp host :: "$SENTINEL"
    says ok udp4 length 128 sendto 127.0.0.1 "$SENTINEL" x
    says ok udp6 length 24 sendto ::1 "$SENTINEL" x
    says ok udp6 sendto 127.0.0.1 "$SENTINEL" x # an IPv4 address, on an IPv6 socket
    # The kernel cuts a name that is too long in a header, and refuses it elsewhere.
    says ok udp4 length 200 sendmsg 127.0.0.1 "$SENTINEL" x
    says '1 sent' udp4 length 200 sendmmsg 1 127.0.0.1 "$SENTINEL" x
    says EINVAL udp4 length 200 sendto 127.0.0.1 "$SENTINEL" x
    # For UDP over IPv4 no family is IPv4.
    says ok udp4 family 0 sendto 127.0.0.1 "$SENTINEL" x
    says ok udp4 family 0 sendmsg 127.0.0.1 "$SENTINEL" x
    says '1 sent' udp4 family 0 sendmmsg 1 127.0.0.1 "$SENTINEL" x
    assert_equal "$(heard host)" ""
}

@test "FREEPORT_CONNECT=session: refused where the segment can't be used" {
    host_tcp host 127.0.0.1 "$SENTINEL"
    says ECONNREFUSED FREEPORT_LOG=quiet FREEPORT_SEGMENT=/. tcp4 connect 127.0.0.1 "$SENTINEL"
    head -c 4096 /dev/zero >"/dev/shm$FREEPORT_SEGMENT"
    says ECONNREFUSED FREEPORT_LOG=quiet tcp4 connect 127.0.0.1 "$SENTINEL"
    host_udp host-udp 127.0.0.1 "$SENTINEL"
    says $'ok\nok\nECONNREFUSED' FREEPORT_LOG=quiet udp4 connect 127.0.0.1 "$SENTINEL" send x recvfrom
    assert_equal "$(heard host-udp)" ""
    assert_equal "$(heard host)" ""
}

@test "a server that has gone: its port refuses, and the host's own server is not reached" {
    host_tcp host 127.0.0.1 "$SENTINEL"
    tcp_server session 127.0.0.1 "$SENTINEL"
    tcp_leads_to 127.0.0.1 session
    stop "$BACKGROUND_PID"
    for mode in session fallthrough; do
        says ECONNREFUSED FREEPORT_CONNECT=$mode tcp4 connect 127.0.0.1 "$SENTINEL"
    done
    assert_equal "$(heard host)" ""
}

@test "FREEPORT_CONNECT=fallthrough: the session's where it has one, else the host's" {
    configure FREEPORT_CONNECT=fallthrough
    host_tcp host-tcp :: "$SENTINEL"
    host_udp host-udp :: "$SENTINEL"
    for address in 127.0.0.1 ::1; do
        tcp_leads_to "$address" host-tcp
        udp_leads_to "$address" host-udp
    done
    tcp_server session-tcp :: "$SENTINEL"
    udp_server session-udp :: "$SENTINEL"
    for address in 127.0.0.1 ::1; do
        tcp_leads_to "$address" session-tcp
        udp_leads_to "$address" session-udp
    done
}

@test "FREEPORT_CONNECT=fallthrough: a server of one protocol is none of the other" {
    configure FREEPORT_CONNECT=fallthrough
    host_udp host-udp 127.0.0.1 "$SENTINEL"
    host_tcp host-tcp 127.0.0.1 "$SENTINEL2"
    tcp_server session-tcp 127.0.0.1 "$SENTINEL"
    udp_server session-udp 127.0.0.1 "$SENTINEL2"
    udp_leads_to 127.0.0.1 host-udp
    says $'ok\nhost-tcp' tcp4 connect 127.0.0.1 "$SENTINEL2" read
}

@test "FREEPORT_CONNECT=off: the host's, whatever the session has" {
    configure FREEPORT_CONNECT=off
    tcp_server session-tcp 127.0.0.1 "$SENTINEL"
    udp_server session-udp 127.0.0.1 "$SENTINEL"
    says ECONNREFUSED tcp4 connect 127.0.0.1 "$SENTINEL"
    host_tcp host-tcp 127.0.0.1 "$SENTINEL"
    host_udp host-udp 127.0.0.1 "$SENTINEL"
    tcp_leads_to 127.0.0.1 host-tcp
    udp_leads_to 127.0.0.1 host-udp
    says "$(printf '%s\n' ok "host-udp:x 127.0.0.1 $SENTINEL")" udp4 sendto 127.0.0.1 "$SENTINEL" x recvfrom
}

@test "all: a port that nobody named is let through where the session has none" {
    configure FREEPORT_SENTINELS=all
    host_tcp host-tcp 127.0.0.1 "$SENTINEL"
    host_udp host-udp 127.0.0.1 "$SENTINEL"
    tcp_leads_to 127.0.0.1 host-tcp
    udp_leads_to 127.0.0.1 host-udp
    tcp_server session-tcp 127.0.0.1 "$SENTINEL"
    tcp_leads_to 127.0.0.1 session-tcp
    udp_leads_to 127.0.0.1 host-udp # the session's is TCP alone
    udp_server session-udp 127.0.0.1 "$SENTINEL"
    udp_leads_to 127.0.0.1 session-udp
}

@test "all, and a port by its number: that one is refused where the session has none" {
    configure FREEPORT_SENTINELS="all,$SENTINEL"
    host_tcp host 127.0.0.1 "$SENTINEL"
    host_tcp other 127.0.0.1 "$SENTINEL2"
    says ECONNREFUSED tcp4 connect 127.0.0.1 "$SENTINEL"
    says $'ok\nother' tcp4 connect 127.0.0.1 "$SENTINEL2" read
    assert_equal "$(heard host)" ""
}

# --- Which addresses are the host's ------------------------------------------------------------------------------------

@test "the host's own addresses lead to the session: of an interface, a secondary one, link-local" {
    two_hosts
    host_tcp host :: "$SENTINEL"
    tcp_server session :: "$SENTINEL"
    for address in 192.0.2.1 192.0.2.2 2001:db8::1 ::ffff:192.0.2.1 ::ffff:192.0.2.2 "$LINK_LOCAL%cable"; do
        tcp_leads_to "$address" session
    done
    assert_equal "$(heard host)" ""
}

@test "the host's own addresses are refused where the session has none, for datagrams too" {
    two_hosts
    host_tcp host-tcp :: "$SENTINEL"
    host_udp host-udp :: "$SENTINEL"
    for address in 192.0.2.1 192.0.2.2 2001:db8::1 ::ffff:192.0.2.1 "$LINK_LOCAL%cable"; do
        says ECONNREFUSED "tcp$(family_of "$address")" connect "$address" "$SENTINEL"
        says $'ok\nok\nECONNREFUSED' "udp$(family_of "$address")" connect "$address" "$SENTINEL" send x recvfrom
        says ok "udp$(family_of "$address")" sendto "$address" "$SENTINEL" x
    done
    assert_equal "$(heard host-tcp)$(heard host-udp)" ""
}

@test "a mapped address of the host, where IPv6 sockets are IPv6 alone unless they ask" {
    two_hosts
    "${ENTER[@]}" sh -c 'echo 1 >/proc/sys/net/ipv6/bindv6only'
    host_tcp host 0.0.0.0 "$SENTINEL"
    says ECONNREFUSED tcp6 bothfamilies connect ::ffff:192.0.2.1 "$SENTINEL"
    tcp_server session 0.0.0.0 "$SENTINEL"
    says $'ok\nsession' tcp6 bothfamilies connect ::ffff:192.0.2.1 "$SENTINEL" read
}

@test "another host's sentinel is reached as it is" {
    two_hosts
    far host_tcp far-tcp :: "$SENTINEL"
    far host_udp far-udp :: "$SENTINEL"
    tcp_server session-tcp :: "$SENTINEL"
    udp_server session-udp :: "$SENTINEL"
    for address in 192.0.2.9 2001:db8::9 ::ffff:192.0.2.9; do
        tcp_leads_to "$address" far-tcp
        udp_leads_to "$address" far-udp
        says "$(printf '%s\n' ok "far-udp:x $address $SENTINEL")" "udp$(family_of "$address")" \
            sendto "$address" "$SENTINEL" x recvfrom
    done
}

@test "another host's sentinel is reached, where the kernel lets sockets be bound to addresses that are not there" {
    two_hosts
    "${ENTER[@]}" sh -c 'for v in 4 6; do echo 1 >/proc/sys/net/ipv$v/ip_nonlocal_bind; done'
    far host_tcp far :: "$SENTINEL"
    tcp_server session :: "$SENTINEL"
    for address in 192.0.2.9 2001:db8::9 ::ffff:192.0.2.9; do tcp_leads_to "$address" far; done
    for address in 192.0.2.1 192.0.2.2 2001:db8::1 "$LINK_LOCAL%cable"; do tcp_leads_to "$address" session; done
}

all_nodes_hear() {
    client udp6 sendto ff02::1%cable "$SENTINEL2" to-all-nodes && grep -qF "to-all-nodes $LINK_LOCAL " "$(log_of far6)"
}

@test "broadcast and multicast go where they say" {
    two_hosts
    far host_udp far4 0.0.0.0 "$SENTINEL"
    far host_udp far6 :: "$SENTINEL2"
    for address in 255.255.255.255 224.0.0.0/4; do "${ENTER[@]}" ip route add "$address" dev cable; done
    for address in 192.0.2.255 255.255.255.255 224.0.0.1; do
        says ok udp4 broadcast sendto "$address" "$SENTINEL" "to-$address"
        arrives far4 "to-$address 192.0.2.1"
    done
    says EACCES udp4 sendto 192.0.2.255 "$SENTINEL" x
    # The far host hears it from when on its interface is through with itself.
    wait_for "$PATIENCE" all_nodes_hear || fail "not received: to-all-nodes"
}

# --- The kernel's word -------------------------------------------------------------------------------------------------

@test "connect: short, long, NULL and odd addresses get the kernel's own answer" {
    for way in "${WAYS[@]}"; do
        for socket in tcp4 tcp6 udp4 udp6 unix; do
            for length in 0 1 2 4 8 15 16 17 23 24 27 28 128; do
                # Of another family than the socket's, so that it goes nowhere where it is long enough.
                same "$way" "$socket" family 77 length "$length" connect 127.0.0.1 "$SENTINEL"
            done
            for length in 0 1 2 4 8 15; do
                same "$way" "$socket" length "$length" connect 127.0.0.1 "$SENTINEL"
                same "$way" "$socket" length "$length" connect ::1 "$SENTINEL"
            done
            for length in 129 200 100000 4294967295; do
                same "$way" "$socket" length "$length" connect null 0
            done
            same "$way" "$socket" length 200 connect 127.0.0.1 "$SENTINEL"
            same "$way" "$socket" connect null 0
            same "$way" "$socket" connect low 0
            same "$way" "$socket" connect bad 0
        done
        same "$way" connect 127.0.0.1 "$SENTINEL" # descriptor -1
        same "$way" fd 2 connect 127.0.0.1 "$SENTINEL"
    done
}

@test "connect: what the socket itself does not allow is the kernel's word" {
    host_tcp host 127.0.0.1 "$ORDINARY"
    same tcp4 connect 127.0.0.1 "$ORDINARY" connect 127.0.0.1 "$SENTINEL" # connected already
    same tcp6 connect 127.0.0.1 "$SENTINEL"                               # of another family
    same tcp4 connect ::1 "$SENTINEL"
    same udp4 connect ::1 "$SENTINEL"
    same udp4 sendto ::1 "$SENTINEL" x
    same tcp4 bind 127.0.0.1 0 listen connect 127.0.0.1 "$SENTINEL" # it listens
}

@test "a TCP connection is not redirected by the address of a datagram, which the kernel does not look at" {
    host_tcp host 127.0.0.1 "$ORDINARY"
    for way in "${WAYS[@]}"; do
        for call in sendto sendmsg; do
            same "$way" tcp4 connect 127.0.0.1 "$ORDINARY" "$call" 127.0.0.1 "$SENTINEL" x
        done
    done
}

@test "sockets that are neither TCP nor UDP are left alone" {
    same unix connect 127.0.0.1 "$SENTINEL"
    same unix sendto 127.0.0.1 "$SENTINEL" x
    ((EUID == 0)) || skip "raw sockets are root's"
    same raw4 connect 127.0.0.1 "$SENTINEL" peer
    # Undone, its port reads 0, and it is no more TCP or UDP than before: no port is assigned.
    configure FREEPORT_REPORT="$(report_of raw)"
    for socket in raw4 rawtcp4; do
        same "$socket" connect 127.0.0.1 "$SENTINEL" family 0 connect 127.0.0.1 0 bind 127.0.0.1 "$SENTINEL" name
    done
    same rawtcp4 connect 127.0.0.1 "$SENTINEL" family 0 connect 127.0.0.1 0 bind 127.0.0.1 0 name
    same rawtcp4 connect 127.0.0.1 "$SENTINEL" family 0 connect 127.0.0.1 0 listen
    [[ ! -s $(report_of raw) ]] || fail "assigned: $(cat "$(report_of raw)")"
}
