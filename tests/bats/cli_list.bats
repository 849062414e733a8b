# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport list: every assignment, what has become of it, and output that nobody's name can break.

load helper
load cli

# states: "PORT STATE" a line.
states() { freeport list -rn -o PORT,STATE; }

# python NAME SCRIPT ARGUMENT...: in the background, until it has said something; under the shim where FREEPORT_TCP or
# FREEPORT_UDP is set.
python() {
    local name=$1
    shift
    shim_background "$name" /usr/bin/python3 -uc "$@"
    wait_lines "$BATS_TEST_TMPDIR/$name.log" 1
}

LISTEN='
import socket, sys, time
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
if len(sys.argv) < 3:
    server.listen()
if "close" in sys.argv:
    server.close()
print("ready")
time.sleep(600)'

# --- Which ones ------------------------------------------------------------------------------------------------------

@test "a segment that is not there: an empty list, and none is made" {
    run -0 freeport list
    assert_output ""
    [[ ! -e /dev/shm$TEST_SEGMENT ]]
    run -0 freeport list --json
    assert_equal "$(jq -c . <<<"$output")" '{"assignments":[]}'
    [[ ! -e /dev/shm$TEST_SEGMENT ]]
}

@test "assignments of all names, TCP first, in the order of ports" {
    range=$(own_range)
    first=${range%-*}
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range"
    freeport get --name two -n 2
    freeport get --name one udp
    run -0 freeport list -rn -o PROTO,PORT,NAME
    assert_output "tcp $first two
tcp $((first + 1)) two
udp $first one"
}

@test "a server's row says what it asked for, where, and in which session" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8000 FREEPORT_SESSION="$(tree 1)" FREEPORT_NAME=suite
    python server "$LISTEN" 8000
    run -0 freeport list -rn -o PROTO,PORT,SENTINEL,NAME,SESSION,PID,COMMAND,STATE,ADDRESS
    assert_output "tcp ${range%-*} 8000 suite $(tree 1) $BACKGROUND_PID python3 bound 127.0.0.1"
}

@test "ADDRESS is where the port is bound now: on two addresses, and on another than at first" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=8000 FREEPORT_SESSION=one
    shim_background two "$FPSOCK" tcp4 bind 127.0.0.3 8000 close tcp4 bind 127.0.0.2 8000 listen \
        tcp4 bind 127.0.0.1 8000 listen tcp6 bind ::1 8000 listen udp4 bind 127.0.0.5 8000 close \
        udp6 bind :: 8000 stay
    is_there two
    # A connection's address is none that it is bound to.
    exec 5<>"/dev/tcp/127.0.0.1/$(reported_port "$(report_of two)" tcp 8000)"
    run -0 freeport list -rn -o PROTO,ADDRESS
    exec 5>&-
    assert_output "tcp 127.0.0.1,127.0.0.2,::1
udp ::"
}

@test "a port that was bound by its number stands for no sentinel" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    python server "$LISTEN" "${range%-*}"
    assert_equal "$(freeport list --json | jq -c '.assignments[0] | [.port, .sentinel, .state]')" \
        "[${range%-*},null,\"bound\"]"
}

# --- STATE -----------------------------------------------------------------------------------------------------------

@test "reserved: kept for a process that is there; free when it is gone" {
    range=$(own_range)
    one=${range%-*}
    configure FREEPORT_TCP="$one"
    python owner 'import subprocess, sys, time; subprocess.run([sys.argv[1], "get"]); time.sleep(600)' "$FREEPORT_CLI"
    assert_equal "$(states)" "$one reserved"
    stop "$BACKGROUND_PID"
    assert_equal "$(freeport list --all -rn -o PORT,STATE)" "$one free"
    assert_equal "$(freeport list --all --json | jq -c '.assignments[0].command')" null
}

@test "what is closed is listed with --all alone; a port that a stranger holds is listed" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    python gone "$LISTEN" 0
    gone=$BACKGROUND_PID
    python closed "$LISTEN" 0 close
    stop "$gone"
    assert_equal "$(states)" ""
    for option in -a --all; do
        run -0 freeport list "$option" -rn -o PORT,PID,STATE
        assert_line --index 0 "${range%-*} $gone free"
        assert_line --index 1 "$(even_port "$range" 1) $BACKGROUND_PID free"
    done
    background stranger /usr/bin/python3 -uc "$LISTEN" "${range%-*}"
    wait_lines "$BATS_TEST_TMPDIR/stranger.log" 1
    assert_equal "$(freeport list -rn -o PORT,PID,STATE | head -n 1)" "${range%-*} $BACKGROUND_PID taken"
}

