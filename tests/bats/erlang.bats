# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# Erlang, where freeport comes from: gen_tcp and gen_udp, over the driver (inet) and over the newer socket module.

load helper

export PATIENCE=40

# serve NAME BACKEND SOCKET...: opens tcp:PORT and udp:PORT one after another, each on a line of NAME.log with the port
# that it sees; whoever connects or sends is answered with the process.
serve() {
    local name=$1
    shift
    shim_background "$name" erl -noshell -noinput -eval '
        [Backend | Sockets] = init:get_plain_arguments(),
        Options = [{inet_backend, list_to_atom(Backend)}, binary, {active, false}, {reuseaddr, true}],
        Answer = [os:getpid(), "\n"],
        Serve = fun
            ("tcp", Port) ->
                {ok, Listener} = gen_tcp:listen(Port, Options),
                spawn(fun Accept() ->
                    {ok, Client} = gen_tcp:accept(Listener),
                    gen_tcp:send(Client, Answer),
                    gen_tcp:close(Client),
                    Accept()
                end),
                Listener;
            ("udp", Port) ->
                {ok, Socket} = gen_udp:open(Port, Options),
                spawn(fun Receive() ->
                    {ok, {Host, Client, _}} = gen_udp:recv(Socket, 0),
                    gen_udp:send(Socket, Host, Client, Answer),
                    Receive()
                end),
                Socket
        end,
        spawn(fun() ->
            lists:foreach(fun(Socket) ->
                [Protocol, Port] = string:split(Socket, ":"),
                {ok, Seen} = inet:port(Serve(Protocol, list_to_integer(Port))),
                io:format("~s ~b~n", [Protocol, Seen])
            end, Sockets),
            receive after infinity -> ok end
        end).' -extra "$@"
}

# seen NAME PROTOCOL: the ports that its program read, in one line.
seen() { sed -n "s/^$2 //p" "$BATS_TEST_TMPDIR/$1.log" | paste -sd' '; }

# A node takes a UDP port for a moment of its own when it starts: inet:gethostname/0 has no other way to ask. So the
# report, which has it, is held against the range, and what the program saw against the report.
sequence_over() {
    local backend=$1 tcp udp tcp_next=0 udp_next=0 name port
    local -a reported
    tcp=$(own_range)
    udp=$(own_range)
    configure FREEPORT_TCP="$tcp" FREEPORT_UDP="$udp"
    for name in first second; do
        serve "$name" "$backend" tcp:0 udp:0 tcp:0 udp:0 tcp:0 udp:0
        wait_lines "$BATS_TEST_TMPDIR/$name.log" 6

        assert_equal "$(seen "$name" tcp)" "$(even_ports "$tcp" "$tcp_next" 3)"
        assert_equal "$(reported_ports "$(report_of "$name")" tcp 0)" "$(seen "$name" tcp)"
        tcp_next=$((tcp_next + 3))

        read -ra reported <<<"$(reported_ports "$(report_of "$name")" udp 0)"
        assert_equal "${reported[*]}" "$(even_ports "$udp" "$udp_next" ${#reported[@]})"
        assert_equal "$(seen "$name" udp)" "${reported[*]: -3}"
        udp_next=$((udp_next + ${#reported[@]}))

        for port in $(seen "$name" tcp); do
            assert_equal "$(ask tcp 127.0.0.1 "$port" hello)" "$BACKGROUND_PID"
        done
        for port in $(seen "$name" udp); do
            assert_equal "$(ask udp 127.0.0.1 "$port" hello)" "$BACKGROUND_PID"
        done
    done
}

two_at_once_over() {
    local backend=$1 range name protocol first first_pid second second_pid
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=4040
    serve first "$backend" tcp:4040 udp:4040
    first_pid=$BACKGROUND_PID
    serve second "$backend" tcp:4040 udp:4040
    second_pid=$BACKGROUND_PID
    for name in first second; do
        wait_lines "$BATS_TEST_TMPDIR/$name.log" 2
        assert_equal "$(<"$BATS_TEST_TMPDIR/$name.log")" "$(printf '%s\n' "tcp 4040" "udp 4040")"
    done

    first=$(reported_port "$(report_of first)" tcp 4040)
    second=$(reported_port "$(report_of second)" tcp 4040)
    assert_not_equal "$first" "$second"
    assert_in_range "$first" "$range"
    assert_in_range "$second" "$range"

    for protocol in tcp udp; do
        assert_equal "$(ask "$protocol" 127.0.0.1 "$first" hello)" "$first_pid"
        assert_equal "$(ask "$protocol" 127.0.0.1 "$second" hello)" "$second_pid"
    done
    # TCP and UDP have the same number, since the ranges are the same.
    assert_report <(grep ' 4040 ' "$(report_of first)") \
        "tcp 4040 $first 0.0.0.0 $first_pid default" "udp 4040 $first 0.0.0.0 $first_pid default"
    assert_report <(grep ' 4040 ' "$(report_of second)") \
        "tcp 4040 $second 0.0.0.0 $second_pid default" "udp 4040 $second 0.0.0.0 $second_pid default"
}

@test "gen_tcp and gen_udp with port 0 get ports of their ranges in sequence (inet)" {
    sequence_over inet
}

@test "gen_tcp and gen_udp with port 0 get ports of their ranges in sequence (socket)" {
    sequence_over socket
}

@test "two nodes with one hard-coded port run at once and read it as they wrote it (inet)" {
    two_at_once_over inet
}

@test "two nodes with one hard-coded port run at once and read it as they wrote it (socket)" {
    two_at_once_over socket
}
