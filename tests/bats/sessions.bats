# shellcheck shell=bats disable=SC2030,SC2031
# SPDX-License-Identifier: MIT
# Two sessions and one sentinel: whatever the one does, the other's clients never get there.

load client

setup() { client_setup; }

# finds SESSION PROTOCOL EXPECTED: what a client of the session finds at the sentinel.
finds() {
    local session=$1 protocol=$2 expected=$3
    if [[ $expected == ECONNREFUSED ]]; then
        expect_refusal "$session" "$protocol"
    elif [[ $protocol == tcp ]]; then
        says $'ok\n'"$expected" FREEPORT_SESSION="$session" tcp4 connect 127.0.0.1 "$SENTINEL" read
    else
        says $'ok\n'"$expected:x 127.0.0.1 $SENTINEL" FREEPORT_SESSION="$session" udp4 \
            sendto 127.0.0.1 "$SENTINEL" x recvfrom
    fi
}

# By the kernel: a datagram's refusal comes after it was sent.
expect_refusal() {
    if [[ $2 == tcp ]]; then
        says ECONNREFUSED FREEPORT_SESSION="$1" tcp4 connect 127.0.0.1 "$SENTINEL"
    else
        run -0 client FREEPORT_SESSION="$1" udp4 nonblock connect 127.0.0.1 "$SENTINEL" send x recvfrom
        assert_output $'ok\nok\nECONNREFUSED'
    fi
}

starts() { "$2_server" "$1" FREEPORT_SESSION="$1" 127.0.0.1 "$SENTINEL"; }

# ends SIGNAL PID: and is gone.
ends() {
    local start
    start=$(process_start "$2")
    kill "-$1" "$2"
    wait_for "$PATIENCE" process_is_gone "$2" "$start"
}

# --- Apart -------------------------------------------------------------------------------------------------------------

@test "each session's clients find its own server, whichever started first" {
    for protocol in tcp udp; do
        starts blue $protocol
        finds red $protocol ECONNREFUSED
        finds blue $protocol blue
        starts red $protocol
        finds red $protocol red
        finds blue $protocol blue
        assert_not_equal "$(real_port red $protocol)" "$(real_port blue $protocol)"
        rm "$(report_of red)" "$(report_of blue)"
    done
}

@test "a server that ends, or is killed, leaves its clients refused, not with the other session's server" {
    for protocol in tcp udp; do
        for signal in TERM KILL; do
            for gone in blue red; do
                local -A server=()
                starts blue-$protocol-$signal-$gone $protocol
                server[blue]=$BACKGROUND_PID
                starts red-$protocol-$signal-$gone $protocol
                server[red]=$BACKGROUND_PID
                ends $signal "${server[$gone]}"
                for session in blue red; do
                    local name=$session-$protocol-$signal-$gone
                    if [[ $session == "$gone" ]]; then
                        expect_refusal "$name" $protocol
                    else
                        finds "$name" $protocol "$name"
                    fi
                done
            done
        done
    done
}

@test "a server that starts again has its port again, and its clients with it" {
    for signal in TERM KILL; do
        starts "blue-$signal" tcp
        local blue=$BACKGROUND_PID real
        starts "red-$signal" tcp
        finds "blue-$signal" tcp "blue-$signal"
        real=$(real_port "blue-$signal" tcp)
        ends $signal "$blue"
        rm "$(report_of "blue-$signal")"
        starts "blue-$signal" tcp
        assert_equal "$(real_port "blue-$signal" tcp)" "$real"
        finds "blue-$signal" tcp "blue-$signal"
        finds "red-$signal" tcp "red-$signal"
    done
}

@test "twenty sessions at once, each with its own" {
    local number
    local -a protocols=(tcp udp)
    for number in {1..20}; do starts "session-$number" "${protocols[number % 2]}"; done
    for number in {1..20}; do finds "session-$number" "${protocols[number % 2]}" "session-$number"; done
}

@test "a session is a process tree unless it is named" {
    unset FREEPORT_SESSION
    tcp_server own 127.0.0.1 "$SENTINEL"
    says ECONNREFUSED tcp4 connect 127.0.0.1 "$SENTINEL"
    # A server's children are in its session, also behind a shell.
    says "$(printf '%s\n' ok ok "127.0.0.1 $SENTINEL")" tcp4 bind 127.0.0.1 "$SENTINEL" listen \
        sh "'$FREEPORT_PROGRAMS/fpclient' tcp4 connect 127.0.0.1 $SENTINEL peer | tail -n 1"
}

