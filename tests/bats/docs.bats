# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# The manual pages against what they describe: they render, and say neither more nor less than header and program do.

load helper

SOURCE=$BATS_TEST_DIRNAME/../..

# section PAGE HEADING: the lines of a section, as they are written.
section() { awk -v heading="# $2" '/^# / { inside = $0 == heading; next } inside' "$SOURCE/docs/$1.scd"; }

# terms: the bold words of what is defined in the text on standard input, sorted. An indented line makes a definition.
terms() { awk '/^\t/ && last !~ /^\t/ { print last } { last = $0 }' | grep -o '\*[^*]*\*' | tr -d '*' | sort; }

# one_line: text with its white space evened out.
one_line() { tr -s ' \t\n' ' ' | sed 's/( /(/g; s/^ //; s/ $//'; }

# declarations: what freeport.h declares, without comments and macros, in one line.
declarations() {
    sed 's|/\*.*\*/||; /^ *\/\*/,/\*\//d; /^#/d; s/^FREEPORT_API //' "$SOURCE/lib/freeport.h" | one_line
}

# variables: the names that env/settings.c reads, sorted.
variables() { sed -n 's/^ *\.name = "\(FREEPORT_[A-Z_]*\)",/\1/p' "$SOURCE/env/settings.c" | sort; }

functions() { sed -n 's/^FREEPORT_API .*[ *]\(freeport_[a-z_]*\)(.*/\1/p' "$SOURCE/lib/freeport.h"; }

@test "each page is built, and renders without a warning" {
    for source in "$SOURCE"/docs/*.scd; do
        page=$FREEPORT_BUILD/docs/$(basename -s .scd "$source")
        assert [ -s "$page" ]
        # scdoc begins a paragraph after each heading, which nobody sees.
        assert_equal "$(mandoc -T lint -W warning "$page" | grep -v 'skipping paragraph macro: PP' || true)" ""
        assert_equal "$(groff -k -t -man -T utf8 -w w -z "$page" 2>&1)" ""
    done
}

@test "each page and each function's page is installed" {
    cmake --install "$FREEPORT_BUILD" --prefix "$BATS_TEST_TMPDIR/usr" >/dev/null
    man=$(find "$BATS_TEST_TMPDIR/usr" -type d -name man)
    for source in "$SOURCE"/docs/*.scd; do
        page=$(basename -s .scd "$source")
        [[ -s $man/man${page##*.}/$page ]] || fail "$page is not installed"
    done
    for function in $(functions); do
        grep -qE "^(.*, )?$function(, .*)? - " "$man/man3/$function.3" || fail "$function(3) is not about $function()"
    done
}

@test "the pages of the functions have their declarations, and libfreeport(3) the configuration's" {
    header=$(declarations)
    for function in $(functions); do
        page=$function
        [[ $function != freeport_close ]] || page=freeport_open
        declared=$(grep -o "[a-z ]*[ *]$function([^;]*);" <<<"$header" | one_line)
        [[ $declared ]] || fail "$function: no declaration found"
        shown=$(section "$page.3" SYNOPSIS | one_line)
        [[ $shown == *"$declared"* ]] || fail "$page(3) has no '$declared', but: $shown"
    done
    for struct in libfreeport:freeport_config freeport_each:freeport_assignment; do
        declared=$(grep -o "struct ${struct#*:} {[^}]*};" <<<"$header")
        shown=$(section "${struct%:*}.3" SYNOPSIS | sed 's|/\*.*\*/||' | one_line |
            grep -o "struct ${struct#*:} {[^}]*};")
        assert_equal "$shown" "$declared"
    done
}

@test "the errors of each function's page are those in freeport.h" {
    for function in $(functions); do
        case $function in freeport_close | freeport_strerror | freeport_version) continue ;; esac # which have none
        # They stand in the comment before the declaration.
        expected=$(awk -v name="$function" '
            /^\/\*/ { comment = "" }
            { comment = comment $0 "\n" }
            $0 ~ "^FREEPORT_API .*[ *]" name "\\(" { print comment }' "$SOURCE/lib/freeport.h" |
            grep -o -- '-E[A-Z]*' | sort -u)
        [[ $expected ]] || fail "$function: no errors found in freeport.h"
        assert_equal "$function: $(section "$function.3" ERRORS | terms)" "$function: $expected"
    done
}

