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

# default_segment NAMESPACE TIME [WORD...]: one such as a network namespace leaves behind, with a time of its own.
default_segment() {
    DEFAULTS+=("/freeport-$UID-$1")
    FREEPORT_SEGMENT=${DEFAULTS[-1]} fpsock "${@:3}"
    touch --date="$2" "/dev/shm${DEFAULTS[-1]}"
}

teardown() {
    local name
    for name in "${DEFAULTS[@]}"; do rm -f "/dev/shm$name"; done
    freeport_teardown
}

@test "segments that are out of use are removed, and no others" {
    configure FREEPORT_TCP="$(own_range)"
    local mine=7777777$$ # no namespace comes so far
    default_segment "${mine}1" '2 days ago' tcp4
    default_segment "${mine}2" '1 hour ago' tcp4
    # Something was assigned just now, and its owner is gone; or a process has it mapped.
    default_segment "${mine}3" '2 days ago' tcp4 bind 127.0.0.1 0
    FREEPORT_SEGMENT=/freeport-$UID-${mine}4 shim_background mapped "$FPSOCK" tcp4 stay
    is_there mapped
    DEFAULTS+=("/freeport-$UID-${mine}4")
    touch --date='2 days ago' "/dev/shm${DEFAULTS[-1]}"
    default_segment "${mine}x" '2 days ago' tcp4
    for verb in 'reset' 'run true'; do
        # shellcheck disable=SC2086 # words
        run -0 freeport $verb
        assert_output ""
        run -0 find /dev/shm -name "freeport-$UID-$mine*" -printf '%f\n'
        assert_equal "$(sort <<<"$output")" "$(printf "freeport-$UID-$mine%s\n" 2 3 4 x)"
        default_segment "${mine}1" '2 days ago' tcp4
    done
    stop "$BACKGROUND_PID"
    run -0 freeport reset
    [[ ! -e /dev/shm/freeport-$UID-${mine}4 ]]
}

@test "a segment with a reservation of a process that is there is in use, however old" {
    configure FREEPORT_TCP="$(own_range)"
    local mine=8888888$$
    DEFAULTS+=("/freeport-$UID-$mine")
    FREEPORT_SEGMENT=${DEFAULTS[0]} freeport get >/dev/null
    touch --date='2 days ago' "/dev/shm${DEFAULTS[0]}"
    freeport reset
    [[ -e /dev/shm${DEFAULTS[0]} ]]
}
