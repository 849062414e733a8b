# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# python3 -m http.server: one bind, to the wildcard, of a port that is written on its command line.

load helper

# The interpreter by its path: what stands first in PATH may be a shell script that chooses one.
serve() {
    mkdir "$BATS_TEST_TMPDIR/$1"
    echo "this is $1" >"$BATS_TEST_TMPDIR/$1/index.html"
    shim_background "$1" /usr/bin/python3 -u -m http.server 8000 --directory "$BATS_TEST_TMPDIR/$1"
}

@test "two http.server with port 8000 run at once, each with its own files" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8000
    serve first
    first_pid=$BACKGROUND_PID
    serve second
    second_pid=$BACKGROUND_PID

    wait_report "$(report_of first)" 1
    wait_report "$(report_of second)" 1
    first=$(reported_port "$(report_of first)" tcp 8000)
    second=$(reported_port "$(report_of second)" tcp 8000)

    assert_not_equal "$first" "$second"
    assert_in_range "$first" "$range"
    assert_in_range "$second" "$range"

    wait_tcp 127.0.0.1 "$first"
    wait_tcp 127.0.0.1 "$second"
    assert_equal "$(get "http://127.0.0.1:$first/")" "this is first"
    assert_equal "$(get "http://127.0.0.1:$second/")" "this is second"
    assert_report "$(report_of first)" "tcp 8000 $first 0.0.0.0 $first_pid default"
    assert_report "$(report_of second)" "tcp 8000 $second 0.0.0.0 $second_pid default"
}

@test "http.server reads the port it asked for" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8000
    serve only
    wait_report "$(report_of only)" 1
    assert_in_range "$(reported_port "$(report_of only)" tcp 8000)" "$range"
    wait_lines "$BATS_TEST_TMPDIR/only.log" 1
    assert_equal "$(head -n 1 "$BATS_TEST_TMPDIR/only.log")" \
        "Serving HTTP on 0.0.0.0 port 8000 (http://0.0.0.0:8000/) ..."
}

@test "http.server with port 0 gets the range's first port, the next one the next" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    for turn in 0 1 2; do
        port=$(even_port "$range" "$turn")
        shim_background "zero$turn" /usr/bin/python3 -u -m http.server 0 --directory "$BATS_TEST_TMPDIR"
        wait_report "$(report_of "zero$turn")" 1
        assert_report "$(report_of "zero$turn")" "tcp 0 $port 0.0.0.0 $BACKGROUND_PID default"
        wait_tcp 127.0.0.1 "$port"
        wait_lines "$BATS_TEST_TMPDIR/zero$turn.log" 1
        assert_equal "$(head -n 1 "$BATS_TEST_TMPDIR/zero$turn.log")" \
            "Serving HTTP on 0.0.0.0 port $port (http://0.0.0.0:$port/) ..."
    done
}
