# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# Node's http: one bind, to the dual-stack wildcard; address() asks the socket for its name.

load helper

# serve NAME PORT...: an http server for each port, one after another, each on a line of NAME.log with the port that it
# sees; a request is answered with that port and the process.
serve() {
    local name=$1
    shift
    cat >"$BATS_TEST_TMPDIR/serve.js" <<'JAVASCRIPT'
const http = require("http");
const next = ([port, ...rest]) => {
    if (port === undefined) return;
    const server = http.createServer((request, response) => {
        response.end(`${server.address().port} ${process.pid}\n`);
    });
    server.listen(Number(port), () => {
        console.log(server.address().port);
        next(rest);
    });
};
next(process.argv.slice(2));
JAVASCRIPT
    shim_background "$name" node "$BATS_TEST_TMPDIR/serve.js" "$@"
}

@test "node listening on port 0 gets ports of the range in sequence, over all processes" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    turn=0
    for name in first second; do
        ports=$(even_ports "$range" "$turn" 3)
        turn=$((turn + 3))
        serve "$name" 0 0 0
        wait_lines "$BATS_TEST_TMPDIR/$name.log" 3

        assert_equal "$(paste -sd' ' "$BATS_TEST_TMPDIR/$name.log")" "$ports"
        assert_equal "$(reported_ports "$(report_of "$name")" tcp 0)" "$ports"
        for port in $ports; do
            assert_equal "$(get "http://127.0.0.1:$port/")" "$port $BACKGROUND_PID"
            assert_equal "$(get "http://[::1]:$port/")" "$port $BACKGROUND_PID"
        done
    done
}

@test "two node listening on port 8080 run at once, and address().port reads 8080 in each" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8080
    serve first 8080
    first_pid=$BACKGROUND_PID
    serve second 8080
    second_pid=$BACKGROUND_PID
    wait_lines "$BATS_TEST_TMPDIR/first.log" 1
    wait_lines "$BATS_TEST_TMPDIR/second.log" 1
    assert_equal "$(<"$BATS_TEST_TMPDIR/first.log")" 8080
    assert_equal "$(<"$BATS_TEST_TMPDIR/second.log")" 8080

    first=$(reported_port "$(report_of first)" tcp 8080)
    second=$(reported_port "$(report_of second)" tcp 8080)
    assert_not_equal "$first" "$second"
    assert_in_range "$first" "$range"
    assert_in_range "$second" "$range"

    for host in 127.0.0.1 '[::1]'; do
        assert_equal "$(get "http://$host:$first/")" "8080 $first_pid"
        assert_equal "$(get "http://$host:$second/")" "8080 $second_pid"
    done
    assert_report "$(report_of first)" "tcp 8080 $first :: $first_pid default"
    assert_report "$(report_of second)" "tcp 8080 $second :: $second_pid default"
}
