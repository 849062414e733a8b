# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# The configuration file: where it is looked for, what stands over it, and what is said of mistakes in it.

load helper
load cli

# shows VARIABLE OPTION...: what a command finds in the variable.
shows() {
    local variable=$1
    shift
    freeport run "$@" -- /bin/sh -c "printf '%s\n' \"\${$variable-unset}\""
}

# refused LINE: `freeport run` with $CONFIG ends with that line, and starts nothing.
refused() {
    run -2 freeport run --config "$CONFIG" echo started
    assert_output "$1"
}

RANGE="FROM-TO or PORT, several with commas, 1 to 65535, 1023 characters at most"

# --- Which one -------------------------------------------------------------------------------------------------------

@test "--config, else FREEPORT_CONFIG, else XDG_CONFIG_HOME, else the home directory" {
    mkdir -p "$BATS_TEST_TMPDIR/home/.config" "$BATS_TEST_TMPDIR/xdg"
    unset FREEPORT_CONFIG XDG_CONFIG_HOME
    export HOME=$BATS_TEST_TMPDIR/home
    assert_equal "$(shows FREEPORT_TCP)" 20000-32767
    printf '[default]\ntcp = 1001\n' >"$HOME/.config/freeport.ini"
    assert_equal "$(shows FREEPORT_TCP)" 1001
    export XDG_CONFIG_HOME=$BATS_TEST_TMPDIR/xdg
    assert_equal "$(shows FREEPORT_TCP)" 20000-32767
    printf '[default]\ntcp = 1002\n' >"$XDG_CONFIG_HOME/freeport.ini"
    assert_equal "$(shows FREEPORT_TCP)" 1002
    XDG_CONFIG_HOME=relative
    assert_equal "$(shows FREEPORT_TCP)" 1001
    config '[default]' 'tcp = 1003'
    export FREEPORT_CONFIG=$CONFIG
    assert_equal "$(shows FREEPORT_TCP)" 1003
    printf '[default]\ntcp = 1004\n' >"$BATS_TEST_TMPDIR/option.ini"
    assert_equal "$(shows FREEPORT_TCP --config "$BATS_TEST_TMPDIR/option.ini")" 1004
    export FREEPORT_CONFIG=
    assert_equal "$(shows FREEPORT_TCP)" 20000-32767
}

@test "--config is the command's file too, wherever it goes" {
    config '[default]' 'tcp = 30000'
    cd "$BATS_TEST_TMPDIR"
    assert_equal "$(shows FREEPORT_CONFIG --config freeport.ini)" "$CONFIG"
}

# --- What counts -----------------------------------------------------------------------------------------------------

@test "every key is a variable in lower case" {
    config '[web]' 'tcp = 30000-30010' 'udp=30020' 'sentinels = 80,443/tcp' 'session = s1' \
        "report = $BATS_TEST_TMPDIR/file" 'report_format = json' 'sockname = real' 'connect = off' 'via = preload' 'follow = no' 'timeout = 100' \
        "segment = $TEST_SEGMENT-web" 'segment_mode = 0660' 'log = quiet' 'lenient = 1'
    run -0 freeport run --config "$CONFIG" --name web sh -c 'env | grep ^FREEPORT_ | LC_ALL=C sort'
    for line in TCP=30000-30010 UDP=30020 SENTINELS=80,443/tcp SESSION=s1 REPORT="$BATS_TEST_TMPDIR/file" \
        REPORT_FORMAT=json SOCKNAME=real CONNECT=off VIA=preload FOLLOW=no TIMEOUT=100 SEGMENT_MODE=0660 LOG=quiet LENIENT=1 NAME=web; do
        assert_line "FREEPORT_$line"
    done
    assert_line "FREEPORT_SEGMENT=$TEST_SEGMENT" # the environment's
    config '[web]' 'report_fd = 2'
    assert_equal "$(shows FREEPORT_REPORT_FD --config "$CONFIG" --name web)" 2
}

@test "options before the environment, the environment before the file" {
    config '[default]' 'tcp = 30000' 'log = quiet'
    assert_equal "$(shows FREEPORT_TCP --config "$CONFIG")" 30000
    configure FREEPORT_TCP=30001
    assert_equal "$(shows FREEPORT_TCP --config "$CONFIG")" 30001
    assert_equal "$(shows FREEPORT_TCP --config "$CONFIG" --tcp 30002)" 30002
    assert_equal "$(shows FREEPORT_LOG --config "$CONFIG" --tcp 30002)" quiet
}

@test "a section a name; what stands before the first holds for all" {
    config 'log = quiet' 'udp = 30009' '[web]' 'tcp = 30000' '[db]' 'tcp = 30001' 'udp = 30002'
    assert_equal "$(shows FREEPORT_TCP --config "$CONFIG" --name web)" 30000
    assert_equal "$(shows FREEPORT_UDP --config "$CONFIG" --name web)" 30009
    assert_equal "$(shows FREEPORT_UDP --config "$CONFIG" --name db)" 30002
    configure FREEPORT_NAME=db
    assert_equal "$(shows FREEPORT_TCP --config "$CONFIG")" 30001
    assert_equal "$(shows FREEPORT_LOG --config "$CONFIG")" quiet
    unset FREEPORT_NAME
    assert_equal "$(shows FREEPORT_UDP --config "$CONFIG")" 30009
}

@test "a range in the file alone leaves the other protocol alone" {
    config '[default]' 'tcp = 30000'
    assert_equal "$(shows FREEPORT_UDP --config "$CONFIG")" unset
}

