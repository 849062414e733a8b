# shellcheck shell=bats disable=SC2030,SC2031
# SPDX-License-Identifier: MIT
# The names of sockets inside a session: getsockname, getpeername, accept and accept4.

load client

setup() { client_setup; }

# A TCP server and its client in one program, which are sockets 1 and 2, 0 being the one that listens.
connected() { printf '%s\n' tcp4 reuseaddr bind 127.0.0.1 "$SENTINEL" listen tcp4 connect 127.0.0.1 "$SENTINEL" use 0; }

# --- The sentinel is what a program sees -------------------------------------------------------------------------------

@test "getsockname: a socket that was bound to a sentinel reads as the sentinel" {
    for way in "${WAYS[@]}"; do
        says $'ok\n127.0.0.1 '"$SENTINEL" "$way" tcp4 bind 127.0.0.1 "$SENTINEL" name
        says $'ok\n0.0.0.0 '"$SENTINEL" "$way" udp4 bind 0.0.0.0 "$SENTINEL" name
        says $'ok\n:: '"$SENTINEL" "$way" tcp6 bind :: "$SENTINEL" name
        says $'ok\n::1 '"$SENTINEL" "$way" udp6 bind ::1 "$SENTINEL" name
    done
}

@test "getsockname: a port of the range that stands for no sentinel is read as it is" {
    local port
    port=$(range_port "$RANGE" 50)
    for way in "${WAYS[@]}"; do
        says $'ok\n127.0.0.1 '"$port" "$way" tcp4 bind 127.0.0.1 "$port" name
        run -0 client "$way" tcp4 bind 127.0.0.1 0 name
        assert_in_range "${lines[1]##* }" "$RANGE"
    done
}

@test "getsockname: the same number in the other protocol is another port" {
    configure FREEPORT_SENTINELS="$SENTINEL/tcp"
    server session tcp4 bind 127.0.0.1 "$SENTINEL" listen stay
    local real
    real=$(real_port session tcp)
    says $'ok\n127.0.0.1 '"$real" udp4 bind 127.0.0.1 "$real" name
}

@test "getpeername: a client's peer is the sentinel, over TCP and UDP" {
    tcp_server session-tcp :: "$SENTINEL"
    udp_server session-udp :: "$SENTINEL"
    for way in "${WAYS[@]}"; do
        for address in 127.0.0.1 127.0.0.5 ::1 ::ffff:127.0.0.1; do
            for protocol in tcp udp; do
                says $'ok\n'"$address $SENTINEL" "$way" "$protocol$(family_of "$address")" \
                    connect "$address" "$SENTINEL" peer
            done
        done
        says $'ok\n::1 '"$SENTINEL" "$way" tcp6 connect :: "$SENTINEL" peer
    done
}

@test "accept, accept4: the accepted socket's own name is the sentinel, its peer the client's" {
    for way in "${WAYS[@]}"; do
        for call in accept accept4; do
            # The client's own name is the kernel's choice: the peer of the accepted one, and what accept said.
            mapfile -t words < <(connected)
            run -0 client "$way" "${words[@]}" "$call" name peer use 1 name peer
            assert_line --index 4 "127.0.0.1 $SENTINEL"
            assert_equal "${lines[5]}" "${lines[3]}"
            assert_equal "${lines[6]}" "${lines[3]}"
            assert_line --index 7 "127.0.0.1 $SENTINEL"
            assert_regex "${lines[3]}" '^127\.0\.0\.1 [0-9]+$'
            assert_not_equal "${lines[3]}" "127.0.0.1 $SENTINEL"
        done
    done
}

@test "accept, accept4: a client that is bound to a sentinel itself is seen with it" {
    for way in "${WAYS[@]}"; do
        for call in accept accept4; do
            says "$(printf '%s\n' ok ok ok ok "127.0.0.1 $SENTINEL2" "127.0.0.1 $SENTINEL2")" "$way" \
                tcp4 reuseaddr bind 127.0.0.1 "$SENTINEL" listen tcp4 reuseaddr bind 127.0.0.1 "$SENTINEL2" \
                connect 127.0.0.1 "$SENTINEL" use 0 "$call" peer
        done
    done
}

@test "accept without a name" {
    mapfile -t words < <(connected)
    for way in "${WAYS[@]}"; do
        for call in accept accept4; do
            says "$(printf '%s\n' ok ok ok ok "127.0.0.1 $SENTINEL")" "$way" "${words[@]}" room null "$call" room 128 name
        done
    done
}