@test "bound: by its owner, or by a child that knows nothing of freeport" {
    range=$(own_range)
    freeport get --tcp "$range" -n 1
    background child /usr/bin/python3 -uc "$LISTEN" "${range%-*}"
    wait_lines "$BATS_TEST_TMPDIR/child.log" 1
    assert_equal "$(states)" "${range%-*} bound"
}

@test "bound: by a daemon's child whose parent is gone" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    shim_background daemon /usr/bin/python3 -uc '
import os, socket, sys, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
if os.fork():
    sys.exit()
os.setsid()
print(os.getpid())
time.sleep(600)'
    wait_lines "$BATS_TEST_TMPDIR/daemon.log" 1
    end_later "$(cat "$BATS_TEST_TMPDIR/daemon.log")"
    wait_for "$PATIENCE" process_is_gone "$BACKGROUND_PID" "$(process_start "$BACKGROUND_PID")"
    assert_equal "$(states)" "${range%-*} bound"
    # And it is the child that is listed.
    assert_equal "$(freeport list -rn -o PID,COMMAND)" "$(cat "$BATS_TEST_TMPDIR/daemon.log") python3"
}

@test "free: its owner has closed it" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    python server "$LISTEN" 0 close
    assert_equal "$(states)" ""
    assert_equal "$(freeport list --all -rn -o PORT,STATE)" "${range%-*} free"
}

@test "bound: also while nobody listens yet" {
    uname -r | awk -F. '{ exit !($1 > 6 || ($1 == 6 && $2 >= 8)) }' || skip "needs Linux 6.8"
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    python server "$LISTEN" 0 silent
    assert_equal "$(states)" "${range%-*} bound"
}

@test "taken: somebody holds it who knows nothing of freeport" {
    range=$(own_range)
    one=${range%-*}
    python owner 'import subprocess, sys, time; subprocess.run(sys.argv[1:]); time.sleep(600)' \
        "$FREEPORT_CLI" get --tcp "$one"
    background stranger /usr/bin/python3 -uc "$LISTEN" "$one"
    wait_lines "$BATS_TEST_TMPDIR/stranger.log" 1
    assert_equal "$(states)" "$one taken"
}

@test "a UDP socket does not hold a TCP port" {
    range=$(own_range)
    freeport get --tcp "$range"
    background datagrams /usr/bin/python3 -uc '
import socket, sys, time
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", int(sys.argv[1])))
print("ready")
time.sleep(600)' "${range%-*}"
    wait_lines "$BATS_TEST_TMPDIR/datagrams.log" 1
    assert_equal "$(states)" "${range%-*} reserved"
}

# --- Output ----------------------------------------------------------------------------------------------------------

# The first line of $output with one space between.
heads() { xargs <<<"${lines[0]}"; }

PEOPLES="SENTINEL PROTO PORT SESSION PID STATE AGE DIRECTORY CMDLINE"
ALL="PROTO PORT SENTINEL NAME SESSION PID COMMAND STATE AGE ADDRESS DIRECTORY CMDLINE"

@test "the table has the columns for people, and --noheadings none of their heads" {
    needs_terminals
    freeport get
    run -0 freeport list
    assert_equal "$(heads)" "$PEOPLES"
    assert_equal "${#lines[@]}" 2
    for option in --noheadings -n; do
        run -0 freeport list "$option"
        assert_equal "${#lines[@]}" 1
        assert_output --regexp "^ +tcp +[0-9]+ +[0-9]+ reserved +[0-9]+[smhd] $PWD .*bats"
    done
}

# on_terminal WIDTH ARGUMENT...: what list prints to a terminal of that width.
on_terminal() {
    local width=$1
    shift
    script --quiet --return --command "stty cols $width; $(freeport_program) list $*" /dev/null </dev/null | tr -d '\r'
}

