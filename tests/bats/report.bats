# shellcheck shell=bats disable=SC2016,SC2030,SC2031,SC2154
# SPDX-License-Identifier: MIT
# The report: what a line says, where it goes, and what it never does to a program.

load helper

setup() {
    freeport_setup
    range=$(own_range)
    first=${range%-*}
    second=$(even_port "$range" 1)
    third=$(even_port "$range" 2)
    next=$(range_port "$range" 1) # a sentinel's, behind the first
    report=$(report_of all)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=8080 FREEPORT_SESSION="$(tree 1)"
}

# without_pid [FILE]: its lines, less the process ids.
without_pid() { awk '{ $5 = "PID"; print }' "${1:-$report}"; }

reported() { assert_equal "$(without_pid)" "$(printf '%s\n' "$@")"; }

# A pipe with no reader any more, as descriptor $pipe.
broken_pipe() {
    local reader
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    exec {reader}<>"$BATS_TEST_TMPDIR/fifo"
    exec {pipe}>"$BATS_TEST_TMPDIR/fifo"
    exec {reader}<&-
}

# A pipe that takes not one byte more: its ends are $reader and $pipe.
full_pipe() {
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    exec {reader}<>"$BATS_TEST_TMPDIR/fifo"
    exec {pipe}>"$BATS_TEST_TMPDIR/fifo"
    dd if=/dev/zero of="$BATS_TEST_TMPDIR/fifo" oflag=nonblock bs=1 count=1 status=none
    dd if=/dev/zero of="$BATS_TEST_TMPDIR/fifo" oflag=nonblock bs=4096 status=none 2>/dev/null || true
}