@test "FREEPORT_SOCKNAME=real: each of them reads the real port" {
    configure FREEPORT_SOCKNAME=real
    tcp_server session 127.0.0.1 "$SENTINEL"
    udp_server session-udp 127.0.0.1 "$SENTINEL"
    local real real_udp
    real=$(real_port session tcp)
    real_udp=$(real_port session-udp udp)
    for way in "${WAYS[@]}"; do
        says "$(printf '%s\n' ok "127.0.0.1 $real" session)" "$way" tcp4 connect 127.0.0.1 "$SENTINEL" peer read
        for call in recvfrom recvmsg 'recvmmsg 1'; do
            # shellcheck disable=SC2086
            says "$(printf '%s\n' ok "session-udp:x 127.0.0.1 $real_udp")" "$way" \
                udp4 sendto 127.0.0.1 "$SENTINEL" x $call
        done
    done
    # The server's log has the own name of the accepted socket.
    assert_regex "$(heard session | tail -n 1)" "^from 127\.0\.0\.1 [0-9]+ at 127\.0\.0\.1 $real\$"
    run -0 client tcp4 bind 127.0.0.1 "$SENTINEL2" name
    assert_in_range "${lines[1]##* }" "$RANGE"
}

# --- By its own number -------------------------------------------------------------------------------------------------

# kept: the port that the session keeps for the sentinel, as --export tells it.
kept() { client FREEPORT_SOCKNAME=real udp4 connect 127.0.0.1 "$SENTINEL" peer | sed -n 's/^127.0.0.1 //p'; }

@test "a server that bound the real port by its number reads that number, its inherited and passed sockets too" {
    local real path=$BATS_TEST_TMPDIR/socket
    real=$(kept)
    for way in "${WAYS[@]}"; do
        says "$(printf '%s\n' ok "127.0.0.1 $real" "127.0.0.1 $real" "127.0.0.1 $real")" "$way" \
            udp4 bind 127.0.0.1 "$real" name dup name exec "$way" name
        # The server is another program now, and binds the sentinel.
        says $'ok\n127.0.0.1 '"$SENTINEL" "$way" udp4 bind 127.0.0.1 "$SENTINEL" name
    done
    # One after the other in one process: what came last counts.
    says "$(printf '%s\n' ok "127.0.0.1 $real" ok ok "127.0.0.1 $SENTINEL")" udp4 bind 127.0.0.1 "$real" name close \
        udp4 bind 127.0.0.1 "$SENTINEL" name
    shim_background taker "$FREEPORT_PROGRAMS/fpclient" take "$path" name stay
    wait_ready taker
    says "$(printf '%s\n' ok ok)" tcp4 bind 127.0.0.1 "$real" listen give "$path"
    wait_for "$PATIENCE" grep -qx "127.0.0.1 $real" "$(log_of taker)"
}

@test "a client that used the real port by its number sees that number, and one that used the sentinel the sentinel" {
    tcp_server session-tcp 127.0.0.1 "$SENTINEL"
    udp_server session-udp 127.0.0.1 "$SENTINEL"
    local real
    real=$(real_port session-tcp tcp)
    assert_equal "$(real_port session-udp udp)" "$real"
    for way in "${WAYS[@]}"; do
        says $'ok\n127.0.0.1 '"$real" "$way" tcp4 connect 127.0.0.1 "$real" peer
        says $'ok\n127.0.0.1 '"$real" "$way" udp4 connect 127.0.0.1 "$real" peer
        for receive in recvfrom recvmsg 'recvmmsg 1'; do
            for send in sendto sendmsg; do
                # shellcheck disable=SC2086
                says "$(printf '%s\n' ok "session-udp:x 127.0.0.1 $real" ok "session-udp:y 127.0.0.1 $SENTINEL")" \
                    "$way" udp4 $send 127.0.0.1 "$real" x $receive $send 127.0.0.1 "$SENTINEL" y $receive
            done
        done
        # The protocols are apart.
        says "$(printf '%s\n' ok ok "127.0.0.1 $SENTINEL" "127.0.0.1 $real")" "$way" udp4 connect 127.0.0.1 "$real" \
            tcp4 connect 127.0.0.1 "$SENTINEL" peer use 0 peer
    done
}

@test "a server that bound the real port by its number, and a client of the sentinel: each sees what it used" {
    local real
    real=$(kept)
    udp_server session 127.0.0.1 "$real"
    for way in "${WAYS[@]}"; do
        says "$(printf '%s\n' ok "session:x 127.0.0.1 $SENTINEL")" "$way" udp4 sendto 127.0.0.1 "$SENTINEL" x recvfrom
        says "$(printf '%s\n' ok "session:x 127.0.0.1 $real")" "$way" udp4 sendto 127.0.0.1 "$real" x recvfrom
    done
    says "$(printf '%s\n' ok "session:x 127.0.0.1 $SENTINEL")" FREEPORT_CONNECT=fallthrough udp4 \
        sendto 127.0.0.1 "$SENTINEL" x recvfrom
}

