# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# Clients of a sentinel that nobody in the session has bound, and clients that join a session by its name alone.

load client

setup() { client_setup; }

# --- Nobody has bound it -------------------------------------------------------------------------------------------------

@test "where nobody has bound the sentinel, a program sees what it sees of a port that nobody has" {
    local socket address
    for way in "${WAYS[@]}"; do
        for address in 127.0.0.1 ::1; do
            socket=udp$(family_of "$address")
            same "$way" "$socket" connect "$address" "$SENTINEL" peer send x recvfrom send y send z
            same "$way" "$socket" sendto "$address" "$SENTINEL" x sendto "$address" "$SENTINEL" y nonblock recvfrom
            same "$way" "$socket" recverr sendto "$address" "$SENTINEL" x sendto "$address" "$SENTINEL" y
            same "$way" "$socket" sendmmsg 3 "$address" "$SENTINEL" x "$address" "$ORDINARY" y "$address" "$SENTINEL" z
            same "$way" "$socket" connect "$address" "$SENTINEL" sendmmsg 2 null 0 x "$address" "$ORDINARY" y
            socket=tcp$(family_of "$address")
            same "$way" "$socket" connect "$address" "$SENTINEL" peer connect "$address" "$SENTINEL"
            # A send without a connection needs no address. The errors of a connection that failed are the kernel's, too.
            same "$way" "$socket" sendto "$address" "$SENTINEL" x
            same "$way" "$socket" sendmsg "$address" "$SENTINEL" x
            same "$way" "$socket" nonblock connect "$address" "$SENTINEL" listen
            same "$way" "$socket" nonblock connect "$address" "$SENTINEL" connected listen
            same "$way" "$socket" fastopen "$address" "$SENTINEL" x
            same "$way" "$socket" family 0 fastopen "$address" "$SENTINEL" x
            same "$way" "$socket" family 0 fastopenmsg "$address" "$SENTINEL" x
        done
    done
}

@test "MSG_FASTOPEN with AF_UNSPEC, to a sentinel that is served: the kernel's word" {
    host_tcp host 127.0.0.1 "$SENTINEL"
    tcp_server session 127.0.0.1 "$SENTINEL"
    for way in "${WAYS[@]}"; do
        same "$way" tcp4 family 0 fastopen 127.0.0.1 "$SENTINEL" x
        same "$way" tcp4 nonblock family 0 fastopenmsg 127.0.0.1 "$SENTINEL" x
    done
}

# --- A client that is there before its server ----------------------------------------------------------------------------

@test "a UDP client that was there before its server is heard" {
    host_udp host 127.0.0.1 "$SENTINEL"
    for way in "${WAYS[@]}"; do
        server "client-$way" FREEPORT_SESSION="$way" "$way" udp4 connect 127.0.0.1 "$SENTINEL" udp4 \
            sendto 127.0.0.1 "$SENTINEL" early sh "echo ready; until [ -e $BATS_TEST_TMPDIR/go-$way ]; do sleep 0.05; done" \
            use 0 send connected recvfrom use 1 sendto 127.0.0.1 "$SENTINEL" late recvfrom stay
        udp_server "server-$way" FREEPORT_SESSION="$way" 127.0.0.1 "$SENTINEL"
        touch "$BATS_TEST_TMPDIR/go-$way"
        wait_for "$PATIENCE" grep -qx "server-$way:late 127.0.0.1 $SENTINEL" "$(log_of "client-$way")"
        grep -qx "server-$way:connected 127.0.0.1 $SENTINEL" "$(log_of "client-$way")" || fail "not heard: connected"
    done
    assert_equal "$(heard host)" ""
}