milliseconds() { echo $((${EPOCHREALTIME//[.,]/} / 1000)); }

# --- What a line says ------------------------------------------------------------------------------------------------

# As with fs.protected_regular=2 and a file of another user in /tmp: it is there, and O_CREAT is refused.
@test "a file that is there is opened without a wish to make it" {
    : >"$report"
    unset FREEPORT_SESSION # whose ports would begin at a hash of its name
    FREEPORT_REPORT=$report run -0 --separate-stderr shim_last "$FREEPORT_PROGRAMS/fpfilter" "openat/2&0100:EACCES" -- \
        tcp4 bind 127.0.0.1 8080
    assert_output ok
    assert_equal "$stderr" ""
    reported "tcp 8080 $first 127.0.0.1 PID default"
}

@test "text: protocol, requested port, real port, address, process, name" {
    configure FREEPORT_REPORT="$report" FREEPORT_NAME=suite
    run -0 fpsock tcp4 bind 127.0.0.1 0 sh 'echo $PPID' tcp6 bind ::1 8080 udp4 bind 0.0.0.0 8080 udp6 bind :: 0
    pid=${lines[1]}
    assert_equal "$(cat "$report")" "tcp 0 $first 127.0.0.1 $pid suite
tcp 8080 $next ::1 $pid suite
udp 8080 $next 0.0.0.0 $pid suite
udp 0 $first :: $pid suite"
}

@test "JSON: one object a line, of these keys and kinds" {
    configure FREEPORT_REPORT="$report" FREEPORT_REPORT_FORMAT=json FREEPORT_NAME=suite
    run -0 fpsock tcp4 bind 127.0.0.1 0 sh 'echo $PPID' udp6 bind ::1 8080
    pid=${lines[1]}
    assert_equal "$(wc -l <"$report")" 2
    assert_equal "$(jq -c . "$report")" "$(cat "$report")"
    assert_equal "$(jq -cS . "$report")" \
        "{\"address\":\"127.0.0.1\",\"name\":\"suite\",\"pid\":$pid,\"port\":$first,\"protocol\":\"tcp\",\"requested\":0,\
\"session\":\"$(tree 1)\"}
{\"address\":\"::1\",\"name\":\"suite\",\"pid\":$pid,\"port\":$next,\"protocol\":\"udp\",\"requested\":8080,\
\"session\":\"$(tree 1)\"}"
}

@test "JSON: a session of odd characters, and everything as long as it may be" {
    session='"\/{}[]:,`$&<>|~!@#%^*()_+=-?;'"'"'ABCDEFGHIJKLMNOPQRSTUVWXYZ012345678'
    session=${session:0:64}
    name=abcdefghijklmnopqrstuvwxyzABCDEF
    configure FREEPORT_REPORT="$report" FREEPORT_REPORT_FORMAT=json FREEPORT_SESSION="$session" FREEPORT_NAME=$name
    run -0 fpsock tcp6 bind ::ffff:127.0.0.1 8080
    got ok
    assert_equal "$(jq -r '.session, .name, .address' "$report")" "$session
$name
::ffff:127.0.0.1"
    (($(wc -c <"$report") <= 512)) || fail "longer than any PIPE_BUF: $(cat "$report")"
}

@test "addresses as they were asked for" {
    configure FREEPORT_REPORT="$report"
    run -0 fpsock tcp4 bind 127.1.2.3 0 tcp6 bind ::ffff:127.0.0.1 0 tcp4 bindunspec 0.0.0.0 0 tcp4 listen tcp6 listen
    got ok ok ok ok ok
    assert_equal "$(awk '{ print $4 }' "$report" | paste -sd' ')" "127.1.2.3 ::ffff:127.0.0.1 0.0.0.0 0.0.0.0 ::"
}

@test "a child's line has the child's process id" {
    configure FREEPORT_REPORT="$report"
    run -0 fpsock sh 'echo $PPID' fork sh 'echo $PPID' tcp4 bind 127.0.0.1 0 join
    assert_equal "$(cat "$report")" "tcp 0 $first 127.0.0.1 ${lines[1]} default"
    assert_not_equal "${lines[0]}" "${lines[1]}"
}

@test "each assignment is reported, and nothing else" {
    configure FREEPORT_REPORT="$report" FREEPORT_SENTINELS=8080/tcp FREEPORT_LOG=quiet
    run -0 fpsock tcp4 bind 127.0.0.1 8080 tcp4 bind 127.0.0.1 8080 tcp4 bind 127.0.0.2 8080 \
        tcp4 bind 127.0.0.1 "${range#*-}" tcp4 bind 192.0.2.1 0 tcp4 noport bind 127.0.0.1 0 \
        unix bindpath "$BATS_TEST_TMPDIR/socket" use 0 bind 127.0.0.1 0 listen
    got ok EADDRINUSE ok ok EADDRNOTAVAIL ok ok EINVAL ok
    reported "tcp 8080 $first 127.0.0.1 PID default" "tcp 8080 $first 127.0.0.2 PID default"
}

@test "a line comes after its bind: whoever reads it finds the port bound" {
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    exec {reader}<>"$BATS_TEST_TMPDIR/fifo"
    configure FREEPORT_REPORT="$BATS_TEST_TMPDIR/fifo"
    shim_background one env FREEPORT_REPORT="$FREEPORT_REPORT" "$FPSOCK" udp4 bind 127.0.0.1 0 stay
    read -r -t "$PATIENCE" -u "$reader" _ _ port _
    assert_equal "$port" "$first"
    run -0 timeout "$PATIENCE" "$FPSOCK" udp4 bind 127.0.0.1 "$port"
    got EADDRINUSE
}

# --- Where it goes ---------------------------------------------------------------------------------------------------

@test "to a descriptor, a file, or both" {
    run -0 eval 'FREEPORT_REPORT_FD=7 fpsock tcp4 bind 127.0.0.1 0 7>"$report"'
    reported "tcp 0 $first 127.0.0.1 PID default"
    configure FREEPORT_REPORT="$BATS_TEST_TMPDIR/file"
    run -0 eval 'FREEPORT_REPORT_FD=7 fpsock tcp4 bind 127.0.0.1 0 7>"$report"'
    reported "tcp 0 $second 127.0.0.1 PID default"
    assert_equal "$(cat "$BATS_TEST_TMPDIR/file")" "$(cat "$report")"
    configure FREEPORT_REPORT_FD=1
    run -0 fpsock tcp4 bind 127.0.0.1 0
    assert_line --index 0 --regexp "^tcp 0 $third 127\.0\.0\.1 [0-9]+ default\$"
    assert_line --index 1 ok
}

@test "to a pipe on a descriptor, and to one that a child has inherited" {
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    exec {reader}<>"$BATS_TEST_TMPDIR/fifo"
    configure FREEPORT_REPORT_FD=7
    run -0 fpsock tcp4 bind 127.0.0.1 0 sh "'$FPSOCK' tcp4 bind 127.0.0.1 0" 7>"$BATS_TEST_TMPDIR/fifo"
    got ok ok
    read -r -t "$PATIENCE" -u "$reader" line
    [[ $line =~ ^"tcp 0 $first 127.0.0.1 "[0-9]+" default"$ ]] || fail "$line"
    read -r -t "$PATIENCE" -u "$reader" line
    [[ $line =~ ^"tcp 0 $second 127.0.0.1 "[0-9]+" default"$ ]] || fail "$line"
}

@test "to a socket on a descriptor" {
    # The descriptor is an accepted connection from the start: inherited by a program that is executed.
    configure FREEPORT_REPORT_FD=7 FREEPORT_NAME=inner
    background outer env -u FREEPORT_REPORT_FD "$FPSOCK" tcp4 bind 127.0.0.1 "$third" listen accept copyto 7 \
        sh "LD_PRELOAD=$(preload) ASAN_OPTIONS=detect_leaks=0 FREEPORT_REPORT_FD=7 '$FPSOCK' tcp4 bind 127.0.0.1 0"
    wait_lines "$BATS_TEST_TMPDIR/outer.log" 2
    run -0 timeout "$PATIENCE" bash -c "exec 5<>/dev/tcp/127.0.0.1/$third; cat <&5"
    assert_output --regexp "^tcp 0 $first 127\.0\.0\.1 [0-9]+ inner\$"
}

@test "a file is appended to" {
    configure FREEPORT_REPORT="$report"
    echo before >"$report"
    run -0 fpsock tcp4 bind 127.0.0.1 0
    run -0 fpsock tcp4 bind 127.0.0.1 0
    assert_equal "$(awk '{ print $3 }' "$report" | paste -sd' ')" " $first $second"
}

# reports_on TYPE: to a file of a fresh file system of that kind, in a namespace of mounts of its own.
reports_on() {
    needs_root
    local image=$BATS_TEST_TMPDIR/image directory=$BATS_TEST_TMPDIR/mount
    local mounted='mount -t "$1" -o loop "$2" "$3"' why
    mkdir "$directory"
    truncate -s 320M "$image" # XFS is no smaller; nearly all of it is a hole
    "mkfs.$1" -q "$image"
    why=$(unshare --mount sh -c "$mounted" sh "$1" "$image" "$directory" 2>&1) || skip "no $1 on a loop device: $why"
    configure FREEPORT_REPORT="$directory/report"
    # A file of yesterday, whose times a write has to change.
    run -0 timeout "$PATIENCE" unshare --mount sh -c \
        "$mounted"' && shift 3 && touch -d yesterday "$FREEPORT_REPORT" && env "$@" && cat "$FREEPORT_REPORT"' sh \
        "$1" "$image" "$directory" LD_PRELOAD="$(preload)" ASAN_OPTIONS=detect_leaks=0 \
        "$FPSOCK" tcp4 bind 127.0.0.1 0 udp4 bind 127.0.0.1 0
    assert_equal "$(without_pid <(printf '%s\n' "${lines[@]:2}"))" "tcp 0 $first 127.0.0.1 PID default
udp 0 $first 127.0.0.1 PID default"
}

# They have a block to allocate or a time to change for nearly every line: a write that must not wait is never taken.
@test "a file on XFS" { reports_on xfs; }

@test "a file on btrfs" { reports_on btrfs; }

@test "processes at once write whole lines, all of them" {
    configure FREEPORT_REPORT="$report"
    run -0 fpsock processes 32 tcp4 bind 127.0.0.1 0
    assert_equal "$(grep -cE "^tcp 0 [0-9]+ 127\.0\.0\.1 [0-9]+ default\$" "$report")" 32
    assert_equal "$(wc -l <"$report")" 32
}

@test "a FIFO, when its reader is there" {
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    configure FREEPORT_REPORT="$BATS_TEST_TMPDIR/fifo"
    background reader cat "$BATS_TEST_TMPDIR/fifo"
    run -0 fpsock tcp4 bind 127.0.0.1 0
    got ok
    wait_lines "$BATS_TEST_TMPDIR/reader.log" 1
    assert_equal "$(without_pid "$BATS_TEST_TMPDIR/reader.log")" "tcp 0 $first 127.0.0.1 PID default"
}

@test "a relative file is the one of the directory where the first process started" {
    cd "$BATS_TEST_TMPDIR"
    mkdir elsewhere
    configure FREEPORT_REPORT=all.report
    run -0 fpsock chdir elsewhere tcp4 bind 127.0.0.1 0 sh "'$FPSOCK' tcp4 bind 127.0.0.1 0" \
        fork chdir / tcp4 bind 127.0.0.1 0 join
    got ok ok ok
    reported "tcp 0 $first 127.0.0.1 PID default" "tcp 0 $second 127.0.0.1 PID default" \
        "tcp 0 $third 127.0.0.1 PID default"
    [[ ! -e elsewhere/all.report ]]
}

@test "a child that names another descriptor is reported there" {
    configure FREEPORT_REPORT_FD=7
    run -0 fpsock tcp4 bind 127.0.0.1 0 \
        sh "FREEPORT_REPORT_FD=8 '$FPSOCK' tcp4 bind 127.0.0.1 0 8>'$BATS_TEST_TMPDIR/other'" 7>"$report"
    got ok ok
    reported "tcp 0 $first 127.0.0.1 PID default"
    assert_equal "$(without_pid "$BATS_TEST_TMPDIR/other")" "tcp 0 $second 127.0.0.1 PID default"
}

# --- What it never does ----------------------------------------------------------------------------------------------

@test "a descriptor that is closed: the bind works" {
    configure FREEPORT_REPORT_FD=7
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 name
    got ok "127.0.0.1 $first"
    assert_equal "$stderr" ""
}

@test "a descriptor that was closed at the start, and is a file by now, is not written to" {
    configure FREEPORT_REPORT_FD=7
    run -0 fpsock openfd 7 "$BATS_TEST_TMPDIR/database" tcp4 bind 127.0.0.1 0
    got ok
    assert_equal "$(wc -c <"$BATS_TEST_TMPDIR/database")" 0
}

@test "a number that is another file by now is not written to" {
    configure FREEPORT_REPORT_FD=7
    run -0 fpsock tcp4 bind 127.0.0.1 0 closefd 7 openfd 7 "$BATS_TEST_TMPDIR/database" tcp4 bind 127.0.0.1 0 name \
        7>"$report"
    got ok ok "127.0.0.1 $second"
    assert_equal "$(wc -c <"$BATS_TEST_TMPDIR/database")" 0
    reported "tcp 0 $first 127.0.0.1 PID default"
}

@test "a number that is a connection by now is not written to" {
    configure FREEPORT_REPORT_FD=7
    shim_background one "$FPSOCK" tcp4 bind 127.0.0.1 0 listen closefd 7 accept copyto 7 tcp4 bind 127.0.0.1 0 \
        7>"$report.fd"
    wait_lines "$report.fd" 1
    run -0 timeout "$PATIENCE" bash -c "exec 5<>/dev/tcp/127.0.0.1/$first; cat <&5"
    assert_output ""
    wait "$BACKGROUND_PID"
    assert_equal "$(paste -sd' ' "$BATS_TEST_TMPDIR/one.log")" "ok ok ok"
    assert_equal "$(wc -l <"$report.fd")" 1
}

@test "a number that is another file in a child is not written to" {
    configure FREEPORT_REPORT_FD=7
    run -0 fpsock sh "exec 7>'$BATS_TEST_TMPDIR/database'; '$FPSOCK' tcp4 bind 127.0.0.1 0" \
        sh "exec 7>&-; '$FPSOCK' openfd 7 '$BATS_TEST_TMPDIR/database' tcp4 bind 127.0.0.1 0" 7>"$report"
    got ok ok
    assert_equal "$(wc -c <"$BATS_TEST_TMPDIR/database") $(wc -c <"$report")" "0 0"
}

@test "a reader that is gone raises no SIGPIPE, and the bind works" {
    broken_pipe
    configure FREEPORT_REPORT_FD=7
    run -0 eval 'fpsock tcp4 bind 127.0.0.1 0 name 7>&$pipe'
    got ok "127.0.0.1 $first"
    configure FREEPORT_LOG=warn
    run -0 --separate-stderr eval 'fpsock tcp4 bind 127.0.0.1 0 7>&$pipe'
    got ok
    ((${#stderr_lines[@]} == 1)) || fail "not one line: $stderr"
    [[ $stderr == "freeport: FREEPORT_REPORT_FD: "* ]] || fail "$stderr"
}

@test "a full pipe delays a bind no longer than FREEPORT_TIMEOUT" {
    full_pipe
    configure FREEPORT_REPORT_FD=7 FREEPORT_TIMEOUT=400
    before=$(milliseconds)
    run -0 eval 'fpsock tcp4 bind 127.0.0.1 0 name 7>&$pipe'
    took=$(($(milliseconds) - before))
    got ok "127.0.0.1 $first"
    ((took >= 400)) || fail "did not wait: $took ms"
    ((took < 4000)) || fail "waited too long: $took ms"
    configure FREEPORT_TIMEOUT=0
    before=$(milliseconds)
    run -0 eval 'fpsock tcp4 bind 127.0.0.1 0 7>&$pipe'
    took=$(($(milliseconds) - before))
    got ok
    ((took < 4000)) || fail "waited too long: $took ms"
}

@test "a full pipe that is read in time takes the line" {
    full_pipe
    configure FREEPORT_REPORT_FD=7 FREEPORT_TIMEOUT=60000
    shim_background one "$FPSOCK" tcp4 bind 127.0.0.1 0 name 7>"$BATS_TEST_TMPDIR/fifo"
    exec {pipe}>&-
    cat <&"$reader" >"$BATS_TEST_TMPDIR/read" &
    end_later $!
    wait "$BACKGROUND_PID"
    assert_equal "$(paste -sd' ' "$BATS_TEST_TMPDIR/one.log")" "ok 127.0.0.1 $first"
    wait_for "$PATIENCE" grep -qaE "tcp 0 $first 127\.0\.0\.1 [0-9]+ default" "$BATS_TEST_TMPDIR/read"
}

@test "a reader that let one call wait for FREEPORT_TIMEOUT holds up no more, until it reads" {
    full_pipe
    configure FREEPORT_REPORT_FD=7 FREEPORT_TIMEOUT=1000
    local twelve=(udp4 bind 127.0.0.1 0) i
    for ((i = 1; i < 12; i++)); do twelve+=(udp4 bind 127.0.0.1 0); done
    before=$(milliseconds)
    run -0 eval 'fpsock "${twelve[@]}" 7>&$pipe'
    took=$(($(milliseconds) - before))
    assert_equal "$(sort -u <<<"$output") ${#lines[@]}" "ok 12"
    ((took >= 1000)) || fail "did not wait once: $took ms"
    ((took < 10000)) || fail "waited more than once: $took ms"

    # It reads: the next line is taken, and one that finds the pipe full again waits again.
    fifo=$BATS_TEST_TMPDIR/fifo
    before=$(milliseconds)
    run -0 eval 'fpsock "${twelve[@]:0:4}" sh "dd if=$fifo of=$BATS_TEST_TMPDIR/all iflag=nonblock bs=1M status=none" \
        udp4 bind 127.0.0.1 0 sh "dd if=/dev/zero of=$fifo oflag=nonblock bs=4096 status=none" \
        sh "dd if=/dev/zero of=$fifo oflag=nonblock bs=1 status=none" udp4 bind 127.0.0.1 0 7>&$pipe 2>/dev/null'
    took=$(($(milliseconds) - before))
    ((took >= 2000)) || fail "did not wait again: $took ms"
    dd if="$fifo" of="$BATS_TEST_TMPDIR/read" iflag=nonblock bs=1M status=none 2>/dev/null || true
    assert_equal "$(grep -acE 'udp 0 [0-9]+ 127\.0\.0\.1 [0-9]+ default' "$BATS_TEST_TMPDIR/read")" 1
}

@test "a FIFO that nobody reads delays a program once" {
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    configure FREEPORT_REPORT="$BATS_TEST_TMPDIR/fifo" FREEPORT_TIMEOUT=1000 FREEPORT_LOG=quiet
    local five=(udp4 bind 127.0.0.1 0 udp4 bind 127.0.0.1 0 udp4 bind 127.0.0.1 0 udp4 bind 127.0.0.1 0
        udp4 bind 127.0.0.1 0)
    before=$(milliseconds)
    run -0 fpsock "${five[@]}"
    took=$(($(milliseconds) - before))
    assert_equal "$(sort -u <<<"$output") ${#lines[@]}" "ok 5"
    ((took >= 1000 && took < 4000)) || fail "did not wait once: $took ms"
}

# cant_open WHY: the one line on standard error, of a process that binds more than once.
cant_open() {
    ((${#stderr_lines[@]} == 1)) || fail "not one line: $stderr"
    local line="freeport: FREEPORT_REPORT=$FREEPORT_REPORT: can't be opened: $1; expected a file "
    [[ $stderr == "$line"*"freeport list" ]] || fail "$stderr"
}

@test "a FIFO that nobody reads delays a bind no longer than FREEPORT_TIMEOUT, and one line says why" {
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    configure FREEPORT_REPORT="$BATS_TEST_TMPDIR/fifo" FREEPORT_TIMEOUT=400
    before=$(milliseconds)
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 name
    took=$(($(milliseconds) - before))
    got ok "127.0.0.1 $first"
    ((took < 4000)) || fail "waited too long: $took ms"
    cant_open "No such device or address"
}

@test "a signal handler that does not return, from a bind that waits for a reader, leaves the thread as it was" {
    [[ ${FREEPORT_SANITIZE:-} != *thread* ]] || skip "the sanitizer's runtime holds signals back until a call that it knows"
    configure FREEPORT_TIMEOUT=60000
    mkfifo "$BATS_TEST_TMPDIR/nobody"
    run -0 --separate-stderr shim FREEPORT_REPORT="$BATS_TEST_TMPDIR/nobody" "$FREEPORT_PROGRAMS/fpjump"
    got jumped enabled
    full_pipe
    run -0 --separate-stderr shim FREEPORT_REPORT="$BATS_TEST_TMPDIR/fifo" "$FREEPORT_PROGRAMS/fpjump"
    got jumped enabled
    run -0 --separate-stderr shim FREEPORT_REPORT_FD="$pipe" "$FREEPORT_PROGRAMS/fpjump"
    got jumped enabled
}

@test "a file that can't be opened: binds work, and one line for all of a process's says so" {
    configure FREEPORT_REPORT="$BATS_TEST_TMPDIR/no/such/file"
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 udp4 bind 127.0.0.1 0 fork tcp4 bind 127.0.0.1 0 join
    got ok ok ok
    cant_open "No such file or directory"
    configure FREEPORT_LOG=quiet
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0
    got ok
    assert_equal "$stderr" ""
}

@test "root's report, of a server that has become another user: one line that names the user" {
    needs_root
    # In a directory that everybody may look into, unlike the test's own.
    public=$(mktemp -d)
    chmod 755 "$public"
    install -m 644 /dev/null "$public/report"
    configure FREEPORT_REPORT="$public/report"
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 user 65534 tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 0
    reports=$(without_pid "$public/report")
    rm -r "$public"
    got ok ok ok
    cant_open "Permission denied"
    [[ $stderr == *" user 65534 "* ]] || fail "$stderr"
    assert_equal "$reports" "tcp 0 $first 127.0.0.1 PID default"
}

@test "a report's name that is long or no text is shown in part, on one line" {
    configure FREEPORT_REPORT=$'/no\nsuch/'"$(printf 'a%.0s' {1..3000})"
    run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0
    got ok
    ((${#stderr_lines[@]} == 1 && ${#stderr} < 640)) || fail "$stderr"
    [[ $stderr == "freeport: FREEPORT_REPORT=/no?such/aaa"*"...: can't be opened: "*"freeport list" ]] || fail "$stderr"
}

@test "a full disk: binds work, and one line says so, by file or descriptor" {
    said="can't be written: No space left on device; expected a file that user $UID may write to, or a FIFO with a \
reader; what is not reported there is in freeport list"
    FREEPORT_REPORT=/dev/full run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 udp4 bind 127.0.0.1 0
    got ok ok
    assert_equal "$stderr" "freeport: FREEPORT_REPORT=/dev/full: $said"
    FREEPORT_REPORT_FD=7 run -0 --separate-stderr fpsock tcp4 bind 127.0.0.1 0 7>/dev/full
    got ok
    assert_equal "$stderr" "freeport: FREEPORT_REPORT_FD: $said"
}

@test "a file that may not grow raises no SIGXFSZ" {
    [[ ${FREEPORT_SANITIZE:-} != *thread* ]] || skip "the sanitizer's runtime writes a file of its own"
    configure FREEPORT_REPORT="$report"
    run -0 fpsock tcp4 bind 127.0.0.1 0 # the segment is there
    size=$(wc -c <"$report")
    # Standard error is a pipe: as a file it could not grow either.
    bash -c "ulimit -f 0; exec env LD_PRELOAD='$(preload)' '$FPSOCK' tcp4 bind 127.0.0.1 0 name" 2>&1 |
        cat >"$BATS_TEST_TMPDIR/said"
    run -0 cat "$BATS_TEST_TMPDIR/said"
    assert_line --index 0 --partial "freeport: FREEPORT_REPORT=$report: can't be written: File too large; "
    assert_equal "$(printf '%s\n' "${lines[@]:1}")" "$(printf '%s\n' ok "127.0.0.1 $second")"
    assert_equal "$(wc -c <"$report")" "$size"
}

@test "no descriptor to open the file with: the bind works" {
    configure FREEPORT_REPORT="$report"
    run -0 --separate-stderr fpsock tcp4 nofds bind 127.0.0.1 0 name
    got ok "127.0.0.1 $first"
    cant_open "Too many open files"
}