@test "on a terminal the table is as wide as that, whatever the names; elsewhere everything is there" {
    needs_terminals
    range=$(own_range)
    session=$(printf 'session%.0s' {1..9})
    configure FREEPORT_TCP="$range" FREEPORT_SESSION="$session" FREEPORT_NAME=a-name-of-thirty-two-characters-
    python server "$LISTEN" 0
    run -0 on_terminal 80
    assert_equal "$(heads)" "$PEOPLES"
    assert_line --index 1 --regexp "^ +tcp +${range%-*} +sess.* $BACKGROUND_PID .*bound"
    assert_equal "${#lines[@]}" 2
    for line in "${lines[@]}"; do ((${#line} <= 80)) || fail "${#line} wide: $line"; done
    run -0 on_terminal 80 --raw
    assert_line --partial " $session "
    run -0 freeport list
    assert_line --partial " $session "
}

@test "a session that freeport run has made up leaves the table within 80" {
    needs_terminals
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    freeport_background server run --sentinels 8080 /usr/bin/python3 -uc "$LISTEN" 8080
    wait_lines "$BATS_TEST_TMPDIR/server.log" 1
    run -0 on_terminal 80
    session=$(freeport list -rn -o SESSION)
    assert_line --index 1 --partial " $session "
}

@test "-o chooses columns, in any case; + adds to what there is" {
    freeport get
    for option in -oPORT,STATE --output=port,State; do
        run -0 freeport list "$option"
        assert_equal "$(heads)" "PORT STATE"
    done
    run -0 freeport list -o +since
    assert_equal "$(heads)" "$PEOPLES SINCE"
    assert_line --index 1 --regexp ' [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[+-][0-9]{4} *$'
}

@test "--json: numbers are numbers, what is not there is null, AGE is in seconds" {
    range=$(own_range)
    freeport get --tcp "$range"
    for option in --json -J; do
        run -0 freeport list "$option"
        assert_equal "$(jq -c '.assignments[] | [.proto, .port, .sentinel, .name, .session, .pid, .state,
            (.age | type), .address]' <<<"$output")" \
            "[\"tcp\",${range%-*},null,\"default\",null,$$,\"reserved\",\"number\",null]"
    done
}

@test "names that are made to break it do not" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8000
    # Quotes and a newline; bytes that are no UTF-8, a surrogate, an escape sequence; a way out of a JSON string.
    hostile='
import ctypes, os, sys
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv.pop(2)))'
    FREEPORT_SESSION='a"b\c$(d)' python one "$hostile$LISTEN" 8000 61220a275c0d09 # a"\n'\\\r\t
    FREEPORT_SESSION='{"x":[<&' python two "$hostile$LISTEN" 8000 ff61c3eda0801b5b6d
    FREEPORT_SESSION="';rm" python three "$hostile$LISTEN" 8000 225d7d2c2f2a # "]},/*
    for locale in C C.UTF-8; do
        LC_ALL=$locale freeport list --json >"$BATS_TEST_TMPDIR/json"
        jq . "$BATS_TEST_TMPDIR/json" >/dev/null
        run -0 /usr/bin/python3 - "$BATS_TEST_TMPDIR/json" <<'PYTHON'
import json
import sys

rows = json.loads(open(sys.argv[1], "rb").read().decode("utf-8", "strict"))["assignments"]
rows = {row["session"]: row["command"] for row in rows}
assert rows == {'a"b\\c$(d)': "a\"\n'\\\r\t", '{"x":[<&': "\ufffda\ufffd\ufffd\ufffd\ufffd\x1b[m", "';rm": '"]},/*'}, rows
PYTHON
        run -0 env LC_ALL=$locale "$FREEPORT_CLI" list
        assert_equal "${#lines[@]}" 4
        refute_output --regexp $'[\e\r\t]'
        run -0 env LC_ALL=$locale "$FREEPORT_CLI" list --raw
        assert_equal "${#lines[@]}" 4
        refute_output --regexp $'[\e\r\t]'
    done
}

# --- --follow --------------------------------------------------------------------------------------------------------

@test "--follow: what there is, then each new assignment as it comes" {
    range=$(own_range)
    first=${range%-*}
    configure FREEPORT_TCP="$range"
    freeport get
    freeport_background follow list --follow -rn -o PORT,NAME
    wait_lines "$BATS_TEST_TMPDIR/follow.log" 1
    freeport get --name two
    wait_lines "$BATS_TEST_TMPDIR/follow.log" 2
    freeport release "$first" # no news
    freeport get --name three -n 2
    wait_lines "$BATS_TEST_TMPDIR/follow.log" 4
    assert_equal "$(cat "$BATS_TEST_TMPDIR/follow.log")" "$first default
$((first + 1)) two
$first three
$((first + 2)) three"
    stop "$BACKGROUND_PID"
}