# --- Whichever way a descriptor came -----------------------------------------------------------------------------------

@test "a duplicated, forked or inherited descriptor reads the sentinel too" {
    for way in "${WAYS[@]}"; do
        says $'ok\n127.0.0.1 '"$SENTINEL" "$way" tcp4 bind 127.0.0.1 "$SENTINEL" dup name
        says $'ok\n127.0.0.1 '"$SENTINEL" "$way" tcp4 bind 127.0.0.1 "$SENTINEL" fork name
        says $'ok\n127.0.0.1 '"$SENTINEL" "$way" tcp4 bind 127.0.0.1 "$SENTINEL" exec "$way" name
    done
    mapfile -t words < <(connected)
    says "$(printf '%s\n' ok ok ok ok "127.0.0.1 $SENTINEL")" "${words[@]}" room null accept exec name
    says "$(printf '%s\n' ok ok ok "127.0.0.1 $SENTINEL")" "${words[@]}" use 1 exec peer
}

@test "a listening socket that is handed to an unrelated process of the session reads the sentinel there" {
    local path=$BATS_TEST_TMPDIR/socket
    shim_background taker "$FREEPORT_PROGRAMS/fpclient" take "$path" name sys name libc serve taker
    wait_ready taker
    # The giver ends: who it was does not matter.
    says $'ok\nok' tcp4 bind 127.0.0.1 "$SENTINEL" listen give "$path"
    wait_for "$PATIENCE" test "$(grep -cx ready "$(log_of taker)")" -eq 2
    assert_equal "$(grep -v ready "$(log_of taker)")" $'127.0.0.1 '"$SENTINEL"$'\n127.0.0.1 '"$SENTINEL"
    says "$(printf '%s\n' ok "127.0.0.1 $SENTINEL" taker)" tcp4 connect 127.0.0.1 "$SENTINEL" peer read
}

@test "handed to a process of another session, or one without the shim, it reads the real port" {
    local path=$BATS_TEST_TMPDIR/socket
    shim_background stranger env FREEPORT_SESSION=another "$FREEPORT_PROGRAMS/fpclient" take "$path.1" name stay
    background plain "$FREEPORT_PROGRAMS/fpclient" take "$path.2" name stay
    wait_ready stranger
    wait_ready plain
    server giver tcp4 bind 127.0.0.1 "$SENTINEL" listen give "$path.1" give "$path.2" stay
    local real
    real=$(real_port giver tcp)
    for name in stranger plain; do
        wait_for "$PATIENCE" grep -q '^127' "$(log_of $name)"
        assert_equal "$(grep '^127' "$(log_of $name)")" "127.0.0.1 $real"
    done
}

# --- The kernel's word -------------------------------------------------------------------------------------------------

@test "room that is too short: the port as far as it fits, and nothing written behind" {
    for way in "${WAYS[@]}"; do
        for room in 0 1 2 3; do
            says $'ok\n'"$room bytes of 16" "$way" tcp4 bind 127.0.0.1 "$SENTINEL" room $room name
            says $'ok\n'"$room bytes of 28" "$way" udp6 bind ::1 "$SENTINEL" room $room name
        done
        for room in 4 8 12; do
            says $'ok\n'"$room bytes of 16, port $SENTINEL" "$way" tcp4 bind 127.0.0.1 "$SENTINEL" room $room name
        done
        for room in 4 24; do
            says $'ok\n'"$room bytes of 28, port $SENTINEL" "$way" udp6 bind ::1 "$SENTINEL" room $room name
        done
        says $'ok\n127.0.0.1 '"$SENTINEL" "$way" tcp4 bind 127.0.0.1 "$SENTINEL" room 16 name
        says $'ok\n::1 '"$SENTINEL" "$way" tcp6 bind ::1 "$SENTINEL" room 28 name
        says $'ok\n::1 '"$SENTINEL" "$way" tcp6 bind ::1 "$SENTINEL" room 1000 name
    done
}

@test "getpeername and accept with room that is too short" {
    mapfile -t words < <(connected)
    for way in "${WAYS[@]}"; do
        for room in 0 1 2 3; do
            says "$(printf '%s\n' ok ok ok "$room bytes of 16")" "$way" "${words[@]}" use 1 room $room peer
            says "$(printf '%s\n' ok ok ok "$room bytes of 16")" "$way" "${words[@]}" room $room accept
        done
        says "$(printf '%s\n' ok ok ok "127.0.0.1 $SENTINEL")" "$way" "${words[@]}" use 1 room 16 peer
    done
}

