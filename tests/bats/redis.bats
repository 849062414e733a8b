# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# redis-server: its default port 6379, bound for IPv4 and for IPv6, one socket each.

load helper

serve() {
    mkdir "$BATS_TEST_TMPDIR/$1"
    shim_background "$1" redis-server --save "" --dir "$BATS_TEST_TMPDIR/$1"
}

# ask_redis HOST PORT WORD...
ask_redis() { timeout "$PATIENCE" redis-cli -h "$1" -p "$2" "${@:3}"; }

# The process that answers there.
server_pid() { ask_redis "$1" "$2" info server | tr -d '\r' | sed -n 's/^process_id://p'; }

@test "two redis-server with port 6379 run at once, each with its own keys, on both families" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=6379
    serve first
    first_pid=$BACKGROUND_PID
    serve second
    second_pid=$BACKGROUND_PID

    wait_report "$(report_of first)" 2
    wait_report "$(report_of second)" 2
    first=$(reported_port "$(report_of first)" tcp 6379)
    second=$(reported_port "$(report_of second)" tcp 6379)

    assert_not_equal "$first" "$second"
    assert_in_range "$first" "$range"
    assert_in_range "$second" "$range"

    for host in 127.0.0.1 ::1; do
        wait_tcp "$host" "$first"
        wait_tcp "$host" "$second"
        assert_equal "$(server_pid "$host" "$first")" "$first_pid"
        assert_equal "$(server_pid "$host" "$second")" "$second_pid"
    done
    assert_equal "$(ask_redis 127.0.0.1 "$first" set who first)" OK
    assert_equal "$(ask_redis 127.0.0.1 "$second" set who second)" OK
    assert_equal "$(ask_redis ::1 "$first" get who)" first
    assert_equal "$(ask_redis ::1 "$second" get who)" second
    assert_report "$(report_of first)" \
        "tcp 6379 $first 0.0.0.0 $first_pid default" "tcp 6379 $first :: $first_pid default"
    assert_report "$(report_of second)" \
        "tcp 6379 $second 0.0.0.0 $second_pid default" "tcp 6379 $second :: $second_pid default"
}
