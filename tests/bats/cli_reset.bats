# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport reset: what a name has is dropped, unless somebody has it still, and its sequence begins anew.

load helper
load cli

names() { freeport list --all -rn -o PORT,NAME | paste -sd,; }

# reserve_and_go NAME COUNT: reservations of a process that is gone.
reserve_and_go() { sh -c '"$0" get --name "$1" -n "$2" >/dev/null; :' "$FREEPORT_CLI" "$@"; }

@test "what is left over of a name, and no other's; the sequence begins anew" {
    range=$(own_range)
    first=${range%-*}
    configure FREEPORT_TCP="$range"
    reserve_and_go one 2
    reserve_and_go two 1
    reserve_and_go default 1
    run -0 freeport reset one
    assert_output ""
    assert_equal "$(names)" "$((first + 2)) two,$((first + 3)) default"
    run -0 freeport reset
    assert_equal "$(names)" "$((first + 2)) two"
    FREEPORT_NAME=two run -0 freeport reset
    assert_equal "$(names)" ""
    assert_equal "$(freeport get --name one)" "$first"
}

@test "what a process that is there has stays, unless --force is said" {
    range=$(own_range)
    configure FREEPORT_TCP="$range"
    freeport get -n 2
    reserve_and_go default 1
    run -1 freeport reset
    assert_output "freeport: reset: 2 of name 'default' kept, for processes that are there; end them (freeport list shows \
which), or say --force"
    assert_equal "$(freeport list --all -n | wc -l)" 2
    run -0 freeport reset --force
    assert_equal "$(freeport list --all -n | wc -l)" 0
    assert_equal "$(freeport get)" "${range%-*}"
}

@test "what a daemon's child has bound stays" {
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8000
    shim_background daemon /usr/bin/python3 -uc '
import os, socket, sys, time
server = socket.socket()
server.bind(("127.0.0.1", 8000))
server.listen()
if os.fork():
    sys.exit()
os.setsid()
print(os.getpid())
time.sleep(600)'
    wait_lines "$BATS_TEST_TMPDIR/daemon.log" 1
    end_later "$(cat "$BATS_TEST_TMPDIR/daemon.log")"
    wait_for "$PATIENCE" process_is_gone "$BACKGROUND_PID" "$(process_start "$BACKGROUND_PID")"
    run -1 freeport reset
    assert_equal "$(freeport list -rn -o PORT,STATE)" "${range%-*} bound"
}

@test "a segment that is not there has no names, and none is made" {
    run -0 freeport reset
    run -0 freeport reset unheard-of
    [[ ! -e /dev/shm$TEST_SEGMENT ]]
}

@test "usage, and a segment that can't be used" {
    run -2 freeport reset one two
    assert_output "freeport: reset: 'two': expected one NAME at most"
    run -2 freeport reset 'a b'
    assert_output "freeport: reset: 'a b': expected 1 to 32 of A-Z a-z 0-9 _ . -"
    FREEPORT_NAME='a b' run -2 freeport reset
    assert_output "freeport: FREEPORT_NAME: 'a b': expected 1 to 32 of A-Z a-z 0-9 _ . -"
    run -2 freeport reset --segment x
    assert_output --partial "freeport: --segment: 'x': expected /"
    other_version
    run -5 freeport reset
    assert_output "$OTHER_VERSION"
}
