# shellcheck shell=bats disable=SC2030,SC2031
# SPDX-License-Identifier: MIT
# Datagrams inside a session: where sendto, sendmsg and sendmmsg lead, and whom recvfrom, recvmsg and recvmmsg name.

load client

setup() { client_setup; }

# As a line of the client's for each argument.
lines_of() { printf '%s\n' "$@"; }

# --- There and back ----------------------------------------------------------------------------------------------------

@test "an unconnected client sees the answer come from the sentinel, by each call" {
    host_udp host :: "$SENTINEL"
    udp_server session :: "$SENTINEL"
    for way in "${WAYS[@]}"; do
        for address in 127.0.0.1 ::1 ::ffff:127.0.0.1; do
            for send in sendto sendmsg 'sendmmsg 1'; do
                local sent=ok
                [[ $send != sendmmsg* ]] || sent='1 sent'
                for receive in recvfrom recvmsg 'recvmmsg 3'; do
                    # shellcheck disable=SC2086
                    says "$(lines_of "$sent" "session:x $address $SENTINEL")" "$way" "udp$(family_of "$address")" \
                        $send "$address" "$SENTINEL" x $receive
                done
            done
        done
    done
    assert_equal "$(heard host)" ""
}

@test "an unconnected client sees the answer come from the sentinel, by recvfrom with _FORTIFY_SOURCE" {
    udp_server session 127.0.0.1 "$SENTINEL"
    nm -D "$FREEPORT_PROGRAMS/fpclient_checked" | grep -q ' __recvfrom_chk' || fail "it is not what it is here for"
    run -0 shim "$FREEPORT_PROGRAMS/fpclient_checked" udp4 sendto 127.0.0.1 "$SENTINEL" x recvfrom \
        sendto 127.0.0.1 "$SENTINEL" y room 16 recvfrom sendto 127.0.0.1 "$SENTINEL" z room null recvfrom
    assert_output "$(lines_of ok "session:x 127.0.0.1 $SENTINEL" ok "session:y 127.0.0.1 $SENTINEL" ok session:z)"
}

@test "an answer to the wildcard comes from where the kernel says, with the sentinel" {
    udp_server session 0.0.0.0 "$SENTINEL"
    for way in "${WAYS[@]}"; do
        says "$(lines_of ok "session:x 127.0.0.1 $SENTINEL")" "$way" udp4 sendto 0.0.0.0 "$SENTINEL" x recvfrom
    done
}

@test "a connected client: by each call, with and without a name" {
    udp_server session 127.0.0.1 "$SENTINEL"
    for way in "${WAYS[@]}"; do
        for receive in recvfrom recvmsg 'recvmmsg 3'; do
            # shellcheck disable=SC2086
            says "$(lines_of ok ok "session:x 127.0.0.1 $SENTINEL" ok "session:y 127.0.0.1 $SENTINEL")" "$way" udp4 \
                connect 127.0.0.1 "$SENTINEL" send x $receive sendmsgto y $receive
            # A connected one may still send elsewhere, by its address.
            # shellcheck disable=SC2086
            says "$(lines_of ok ok "session:x 127.0.0.1 $SENTINEL")" "$way" udp4 \
                connect 127.0.0.1 "$SENTINEL" sendto 127.0.0.1 "$SENTINEL" x $receive
        done
    done
}

@test "a client that is bound to a sentinel itself: the server sees it, and answers it" {
    udp_server session 127.0.0.1 "$SENTINEL"
    for way in "${WAYS[@]}"; do
        for receive in recvfrom recvmsg 'recvmmsg 1'; do
            # shellcheck disable=SC2086
            says "$(lines_of ok "127.0.0.1 $SENTINEL2" ok "session:x 127.0.0.1 $SENTINEL")" "$way" udp4 \
                bind 127.0.0.1 "$SENTINEL2" name sendto 127.0.0.1 "$SENTINEL" x $receive
        done
    done
    assert_equal "$(heard session | sort -u)" "x 127.0.0.1 $SENTINEL2"
}

