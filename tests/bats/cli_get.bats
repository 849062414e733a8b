# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport get: which ports, for whom they are kept, and what it says when there is none.

load helper
load cli

# owners: who has what, as the table has it: "PROTO PORT PID" a line.
owners() { freeport list --all --raw --noheadings -o PROTO,PORT,PID; }

# hold PORT: a stranger listens there until the test ends.
hold() {
    background "hold$1" /usr/bin/python3 -uc '
import socket, sys, time
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
print("ready")
time.sleep(600)' "$1"
    wait_lines "$BATS_TEST_TMPDIR/hold$1.log" 1
}

@test "ports come in sequence, TCP unless UDP is said" {
    range=$(own_range)
    first=${range%-*}
    assert_equal "$(freeport get --tcp "$range")" "$first"
    assert_equal "$(freeport get --tcp "$range" tcp)" $((first + 1))
    assert_equal "$(freeport get --udp "$range" udp)" "$first"
    assert_equal "$(freeport get udp --udp "$range")" $((first + 1))
}

@test "-n: so many, one a line" {
    range=$(own_range)
    first=${range%-*}
    assert_equal "$(freeport get --tcp "$range" -n 3 | paste -sd' ')" "$first $((first + 1)) $((first + 2))"
    assert_equal "$(freeport get --tcp "$range" --count=2 | paste -sd' ')" "$((first + 3)) $((first + 4))"
}

@test "the range, name and segment come from the environment, and an option goes before it" {
    range=$(own_range)
    other=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_NAME=suite
    assert_equal "$(freeport get)" "${range%-*}"
    assert_equal "$(freeport list -rn -o NAME)" suite
    assert_equal "$(freeport get --tcp "$other" --name else)" "${other%-*}"
    assert_equal "$(freeport list -rn -o NAME | sort | paste -sd' ')" "else suite"
    assert_equal "$(freeport get --segment "$TEST_SEGMENT-other")" "${range%-*}"
    [[ -f /dev/shm$TEST_SEGMENT-other ]]
}

@test "without any range: 20000-32767" {
    port=$(freeport get)
    assert_in_range "$port" 20000-32767
    port=$(freeport get udp)
    assert_in_range "$port" 20000-32767
}

@test "a segment is created with the mode of the environment" {
    configure FREEPORT_SEGMENT_MODE=0660
    freeport get
    assert_equal "$(stat -c %a "/dev/shm$TEST_SEGMENT")" 660
}

@test "FREEPORT_LENIENT takes a range that can't be read for 1-65535" {
    needs_port 1
    configure FREEPORT_LENIENT=1
    run -0 freeport get --tcp 5-1
    assert_output --regexp '^[0-9]+$'
}

# --- For whom --------------------------------------------------------------------------------------------------------

@test "a port is reserved for the process that asks" {
    range=$(own_range)
    freeport get --tcp "$range" >"$BATS_TEST_TMPDIR/port"
    assert_equal "$(owners)" "tcp ${range%-*} $$"
    assert_equal "$(freeport list -rn -o STATE)" reserved
}

@test "in a substitution, a pipeline or a function it is reserved for the shell, not the subshell" {
    range=$(own_range)
    script='"$0" get >/dev/null
        x=$("$0" get)
        y=$("$0" get | cat)
        f() { "$0" get; :; }
        z=$(f | cat; :)
        echo $$
        "$0" list -rn -o PID'
    for shell in bash dash; do
        configure FREEPORT_TCP="$range" FREEPORT_SEGMENT="$TEST_SEGMENT-$shell"
        run -0 "$shell" -c "$script" "$FREEPORT_CLI"
        assert_equal "${#lines[@]}" 5
        assert_equal "$(sort -u <<<"$output")" "${lines[0]}"
    done
}

@test "a port is nobody else's while its shell is there, and anybody's when it is gone" {
    range=$(own_range)
    one=${range%-*}
    configure FREEPORT_TCP="$one"
    background shell bash -c '"$0" get; read -r < <(sleep 600)' "$FREEPORT_CLI"
    wait_lines "$BATS_TEST_TMPDIR/shell.log" 1
    run -3 freeport get
    stop "$BACKGROUND_PID"
    assert_equal "$(freeport get)" "$one"
}

@test "inside freeport run it reserves for the command, and the shim notes nothing else" {
    range=$(own_range)
    run -0 freeport run --tcp "$range" bash -c 'echo "$$"; "$0" get; "$0" list -rn -o PORT,PID,STATE' "$FREEPORT_CLI"
    assert_line --index 1 "${range%-*}"
    assert_line --index 2 "${range%-*} ${lines[0]} reserved"
    assert_equal "${#lines[@]}" 3
}

# --- No port ---------------------------------------------------------------------------------------------------------

@test "a port that a stranger holds is passed over" {
    range=$(own_range)
    first=${range%-*}
    hold "$first"
    assert_equal "$(freeport get --tcp "$range")" $((first + 1))
}

@test "3 where no port is left" {
    range=$(own_range)
    one=${range%-*}
    hold "$one"
    run -3 freeport get --tcp "$one"
    assert_output "freeport: no tcp port left in $one; freeport list shows whose they are, freeport doctor who else is \
there"
}