@test "another session's port is read as it is, also by whom knows its number" {
    starts blue tcp
    starts blue-udp udp
    local real
    real=$(real_port blue tcp)
    says "$(printf '%s\n' ok "127.0.0.1 $real" blue)" FREEPORT_SESSION=red tcp4 connect 127.0.0.1 "$real" peer read
    real=$(real_port blue-udp udp)
    says "$(printf '%s\n' ok "blue-udp:x 127.0.0.1 $real")" FREEPORT_SESSION=red udp4 sendto 127.0.0.1 "$real" x recvfrom
}

@test "a bind by number on another address leaves another session its sentinel" {
    starts blue tcp
    says ok FREEPORT_SESSION=red tcp6 bind ::1 "$(real_port blue tcp)"
    says "$(printf '%s\n' ok "127.0.0.1 $SENTINEL" blue)" FREEPORT_SESSION=blue tcp4 connect 127.0.0.1 "$SENTINEL" peer read
}

@test "one session under two names of ranges" {
    configure FREEPORT_SESSION=shared
    local other
    other=$(own_range)
    tcp_server blue FREEPORT_NAME=blue 127.0.0.1 "$SENTINEL"
    says "$(printf '%s\n' ok "127.0.0.1 $SENTINEL" blue)" FREEPORT_NAME=red FREEPORT_TCP="$other" FREEPORT_UDP="$other" \
        tcp4 connect 127.0.0.1 "$SENTINEL" peer read
}

# --- A port that passes on ---------------------------------------------------------------------------------------------

# One port in all, which red gets when blue has gone.
tiny_range() {
    local port
    port=$(range_port "$RANGE" 7)
    configure FREEPORT_TCP="$port" FREEPORT_UDP="$port"
    for protocol in tcp udp; do
        # Nothing is left in TIME_WAIT, which would keep the port from everybody: the client closes first.
        server blue FREEPORT_SESSION=blue "${protocol}4" bind 127.0.0.1 "$SENTINEL" \
            "$([[ $protocol == tcp ]] && echo listen || echo name)" stay
        says $'ok\n'"127.0.0.1 $SENTINEL" FREEPORT_SESSION=blue "${protocol}4" connect 127.0.0.1 "$SENTINEL" peer
        ends "$1" "$BACKGROUND_PID"
        starts red $protocol
        assert_equal "$(real_port red $protocol)" "$port"
        finds red $protocol red
        assert_equal "$(real_port blue $protocol)" "$port"
        # Neither the sentinel leads blue there any more, nor does the port read as it for blue.
        configure FREEPORT_LOG=quiet # no port is left
        expect_refusal blue $protocol
        says $'ok\n'"127.0.0.1 $port" FREEPORT_SESSION=blue "${protocol}4" connect 127.0.0.1 "$port" peer
        says $'ok\n'"127.0.0.1 $SENTINEL" FREEPORT_SESSION=red "${protocol}4" connect 127.0.0.1 "$SENTINEL" peer
        rm "$(report_of red)" "$(report_of blue)"
        ends TERM "$BACKGROUND_PID"
        rm "/dev/shm$FREEPORT_SEGMENT"
    done
}

@test "a real port that has passed to another session no longer answers to the first one's sentinel" {
    tiny_range TERM
}

@test "the same after kill -9" {
    tiny_range KILL
}

@test "a real port that has passed on: the first one's sentinel falls through to the host, where it may" {
    configure FREEPORT_TCP="$(range_port "$RANGE" 7)" FREEPORT_CONNECT=fallthrough
    host_tcp host 127.0.0.1 "$SENTINEL"
    starts blue tcp
    ends KILL "$BACKGROUND_PID"
    starts red tcp
    finds blue tcp host
    finds red tcp red
}

@test "a real port that has passed to another sentinel of the same session answers to that one alone" {
    configure FREEPORT_TCP="$(range_port "$RANGE" 7)" FREEPORT_SESSION=blue
    starts blue tcp
    ends KILL "$BACKGROUND_PID"
    tcp_server second 127.0.0.1 "$SENTINEL2"
    says ECONNREFUSED FREEPORT_LOG=quiet tcp4 connect 127.0.0.1 "$SENTINEL"
    says "$(printf '%s\n' ok "127.0.0.1 $SENTINEL2" second)" tcp4 connect 127.0.0.1 "$SENTINEL2" peer read
}