@test "sockets that are not connected, not bound, closed, or no sockets: the kernel's own answer" {
    for way in "${WAYS[@]}"; do
        for socket in tcp4 tcp6 udp4 udp6 unix; do
            same "$way" "$socket" name peer accept accept4
            same "$way" "$socket" nonblock listen accept accept4
            same "$way" "$socket" close name peer accept accept4
        done
        same "$way" name peer accept accept4
        same "$way" fd 2 name peer accept accept4
        same "$way" tcp4 bind 127.0.0.1 "$ORDINARY" name listen nonblock accept
        same "$way" unix bindpath "" name
    done
}

@test "NULL and odd pointers: the kernel's own answer" {
    for way in "${WAYS[@]}"; do
        for call in name peer accept accept4; do
            for socket in tcp4 udp4 unix; do
                same "$way" "$socket" oddname "$call" 0 0 oddname "$call" 0 room oddname "$call" room 0
            done
        done
        same "$way" tcp4 bind 127.0.0.1 "$ORDINARY" oddname name 0 room oddname name 16 room oddname name room 0
    done
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer reads the length first"
    for way in "${WAYS[@]}"; do
        same "$way" tcp4 bind 127.0.0.1 "$ORDINARY" oddname name room 16
        same "$way" udp4 connect 127.0.0.1 "$ORDINARY" oddname peer room 16
    done
}

@test "a name or a length in memory that can't be read: the kernel's own answer" {
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer reads the length first"
    for way in "${WAYS[@]}"; do
        same "$way" tcp4 bind 127.0.0.1 "$ORDINARY" oddname name room none oddname name none room \
            udp4 connect 127.0.0.1 "$ORDINARY" oddname peer room none oddname peer none room
        for call in accept accept4; do
            same "$way" tcp4 reuseaddr bind 127.0.0.1 "$ORDINARY" listen tcp4 connect 127.0.0.1 "$ORDINARY" \
                tcp4 connect 127.0.0.1 "$ORDINARY" use 0 oddname "$call" room none oddname "$call" none room
        done
    done
}

@test "a UNIX socket's name is its path" {
    local path=$BATS_TEST_TMPDIR/a-path
    for way in "${WAYS[@]}"; do
        says $'ok\nfamily 1' "$way" unix bindpath "$path" name
        rm "$path"
    done
}

# --- Other hosts -------------------------------------------------------------------------------------------------------

@test "a port of another host that has our real port's number is read as it is" {
    two_hosts
    tcp_server session :: "$SENTINEL"
    udp_server session-udp :: "$SENTINEL"
    local real real_udp
    real=$(real_port session tcp)
    real_udp=$(real_port session-udp udp)
    far host_tcp far :: "$real"
    far host_udp far-udp :: "$real_udp"
    for way in "${WAYS[@]}"; do
        for address in 192.0.2.9 2001:db8::9 ::ffff:192.0.2.9; do
            local family
            family=$(family_of "$address")
            says "$(printf '%s\n' ok "$address $real" far)" "$way" "tcp$family" connect "$address" "$real" peer read
            for call in recvfrom recvmsg 'recvmmsg 1'; do
                # shellcheck disable=SC2086
                says "$(printf '%s\n' ok "far-udp:x $address $real_udp")" "$way" "udp$family" \
                    sendto "$address" "$real_udp" x $call
            done
        done
    done
}

@test "the host's own addresses read as the sentinel: of an interface, a secondary one, link-local" {
    two_hosts
    tcp_server session :: "$SENTINEL"
    for way in "${WAYS[@]}"; do
        for address in 192.0.2.1 192.0.2.2 2001:db8::1 ::ffff:192.0.2.1; do
            says "$(printf '%s\n' ok "$address $SENTINEL" session)" "$way" "tcp$(family_of "$address")" \
                connect "$address" "$SENTINEL" peer read
        done
        says "$(printf '%s\n' ok "$LINK_LOCAL $SENTINEL" session)" "$way" tcp6 connect "$LINK_LOCAL%cable" "$SENTINEL" \
            peer read
    done
}

@test "a server is seen by another host with its real port, and sees its own name as the sentinel" {
    two_hosts
    tcp_server session 0.0.0.0 "$SENTINEL"
    local real
    real=$(real_port session tcp)
    run -0 far plain tcp4 connect 192.0.2.1 "$real" peer read
    assert_output "$(printf '%s\n' ok "192.0.2.1 $real" session)"
    assert_regex "$(heard session)" "^from 192\.0\.2\.9 [0-9]+ at 192\.0\.2\.1 $SENTINEL\$"
}