@test "a program that answers whom it has seen, by each call" {
    for way in "${WAYS[@]}"; do
        for receive in recvfrom recvmsg; do
            says "$(lines_of ok ok ok "hello 127.0.0.1 $SENTINEL2" ok "bye 127.0.0.1 $SENTINEL")" "$way" \
                udp4 bind 127.0.0.1 "$SENTINEL" udp4 bind 127.0.0.1 "$SENTINEL2" sendto 127.0.0.1 "$SENTINEL" hello \
                use 0 "$receive" reply bye use 1 "$receive"
        done
    done
}

@test "datagrams that are nobody's sentinel: as without the shim" {
    host_udp host 127.0.0.1 "$ORDINARY"
    for way in "${WAYS[@]}"; do
        for receive in recvfrom recvmsg 'recvmmsg 3'; do
            # shellcheck disable=SC2086
            same "$way" udp4 sendto 127.0.0.1 "$ORDINARY" x $receive sendmsg 127.0.0.1 "$ORDINARY" y $receive \
                sendmmsg 1 127.0.0.1 "$ORDINARY" z $receive
        done
    done
}

# --- sendmmsg ----------------------------------------------------------------------------------------------------------

@test "sendmmsg: each of its messages goes where it has to, in their order" {
    host_udp host :: "$ORDINARY"
    udp_server one 127.0.0.1 "$SENTINEL"
    udp_server two 127.0.0.1 "$SENTINEL2"
    local -a answers=("host:1 127.0.0.1 $ORDINARY" "one:2 127.0.0.1 $SENTINEL" "one:3 127.0.0.1 $SENTINEL"
        "host:4 127.0.0.1 $ORDINARY" "host:5 127.0.0.1 $ORDINARY" "two:6 127.0.0.1 $SENTINEL2"
        "host:7 127.0.0.1 $ORDINARY")
    for way in "${WAYS[@]}"; do
        run -0 client "$way" udp4 sendmmsg 7 127.0.0.1 "$ORDINARY" 1 127.0.0.1 "$SENTINEL" 2 127.0.0.1 "$SENTINEL" 3 \
            127.0.0.1 "$ORDINARY" 4 127.0.0.1 "$ORDINARY" 5 127.0.0.1 "$SENTINEL2" 6 127.0.0.1 "$ORDINARY" 7 \
            recvfrom recvfrom recvfrom recvfrom recvfrom recvfrom recvfrom
        assert_line --index 0 '7 sent'
        assert_equal "$(sort <<<"$output")" "$(printf '%s\n' '7 sent' "${answers[@]}" | sort)"
    done
    assert_equal "$(heard host | cut -d' ' -f1 | paste -sd' ')" '1 4 5 7 1 4 5 7'
    assert_equal "$(heard one | cut -d' ' -f1 | paste -sd' ')" '2 3 2 3'
}

@test "sendmmsg: on a connected socket, with and without names" {
    udp_server one 127.0.0.1 "$SENTINEL"
    udp_server two 127.0.0.1 "$SENTINEL2"
    for way in "${WAYS[@]}"; do
        says "$(lines_of ok '4 sent')" "$way" udp4 connect 127.0.0.1 "$SENTINEL" sendmmsg 4 null 0 1 \
            127.0.0.1 "$SENTINEL2" 2 127.0.0.1 "$SENTINEL" 3 null 0 4
    done
    wait_for "$PATIENCE" test "$(heard one | wc -l)" -eq 6
    assert_equal "$(heard one | cut -d' ' -f1 | paste -sd' ')" '1 3 4 1 3 4'
    assert_equal "$(heard two | cut -d' ' -f1 | paste -sd' ')" '2 2'
}

