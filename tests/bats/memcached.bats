# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# memcached: TCP and UDP on one number, for each family; it gives up root before it binds.

load helper

# serve NAME OPTION...
serve() {
    local name=$1
    shift
    local -a user=()
    if ((EUID == 0)); then
        # The report is opened at the first line, by then as nobody, who must be able to get there. bats' own
        # directories are closed to others.
        user=(-u nobody)
        chmod a+x "$BATS_RUN_TMPDIR" "${BATS_TEST_TMPDIR%/*}" "$BATS_TEST_TMPDIR"
        touch "$(report_of "$name")"
        chmod a+w "$(report_of "$name")"
    fi
    shim_background "$name" memcached -p 11211 -U 11211 -t 2 "${user[@]}" "$@"
}

# server_pid PROTOCOL HOST PORT: the process that answers there. A datagram has a header of eight bytes: request 1,
# datagram 0 of 1.
server_pid() {
    if [[ $1 == tcp ]]; then
        ask tcp "$2" "$3" 'stats\r\n'
    else
        ask udp "$2" "$3" '\0\1\0\0\0\1\0\0stats\r\n' | tail -c +9
    fi | tr -d '\r' | sed -n 's/^STAT pid //p'
}

@test "two memcached with port 11211 run at once, each with one number for TCP and UDP on both families" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=11211
    serve first
    first_pid=$BACKGROUND_PID
    serve second
    second_pid=$BACKGROUND_PID

    wait_report "$(report_of first)" 4
    wait_report "$(report_of second)" 4
    first=$(reported_port "$(report_of first)" tcp 11211)
    second=$(reported_port "$(report_of second)" tcp 11211)

    assert_not_equal "$first" "$second"
    assert_in_range "$first" "$range"
    assert_in_range "$second" "$range"

    for host in 127.0.0.1 ::1; do
        for protocol in tcp udp; do
            assert_equal "$(server_pid "$protocol" "$host" "$first")" "$first_pid"
            assert_equal "$(server_pid "$protocol" "$host" "$second")" "$second_pid"
        done
    done
    assert_report "$(report_of first)" \
        "tcp 11211 $first 0.0.0.0 $first_pid default" "tcp 11211 $first :: $first_pid default" \
        "udp 11211 $first 0.0.0.0 $first_pid default" "udp 11211 $first :: $first_pid default"
    assert_report "$(report_of second)" \
        "tcp 11211 $second 0.0.0.0 $second_pid default" "tcp 11211 $second :: $second_pid default" \
        "udp 11211 $second 0.0.0.0 $second_pid default" "udp 11211 $second :: $second_pid default"
}

@test "two memcached with port 11211 of 127.0.0.1 run at once, and keep to that address" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=11211
    serve first -l 127.0.0.1
    first_pid=$BACKGROUND_PID
    serve second -l 127.0.0.1
    second_pid=$BACKGROUND_PID

    wait_report "$(report_of first)" 2
    wait_report "$(report_of second)" 2
    first=$(reported_port "$(report_of first)" tcp 11211)
    second=$(reported_port "$(report_of second)" tcp 11211)

    assert_not_equal "$first" "$second"
    assert_in_range "$first" "$range"
    assert_in_range "$second" "$range"

    for protocol in tcp udp; do
        assert_equal "$(server_pid "$protocol" 127.0.0.1 "$first")" "$first_pid"
        assert_equal "$(server_pid "$protocol" 127.0.0.1 "$second")" "$second_pid"
    done
    run ! tcp_answers ::1 "$first"
    run ! tcp_answers 127.0.0.2 "$first"
    assert_report "$(report_of first)" \
        "tcp 11211 $first 127.0.0.1 $first_pid default" "udp 11211 $first 127.0.0.1 $first_pid default"
    assert_report "$(report_of second)" \
        "tcp 11211 $second 127.0.0.1 $second_pid default" "udp 11211 $second 127.0.0.1 $second_pid default"
}

@test "memcached with TCP and UDP ranges apart has a port in each" {
    tcp=$(own_range)
    udp=$(own_range)
    configure FREEPORT_TCP="$tcp" FREEPORT_UDP="$udp" FREEPORT_SENTINELS=11211
    serve only
    wait_report "$(report_of only)" 4
    assert_equal "$(reported_port "$(report_of only)" tcp 11211)" "$(range_port "$tcp" 0)"
    assert_equal "$(reported_port "$(report_of only)" udp 11211)" "$(range_port "$udp" 0)"
    for host in 127.0.0.1 ::1; do
        assert_equal "$(server_pid tcp "$host" "$(range_port "$tcp" 0)")" "$BACKGROUND_PID"
        assert_equal "$(server_pid udp "$host" "$(range_port "$udp" 0)")" "$BACKGROUND_PID"
    done
}
