# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# freeport env: a section of the configuration file as lines for a shell.

load helper
load cli

# after CODE: runs it in a shell that has evaluated the lines in $OUTPUT.
after() { env ASAN_OPTIONS=detect_leaks=0 "${SHELL_UNDER_TEST:-sh}" -c "eval \"\$1\"; $1" sh "$OUTPUT" 3>&-; }

# lines ARGUMENT...: freeport env's, as $OUTPUT; what a shell makes of them is tried without running them first.
lines() {
    OUTPUT=$(freeport env "$@")
    sh -n <<<"$OUTPUT"
}

@test "a section's settings, the name, a session, and the shim" {
    config '[web]' 'tcp = 30000-30010' 'sentinels = 8080'
    lines --config "$CONFIG" web
    for shell in sh bash dash; do
        export SHELL_UNDER_TEST=$shell
        run -0 after 'echo "$FREEPORT_TCP $FREEPORT_SENTINELS $FREEPORT_NAME ${FREEPORT_UDP-unset}"'
        assert_output "30000-30010 8080 web unset"
        run -0 after 'echo "$LD_PRELOAD"'
        assert_output "${FREEPORT_SANITIZER_RUNTIME:+$FREEPORT_SANITIZER_RUNTIME:}$FREEPORT_SHIM"
        run -0 after 'echo "$FREEPORT_SESSION"'
        assert_output --regexp '^env-[0-9]+-[0-9a-f]+$'
    done
}

@test "programs of the shell have the ports, and meet at the sentinel" {
    range=$(own_range)
    config '[web]' "tcp = $range" 'sentinels = 8080'
    lines --config "$CONFIG" web
    run -0 env ASAN_OPTIONS=detect_leaks=0 sh -c '
        eval "$1"
        : >"$3"
        /usr/bin/python3 -uc "$2" 8080 >"$3" 2>&1 &
        server=$!
        until grep -q ready "$3"; do sleep 0.05; done
        /usr/bin/python3 -c "import socket; print(socket.create_connection((\"127.0.0.1\", 8080)).getpeername()[1])"
        "$4" port 8080
        kill $server' sh "$OUTPUT" "$LISTEN" "$BATS_TEST_TMPDIR/server.log" "$FREEPORT_CLI"
    assert_output "8080
${range%-*}"
}

@test "the file counts, not the environment; what it does not say is unset, but for the host's matters" {
    config '[one]' 'tcp = 30000' 'sentinels = 8080' '[two]' 'udp = 30001' 'session = s2'
    configure FREEPORT_TCP=1 FREEPORT_SENTINELS=2 FREEPORT_SESSION=s1 FREEPORT_REPORT=/r FREEPORT_REPORT_ID=3:1:1 \
        FREEPORT_LOG=debug FREEPORT_SEGMENT_MODE=0660 FREEPORT_SEGMENT_OWNER=0
    lines --config "$CONFIG" two
    run -0 after 'env | grep "^FREEPORT_" | grep -vE "_(SHIM|CLI|BUILD|LIBRARY|PROGRAMS|SANITIZE[A-Z_]*|SEGMENT_ID)=" | LC_ALL=C sort'
    assert_output "FREEPORT_CONFIG=
FREEPORT_LOG=debug
FREEPORT_NAME=two
FREEPORT_SEGMENT=$TEST_SEGMENT
FREEPORT_SEGMENT_MODE=0660
FREEPORT_SEGMENT_OWNER=0
FREEPORT_SESSION=s2
FREEPORT_UDP=30001"
    config '[one]' 'segment = /other'
    lines --config "$CONFIG" one
    run -0 after 'echo "$FREEPORT_SEGMENT ${FREEPORT_SEGMENT_OWNER-unset}"'
    assert_output "/other unset"
}