@test "sendmmsg: an error counts only where nothing was sent before it, and errno only then" {
    host_udp host 127.0.0.1 "$ORDINARY"
    udp_server session 127.0.0.1 "$SENTINEL"
    for way in "${WAYS[@]}"; do
        # To a sentinel that nobody has bound, the kernel sends as to any port that nobody has.
        says '2 sent' "$way" udp4 sendmmsg 2 127.0.0.1 "$SENTINEL2" 1 127.0.0.1 "$ORDINARY" 2
        says '2 sent' "$way" udp4 sendmmsg 2 127.0.0.1 "$ORDINARY" 1 127.0.0.1 "$SENTINEL2" 2
        says '3 sent' "$way" udp4 sendmmsg 3 127.0.0.1 "$ORDINARY" 1 127.0.0.1 "$SENTINEL2" 2 127.0.0.1 "$SENTINEL" 3
        # The kernel's: it has no room for an IPv6 address there.
        says EAFNOSUPPORT "$way" udp4 sendmmsg 2 ::2 "$ORDINARY" 1 127.0.0.1 "$SENTINEL" 2
        says '1 sent' "$way" udp4 sendmmsg 2 127.0.0.1 "$SENTINEL" 1 ::2 "$ORDINARY" 2
        says '1 sent' "$way" udp4 sendmmsg 3 127.0.0.1 "$ORDINARY" 1 ::2 "$ORDINARY" 2 127.0.0.1 "$SENTINEL" 3
        says '2 sent' "$way" udp4 sendmmsg 3 127.0.0.1 "$SENTINEL" 1 127.0.0.1 "$SENTINEL" 2 null 0 3
        same "$way" udp4 sendmmsg 2 null 0 1 127.0.0.1 "$ORDINARY" 2
        same "$way" udp4 sendmmsg 2 127.0.0.1 "$ORDINARY" 1 null 0 2
        same "$way" udp4 sendmmsg 0
    done
}

@test "sendmmsg, recvmmsg: two thousand messages, of which the kernel sends 1024" {
    same udp4 sendnumbers 2000 127.0.0.1 "$ORDINARY"
    server session udp4 bind 127.0.0.1 "$SENTINEL2" stay
    says '1024 instead of 2000' udp4 sendnumbers 2000 127.0.0.1 "$SENTINEL2"
    says '1024 instead of 2000' sys udp4 sendnumbers 2000 127.0.0.1 "$SENTINEL2"
}

# --- recvmmsg ----------------------------------------------------------------------------------------------------------

# From a socket that is bound to a sentinel, in one program.
receives() {
    run -0 client "$1" udp4 bind 127.0.0.1 "$SENTINEL" largebuffer udp4 bind 127.0.0.1 "$SENTINEL2" \
        "${@:3}" use 0 recvmmsg "$2"
}

@test "recvmmsg: many messages, all from the sentinel, with more of them than one would have room for" {
    for way in "${WAYS[@]}"; do
        receives "$way" 100 sendnumbers 70 127.0.0.1 "$SENTINEL"
        assert_equal "$(grep " 127.0.0.1 " <<<"$output")" "$(seq -f "%.0f 127.0.0.1 $SENTINEL2" 70)"
    done
}

@test "recvmmsg: more messages than sendmmsg takes at once" {
    ((EUID == 0)) || skip "only root has a buffer for so many"
    for way in "${WAYS[@]}"; do
        receives "$way" 1200 sendnumbers 1000 127.0.0.1 "$SENTINEL" sendnumbers 200 127.0.0.1 "$SENTINEL"
        # However many come at once, each of them has the right name.
        assert_regex "${lines[-1]}" "^[0-9]+ 127\.0\.0\.1 $SENTINEL2\$"
        assert_equal "$(tail -n +5 <<<"$output")" "$( (seq 1000; seq 200) | sed "s/\$/ 127.0.0.1 $SENTINEL2/")"
    done
}

@test "recvmmsg: rooms of all kinds next to each other" {
    for way in "${WAYS[@]}"; do
        run -0 client "$way" udp4 bind 127.0.0.1 "$SENTINEL" udp4 bind 127.0.0.1 "$SENTINEL2" \
            sendnumbers 14 127.0.0.1 "$SENTINEL" use 0 recvmmsgmixed 14
        local at
        for at in 0 7; do
            assert_line --index $((at + 3)) "$((at + 1)) 127.0.0.1 $SENTINEL2"
            assert_line --index $((at + 4)) "$((at + 2))"
            assert_line --index $((at + 5)) "$((at + 3)) 4 bytes of 16, port $SENTINEL2"
            assert_line --index $((at + 6)) "$((at + 4)) 2 bytes of 16"
            assert_line --index $((at + 7)) "$((at + 5)) 0 bytes of 16"
            assert_line --index $((at + 8)) "$((at + 6)) 127.0.0.1 $SENTINEL2"
            assert_line --index $((at + 9)) "$((at + 7)) 127.0.0.1 $SENTINEL2"
        done
        assert_equal "${#lines[@]}" 17
    done
}

# --- The kernel's word -------------------------------------------------------------------------------------------------