@test "a server binds the port that was kept for its clients, in either protocol and whoever else has come since" {
    for protocol in tcp udp; do
        configure FREEPORT_SESSION="$protocol"
        run -0 client FREEPORT_SOCKNAME=real udp4 connect 127.0.0.1 "$SENTINEL" peer
        local kept=${lines[1]##* }
        assert_in_range "$kept" "$RANGE"
        says ECONNREFUSED FREEPORT_SESSION=another tcp4 connect 127.0.0.1 "$SENTINEL"
        says ECONNREFUSED tcp4 connect 127.0.0.1 "$SENTINEL"
        "${protocol}_server" "server-$protocol" 127.0.0.1 "$SENTINEL"
        assert_equal "$(real_port "server-$protocol" "$protocol")" "$kept"
    done
    tcp_leads_to 127.0.0.1 server-tcp FREEPORT_SESSION=tcp
    udp_leads_to 127.0.0.1 server-udp FREEPORT_SESSION=udp
}

@test "a kept port that a foreign process has bound leads no client there, and another is kept" {
    run -0 client FREEPORT_SOCKNAME=real udp4 connect 127.0.0.1 "$SENTINEL" peer
    local kept=${lines[1]##* }
    host_tcp foreign-tcp 127.0.0.1 "$kept"
    host_udp foreign-udp 127.0.0.1 "$kept"
    for way in "${WAYS[@]}"; do
        says ECONNREFUSED "$way" tcp4 connect 127.0.0.1 "$SENTINEL"
        says $'ok\nok\nECONNREFUSED' "$way" udp4 connect 127.0.0.1 "$SENTINEL" send x recvfrom
    done
    run -0 client FREEPORT_SOCKNAME=real udp4 connect 127.0.0.1 "$SENTINEL" peer
    assert_not_equal "${lines[1]##* }" "$kept"
    assert_equal "$(heard foreign-tcp)$(heard foreign-udp)" ""
}

@test "the same where the client that it was kept for is there still" {
    server waiting FREEPORT_SOCKNAME=real udp4 connect 127.0.0.1 "$SENTINEL" peer stay
    local kept
    kept=$(sed -n 's/^127.0.0.1 //p' "$(log_of waiting)")
    host_udp foreign 127.0.0.1 "$kept"
    says $'ok\nok\nECONNREFUSED' udp4 connect 127.0.0.1 "$SENTINEL" send x recvfrom
    assert_equal "$(heard foreign)" ""
    udp_server session 127.0.0.1 "$SENTINEL"
    udp_leads_to 127.0.0.1 session
    assert_not_equal "$(real_port session udp)" "$kept"
}

@test "a kept port that nobody has bound is none to fall through from" {
    host_udp host 127.0.0.1 "$SENTINEL"
    says ok udp4 connect 127.0.0.1 "$SENTINEL"
    udp_leads_to 127.0.0.1 host FREEPORT_CONNECT=fallthrough
    # Nor does a bind that the kernel refused make it one.
    says EADDRNOTAVAIL udp4 bind 192.0.2.77 "$SENTINEL"
    udp_leads_to 127.0.0.1 host FREEPORT_CONNECT=fallthrough
    udp_server session 127.0.0.1 "$SENTINEL"
    udp_leads_to 127.0.0.1 session FREEPORT_CONNECT=fallthrough
}

@test "no port is left to be kept: the kernel refuses, one line says so, and nobody else is reached" {
    local port
    port=$(range_port "$RANGE" 7)
    configure FREEPORT_TCP="$port" FREEPORT_UDP="$port"
    host_tcp host-tcp 127.0.0.1 "$SENTINEL"
    host_udp host-udp 127.0.0.1 "$SENTINEL"
    host_tcp foreign-tcp 127.0.0.1 "$port"
    host_udp foreign-udp 127.0.0.1 "$port"
    run -0 --separate-stderr client tcp4 connect 127.0.0.1 "$SENTINEL"
    assert_output ECONNREFUSED
    assert_regex "$stderr" "^freeport: tcp $SENTINEL is a sentinel, .*no port could be kept for it[^"$'\n'"]*\$"
    says $'ok\nok\nECONNREFUSED' FREEPORT_LOG=quiet udp4 connect 127.0.0.1 "$SENTINEL" send x recvfrom
    assert_equal "$(heard host-tcp)$(heard host-udp)$(heard foreign-tcp)$(heard foreign-udp)" ""
}

@test "FREEPORT_LOG=info: one line says that nobody has bound the sentinel, and where the call goes" {
    run -0 --separate-stderr client FREEPORT_LOG=info udp4 sendto 127.0.0.1 "$SENTINEL" x
    assert_output ok
    assert_regex "$stderr" "^freeport: udp $SENTINEL is a sentinel, and nobody in this session has bound it: the call goes \
to port [0-9]+, which is kept for it; FREEPORT_CONNECT=fallthrough would let it through\$"
}

# --- Who joins the session -----------------------------------------------------------------------------------------------

@test "who joins a session knows its sentinels: connect, sends, names and binds" {
    configure FREEPORT_SENTINELS=
    host_tcp host-tcp 127.0.0.1 "$SENTINEL"
    host_udp host-udp 127.0.0.1 "$SENTINEL"
    tcp_server session-tcp FREEPORT_SENTINELS="$SENTINEL" 127.0.0.1 "$SENTINEL"
    udp_server session-udp FREEPORT_SENTINELS="$SENTINEL" 127.0.0.1 "$SENTINEL"
    tcp_leads_to 127.0.0.1 session-tcp
    udp_leads_to 127.0.0.1 session-udp
    for way in "${WAYS[@]}"; do
        says $'ok\n127.0.0.1 '"$SENTINEL" "$way" tcp4 connect 127.0.0.1 "$SENTINEL" peer
        for send in sendto sendmsg 'sendmmsg 1'; do
            # shellcheck disable=SC2086
            run -0 client "$way" udp4 $send 127.0.0.1 "$SENTINEL" x recvfrom
            assert_line --index 1 "session-udp:x 127.0.0.1 $SENTINEL"
        done
        says $'ok\n127.0.0.2 '"$SENTINEL" "$way" tcp4 bind 127.0.0.2 "$SENTINEL" name
        says EADDRINUSE "$way" tcp4 bind 127.0.0.1 "$SENTINEL"
    done
    says $'ok\n127.0.0.2 '"$(real_port session-tcp tcp)" FREEPORT_SOCKNAME=real tcp4 bind 127.0.0.2 "$SENTINEL" name
    # Another session, and a number that the session has nothing for: the host's.
    tcp_leads_to 127.0.0.1 host-tcp FREEPORT_SESSION=another
    udp_leads_to 127.0.0.1 host-udp FREEPORT_SESSION=another
    host_tcp other 127.0.0.1 "$SENTINEL2"
    says $'ok\nother' tcp4 connect 127.0.0.1 "$SENTINEL2" read
    assert_equal "$(heard host-tcp | wc -l) $(heard host-udp | wc -l)" "2 2" # two ways each
    # By their own settings.
    tcp_leads_to 127.0.0.1 host-tcp FREEPORT_CONNECT=off
    says $'ok\n127.0.0.1 '"$(real_port session-tcp tcp)" FREEPORT_SOCKNAME=real tcp4 connect 127.0.0.1 "$SENTINEL" peer
}

@test "who joins a session: what one of its clients has named is not the host's" {
    host_tcp host 127.0.0.1 "$SENTINEL"
    says ECONNREFUSED tcp4 connect 127.0.0.1 "$SENTINEL"
    for sentinels in '' all; do
        says ECONNREFUSED FREEPORT_SENTINELS="$sentinels" tcp4 connect 127.0.0.1 "$SENTINEL"
        says $'ok\nhost' FREEPORT_SENTINELS="$sentinels" FREEPORT_CONNECT=fallthrough tcp4 connect 127.0.0.1 "$SENTINEL" read
    done
    assert_equal "$(heard host | wc -l)" 2
}

@test "a protocol without a range is untouched, whatever the session has" {
    host_udp host 127.0.0.1 "$SENTINEL"
    udp_server session 127.0.0.1 "$SENTINEL"
    run -0 shim env -u FREEPORT_UDP "$FREEPORT_PROGRAMS/fpclient" udp4 connect 127.0.0.1 "$SENTINEL" send x room null \
        recvfrom
    assert_output $'ok\nok\nhost:x'
}
