# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport run: the variables it sets, where it finds the shim, what becomes of the command, and what it refuses.

load helper
load cli

# shows VARIABLE OPTION...: what a command finds in the variable.
shows() {
    local variable=$1
    shift
    freeport run "$@" -- /bin/sh -c "printf '%s\n' \"\${$variable-unset}\""
}

# refused OPTIONS... LINE: a usage error in that line; nothing is started.
refused() {
    local line=${*: -1}
    run freeport run "${@:1:$#-1}" echo started
    assert_failure 2
    assert_output "$line"
}

VERBS="run list url port stop get serve release reset env learn doctor"

# bind_zero: a command that binds a TCP socket to port 0 and ends.
bind_zero() {
    printf '%s\n' /usr/bin/python3 -c 'import socket; socket.socket().bind(("127.0.0.1", 0))'
}

# --- Help ------------------------------------------------------------------------------------------------------------

@test "the help of each verb fits a screen" {
    for verb in $VERBS; do
        run -0 freeport "$verb" --help
        assert_line --index 0 --partial "Usage: freeport $verb "
        for line in "${lines[@]}"; do ((${#line} <= 80)) || fail "$verb: wider than 80: $line"; done
        most=23
        [[ $verb != run ]] || most=32 # it has an option for nearly every variable
        (($(wc -l <<<"$output") <= most)) || fail "$verb: longer than $most lines"
        assert_equal "$(freeport "$verb" -h)" "$output"
    done
}

@test "freeport --help names every verb, --version the version" {
    run -0 freeport --help
    for verb in $VERBS; do assert_line --regexp "^  $verb +"; done
    refute_output --partial probe
    assert_equal "$(freeport -h)" "$output"
    run -0 freeport --version
    assert_output --regexp '^freeport [0-9]+\.[0-9]+\.[0-9]+$'
    assert_equal "$(freeport -V)" "$output"
}

@test "without a verb, or with one that there is not: a usage error" {
    run -2 freeport
    assert_output "freeport: expected a verb: run, list, url, port, stop, get, serve, release, reset, env, learn or doctor; see freeport --help"
    run -2 freeport fly
    assert_output "freeport: 'fly': expected a verb: run, list, url, port, stop, get, serve, release, reset, env, learn or doctor; see freeport --help"
}

@test "output that can't be written is a failure" {
    run -1 eval 'freeport --help >/dev/full'
    assert_output "freeport: standard output: No space left on device"
}

@test "standard descriptors that are closed: nothing else gets their numbers, and the command gets none" {
    run -1 eval 'freeport get >&-'
    assert_output "freeport: standard output: Bad file descriptor"
    run -1 eval 'freeport list >&-'
    freeport list <&- >/dev/null
    verbs=(run "run --audit")
    # TSan's runtime ends a shell that it is preloaded into, under learn.
    if [[ ${FREEPORT_SANITIZER_RUNTIME:-} != *tsan* ]]; then verbs+=(learn); fi
    for verb in "${verbs[@]}"; do
        # shellcheck disable=SC2086 # words
        freeport $verb sh -c 'for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ] && echo $fd; done' \
            <&- 2>&- >"$BATS_TEST_TMPDIR/open" || true
        assert_equal "$verb: $(paste -sd' ' "$BATS_TEST_TMPDIR/open")" "$verb: 1"
    done
    run -125 eval 'freeport run --report - echo started 2>&-'
    assert_output ""
}

# --- Variables -------------------------------------------------------------------------------------------------------

@test "each option sets the variable of its name" {
    assert_equal "$(shows FREEPORT_TCP --tcp 30000-30010,30020)" 30000-30010,30020
    assert_equal "$(shows FREEPORT_UDP --udp=30000-30010)" 30000-30010
    assert_equal "$(shows FREEPORT_SENTINELS --sentinels 80,5000-5009/tcp)" 80,5000-5009/tcp
    assert_equal "$(shows FREEPORT_NAME --name suite)" suite
    assert_equal "$(shows FREEPORT_SESSION --session one)" one
    assert_equal "$(shows FREEPORT_REPORT --report "$BATS_TEST_TMPDIR/file")" "$BATS_TEST_TMPDIR/file"
    assert_equal "$(shows FREEPORT_REPORT_FD --report-fd 2)" 2
    assert_equal "$(shows FREEPORT_REPORT_FORMAT --report-format json)" json
    assert_equal "$(shows FREEPORT_SOCKNAME --sockname real)" real
    assert_equal "$(shows FREEPORT_CONNECT --connect fallthrough)" fallthrough
    assert_equal "$(shows FREEPORT_VIA --via preload)" preload
    assert_equal "$(shows FREEPORT_FOLLOW --follow no)" no
    assert_equal "$(shows FREEPORT_TIMEOUT --timeout 100)" 100
    assert_equal "$(shows FREEPORT_SEGMENT --segment "$TEST_SEGMENT-other")" "$TEST_SEGMENT-other"
    assert_equal "$(shows FREEPORT_SEGMENT_MODE --segment-mode 0660)" 0660
    assert_equal "$(shows FREEPORT_LOG --log quiet)" quiet
    assert_equal "$(shows FREEPORT_LENIENT --lenient)" 1
}

@test "every option is in the help, and no other" {
    run -0 freeport run --help
    assert_equal "$(grep -E '^  (-.|  ), --|^  --' <<<"$output" | cut -c1-24 | grep -o -- '--[a-z-]*' | sort | paste -sd' ')" \
        "--audit --config --connect --export --follow --lenient --log --name --quiet --report --report-fd --report-format --segment \
--segment-mode --sentinels --session --sockname --tcp --timeout --udp --via"
}

@test "an option replaces an inherited variable; the others stay" {
    configure FREEPORT_NAME=outer FREEPORT_TCP=30000-30010 FREEPORT_LOG=quiet
    assert_equal "$(shows FREEPORT_NAME --name inner)" inner
    assert_equal "$(shows FREEPORT_TCP --name inner)" 30000-30010
    assert_equal "$(shows FREEPORT_LOG --name inner)" quiet
}

@test "without a range both are 20000-32767; with one, the other protocol is left alone" {
    assert_equal "$(shows FREEPORT_TCP)" 20000-32767
    assert_equal "$(shows FREEPORT_UDP)" 20000-32767
    assert_equal "$(shows FREEPORT_UDP --tcp 30000)" unset
    configure FREEPORT_UDP=30000
    assert_equal "$(shows FREEPORT_TCP)" unset
    assert_equal "$(shows FREEPORT_UDP)" 30000
}

@test "--session new, also from the environment: each run has a session of its own" {
    first=$(shows FREEPORT_SESSION --session new)
    [[ $first =~ ^run-[0-9]+-[0-9a-f]{8}$ ]] || fail "no session: '$first'"
    assert_not_equal "$(shows FREEPORT_SESSION --session new)" "$first"
    configure FREEPORT_SESSION=new
    second=$(shows FREEPORT_SESSION)
    [[ $second =~ ^run-[0-9]+-[0-9a-f]{8}$ ]] || fail "no session: '$second'"
    assert_not_equal "$second" "$first"
}

@test "a run inside another stays in its session, unless it is told another" {
    mapfile -t inner < <(printf '%s\n' "$FREEPORT_CLI" run)
    run -0 freeport run --session outer "${inner[@]}" sh -c 'echo "$FREEPORT_SESSION"'
    assert_output outer
    run -0 freeport run --session outer "${inner[@]}" --session inner sh -c 'echo "$FREEPORT_SESSION"'
    assert_output inner
    configure FREEPORT_SESSION=inherited
    assert_equal "$(shows FREEPORT_SESSION)" inherited
    assert_equal "$(shows FREEPORT_SESSION --session joined)" joined
}

@test "where nobody names sentinels, all ports are; an empty list is one" {
    assert_equal "$(shows FREEPORT_SENTINELS)" all
    assert_equal "$(shows FREEPORT_SENTINELS --sentinels '')" ""
    FREEPORT_SENTINELS=80 run -0 shows FREEPORT_SENTINELS
    assert_output 80
}

# --- The worktree's session ------------------------------------------------------------------------------------------

# named DIRECTORY: the session of a run that starts there.
named() { (cd "$1" && shows FREEPORT_SESSION); }

@test "the session is the worktree's: repository and worktree, wherever in it one stands" {
    cd "$BATS_TEST_TMPDIR"
    git -c init.defaultBranch=main init -q shop
    git -C shop -c user.name=x -c user.email=x@y commit -q --allow-empty -m x
    mkdir -p shop/deep/down elsewhere
    for branch in fix-ui shop-api a/b; do git -C shop worktree add -q "../elsewhere/${branch////-}" -b "$branch"; done
    git -C shop worktree add -q ../elsewhere/shop -b same
    mkdir elsewhere/fix-ui/src
    assert_equal "$(named shop)" shop
    assert_equal "$(named shop/deep/down)" shop
    assert_equal "$(named elsewhere/fix-ui/src)" shop-fix-ui
    assert_equal "$(named elsewhere/shop-api)" shop-api
    assert_equal "$(named elsewhere/a-b)" shop-a-b
    # git's own name for it, which is unique in the repository.
    assert_equal "$(named elsewhere/shop)" "shop-$(basename "$(git -C elsewhere/shop rev-parse --git-dir)")"
    # Asked for, and in the variable of the shim alone.
    assert_equal "$(cd elsewhere/fix-ui && shows FREEPORT_SESSION --session auto)" shop-fix-ui
    run -0 sh -c 'cd elsewhere/fix-ui && exec env LD_PRELOAD="$1" FREEPORT_TCP=30000 FREEPORT_SESSION=auto sh -c "
        echo \$FREEPORT_SESSION"' sh "$(preload)"
    assert_output shop-fix-ui
}

@test "the session of a worktree of a bare repository, and of a submodule" {
    cd "$BATS_TEST_TMPDIR"
    git -c init.defaultBranch=main init -q seed
    git -C seed -c user.name=x -c user.email=x@y commit -q --allow-empty -m x
    git clone -q --bare seed shop.git
    git clone -q --bare seed house/.bare
    git -C shop.git worktree add -q ../tree -b tree
    git -C house/.bare worktree add -q ../tree -b tree
    assert_equal "$(named tree)" shop-tree
    assert_equal "$(named house/tree)" house-tree
    assert_equal "$(named shop.git)" shop.git # no worktree: a directory
    git -C seed -c protocol.file.allow=always submodule add -q "$PWD/shop.git" parts/web 2>/dev/null
    assert_equal "$(named seed/parts/web)" web
    # git worktree add --relative-paths, where git has it.
    printf 'gitdir: ../shop.git/worktrees/tree\n' >tree/.git
    assert_equal "$(named tree)" shop-tree
    rm -r shop.git # what the name is made of is in the worktree itself
    assert_equal "$(named tree)" shop-tree
}

@test "outside of a repository the session is the directory's; what a name can't hold is replaced" {
    cd "$BATS_TEST_TMPDIR"
    long=$(printf 'a%.0s' {1..200})
    for name in "two words" "ümläut" "$long" "$long-b" $'new\nline' プロジェクト; do
        mkdir "$name"
        session=$(named "$name")
        [[ ${#session} -le 64 && ${session} =~ ^[A-Za-z0-9._-]*[0-9a-f]{6}$ ]] || fail "$name: $session"
        echo "$session" >>sessions
    done
    assert_equal "$(sort -u sessions | wc -l)" 6
    assert_regex "$(head -n 1 sessions)" "^two-words-[0-9a-f]{6}$"
    mkdir plain.name_1
    assert_equal "$(named plain.name_1)" plain.name_1
    assert_equal "$(named /)" root
}

@test "a working directory that was removed has no session: a usage error" {
    mkdir "$BATS_TEST_TMPDIR/gone"
    run -2 eval 'cd "$BATS_TEST_TMPDIR/gone" && rmdir "$PWD" && freeport run echo started'
    assert_output "freeport: --session: 'auto': the working directory: No such file or directory; name a session, or \
change to a directory that is there"
}

@test "a session's name that can't be one is refused: a branch with a space, UTF-8, 300 characters" {
    expected="expected 1 to 64 printable ASCII characters, no space; auto: named after the worktree; new: one of its own"
    for name in "feature/two words" "feature/ümläut" "$(printf 'a%.0s' {1..300})"; do
        refused --session "$name" "freeport: --session: '$name': $expected"
    done
    assert_equal "$(shows FREEPORT_SESSION --session feature/one)" feature/one
}

@test "a relative report file is one of the directory it was named in" {
    cd "$BATS_TEST_TMPDIR"
    assert_equal "$(shows FREEPORT_REPORT --report here.report)" "$PWD/here.report"
}

@test "what an outer shim noted about descriptor and segment goes with them" {
    configure FREEPORT_REPORT_ID=1:2 FREEPORT_SEGMENT_OWNER=4711 FREEPORT_REPORT_FD=2
    run -0 shows FREEPORT_REPORT_ID --report-fd 1
    refute_output 1:2 # the shim, when it is there, notes the new one
    run -0 shows FREEPORT_SEGMENT_OWNER --segment "$TEST_SEGMENT-other"
    refute_output 4711
}

# --- Values ----------------------------------------------------------------------------------------------------------

@test "a bad value is refused before the command starts, by the name it was given under" {
    range="FROM-TO or PORT, several with commas, 1 to 65535, 1023 characters at most"
    refused --tcp x "freeport: --tcp: 'x': expected $range"
    refused --udp 0-5 "freeport: --udp: '0-5': expected $range"
    refused --sentinels 8080/sctp "freeport: --sentinels: '8080/sctp': expected PORT, FROM-TO, PORT=REAL or all, each \
with /tcp or /udp or neither, several with commas, 1 to 65535; REAL in the range, and once"
    refused --name 'a b' "freeport: --name: 'a b': expected 1 to 32 of A-Z a-z 0-9 _ . -"
    refused --session 'a b' "freeport: --session: 'a b': expected 1 to 64 printable ASCII characters, no space; \
auto: named after the worktree; new: one of its own"
    refused --report '' "freeport: --report: '': expected a path of 1 to 4095 bytes"
    refused --report-fd two "freeport: --report-fd: 'two': expected a descriptor number, 0 to 2147483647"
    refused --report-format xml "freeport: --report-format: 'xml': expected text or json"
    refused --sockname both "freeport: --sockname: 'both': expected virtual or real"
    refused --connect on "freeport: --connect: 'on': expected session, fallthrough or off"
    refused --timeout -1 "freeport: --timeout: '-1': expected milliseconds, 0 to 2147483647"
    refused --segment here "freeport: --segment: 'here': expected / and a name of 1 to 254 bytes without another /, \
not . or .."
    refused --segment-mode 0777 "freeport: --segment-mode: '0777': expected octal permissions from 0600 to 0666, with \
0600 in them"
    refused --log loud "freeport: --log: 'loud': expected quiet, error, warn, info or debug"
}

@test "a bad variable is refused by its own name, in one line" {
    configure FREEPORT_TCP=$'30000\n'
    run -2 freeport run echo started
    assert_output "freeport: FREEPORT_TCP: '30000\\x0a': expected FROM-TO or PORT, several with commas, 1 to 65535, \
1023 characters at most"
}

@test "--lenient takes a range that can't be read" {
    assert_equal "$(shows FREEPORT_TCP --lenient --tcp 5-1)" 5-1
}

@test "an option that there is not, one without its value and one with too much: usage errors" {
    refused --fly "freeport: run: --fly: expected an option of this verb; see freeport run --help"
    refused -x "freeport: run: -x: expected an option of this verb; see freeport run --help"
    refused --lenient=1 "freeport: run: --lenient=1: expected no value; see freeport run --help"
    run -2 freeport run --tcp
    assert_output "freeport: run: --tcp: expected a value, RANGE; see freeport run --help"
    run -2 freeport run --tcp 30000
    assert_output "freeport: run: expected a command; see freeport run --help"
}

# --- The command -----------------------------------------------------------------------------------------------------

@test "options behind the command are the command's" {
    run -0 freeport run --name a echo --name b
    assert_output -- "--name b"
    run -0 freeport run -- echo -- c
    assert_output -- "-- c"
}

@test "the exit status is the command's, a signal too" {
    run -42 freeport run sh -c 'exit 42'
    run -143 freeport run sh -c 'kill -TERM $$'
}

@test "with --via preload, the command takes the place of freeport" {
    background exec env ASAN_OPTIONS=detect_leaks=0 \
        ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} \
        "$FREEPORT_CLI" run --via preload sh -c 'echo $$; exec sleep 60'
    wait_lines "$BATS_TEST_TMPDIR/exec.log" 1
    assert_equal "$(cat "$BATS_TEST_TMPDIR/exec.log")" "$BACKGROUND_PID"
}

@test "127 where there is no such command, 126 where it can't be run" {
    run -127 freeport run "$BATS_TEST_TMPDIR/nothing"
    assert_output "freeport: $BATS_TEST_TMPDIR/nothing: No such file or directory"
    run -126 freeport run "$BATS_TEST_TMPDIR"
    assert_output "freeport: $BATS_TEST_TMPDIR: Permission denied"
}

# --- The shim --------------------------------------------------------------------------------------------------------

# install_cli FOLDER: the command without a shim beside it, as $FREEPORT_CLI.
install_cli() {
    mkdir -p "$1"
    cp "$FREEPORT_CLI" "$1/freeport"
    FREEPORT_CLI=$1/freeport
    unset FREEPORT_SHIM
}

@test "the shim is found beside the command, in the build folder" {
    real=$(realpath "$FREEPORT_SHIM")
    # Where there is one for 32-bit programs, too, a path that leads each to its own.
    if [[ -d ${real%/*}/freeport ]]; then real=${real%/*}/freeport/\$PLATFORM/${real##*/}; fi
    unset FREEPORT_SHIM
    assert_equal "$(shows LD_PRELOAD)" "${FREEPORT_SANITIZER_RUNTIME:+$FREEPORT_SANITIZER_RUNTIME:}$real"
}

@test "the shim is found where it is installed" {
    shim=$FREEPORT_SHIM
    install_cli "$BATS_TEST_TMPDIR/usr/bin"
    for folder in lib lib64; do
        mkdir "$BATS_TEST_TMPDIR/usr/$folder"
        cp "$shim" "$BATS_TEST_TMPDIR/usr/$folder/libfreeport_shim.so"
        run -0 shows LD_PRELOAD
        assert_output --regexp "(^|:)$BATS_TEST_TMPDIR/usr/$folder/libfreeport_shim.so\$"
        rm -r "${BATS_TEST_TMPDIR:?}/usr/$folder"
    done
}

@test "a command that is reached through a link finds the shim all the same" {
    unset FREEPORT_SHIM
    ln -s "$FREEPORT_CLI" "$BATS_TEST_TMPDIR/fp"
    FREEPORT_CLI=$BATS_TEST_TMPDIR/fp
    run -0 shows LD_PRELOAD
    assert_output --partial libfreeport_shim.so
}

@test "without a shim the command is not started: 125, and where it was looked for" {
    install_cli "$BATS_TEST_TMPDIR/usr/bin"
    run freeport run echo started
    if [[ $status == 0 ]]; then skip "a shim is installed on this host"; fi
    assert_equal "$status" 125
    assert_output --regexp "^freeport: libfreeport_shim.so not found in $BATS_TEST_TMPDIR/usr/bin/\.\./\{.*lib64.*\} \
nor in /.*; name its path in FREEPORT_SHIM\$"
}

@test "without /proc the shim has to be named" {
    needs_mounts
    if [[ -n ${FREEPORT_SANITIZER_RUNTIME:-} ]]; then skip "a sanitizer's runtime reads its options from /proc"; fi
    unset FREEPORT_SHIM
    run -125 unshare --mount sh -ec 'mount -t tmpfs tmpfs /proc; exec "$@"' sh "$FREEPORT_CLI" run echo started
    assert_output "freeport: /proc/self/exe: No such file or directory; name libfreeport_shim.so in FREEPORT_SHIM"
}

@test "FREEPORT_SHIM that names nothing is an error" {
    FREEPORT_SHIM=$BATS_TEST_TMPDIR/none.so
    run -125 freeport run echo started
    assert_output "freeport: FREEPORT_SHIM: '$FREEPORT_SHIM': expected the path of libfreeport_shim.so"
}

@test "a shim below a folder with a space or colon is refused, and a link to it helps" {
    for folder in "a folder" "a:folder"; do
        mkdir "$BATS_TEST_TMPDIR/$folder"
        cp "$FREEPORT_SHIM" "$BATS_TEST_TMPDIR/$folder/libfreeport_shim.so"
        FREEPORT_SHIM=$BATS_TEST_TMPDIR/$folder/libfreeport_shim.so run -125 freeport run echo started
        assert_output "freeport: '$BATS_TEST_TMPDIR/$folder/libfreeport_shim.so': expected a path of the shim without \
spaces and colons, which LD_PRELOAD can't hold; install it elsewhere, or name a link to it in FREEPORT_SHIM"
    done
    ln -s "a folder/libfreeport_shim.so" "$BATS_TEST_TMPDIR/link.so"
    FREEPORT_SHIM=$BATS_TEST_TMPDIR/link.so
    run -0 shows LD_PRELOAD
    assert_output --regexp "(^|:)$BATS_TEST_TMPDIR/link.so\$"
}

@test "a relative FREEPORT_SHIM is made absolute" {
    cd "$(dirname "$FREEPORT_SHIM")"
    FREEPORT_SHIM=./libfreeport_shim.so
    run -0 shows LD_PRELOAD
    assert_output --regexp "(^|:)$(pwd -P)/libfreeport_shim.so\$"
}

@test "what LD_PRELOAD has stays, in front; a shim in it is replaced" {
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer's runtime is in LD_PRELOAD"
    # One that the command itself has, and so of its word size: the host may have libraries of others.
    library=$(ldd "$FREEPORT_CLI" | awk '$1 ~ /^libsmartcols/ { print $3 }')
    [[ -e $library ]] || fail "no libsmartcols in: $(ldd "$FREEPORT_CLI")"
    run -0 env LD_PRELOAD="$library" "$FREEPORT_CLI" run sh -c 'echo "$LD_PRELOAD"'
    assert_output "$library:$FREEPORT_SHIM"
    run -0 env LD_PRELOAD="$FREEPORT_SHIM:$library" "$FREEPORT_CLI" run sh -c 'echo "$LD_PRELOAD"'
    assert_output "$library:$FREEPORT_SHIM"
}

@test "a run inside a run has the shim once" {
    run -0 freeport run "$FREEPORT_CLI" run sh -c 'echo "$LD_PRELOAD"'
    assert_equal "$(grep -o libfreeport_shim.so <<<"$output" | wc -l)" 1
}

# --- The report ------------------------------------------------------------------------------------------------------

@test "--report FILE: a line for each assignment, and the file is there from the start" {
    range=$(own_range)
    mapfile -t command < <(bind_zero)
    freeport run --tcp "$range" --report "$BATS_TEST_TMPDIR/file" true
    assert_equal "$(cat "$BATS_TEST_TMPDIR/file")" ""
    freeport run --tcp "$range" --report "$BATS_TEST_TMPDIR/file" --name suite "${command[@]}"
    run -0 cat "$BATS_TEST_TMPDIR/file"
    assert_output --regexp "^tcp 0 ${range%-*} 127\.0\.0\.1 [0-9]+ suite\$"
}

@test "--report -: to standard error, even where the command sends its own elsewhere" {
    range=$(own_range)
    mapfile -t command < <(bind_zero)
    freeport run --tcp "$range" --report - sh -c 'exec "$@" 2>/dev/null' sh "${command[@]}" \
        2>"$BATS_TEST_TMPDIR/stderr" >"$BATS_TEST_TMPDIR/stdout"
    run -0 cat "$BATS_TEST_TMPDIR/stderr"
    assert_output --regexp "^tcp 0 ${range%-*} 127\.0\.0\.1 [0-9]+ default\$"
    assert_equal "$(cat "$BATS_TEST_TMPDIR/stdout")" ""
}

@test "--report - with few descriptors allowed" {
    number=$(ulimit -Sn 40 && shows FREEPORT_REPORT_FD --report -)
    ((number > 2 && number < 40)) || fail "descriptor $number"
}

@test "--report-fd with --report-format json: one object a line" {
    range=$(own_range)
    mapfile -t command < <(bind_zero)
    freeport run --tcp "$range" --session s --report-fd 7 --report-format json "${command[@]}" 7>"$BATS_TEST_TMPDIR/fd"
    run -0 jq -r '"\(.protocol) \(.requested) \(.port) \(.address) \(.name) \(.session)"' "$BATS_TEST_TMPDIR/fd"
    assert_output "tcp 0 ${range%-*} 127.0.0.1 default s"
}

@test "a descriptor that is not open, or one beside --report -, is refused" {
    refused --report-fd 77 "freeport: --report-fd: '77': expected a descriptor that is open"
    refused --report - --report-fd 2 "freeport: --report-fd: '2': expected none beside --report -, which has one of \
its own"
}

REPORTABLE="expected a file or FIFO that can be written to: name another, or --report - for standard error"

@test "a report file that can't be written is told before the command starts, by the name it was given under" {
    run -125 freeport run --report "$BATS_TEST_TMPDIR/no/file" echo started
    assert_output "freeport: --report: '$BATS_TEST_TMPDIR/no/file': No such file or directory; $REPORTABLE"
    FREEPORT_REPORT=$BATS_TEST_TMPDIR/no/file run -125 freeport run echo started
    assert_output "freeport: FREEPORT_REPORT: '$BATS_TEST_TMPDIR/no/file': No such file or directory; $REPORTABLE"
    config "report = $BATS_TEST_TMPDIR/no/file"
    FREEPORT_CONFIG=$CONFIG run -125 freeport run echo started
    assert_output "freeport: $CONFIG:1: report: '$BATS_TEST_TMPDIR/no/file': No such file or directory; $REPORTABLE"
    /usr/bin/python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$BATS_TEST_TMPDIR/socket"
    run -125 freeport run --report "$BATS_TEST_TMPDIR/socket" echo started
    assert_output "freeport: --report: '$BATS_TEST_TMPDIR/socket': No such device or address; $REPORTABLE"
    rm "$BATS_TEST_TMPDIR/socket"
}

@test "a directory is no report" {
    refused --report "$BATS_TEST_TMPDIR" "freeport: --report: '$BATS_TEST_TMPDIR': Is a directory; $REPORTABLE"
}

@test "a report may be a link to a file that is not there yet" {
    ln -s "$BATS_TEST_TMPDIR/file" "$BATS_TEST_TMPDIR/link"
    run -0 freeport run --report "$BATS_TEST_TMPDIR/link" true
    assert_output ""
    [[ -f $BATS_TEST_TMPDIR/file ]]
}

@test "the reader of a FIFO waits for the first line" {
    range=$(own_range)
    mapfile -t command < <(bind_zero)
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    background reader cat "$BATS_TEST_TMPDIR/fifo"
    freeport run --tcp "$range" --report "$BATS_TEST_TMPDIR/fifo" "${command[@]}"
    run -0 wait_lines "$BATS_TEST_TMPDIR/reader.log" 1
    assert_output --regexp "^tcp 0 ${range%-*} 127\.0\.0\.1 [0-9]+ default\$"
}

# --- What it is for --------------------------------------------------------------------------------------------------

@test "two servers with one hard-coded port run side by side" {
    range=$(own_range)
    for name in one two; do
        mkdir "$BATS_TEST_TMPDIR/$name"
        echo "this is $name" >"$BATS_TEST_TMPDIR/$name/index.html"
        background "$name" env ASAN_OPTIONS=detect_leaks=0 \
            ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} \
            "$FREEPORT_CLI" run --session new --tcp "$range" --sentinels 8080 --report "$(report_of "$name")" \
            /usr/bin/python3 -m http.server 8080 --directory "$BATS_TEST_TMPDIR/$name"
    done
    wait_report "$(report_of one)" 1
    wait_report "$(report_of two)" 1
    one=$(reported_port "$(report_of one)" tcp 8080)
    two=$(reported_port "$(report_of two)" tcp 8080)
    assert_not_equal "$one" "$two"
    wait_tcp 127.0.0.1 "$one"
    wait_tcp 127.0.0.1 "$two"
    assert_equal "$(get "http://127.0.0.1:$one/")" "this is one"
    assert_equal "$(get "http://127.0.0.1:$two/")" "this is two"
}