@test "recvfrom, recvmsg: rooms of all lengths, and no name" {
    udp_server session :: "$SENTINEL"
    for way in "${WAYS[@]}"; do
        for receive in recvfrom recvmsg 'recvmmsg 1'; do
            for room in 0 1 2 3; do
                # shellcheck disable=SC2086
                says "$(lines_of ok "session:x $room bytes of 16")" "$way" udp4 sendto 127.0.0.1 "$SENTINEL" x \
                    room $room $receive
            done
            for room in 4 8 12 24; do
                # shellcheck disable=SC2086
                says "$(lines_of ok "session:x $room bytes of 28, port $SENTINEL")" "$way" udp6 \
                    sendto ::1 "$SENTINEL" x room $room $receive
            done
            for room in 4 8 12; do
                # shellcheck disable=SC2086
                says "$(lines_of ok "session:x $room bytes of 16, port $SENTINEL")" "$way" udp4 \
                    sendto 127.0.0.1 "$SENTINEL" x room $room $receive
            done
            # shellcheck disable=SC2086
            says "$(lines_of ok session:x)" "$way" udp4 sendto 127.0.0.1 "$SENTINEL" x room null $receive
            # shellcheck disable=SC2086
            says "$(lines_of ok "session:x 127.0.0.1 $SENTINEL")" "$way" udp4 sendto 127.0.0.1 "$SENTINEL" x \
                room 500 $receive
        done
    done
}

@test "a TCP connection's recvfrom and recvmsg have no name" {
    tcp_server session 127.0.0.1 "$SENTINEL"
    for way in "${WAYS[@]}"; do
        says "$(lines_of ok 'session no name')" "$way" tcp4 connect 127.0.0.1 "$SENTINEL" recvfrom
        says "$(lines_of ok 'session no name')" "$way" tcp4 connect 127.0.0.1 "$SENTINEL" recvmsg
    done
}

@test "short, long, NULL and odd addresses get the kernel's own answer" {
    for way in "${WAYS[@]}"; do
        for socket in udp4 udp6 tcp4 unix; do
            for call in sendto sendmsg 'sendmmsg 1'; do
                for length in 1 2 4 8 15; do
                    # shellcheck disable=SC2086
                    same "$way" "$socket" length $length $call 127.0.0.1 "$SENTINEL" x
                done
                for length in 16 24 128; do
                    # shellcheck disable=SC2086
                    same "$way" "$socket" family 77 length $length $call 127.0.0.1 "$SENTINEL" x
                done
                # shellcheck disable=SC2086
                same "$way" "$socket" length 4294967295 $call 127.0.0.1 "$SENTINEL" x
                # shellcheck disable=SC2086
                same "$way" "$socket" $call null 0 x
                # shellcheck disable=SC2086
                same "$way" "$socket" $call low 0 x
            done
            same "$way" "$socket" length 200 sendto 127.0.0.1 "$SENTINEL" x
            same "$way" "$socket" length 0 sendto 127.0.0.1 "$SENTINEL" x
        done
        same "$way" sendto 127.0.0.1 "$SENTINEL" x sendmsg 127.0.0.1 "$SENTINEL" x sendmmsg 1 127.0.0.1 "$SENTINEL" x
        same "$way" fd 2 sendto 127.0.0.1 "$SENTINEL" x sendmsg 127.0.0.1 "$SENTINEL" x
        same "$way" udp4 nonblock recvfrom recvmsg recvmmsg 3
        same "$way" tcp4 nonblock recvfrom recvmsg recvmmsg 3
        same "$way" recvfrom recvmsg recvmmsg 3
        same "$way" udp4 sendmsgnull 0 recvmsgnull 0
    done
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer reads the header first"
    for way in "${WAYS[@]}"; do same "$way" udp4 sendmsgnull 64 recvmsgnull 64; done
}

@test "a header or a length in memory that can't be read: the kernel's own answer" {
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer reads the header first"
    for way in "${WAYS[@]}"; do
        same "$way" udp4 sendmsgnull none recvmsgnull none
        same "$way" udp4 sendmmsgodd none 1 sendmmsgodd none 2000 recvmmsgodd none 1 recvmmsgodd none 2000
        same "$way" udp4 bind 127.0.0.1 "$ORDINARY" sendto 127.0.0.1 "$ORDINARY" x recvfromodd none
    done
}