@test "a session of the file that can't be read is the file's fault" {
    config '[default]' 'tcp = 30000' 'session = two words'
    run -2 freeport run --config "$CONFIG" true
    assert_output "freeport: $CONFIG:3: session: 'two words': expected 1 to 64 printable ASCII characters, no space; \
auto: named after the worktree; new: one of its own"
}

@test "a session of the file is joined, unless one is inherited or named" {
    config '[default]' 'session = ours'
    assert_equal "$(shows FREEPORT_SESSION --config "$CONFIG")" ours
    FREEPORT_SESSION=theirs run -0 shows FREEPORT_SESSION --config "$CONFIG"
    assert_output theirs
    assert_equal "$(shows FREEPORT_SESSION --config "$CONFIG" --session mine)" mine
}

@test "get, list, port and release find the file's range and segment" {
    range=$(own_range)
    unset FREEPORT_SEGMENT
    config "segment = $TEST_SEGMENT-file" '[web]' "tcp = $range"
    assert_equal "$(freeport get --config "$CONFIG" --name web)" "${range%-*}"
    [[ -f /dev/shm$TEST_SEGMENT-file ]]
    assert_equal "$(freeport list --config "$CONFIG" -rn -o PORT,NAME)" "${range%-*} web"
    run -1 freeport port --config "$CONFIG" --session s1 80
    freeport release --config "$CONFIG" "${range%-*}"
    assert_equal "$(freeport list --config "$CONFIG" --all -rn)" ""
}

@test "comments, blanks, indented keys, and a list that goes on in the next line" {
    config '; a comment' '# another' '' '  [default]  ' '    tcp = 30000-30001,   ; the first' '        30005' \
        '        30007' '    log = quiet'
    assert_equal "$(shows FREEPORT_TCP --config "$CONFIG")" 30000-30001,30005,30007
    assert_equal "$(shows FREEPORT_LOG --config "$CONFIG")" quiet
}

# --- Mistakes --------------------------------------------------------------------------------------------------------

@test "a value that can't be read is told with file and line" {
    config '[default]' '; a range' 'tcp = 5-1'
    refused "freeport: $CONFIG:3: tcp: '5-1': expected $RANGE"
    config '[default]' 'tcp = 30000' 'log ='
    refused "freeport: $CONFIG:3: log: '': expected quiet, error, warn, info or debug"
}

@test "a key that there is not, or twice, is told with file and line" {
    config '[web]' 'port = 80' '[default]' 'tcp = 1'
    refused "freeport: $CONFIG:2: 'port': expected one of tcp, udp, sentinels, session, report, report_fd, \
report_format, sockname, connect, via, timeout, follow, segment, segment_mode, log, \
lenient, export, audit, quiet; before the first section, also name"
    config '[default]' 'tcp = 1' 'tcp = 2'
    refused "freeport: $CONFIG:3: 'tcp': expected it once in a section; it is in line 2 too"
    config '[default]' 'name = web'
    run -2 freeport run --config "$CONFIG" true
    assert_output --partial "$CONFIG:2: 'name': expected one of tcp,"
}

@test "what is no section and no key, a bad name, and a line that is too long" {
    config '[default]' 'tcp'
    refused "freeport: $CONFIG:2: expected [NAME], KEY = VALUE, or ; or # and a comment"
    config '[default' 'tcp = 1'
    refused "freeport: $CONFIG:1: expected [NAME], KEY = VALUE, or ; or # and a comment"
    config '[a b]' 'tcp = 1'
    refused "freeport: $CONFIG:1: 'a b': expected a name in [], 1 to 32 of A-Z a-z 0-9 _ . -"
    config '; empty'
    refused "freeport: $CONFIG: expected a section [default]; it has none"
    config '[default]' "tcp = $(seq -s, 30000 30100)"
    run -2 freeport run --config "$CONFIG" true
    assert_line --regexp "^freeport: $CONFIG:2: expected a line of text of [0-9]+ bytes at most; a list may go on in \
the next line, indented\$"
    printf '[default]\ntcp = 3\0000\n' >"$CONFIG"
    run -2 freeport run --config "$CONFIG" true
    assert_line --regexp "^freeport: $CONFIG:2: expected a line of text of [0-9]+ bytes"
    # An endless one without a line's end.
    run -2 freeport run --config /dev/zero true
    assert_output --regexp "^freeport: /dev/zero:1: expected a line of text of [0-9]+ bytes"
}

@test "somebody else's home has no file of ours" {
    ((UID == 0)) || skip "only root can become another user"
    mkdir -p "$BATS_TEST_TMPDIR/home/.config"
    chmod 700 "$BATS_TEST_TMPDIR/home"
    run -0 env HOME="$BATS_TEST_TMPDIR/home" XDG_CONFIG_HOME= setpriv --reuid 65534 --regid 65534 --clear-groups \
        "$FREEPORT_CLI" list
    assert_output ""
}

@test "a file that is asked for has to be there, and to have the section" {
    CONFIG=$BATS_TEST_TMPDIR/none.ini
    refused "freeport: $CONFIG: 'No such file or directory': expected a configuration file that can be read"
    FREEPORT_CONFIG=$CONFIG run -2 freeport list
    assert_output "freeport: $CONFIG: 'No such file or directory': expected a configuration file that can be read"
    config '[web]' 'tcp = 1' '[db]' 'tcp = 2'
    refused "freeport: $CONFIG: expected a section [default]; it has [web], [db]"
    FREEPORT_CONFIG=$CONFIG run -0 shows FREEPORT_TCP
    assert_output 20000-32767
    run -2 freeport run --config '' true
    assert_output "freeport: --config: '': expected the path of a file"
    run -2 freeport run --config "$BATS_TEST_TMPDIR" true
    assert_output "freeport: $BATS_TEST_TMPDIR: 'Is a directory': expected a configuration file that can be read"
}