@test "freeport_strerror(3) says what the function says" {
    /usr/bin/python3 - "$FREEPORT_LIBRARY" <<'PYTHON' >"$BATS_TEST_TMPDIR/said"
import ctypes
import errno
import sys

strerror = ctypes.CDLL(sys.argv[1]).freeport_strerror
strerror.restype = ctypes.c_char_p
libc = ctypes.CDLL(None).strerrordesc_np
libc.restype = ctypes.c_char_p
for error in range(0, 200):
    # What libfreeport has words of its own for.
    if error == 0 or (libc(error) and strerror(-error) != libc(error)):
        print(f"-{errno.errorcode[error]}" if error else "0", strerror(-error).decode())
PYTHON
    section freeport_strerror.3 DESCRIPTION |
        awk '/^\*/ { gsub(/\*/, ""); name = $0; next } name && /^\t/ { print name $0; name = "" }' |
        tr '\t' ' ' >"$BATS_TEST_TMPDIR/written"
    run -0 diff <(sort "$BATS_TEST_TMPDIR/said") <(sort "$BATS_TEST_TMPDIR/written")
}

@test "freeport(7) has every variable, and no other; the README has none that freeport(7) has not" {
    # Four are freeport's own, and no user's to set.
    expected=$(variables | grep -vxE 'FREEPORT_REPORT_ID|FREEPORT_SEGMENT_(OWNER|ID)|FREEPORT_TELL')
    [[ $(wc -l <<<"$expected") -ge 10 ]]
    assert_equal "$(section freeport.7 ENVIRONMENT | terms)" "$expected"
    readme=$(awk -F '|' '$2 ~ /^ .FREEPORT_/ { print $2 }' "$SOURCE/README.md" | grep -o 'FREEPORT_[A-Z_]*' | sort)
    [[ $(wc -l <<<"$readme") -ge 5 ]]
    assert_equal "$(comm -23 <(echo "$readme") <(echo "$expected"))" ""
    for variable in FREEPORT_REPORT_ID FREEPORT_SEGMENT_OWNER FREEPORT_SEGMENT_ID FREEPORT_TELL; do
        assert_regex "$(section freeport.7 ENVIRONMENT)" "\\*$variable\\*"
    done
}

@test "freeport(7) has every variable's default and its words" {
    # variable, default, and the words of an enumeration, one variable a line
    sed -n '/^static const struct variable variables/,/^};/p' "$SOURCE/env/settings.c" | tr -d '\n' |
        sed 's/    },/\n/g' | sed -n 's/.*\.name = "\([A-Z_]*\)".*\.initial = "\([^"]*\)"\(.*\)/\1 \2 \3/p' |
        while read -r variable default rest; do
            # shellcheck disable=SC2020 # two characters
            written=$(section freeport.7 ENVIRONMENT | awk -v term="*$variable*" '$0 == term { inside = 1; next }
                /^$/ { inside = 0 } inside' | tr -d '_*' | one_line)
            [[ $written == *"Default: $default."* ]] || fail "$variable: no 'Default: $default.' in: $written"
            grep -o '\] = "[a-z]*"' <<<"$rest" | grep -o '[a-z]*' | while read -r word; do
                [[ $written == *"$word"* ]] || fail "$variable: '$word' is missing in: $written"
            done
            echo "$variable"
        done >"$BATS_TEST_TMPDIR/seen"
    assert [ "$(wc -l <"$BATS_TEST_TMPDIR/seen")" -ge 8 ]
}

# What freeport(1) says against what the program says of itself.

freeport() { "$FREEPORT_CLI" "$@"; }

# verbs: as the help lists them, between its first two empty lines.
verbs() { freeport --help | awk '/^$/ { part++ } part == 1 && /^  [a-z]/ { print $1 }'; }

# help_options VERB: as its help has them, and the two that every verb has, sorted.
help_options() {
    {
        freeport "$1" --help | grep -oE '^  -[-A-Za-z]+(, -[-A-Za-z]+)*' | grep -oE -- '-[-A-Za-z]+'
        printf '%s\n' -h --help
    } | sort -u
}

# subsection VERB: of freeport(1).
subsection() {
    awk -v heading="## freeport $1" '/^#/ { inside = $0 == heading; next } inside' "$SOURCE/docs/freeport.1.scd"
}

@test "freeport(1) has every verb and its synopsis" {
    [[ $(verbs | wc -l) -ge 5 ]]
    synopsis=$(section freeport.1 SYNOPSIS | tr -d '*_+')
    for verb in $(verbs); do
        usage=$(freeport "$verb" --help | sed -n '1s/^Usage: //p')
        assert_equal "$(grep "^freeport $verb " <<<"$synopsis")" "$usage"
    done
    assert_equal "$(sed -n 's/^## freeport //p' "$SOURCE/docs/freeport.1.scd" | sort)" "$(verbs | sort)"
}

@test "freeport(1) has the options of each verb's help, and no other" {
    for verb in $(verbs); do
        assert_equal "$verb: $(subsection "$verb" | terms | grep '^-')" "$verb: $(help_options "$verb")"
    done
    assert_equal "$(section freeport.1 "COMMON OPTIONS" | terms)" \
        "$(printf '%s\n' --config --help --segment --version -V -h | sort)"
}

@test "freeport(1) has the columns and states of list, and no other" {
    expected=$(freeport list --help | tr -s ' \n' ' ' | sed -n 's/.*Columns: \([A-Z ]*\), and SINCE.*/\1 SINCE/p' |
        tr ' ' '\n' | sort)
    assert_equal "$(subsection list | terms | grep -x '[A-Z]*')" "$expected"
    expected=$(freeport list --help | awk '/^Exit/ { inside = 0 } inside { print $1 } /STATE as/ { inside = 1 }' | sort)
    assert_equal "$(subsection list | terms | grep -x '[a-z]*')" "$expected"
}

@test "freeport(1) has every exit code" {
    codes=$(sed -n '/^enum cli_exit/,/^}/s/.*= \([0-9]*\),.*/\1/p' "$SOURCE/cli/cli.h" | sort)
    [[ $(wc -l <<<"$codes") -ge 9 ]]
    assert_equal "$(section freeport.1 "EXIT STATUS" | terms | grep -x '[0-9]*')" "$codes"
}

@test "freeport.ini(5) has a key for every variable, and for options that have none" {
    expected=$(variables | grep -vxE 'FREEPORT_(REPORT_ID|SEGMENT_OWNER|SEGMENT_ID|TELL|NAME)' | sed 's/FREEPORT_//' |
        tr '[:upper:]' '[:lower:]')
    assert_equal "$(section freeport.ini.5 KEYS | terms)" "$(printf '%s\n' "$expected" name export audit quiet | sort)"
    # And the program takes these keys, and the file of the example.
    for key in $expected; do
        value=$(case $key in
            tcp | udp | sentinels) echo 20000-20010 ;;
            *report) echo "$BATS_TEST_TMPDIR/report" ;;
            report_format) echo json ;;
            sockname) echo real ;;
            connect) echo off ;;
            via) echo preload ;;
            follow) echo no ;;
            log) echo info ;;
            segment) echo /freeport-of-a-test ;;
            segment_mode) echo 0600 ;;
            lenient) echo 1 ;;
            *) echo 7 ;;
        esac)
        printf '[default]\n%s = %s\n' "$key" "$value" >"$BATS_TEST_TMPDIR/ini"
        run -0 freeport env --config "$BATS_TEST_TMPDIR/ini"
        assert_output --partial "FREEPORT_${key^^}="
    done
    section freeport.ini.5 EXAMPLES | awk '/^```/ { inside = !inside; next } inside && !/^\$/' >"$BATS_TEST_TMPDIR/ini"
    run -0 freeport env --config "$BATS_TEST_TMPDIR/ini" calls
    assert_output --partial 31000-31999
    assert_output --partial warn
}

