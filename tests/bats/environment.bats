# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# The variables: what can't be read is an error in one line, and never a port that nobody manages.

load helper

# The user that the tests of root become: nobody.
USER_ID=65534

setup() {
    freeport_setup
    range=$(own_range)
    first=${range%-*}
    outside=$(range_port "$(own_range)" 0)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=8080
}

# says VARIABLE VALUE: one line, that names both; the program runs, managed binds fail, all others work.
says() {
    rm -f "$BATS_TEST_TMPDIR/socket"
    run -0 --separate-stderr fpsock tcp4 reuseaddr bind 127.0.0.1 0 name get reuseaddr tcp6 bind ::1 0 tcp4 listen \
        tcp4 bind 127.0.0.1 "$outside" name unix bindpath "$BATS_TEST_TMPDIR/socket" tcp4 noport bind 127.0.0.1 0
    got EINVAL "0.0.0.0 0" 1 EINVAL EINVAL "${3:-ok}" "127.0.0.1 ${4:-$outside}" ok ok
    ((${#stderr_lines[@]} == 1)) || fail "$1=$2: not one line: $stderr"
    [[ $stderr == "freeport: $1=$2: expected "*"EINVAL" ]] || fail "$1=$2: $stderr"
}

# malformed VARIABLE VALUE...: each on its own.
malformed() {
    local variable=$1 value before=${!1-unset}
    shift
    for value in "$@"; do
        configure "$variable=$value"
        says "$variable" "$value"
    done
    if [[ $before == unset ]]; then unset "$variable"; else configure "$variable=$before"; fi
}

# --- Values that can't be read ---------------------------------------------------------------------------------------

@test "a malformed range" {
    malformed FREEPORT_TCP "" x 0 65536 0-10 10-65536 10-5 "10 - 20" 10- -20 10-20-30 10,,20 ,10 10, 1e3 0x10 99999999999
    # Of the other protocol, which has nothing to do with it.
    malformed FREEPORT_UDP x
}

@test "malformed sentinels: every bind by number is managed then, and fails" {
    for value in x 0 8080/sctp 8080/ 8080,,9090 9000-8000 all/x 65536; do
        configure FREEPORT_SENTINELS="$value"
        run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 8080 tcp4 bind 127.0.0.1 "$outside" \
            udp4 bind 127.0.0.1 0
        got EINVAL EINVAL EINVAL ok
        ((${#stderr_lines[@]} == 1)) || fail "$value: not one line: $stderr"
        [[ $stderr == "freeport: FREEPORT_SENTINELS=$value: expected "* ]] || fail "$stderr"
    done
}

@test "a malformed name or session" {
    malformed FREEPORT_NAME "" "a b" a/b "$(printf 'a%.0s' {1..33})"
    malformed FREEPORT_SESSION "" "a b" "$(printf 'a%.0s' {1..65})"
}

@test "malformed report variables" {
    malformed FREEPORT_REPORT_FD "" -1 two 2147483648 1.5 " 1"
    malformed FREEPORT_REPORT ""
    malformed FREEPORT_REPORT_FORMAT "" xml JSON
}

@test "malformed words and numbers" {
    malformed FREEPORT_SOCKNAME "" both
    malformed FREEPORT_CONNECT "" on
    malformed FREEPORT_TIMEOUT "" -1 1s 2147483648
    malformed FREEPORT_LENIENT "" 2 yes
}

@test "a malformed log level is complained about all the same" {
    malformed FREEPORT_LOG "" loud
}

@test "a malformed segment" {
    malformed FREEPORT_SEGMENT "" name / /a/b /. /..
    malformed FREEPORT_SEGMENT_MODE "" 0777 0400 600x 9 0
}

@test "a line stays one line, and of a decent length, whatever the value is" {
    configure FREEPORT_NAME=$'two\nlines'
    says FREEPORT_NAME 'two?lines'
    FREEPORT_NAME=$(printf 'a%.0s' {1..4000}) run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0
    got EINVAL
    ((${#stderr_lines[@]} == 1 && ${#stderr} < 640)) || fail "$stderr"
    [[ $stderr == "freeport: FREEPORT_NAME=aaa"*"expected "* ]] || fail "$stderr"
}

@test "two malformed values are two lines" {
    configure FREEPORT_NAME='a b' FREEPORT_TIMEOUT=soon
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0
    got EINVAL
    assert_equal "${#stderr_lines[@]}" 2
    assert_equal "$(grep -cE '^freeport: FREEPORT_(NAME=a b|TIMEOUT=soon): expected ' <<<"$stderr")" 2
}

@test "a sentinel and a port of the range fail, too, or work by their number, but none is another" {
    configure FREEPORT_NAME='a b'
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 8080 name tcp4 bind 127.0.0.1 "$first" name udp4 bind 127.0.0.1 0
    got EINVAL "0.0.0.0 0" ok "127.0.0.1 $first" ok
}

@test "FREEPORT_LOG=quiet: nothing is said, and nothing falls back" {
    configure FREEPORT_NAME='a b' FREEPORT_LOG=quiet
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0
    got EINVAL
    assert_equal "$stderr" ""
}

@test "standard error that is closed, or a stranger's: nothing is written to it" {
    configure FREEPORT_NAME='a b'
    run -0 eval 'fpsock tcp4 bind 127.0.0.1 0 2>&-'
    got EINVAL
    configure FREEPORT_NAME=default FREEPORT_TCP="$first"
    run -0 fpsock tcp4 bind 127.0.0.1 0 closefd 2 openfd 2 "$BATS_TEST_TMPDIR/database" tcp4 bind 127.0.0.1 0
    got ok EADDRINUSE
    assert_equal "$(wc -c <"$BATS_TEST_TMPDIR/database")" 0
}

# --- Values that can -------------------------------------------------------------------------------------------------

@test "FREEPORT_LENIENT=1: a range that can't be read is every port" {
    needs_root
    configure FREEPORT_LENIENT=1 FREEPORT_TCP=5-1
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 name
    assert_line --index 0 ok
    # From 1 on, as in inet_free_port.
    ((${lines[1]##* } < 1024)) || fail "not from 1 on: ${lines[1]}"
    assert_equal "$stderr" ""
    configure FREEPORT_TCP="$range"
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $first"
}

@test "FREEPORT_LENIENT=1 is lenient with ranges alone" {
    configure FREEPORT_LENIENT=1
    malformed FREEPORT_NAME "a b"
}

@test "everything set, and nothing said: neither on standard output nor on standard error" {
    configure FREEPORT_UDP="$range" FREEPORT_SENTINELS=80,5000-5009/tcp,53/udp,all FREEPORT_NAME=A-z_0.9 \
        FREEPORT_SESSION='!~' FREEPORT_REPORT="$BATS_TEST_TMPDIR/r" FREEPORT_REPORT_FD=99 FREEPORT_REPORT_FORMAT=json \
        FREEPORT_SOCKNAME=real FREEPORT_CONNECT=off FREEPORT_TIMEOUT=0 FREEPORT_SEGMENT_MODE=0660 FREEPORT_LOG=error \
        FREEPORT_LENIENT=0
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 udp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 8080
    got ok ok ok
    assert_equal "$stderr" ""
}

@test "FREEPORT_LOG=info tells each assignment in a line, on standard error" {
    configure FREEPORT_LOG=info
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 8080
    got ok ok
    assert_equal "${#stderr_lines[@]}" 2
    assert_equal "$(grep -c '^freeport: ' <<<"$stderr")" 2
}

@test "the environment is read once: what a program sets later is for its children" {
    run -0 fpsock tcp4 bind 127.0.0.1 0 name sh "FREEPORT_NAME='a b' '$FPSOCK' tcp4 bind 127.0.0.1 0 2>&1 |
        cut -d: -f1,2" tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $first" "freeport: FREEPORT_NAME=a b" EINVAL ok "127.0.0.1 $(even_port "$range" 1)"
}

@test "variables of ours are found behind any number of others that begin alike" {
    others=()
    for number in {1..200}; do others+=("FREEPORT_$number=x"); done
    # env(1) puts variables in the order that it is given them in.
    run -0 env -i "${others[@]}" FREEPORT_TCP="$range" FREEPORT_SENTINELS=8080 FREEPORT_SOCKNAME=real \
        FREEPORT_SEGMENT="$FREEPORT_SEGMENT" LD_PRELOAD="$(preload)" ASAN_OPTIONS=detect_leaks=0 \
        "$FPSOCK" tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 8080 name
    got ok "127.0.0.1 $first" ok "127.0.0.1 $(range_port "$range" 1)"
}

@test "a library whose constructor binds before the shim's has run gets a port of the range, and the program the next" {
    shim_and="$(preload):$FREEPORT_PROGRAMS/libfpearly.so"
    run -0 --separate-stderr env LD_PRELOAD="$shim_and" ASAN_OPTIONS=detect_leaks=0 "$FPSOCK" tcp4 bind 127.0.0.1 0 name
    got "early $first" ok "127.0.0.1 $(even_port "$range" 1)"
}

# --- Programs with another user's rights -----------------------------------------------------------------------------

@test "a set-user-ID program is left alone" {
    needs_root
    needs_open_shm
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer's runtime can't be preloaded there"
    public=$(mktemp -d)
    chmod 755 "$public"
    # The shim is linked in, since the loader would not take it from LD_PRELOAD there: the shim has to see it by itself.
    install -m 755 "$FREEPORT_PROGRAMS/fpsock_linked" "$public/fpsock"
    install -m 755 "$FREEPORT_SHIM" "$public" # the build folder may be in a home that others can't look into
    as_user=(timeout "$PATIENCE" setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups "$public/fpsock")
    words=(tcp4 bind 127.0.0.1 0 name tcp4 bind 127.0.0.1 8080 name sh 'echo "session $FREEPORT_SESSION"')

    run -0 --separate-stderr env LD_LIBRARY_PATH="$public" "${as_user[@]}" "${words[@]}"
    plain="$output"
    chmod u+s "$public/fpsock"
    rm -f "/dev/shm$TEST_SEGMENT"
    run -0 --separate-stderr env FREEPORT_NAME='a b' "${as_user[@]}" "${words[@]}"
    rm -r "$public"

    [[ $plain == "ok
127.0.0.1 $first
ok
127.0.0.1 8080
session "?* ]] || fail "the shim is not linked in: $plain"
    ((${lines[1]##* } >= 32768)) || fail "not the kernel's: ${lines[1]}"
    assert_equal "${lines[2]} ${lines[3]} ${lines[4]}" "ok 127.0.0.1 8080 session "
    assert_equal "$stderr" ""
    [[ ! -e /dev/shm$TEST_SEGMENT ]]
}

# --- What is handed down ---------------------------------------------------------------------------------------------

# In an environment of COUNT more variables, the first process of a session tells its children of it.
handed_down_among() {
    local count=$1 session
    run -0 env $(seq -f 'MORE_%g=x' "$count") ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$(preload)" /usr/bin/python3 -c '
import os, subprocess
os.environ["MORE_1"] = "changed"
os.environ["ADDED"] = "yes"
del os.environ["MORE_2"]
subprocess.run(["env"], check=True)
'
    session=$(grep -c '^FREEPORT_SESSION=[0-9]*-[0-9a-f]*$' <<<"$output")
    ((session == 1)) || fail "$count: $session sessions"
    ((count - 1 == $(grep -c '^MORE_[0-9]*=' <<<"$output"))) || fail "$count: not all of them are left"
    assert_line MORE_1=changed
    assert_line ADDED=yes
    assert_line "FREEPORT_TCP=$range"
}

@test "a session is handed down in small and in large environments, which stay the program's own" {
    for count in 2 300 390 400 401 402 1000; do handed_down_among "$count"; done
}

@test "a session is handed down where there is no other variable" {
    run -0 env -i ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$(preload)" FREEPORT_TCP="$range" FREEPORT_SEGMENT="$FREEPORT_SEGMENT" /usr/bin/env
    assert_line --regexp '^FREEPORT_SESSION=[0-9]+-[0-9a-f]+$'
    assert_line --regexp '^FREEPORT_SEGMENT_OWNER=[0-9]+$'
    assert_line "FREEPORT_SEGMENT_ID=$(stat -c '%d:%i' "/dev/shm$FREEPORT_SEGMENT"):$FREEPORT_SEGMENT"
}

@test "a program that loads the shim and lets go of it keeps its environment" {
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer's runtime has to be there first"
    configure FREEPORT_SESSION=
    run -0 env -u FREEPORT_SESSION "$FREEPORT_PROGRAMS/fpunload" "$FREEPORT_SHIM"
    [[ $output =~ ^"session "([0-9]+-[0-9a-f]+)$'\n'"child "([0-9]+-[0-9a-f]+)$ ]] || fail "$output"
    assert_equal "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
}

@test "a daemon that clears its arguments up to the end of its last variable clears nothing of ours" {
    long=$(printf 'd%.0s' {1..200})
    mkdir -p "$BATS_TEST_TMPDIR/$long/$long/$long/$long"
    cd "$BATS_TEST_TMPDIR/$long/$long/$long/$long"
    for variables in "FREEPORT_REPORT=$BATS_TEST_TMPDIR/report" "LAST=x FREEPORT_REPORT=relative" "ONE=1 TWO=2" \
        "FREEPORT_SESSION=given LAST=x" "$(seq -s ' ' -f 'MORE_%g=x' 500)"; do
        # shellcheck disable=SC2086
        run -0 --separate-stderr env -i ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$(preload)" FREEPORT_TCP="$range" \
            FREEPORT_SEGMENT="$FREEPORT_SEGMENT" $variables "$FREEPORT_PROGRAMS/fptitle"
        assert_line --index 0 --regexp '^session (given|[0-9]+-[0-9a-f]+)$'
        assert_equal "${lines[*]:1}" cleared
    done
}

@test "values that are long are handed down whole" {
    local directory
    directory=$(printf 'd%.0s' {1..200})
    mkdir -p "$BATS_TEST_TMPDIR/$directory/$directory/$directory/$directory"
    cd "$BATS_TEST_TMPDIR/$directory/$directory/$directory/$directory"
    run -0 env ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$(preload)" FREEPORT_REPORT=report /usr/bin/env
    assert_line "FREEPORT_REPORT=$PWD/report"
    assert_line --regexp '^FREEPORT_SESSION=[0-9]+-[0-9a-f]+$'
}
