# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# listen on a socket that was never bound: like a bind to port 0.

load helper

setup() {
    freeport_setup
    range=$(own_range)
    first=${range%-*}
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=8080
}

@test "an unbound socket gets the next port, on every address" {
    run -0 fpsock tcp4 listen name tcp6 listen name tcp6 v6only listensys name
    got ok "0.0.0.0 $first" ok ":: $(even_port "$range" 1)" ok ":: $(even_port "$range" 2)"
}

@test "and a client finds it there" {
    shim_background one "$FPSOCK" tcp4 listen stay
    wait_report "$(report_of one)" 1
    assert_report "$(report_of one)" "tcp 0 $first 0.0.0.0 $BACKGROUND_PID default"
    wait_tcp 127.0.0.1 "$first"
}

@test "a socket that listens already, or is bound, keeps what it has" {
    run -0 fpsock tcp4 listen listen name tcp4 bind 127.0.0.1 0 listen name tcp4 bind 127.0.0.1 8080 listen name
    got ok ok "0.0.0.0 $first" ok ok "127.0.0.1 $(even_port "$range" 1)" ok ok "127.0.0.1 8080"
}

@test "a socket that was bound to an address without a port keeps its address" {
    run -0 fpsock tcp4 noport bind 127.0.0.1 0 name listen name
    got ok "127.0.0.1 0" ok "127.0.0.1 $first"
}

@test "reuse flags are back as they were, and a stranger is not joined" {
    stranger tcp tcp4 reuseport bind 0.0.0.0 "$first" listen
    run -0 fpsock tcp4 reuseaddr reuseport listen get reuseaddr get reuseport name
    got ok 1 1 "0.0.0.0 $(even_port "$range" 1)"
}

@test "no port left: EADDRINUSE, and one line" {
    configure FREEPORT_TCP="$first"
    run -0 --separate-stderr fpsock tcp4 listen tcp4 listen name
    got ok EADDRINUSE "0.0.0.0 0"
    ((${#stderr_lines[@]} == 1)) || fail "not one line: $stderr"
    [[ $stderr == "freeport: FREEPORT_TCP=$first: "* ]] || fail "$stderr"
}

@test "a datagram socket can't, and is not bound by it" {
    run -0 fpsock udp4 listen name
    got EOPNOTSUPP "0.0.0.0 0"
}

@test "a connected socket can't, and keeps its port" {
    shim_background one "$FPSOCK" tcp4 bind 127.0.0.1 0 listen accept listen name stay
    wait_report "$(report_of one)" 1
    port=$(reported_port "$(report_of one)" tcp 0)
    timeout "$PATIENCE" bash -c "exec 5<>/dev/tcp/127.0.0.1/$port"
    wait_for "$PATIENCE" grep -qx stay "$BATS_TEST_TMPDIR/one.log"
    assert_equal "$(sed -n '3,4p' "$BATS_TEST_TMPDIR/one.log" | paste -sd' ')" "EINVAL 127.0.0.1 $port"
}

@test "without a range for TCP: the kernel's own port" {
    unset FREEPORT_TCP
    run -0 fpsock tcp4 listen name
    assert_line --index 0 ok
    ((${lines[1]##* } >= 32768)) || fail "not the kernel's: ${lines[1]}"
}

@test "threads that listen at once get a port each" {
    run -0 fpsock threads 16 tcp4 listen name
    assert_equal "$(sort -u <<<"$output")" "$(seq -f '0.0.0.0 %.0f' "$first" 2 "$(even_port "$range" 15)")
ok"
}