# The session in the README: its commands and what they print, as they stand there.
session() { awk '/^## / { inside = $0 == "## A session" } inside && /^    /' "$SOURCE/README.md" | cut -c 5-; }

@test "the README's session is what happens" {
    needs_networks
    cd "$BATS_TEST_TMPDIR" || return
    mkdir bin red blue
    ln -s "$FREEPORT_CLI" bin/freeport
    echo "hello from red" >red/index.html
    echo "hello from blue" >blue/index.html
    session >recorded
    # A session as in a terminal, where whoever types waits for a server to be there.
    cat >replay <<'REPLAY'
ip link set lo up
servers=0 pids=
while read -r dollar command; do
    [[ $dollar == '$' ]] || continue
    echo "$ $command"
    eval "$command"
    [[ $command == *'&' ]] || continue
    pids="$pids $!" servers=$((servers + 1))
    until (($(freeport list --raw --noheadings -o STATE | grep -c bound) == servers)); do sleep 0.05; done
done
kill $pids
REPLAY
    PATH=$PWD/bin:/usr/bin:/bin:/usr/sbin:/sbin FREEPORT_CONFIG='' timeout "$PATIENCE" \
        unshare --net bash replay <recorded >happened 3>&-
    run -0 diff recorded happened
}

@test "each test that CONTRIBUTING.md names for a promise is there" {
    awk '/^## / { inside = $0 == "## Which test holds which promise" } inside && /^\| .*`/' \
        "$SOURCE/CONTRIBUTING.md" >"$BATS_TEST_TMPDIR/rows"
    assert [ "$(wc -l <"$BATS_TEST_TMPDIR/rows")" -ge 50 ]
    while IFS='|' read -r _ _ file name _; do
        file=$(tr -d ' `' <<<"$file") name=$(sed 's/^ //; s/ $//' <<<"$name")
        case $file in
            *.bats) grep -qF "@test \"$name\" {" "$SOURCE/tests/bats/$file" ;;
            *) [[ $name == all && -e $SOURCE/tests/unit/$file ]] || grep -qw "$name" "$SOURCE/tests/unit/$file" ;;
        esac || fail "$file has no test '$name'"
    done <"$BATS_TEST_TMPDIR/rows"
}