@test "without a NAME: FREEPORT_NAME's section, else default's; without a file, 20000-32767" {
    config '[default]' 'tcp = 30000' '[web]' 'tcp = 30001'
    export FREEPORT_CONFIG=$CONFIG
    lines
    assert_equal "$(after 'echo $FREEPORT_TCP $FREEPORT_NAME')" "30000 default"
    FREEPORT_NAME=web lines
    assert_equal "$(after 'echo $FREEPORT_TCP $FREEPORT_NAME')" "30001 web"
    FREEPORT_CONFIG='' lines
    assert_equal "$(after 'echo $FREEPORT_TCP $FREEPORT_UDP')" "20000-32767 20000-32767"
}

@test "what LD_PRELOAD has stays in front" {
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer's runtime is in LD_PRELOAD"
    first=$FREEPORT_LIBRARY
    OUTPUT=$(LD_PRELOAD=$first "$FREEPORT_CLI" env)
    assert_equal "$(after 'echo "$LD_PRELOAD"')" "$first:$FREEPORT_SHIM"
}

@test "nothing in a value gets out of its quotes" {
    hostile="\$(touch $BATS_TEST_TMPDIR/out)\`touch $BATS_TEST_TMPDIR/out\`'\"\\\\;&|<>*?[]{}~#!%\$HOME"
    config '[web]' "session = '\$(touch\${IFS}$BATS_TEST_TMPDIR/out)\`\\" "report = $BATS_TEST_TMPDIR/$hostile"$'\xff\xfe\e[2J'
    lines --config "$CONFIG" web
    for shell in sh bash dash; do
        SHELL_UNDER_TEST=$shell run -0 after 'printf "%s\n" "$FREEPORT_REPORT"'
        assert_output "$BATS_TEST_TMPDIR/$hostile"$'\xff\xfe\e[2J'
    done
    [[ ! -e $BATS_TEST_TMPDIR/out ]]
    mkdir "$BATS_TEST_TMPDIR/it's"
    cp "$FREEPORT_SHIM" "$BATS_TEST_TMPDIR/it's/"
    FREEPORT_SHIM="$BATS_TEST_TMPDIR/it's/libfreeport_shim.so" lines
    run -0 env -u LD_PRELOAD sh -c 'eval "$1"; printf "%s\n" "$LD_PRELOAD"' sh "$OUTPUT"
    assert_output --partial "$BATS_TEST_TMPDIR/it's/libfreeport_shim.so"
}

@test "mistakes: nothing is printed that a shell would run" {
    config '[web]' 'tcp = x' '[db]' 'tcp = 1'
    run -2 --separate-stderr freeport env --config "$CONFIG" web
    assert_output ""
    assert_equal "$stderr" "freeport: $CONFIG:2: tcp: 'x': expected FROM-TO or PORT, several with commas, 1 to 65535, \
1023 characters at most"
    run -2 --separate-stderr freeport env --config "$CONFIG" api
    assert_output ""
    assert_equal "$stderr" "freeport: $CONFIG: expected a section [api]; it has [web], [db]"
    run -2 freeport env api
    assert_output "freeport: [api]: expected a configuration file with that section, in --config, FREEPORT_CONFIG or \
~/.config/freeport.ini"
    for name in 'a b' ''; do
        FREEPORT_CONFIG=$CONFIG run -2 freeport env "$name"
        assert_output "freeport: env: '$name': expected 1 to 32 of A-Z a-z 0-9 _ . -"
    done
    run -2 env -u FREEPORT_CONFIG XDG_CONFIG_HOME="$BATS_TEST_TMPDIR/none" "$FREEPORT_CLI" env api
    assert_output "freeport: [api]: expected a configuration file with that section, in --config, FREEPORT_CONFIG or \
~/.config/freeport.ini"
    run -2 freeport env one two
    assert_output "freeport: env: 'two': expected one NAME at most"
    FREEPORT_NAME="a'b" run -2 --separate-stderr freeport env
    assert_output ""
    assert_equal "$stderr" "freeport: FREEPORT_NAME: 'a'b': expected 1 to 32 of A-Z a-z 0-9 _ . -"
}

@test "125 where there is no shim" {
    FREEPORT_SHIM=/none/such.so run -125 --separate-stderr freeport env
    assert_output ""
    assert_equal "$stderr" "freeport: FREEPORT_SHIM: '/none/such.so': expected the path of libfreeport_shim.so"
}