@test "where not all can be had, none is" {
    range=$(own_range 3)
    hold "$(range_port "$range" 1)"
    run -3 freeport get --tcp "$range" -n 3
    assert_output "freeport: no tcp port left in $range; freeport list shows whose they are, freeport doctor who else is \
there"
    assert_equal "$(owners)" ""
    run -0 freeport get --tcp "$range" -n 2
}

@test "4 where the time is up first" {
    range=$(own_range 900)
    background hold /usr/bin/python3 -uc '
import socket, sys, time
servers = []
for port in range(*map(int, sys.argv[1:])):
    servers.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    servers[-1].bind(("127.0.0.1", port))
print("ready")
time.sleep(600)' "${range%-*}" "${range#*-}" # all but the last one: more than a millisecond's work
    wait_lines "$BATS_TEST_TMPDIR/hold.log" 1
    run -4 freeport get udp --udp "$range" --timeout 1
    assert_output "freeport: no udp port of $range within 1 ms"
    configure FREEPORT_TIMEOUT=1
    rm -f "/dev/shm$TEST_SEGMENT"
    run -4 freeport get udp --udp "$range"
}

@test "with --timeout 0 it waits for nobody, and looks at every port all the same" {
    range=$(own_range 3)
    hold "${range%-*}"
    run -0 freeport get --tcp "$range" -n 2 --timeout 0
    assert_equal "$(paste -sd' ' <<<"$output")" "$(range_port "$range" 1) $(range_port "$range" 2)"
}

# --- The segment -----------------------------------------------------------------------------------------------------

@test "5 where something else has the segment's name" {
    other_version
    run -5 freeport get
    assert_output "$OTHER_VERSION"
}

# freeport_as USER ARGUMENT...
freeport_as() {
    env ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} ASAN_OPTIONS=detect_leaks=0 \
        setpriv --reuid="$1" --regid="$1" --clear-groups "$FREEPORT_CLI" "${@:2}"
}

@test "5 where the segment is somebody else's, and what to do" {
    ((UID == 0)) || skip "only root makes files for others"
    : >"/dev/shm$TEST_SEGMENT"
    chown 4711 "/dev/shm$TEST_SEGMENT"
    # Root may open it, whatever its mode: the owner is what is wrong with it.
    for mode in 600 666; do
        chmod "$mode" "/dev/shm$TEST_SEGMENT"
        run -5 freeport get
        assert_output "freeport: segment $TEST_SEGMENT: it belongs to user 4711, and one is trusted if it is user 0's own or \
root's; FREEPORT_SEGMENT names another"
    done
    chown 0 "/dev/shm$TEST_SEGMENT"
    chmod 600 "/dev/shm$TEST_SEGMENT"
    public=$(mktemp -d)
    install -m 755 "$FREEPORT_CLI" "$public/"
    chmod 755 "$public"
    FREEPORT_CLI=$public/freeport run -5 freeport_as 65534 get
    rm -r "$public"
    assert_output "freeport: segment $TEST_SEGMENT: its mode does not let user 65534 in (user 0's, mode 0600); created with \
FREEPORT_SEGMENT_MODE=0660 it is for a group, FREEPORT_SEGMENT names another"
}

# --- Usage -----------------------------------------------------------------------------------------------------------

# refused ARGUMENT... LINE
refused() {
    local line=${*: -1}
    run freeport get "${@:1:$#-1}"
    assert_failure 2
    assert_output "$line"
}

@test "a bad argument is a usage error that names it" {
    count="a number of ports, 1 to 65535"
    refused -n 0 "freeport: --count: '0': expected $count"
    refused -n 65536 "freeport: --count: '65536': expected $count"
    refused --count ' 1' "freeport: --count: ' 1': expected $count"
    refused -n '' "freeport: --count: '': expected $count"
    refused --timeout soon "freeport: --timeout: 'soon': expected milliseconds, 0 to 2147483647"
    refused --tcp 99999 "freeport: --tcp: '99999': expected FROM-TO or PORT, several with commas, 1 to 65535, 1023 \
characters at most"
    refused --udp - udp "freeport: --udp: '-': expected FROM-TO or PORT, several with commas, 1 to 65535, 1023 \
characters at most"
    refused --name ä "freeport: --name: 'ä': expected 1 to 32 of A-Z a-z 0-9 _ . -"
    refused --segment /a/b "freeport: --segment: '/a/b': expected / and a name of 1 to 254 bytes without another /, \
not . or .."
    refused sctp "freeport: get: 'sctp': expected tcp or udp"
    refused tcp udp "freeport: get: 'udp': expected one operand at most, tcp or udp"
    refused --fly "freeport: get: --fly: expected an option of this verb; see freeport get --help"
    refused -n "freeport: get: -n: expected a value, N; see freeport get --help"
}

@test "a protocol whose range is missing is a usage error" {
    refused --tcp 30000 udp "freeport: get: 'udp': expected a range for it, in --udp or FREEPORT_UDP"
    refused --udp 30000 tcp "freeport: get: 'tcp': expected a range for it, in --tcp or FREEPORT_TCP"
    refused --udp 30000 "freeport: get: expected a range for tcp, in --tcp or FREEPORT_TCP; or udp behind get, which has \
a range"
}

@test "a variable that get does not use is not looked at" {
    configure FREEPORT_REPORT_FORMAT=xml FREEPORT_CONNECT=on
    run -0 freeport get
}

@test "a port that can't be printed is a failure" {
    run -1 eval 'freeport get >/dev/full'
    assert_output "freeport: standard output: No space left on device"
}
