# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport port: the real port behind a session's sentinel. freeport release: giving one up.

load helper
load cli

BIND='
import socket, sys, time
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(sys.argv[2])))
print("ready")
time.sleep(600)'

# --- port ------------------------------------------------------------------------------------------------------------

@test "port: the session's real port, TCP unless UDP is said" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=8000/tcp,8001/udp
    export FREEPORT_SESSION=s1
    shim_background tcp /usr/bin/python3 -uc "$BIND" tcp 8000
    shim_background udp /usr/bin/python3 -uc "$BIND" udp 8001
    wait_report "$(report_of tcp)" 1
    wait_report "$(report_of udp)" 1
    tcp=$(reported_port "$(report_of tcp)" tcp 8000)
    udp=$(reported_port "$(report_of udp)" udp 8001)
    assert_equal "$(freeport port 8000)" "$tcp"
    unset FREEPORT_SESSION
    assert_equal "$(freeport port 8000 --session s1)" "$tcp"
    assert_equal "$(freeport port --session s1 8000/tcp)" "$tcp"
    assert_equal "$(freeport port --session s1 8001/udp)" "$udp"
    run -1 freeport port --session s1 8001
    assert_output "freeport: session 's1' has no port for 8001/tcp; freeport list shows what there is"
    run -1 freeport port --session s2 8000
    assert_output "freeport: session 's2' has no port for 8000/tcp; freeport list shows what there is"
}

@test "port: a segment that is not there has no sessions, and none is made" {
    run -1 freeport port --session s1 8000
    assert_output "freeport: session 's1' has no port for 8000/tcp; freeport list shows what there is"
    [[ ! -e /dev/shm$TEST_SEGMENT ]]
}

@test "port: what is no sentinel, and a session that is missing, are usage errors" {
    for word in 0 65536 80/sctp 80/ x /tcp ''; do
        run -2 freeport port --session s1 "$word"
        assert_output "freeport: port: '$word': expected SENTINEL[/tcp|/udp], 1 to 65535"
    done
    run -2 freeport port --session s1
    assert_output "freeport: port: expected one SENTINEL[/tcp|/udp]; see freeport port --help"
    run -2 freeport port --session 'a b' 80
    assert_output "freeport: --session: 'a b': expected 1 to 64 printable ASCII characters, no space; \
auto: named after the worktree; new: one of its own"
    run -2 freeport port --segment x --session s1 80
    assert_output --partial "freeport: --segment: 'x': expected /"
}

@test "port and release: 5 where something else has the segment's name" {
    other_version
    run -5 freeport port --session s1 80
    run -5 freeport release 80
    assert_output "$OTHER_VERSION"
}

# --- release ---------------------------------------------------------------------------------------------------------

@test "release: what the shell reserved, by protocol" {
    range=$(own_range)
    one=${range%-*}
    configure FREEPORT_TCP="$one" FREEPORT_UDP="$one"
    freeport get
    freeport get udp
    freeport release udp "$one"
    assert_equal "$(freeport list --all -rn -o PROTO)" tcp
    freeport release tcp "$one"
    assert_equal "$(freeport list --all -rn -o PROTO)" ""
    assert_equal "$(freeport get)" "$one"
    freeport release "$one"
    assert_equal "$(freeport get)" "$one"
}

@test "release: a script may give up what its shell reserved" {
    range=$(own_range)
    freeport get --tcp "$range"
    bash -c '"$0" release "$1"; :' "$FREEPORT_CLI" "${range%-*}"
    assert_equal "$(freeport list --all | wc -l)" 0
}

@test "release: not what another process has, while it is there" {
    range=$(own_range)
    background owner /usr/bin/python3 -uc \
        'import subprocess, sys, time; subprocess.run(sys.argv[1:]); time.sleep(600)' "$FREEPORT_CLI" get --tcp "$range"
    wait_lines "$BATS_TEST_TMPDIR/owner.log" 1
    run -1 freeport release "${range%-*}"
    assert_output "freeport: tcp ${range%-*}: assigned to process $BACKGROUND_PID, which is there; only that process \
and its children give it up"
    stop "$BACKGROUND_PID"
    run -0 freeport release "${range%-*}"
}

@test "release: what is not assigned" {
    run -1 freeport release udp 30000
    assert_output "freeport: udp 30000: not assigned; freeport list shows what is"
    [[ ! -e /dev/shm$TEST_SEGMENT ]]
    freeport get
    run -1 freeport release udp 30000
    assert_output "freeport: udp 30000: not assigned; freeport list shows what is"
}

@test "release: a bad argument is a usage error that names it" {
    run -2 freeport release
    assert_output "freeport: release: expected [tcp|udp] PORT; see freeport release --help"
    run -2 freeport release tcp 1 2
    assert_output "freeport: release: expected [tcp|udp] PORT; see freeport release --help"
    run -2 freeport release sctp 80
    assert_output "freeport: release: 'sctp': expected tcp or udp"
    for port in 0 65536 x; do
        run -2 freeport release "$port"
        assert_output "freeport: release: '$port': expected a port, 1 to 65535"
    done
    run -2 freeport release --segment x 80
    assert_output --partial "freeport: --segment: 'x': expected /"
}