@test "--follow waits for a segment, and goes on when another has its name" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    freeport_background follow list -f -n -o PORT,NAME
    freeport get --name one
    wait_lines "$BATS_TEST_TMPDIR/follow.log" 1
    rm "/dev/shm$TEST_SEGMENT"
    freeport get --name two
    wait_lines "$BATS_TEST_TMPDIR/follow.log" 2
    assert_equal "$(awk '{ print $1, $2 }' "$BATS_TEST_TMPDIR/follow.log")" "${range%-*} one
${range%-*} two"
}

@test "--follow: heads once, columns below each other; JSON is a document a time" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    freeport_background table list --follow
    freeport_background json list --follow --json
    freeport get --name one
    wait_lines "$BATS_TEST_TMPDIR/table.log" 2
    wait_for "$PATIENCE" jq -e . "$BATS_TEST_TMPDIR/json.log"
    freeport get --name longer-name
    wait_lines "$BATS_TEST_TMPDIR/table.log" 3
    wait_for "$PATIENCE" grep -q longer-name "$BATS_TEST_TMPDIR/json.log"
    wait_for "$PATIENCE" jq -e . "$BATS_TEST_TMPDIR/json.log"
    assert_equal "$(jq -r '.assignments[].name' "$BATS_TEST_TMPDIR/json.log" | paste -sd' ')" "one longer-name"
    assert_equal "$(grep -c PROTO "$BATS_TEST_TMPDIR/table.log")" 1
    run -0 awk '{ print index($0, NR == 1 ? "PORT" : $2) + length(NR == 1 ? "PORT" : $2) }' "$BATS_TEST_TMPDIR/table.log"
    assert_equal "$(sort -u <<<"$output" | wc -l)" 1
}

@test "--follow ends when nobody reads any more, with or without news" {
    configure FREEPORT_TCP="$(own_range)"
    freeport get
    run -0 timeout "$PATIENCE" bash -c '"$0" list --follow -rn -o NAME | head -n 1; echo "${PIPESTATUS[0]}"' "$FREEPORT_CLI"
    assert_output "default
141"
    run -0 timeout "$PATIENCE" bash -c 'trap "" PIPE; "$0" list --follow -rn | head -n 1; echo "${PIPESTATUS[0]}"' \
        "$FREEPORT_CLI"
    assert_line "freeport: standard output: Broken pipe"
    assert_line 1
}

@test "--follow begins with what has not ended, and tells all that comes" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    shim /usr/bin/python3 -c 'import socket; socket.socket().bind(("127.0.0.1", 0))'
    freeport get
    freeport_background follow list --follow -rn -o PORT
    wait_lines "$BATS_TEST_TMPDIR/follow.log" 1
    shim /usr/bin/python3 -c 'import socket; socket.socket().bind(("127.0.0.1", 0))'
    wait_lines "$BATS_TEST_TMPDIR/follow.log" 2
    assert_equal "$(paste -sd' ' "$BATS_TEST_TMPDIR/follow.log")" "$(range_ports "$range" 1 2)"
}

@test "--follow: 5 where the segment can't be used" {
    other_version
    run -5 freeport list --follow
}

# --- Trouble ---------------------------------------------------------------------------------------------------------

@test "5 where something else has the segment's name" {
    other_version
    run -5 freeport list
    assert_output "$OTHER_VERSION"
}

@test "--segment names another; a bad one is a usage error" {
    freeport get --segment "$TEST_SEGMENT-other"
    assert_equal "$(freeport list | wc -l)" 0
    assert_equal "$(freeport list -n --segment "$TEST_SEGMENT-other" | wc -l)" 1
    run -2 freeport list --segment other
    assert_output "freeport: --segment: 'other': expected / and a name of 1 to 254 bytes without another /, not . or .."
}

@test "a bad argument is a usage error that names it" {
    columns="some of ${ALL// /,},SINCE, with commas"
    for list in FOO PORT,FOO '' 'PORT,' + +FOO; do
        run -2 freeport list -o "$list"
        assert_output "freeport: --output: '$list': expected $columns"
    done
    run -2 freeport list now
    assert_output "freeport: list: 'now': expected no operand; see freeport list --help"
    run -2 freeport list --json --raw
    assert_output "freeport: list: '--json --raw': expected one of them"
    run -2 freeport list --fly
    assert_output "freeport: list: --fly: expected an option of this verb; see freeport list --help"
}

@test "variables that list does not use are not looked at" {
    configure FREEPORT_TCP=x FREEPORT_SESSION='a b' FREEPORT_LOG=loud
    run -0 freeport list
}
