# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# Programs that clean the environment of what they execute, and programs that the preload does not reach.

load helper

FPEXEC=${FREEPORT_PROGRAMS:-}/fpexec
CALLS="execve execv execvp execvpe execl execle execlp fexecve posix_spawn posix_spawnp vfork"

setup() {
    freeport_setup
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_SESSION=one FREEPORT_FOLLOW=yes
    # A launcher that says what it was given. The real one has tests of its own, and is not under the shim as this one.
    launcher=$BATS_TEST_TMPDIR/launcher
    printf '#!/bin/sh\necho "launched $*" >&2\npath=$1\nshift 2\nunset FREEPORT_LAUNCHER\nexec "$path" "$@"\n' >"$launcher"
    chmod +x "$launcher"
}

# by CALL clean|keep FILE [ARGUMENT...]: under the shim.
by() { shim "$FPEXEC" "$@"; }

@test "each call of the exec family gives a cleaned environment its session back" {
    for call in $CALLS; do
        run -0 by "$call" clean /usr/bin/env
        assert_line "FREEPORT_SESSION=one"
        assert_line "FREEPORT_TCP=$range"
        assert_line "LD_PRELOAD=$(preload)"
        assert_line "ONLY=1"
    done
}

@test "a program with a cleaned environment binds out of the range" {
    run -0 shim env -i "PATH=$PATH" "$FPSOCK" tcp4 bind 127.0.0.1 0 name
    assert_in_range "${lines[1]#* }" "$range"
}

@test "an environment that has a range is no cleaned one" {
    run -0 shim env -u FREEPORT_SESSION env
    refute_line "FREEPORT_SESSION=one"
    assert_line "FREEPORT_TCP=$range"
}

@test "an LD_PRELOAD without the shim gets it behind what it has" {
    has=${FREEPORT_SANITIZER_RUNTIME:-libm.so.6} # ASan's runtime is the first in every process
    run -0 shim env "LD_PRELOAD=$has" env
    assert_line --regexp "^LD_PRELOAD=$has:.*libfreeport_shim\.so$"
}

@test "one that says FREEPORT_FOLLOW=no leaves the session" {
    run -0 shim env -i FREEPORT_FOLLOW=no /usr/bin/env
    assert_output "FREEPORT_FOLLOW=no"
}

@test "without FREEPORT_FOLLOW=yes, environments stay as they are" {
    for value in no ""; do
        unset FREEPORT_FOLLOW
        [[ -z $value ]] || configure FREEPORT_FOLLOW="$value"
        for call in $CALLS; do
            run -0 by "$call" clean /usr/bin/env
            assert_output "ONLY=1
PATH=$PATH"
        done
    done
}

@test "each call has the launcher start a static program, with its own name and arguments" {
    configure FREEPORT_LAUNCHER="$launcher"
    for call in $CALLS; do
        for state in clean keep; do
            run -0 by "$call" "$state" "$FREEPORT_PROGRAMS/fpsock_static" tcp4
            path=$FREEPORT_PROGRAMS/fpsock_static
            [[ $call != fexecve ]] || path="/proc/self/fd/[0-9]+"
            assert_line --index 0 --regexp "^launched $path $FREEPORT_PROGRAMS/fpsock_static tcp4$"
        done
    done
}

@test "a script is started as its interpreter is" {
    configure FREEPORT_LAUNCHER="$launcher"
    printf '#! %s help\n' "$FREEPORT_PROGRAMS/fpsock_static" >"$BATS_TEST_TMPDIR/static-script"
    printf '#!/bin/sh\necho plain\n' >"$BATS_TEST_TMPDIR/plain-script"
    chmod +x "$BATS_TEST_TMPDIR"/*-script
    run by execve keep "$BATS_TEST_TMPDIR/static-script"
    assert_line --index 0 --partial "launched $BATS_TEST_TMPDIR/static-script"
    run -0 by execve keep "$BATS_TEST_TMPDIR/plain-script"
    assert_output plain
}

@test "the launcher starts Go programs, and no others" {
    configure FREEPORT_LAUNCHER="$launcher"
    run -0 by execve keep "$FREEPORT_PROGRAMS/fpsock_go" tcp4
    assert_line --index 0 --partial "launched $FREEPORT_PROGRAMS/fpsock_go"
    run -0 by execve keep "$FPSOCK" tcp4
    refute_output --partial launched
}

@test "what can't be executed fails as without the shim" {
    configure FREEPORT_LAUNCHER="$launcher"
    cp "$FREEPORT_PROGRAMS/fpsock_static" "$BATS_TEST_TMPDIR/not-executable"
    chmod -x "$BATS_TEST_TMPDIR/not-executable"
    echo text >"$BATS_TEST_TMPDIR/text"
    chmod +x "$BATS_TEST_TMPDIR/text"
    long=$(printf 'a%.0s' {1..300})
    for call in $CALLS; do
        for file in /nope "$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/not-executable" "$BATS_TEST_TMPDIR/text" \
            /etc/passwd/x nope-nope "" "$long"; do
            run "$FPEXEC" "$call" keep "$file"
            expected=$status:$output
            run by "$call" keep "$file"
            assert_equal "$call $file $status:$output" "$call $file $expected"
        done
    done
}

@test "execvp goes on behind a directory of PATH that refuses it, as without the shim" {
    mkdir "$BATS_TEST_TMPDIR"/{first,second}
    printf '#!/bin/sh\necho second\n' >"$BATS_TEST_TMPDIR/second/program"
    chmod +x "$BATS_TEST_TMPDIR/second/program"
    echo text >"$BATS_TEST_TMPDIR/first/program" # not executable
    PATH=$BATS_TEST_TMPDIR/first::$BATS_TEST_TMPDIR/second:$PATH run -0 by execvp keep program
    assert_output second
}

@test "a text without #! is the shell's in execvp, with its arguments" {
    printf 'echo "$0 $1"\n' >"$BATS_TEST_TMPDIR/text"
    chmod +x "$BATS_TEST_TMPDIR/text"
    PATH=$BATS_TEST_TMPDIR:$PATH run -0 by execvp clean text one
    assert_output "$BATS_TEST_TMPDIR/text one"
}

@test "a long list of arguments and of variables arrives whole" {
    for i in {1..2000}; do export "VARIABLE_$i=$i"; done
    # shellcheck disable=SC2046 # words
    run -0 by execvp keep sh -c 'echo $# $VARIABLE_2000' sh $(seq 2000)
    assert_output "2000 2000"
}
