# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# A project's own file: where it is found, what counts, and which ones are not followed.

load helper
load cli

setup() {
    freeport_setup
    [[ -x ${FREEPORT_CLI:-} ]] || fail "FREEPORT_CLI is no program: '${FREEPORT_CLI:-}'"
    unset FREEPORT_CONFIG
    export HOME=$BATS_TEST_TMPDIR/home
    mkdir -p "$HOME/.config" "$BATS_TEST_TMPDIR/shop/src/deep"
    cd "$BATS_TEST_TMPDIR/shop" || return
    mkdir .git # as far as freeport looks
    FILE=$PWD/freeport.ini
}

# shows VARIABLE OPTION...: what a command finds in the variable.
shows() {
    local variable=$1
    shift
    freeport run "$@" -- /bin/sh -c "printf '%s\n' \"\${$variable-unset}\""
}

project() { printf '%s\n' "$@" >"$FILE"; }

@test "it is found in the working directory and above, up to the repository's root" {
    project 'tcp = 30000-30010' 'sentinels = 3000' 'session = auto'
    for directory in . src src/deep; do
        assert_equal "$(cd $directory && shows FREEPORT_TCP)" 30000-30010
        assert_equal "$(cd $directory && shows FREEPORT_SENTINELS)" 3000
        assert_equal "$(cd $directory && shows FREEPORT_SESSION)" shop
    done
    echo 'tcp = 30020' >src/freeport.ini
    assert_equal "$(cd src/deep && shows FREEPORT_TCP)" 30020
    # Above the root it is not the project's; nor outside of a repository.
    mv freeport.ini ..
    assert_equal "$(shows FREEPORT_TCP)" 20000-32767
    mkdir "$HOME/plain"
    assert_equal "$(cd "$HOME/plain" && shows FREEPORT_TCP)" 20000-32767
}

@test "what counts: option, environment, the project's file, the user's" {
    project 'tcp = 30000' '[web]' 'tcp = 30001'
    printf '%s\n' 'tcp = 30002' 'log = warn' '[web]' 'sockname = real' >"$HOME/.config/freeport.ini"
    assert_equal "$(shows FREEPORT_TCP) $(shows FREEPORT_LOG)" "30000 warn"
    assert_equal "$(shows FREEPORT_TCP --name web) $(shows FREEPORT_SOCKNAME --name web)" "30001 real"
    FREEPORT_TCP=30003 run -0 shows FREEPORT_TCP
    assert_output 30003
    assert_equal "$(shows FREEPORT_TCP --tcp 30004)" 30004
    # With a file that is named, and with none, it does not count.
    echo 'log = info' >"$HOME/named.ini"
    assert_equal "$(shows FREEPORT_TCP --config "$HOME/named.ini")" 20000-32767
    FREEPORT_CONFIG='' run -0 shows FREEPORT_TCP
    assert_output 20000-32767
    project 'name = web' '[web]' 'tcp = 30001'
    assert_equal "$(shows FREEPORT_TCP) $(shows FREEPORT_NAME)" "30001 web"
}

@test "a key for everything that run has an option for" {
    range=$(own_range)
    project "tcp = $range" 'export = PORT=3000' 'audit = 1' 'quiet = 1' 'via = preload'
    run -0 freeport run sh -c 'echo "$PORT $FREEPORT_VIA"'
    assert_line --regexp '^[0-9]+ preload$'
    assert_line --partial "audit: 0 listeners seen"
    for option in $(freeport run --help | grep -oE -- '--[a-z-]+' | sort -u | grep -vxE -- '--(config|help)'); do
        key=${option#--} key=${key//-/_}
        value=$(case $key in
            tcp | udp | sentinels) echo 30000 ;;
            export) echo A=1 ;;
            via) echo auto ;;
            follow) echo no ;;
            audit | quiet | lenient) echo 0 ;;
            report) echo "$BATS_TEST_TMPDIR/report" ;;
            report_fd) echo 2 ;;
            report_format) echo json ;;
            sockname) echo real ;;
            connect) echo off ;;
            timeout) echo 9 ;;
            segment) echo "$TEST_SEGMENT" ;;
            segment_mode) echo 0600 ;;
            log) echo quiet ;;
            *) echo web ;;
        esac)
        project "$key = $value"
        run -0 freeport run true
    done
}

@test "a key or value that can't be read is a usage error with file and line" {
    project '' 'ports = 1'
    run -2 freeport run echo started
    assert_output --partial "freeport: $FILE:2: 'ports': expected one of tcp, udp, sentinels,"
    project 'tcp = x'
    run -2 freeport run echo started
    assert_output --partial "freeport: $FILE:1: tcp: 'x': expected FROM-TO"
    project 'audit = yes'
    run -2 freeport run echo started
    assert_output "freeport: $FILE:1: audit: 'yes': expected 0 or 1"
    project '[web]' 'name = other'
    run -2 freeport run echo started
    assert_output --partial "freeport: $FILE:2: 'name': expected"
}

@test "a FIFO, a directory, a device and a file without end are refused, and none is waited for" {
    away="expected a regular file; remove it, or name another in --config (FREEPORT_CONFIG=: none)"
    mkfifo freeport.ini
    run -2 timeout "$PATIENCE" "$FREEPORT_CLI" run echo started
    assert_output "freeport: $FILE: $away"
    rm freeport.ini
    mkdir freeport.ini
    run -2 freeport run echo started
    assert_output "freeport: $FILE: $away"
    rmdir freeport.ini
    ln -s /dev/zero freeport.ini
    run -2 timeout "$PATIENCE" "$FREEPORT_CLI" run echo started
    assert_output "freeport: $FILE: $away"
    rm freeport.ini
    truncate -s 1T freeport.ini
    run -2 timeout "$PATIENCE" "$FREEPORT_CLI" run echo started
    assert_output --partial "freeport: $FILE:1: expected a line of text"
}

@test "a file of another user, or one that every user may write to, is not followed" {
    project 'tcp = 30000'
    chmod 0666 freeport.ini
    run -0 shows FREEPORT_TCP
    assert_output "freeport: $FILE: not followed: every user may write to it (mode 0666); chmod o-w $FILE, or \
--config $FILE follows it
20000-32767"
    chmod 0644 freeport.ini
    assert_equal "$(shows FREEPORT_TCP)" 30000
    needs_root
    chown 12345 freeport.ini
    run -0 shows FREEPORT_TCP
    assert_output "freeport: $FILE: not followed: it belongs to user 12345, who is not this one (0); --config $FILE \
follows it
20000-32767"
    run -0 shows FREEPORT_TCP --config "$FILE"
    assert_output 30000
    # The user who called sudo is this one; and a link of another's is not, wherever it leads.
    assert_equal "$(SUDO_UID=12345 shows FREEPORT_TCP)" 30000
    chown 0 freeport.ini
    mv freeport.ini own.ini
    ln -s own.ini freeport.ini
    assert_equal "$(shows FREEPORT_TCP)" 30000
    chown -h 12345 freeport.ini
    run -0 shows FREEPORT_TCP
    assert_line 20000-32767
}

@test "doctor shows its place and its effect" {
    project "tcp = $(own_range)" 'sentinels = 3000' '[web]' 'log = warn'
    run freeport doctor
    assert_line "ok    config     $FILE, which has no section [default]: tcp = $(sed -n 's/^tcp = //p' "$FILE"), \
sentinels = 3000"
    FREEPORT_LOG=info run freeport doctor --name web
    assert_line --partial "log = warn (the environment says otherwise)"
}
