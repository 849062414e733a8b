# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# What the libraries show to the programs that they are loaded into, and what they bring along.

load helper

# exports LIBRARY: the names it defines for others, without their version, one a line.
exports() { nm --dynamic --defined-only --format=posix "$1" | awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' | sort; }

# needs LIBRARY: the libraries it needs, in one line.
needs() { readelf --dynamic --wide "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | paste -sd' '; }

# listed MAP: the names that a version script lists.
listed() { sed -n '/global:/,/local:/ s/^ *\([a-z0-9_]*\);$/\1/p' "$1" | sort; }

# objects DIRECTORY...: the object files that CMake has built under them.
objects() { find "${@/#/$FREEPORT_BUILD/}" -name '*.o' | sort; }

# calls FILE...: what the object files leave to others.
calls() { nm --undefined-only --format=posix "$@" | awk 'NF == 2 { print $1 }' | sort -u; }

@test "libfreeport exports the functions of freeport.h and nothing else" {
    assert_equal "$(exports "$FREEPORT_LIBRARY")" "freeport_bind
freeport_close
freeport_each
freeport_get
freeport_get_many
freeport_join
freeport_lookup
freeport_open
freeport_pledge
freeport_release
freeport_strerror
freeport_version"
}

@test "libfreeport declares in freeport.h what it exports" {
    header=$BATS_TEST_DIRNAME/../../lib/freeport.h
    declared=$(sed -n 's/^FREEPORT_API .*[ *]\(freeport_[a-z_]*\)(.*/\1/p' "$header" | sort)
    assert_equal "$(exports "$FREEPORT_LIBRARY")" "$declared"
}

@test "libfreeport_shim exports the calls that it lists and nothing else" {
    assert_equal "$(exports "$FREEPORT_SHIM")" "$(listed "$BATS_TEST_DIRNAME/../../shim/libfreeport_shim.map")"
}

@test "every call that the shim exports is one of libc's" {
    libc=$(ldd "$FREEPORT_SHIM" | awk '$1 ~ /^libc\.so/ { print $3 }')
    [[ -f $libc ]] || skip "libc is not named libc.so.* here"
    assert_equal "$(comm -23 <(exports "$FREEPORT_SHIM") <(exports "$libc"))" ""
}

@test "the libraries need libc and nothing else" {
    for library in "$FREEPORT_LIBRARY" "$FREEPORT_SHIM"; do
        others=$(needs "$library" | tr ' ' '\n' | grep -Ev '^(libc\.so(\..*)?|libc\.musl-.*|ld-.*)$' || true)
        assert_equal "${library##*/}: $others" "${library##*/}: "
        [[ $(needs "$library") ]]
    done
}

@test "no file of the shim allocates memory, prints through stdio or reads the environment carelessly" {
    files=$(objects shim/CMakeFiles/freeport_shim.dir lib/CMakeFiles/freeport_objects.dir | grep -v '/freeport\.c\.o$')
    [[ $(wc -l <<<"$files") -ge 10 ]]
    # shellcheck disable=SC2086
    forbidden=$(calls $files | grep -Ex '(malloc|calloc|realloc|free|strdup|v?(f|s|sn|as|d)?printf(_chk)?|__.*printf_chk|fopen|fputs|puts|putchar|fwrite|perror|getenv|exit|abort|atoi|strtol|opendir)' || true)
    assert_equal "$forbidden" ""
}

# The files that call a function, by their names.
callers() {
    for file in $(objects shim/CMakeFiles/freeport_shim.dir lib/CMakeFiles/freeport_objects.dir env/CMakeFiles); do
        if calls "$file" | grep -qx "$1"; then basename "$file" .c.o; fi
    done | sort | paste -sd' '
}

@test "only what runs when the shim is loaded changes the environment" {
    assert_equal "$(callers setenv)" hand_down
    assert_equal "$(callers fp_hand_down)" "guest report"
}

@test "neither library has an executable stack or text relocations" {
    for library in "$FREEPORT_LIBRARY" "$FREEPORT_SHIM"; do
        refute_regex "$(readelf --dynamic --wide "$library")" TEXTREL
        assert_regex "$(readelf --program-headers --wide "$library" | grep GNU_STACK)" ' RW '
    done
}

# edges FOLDER TARGET: which file of the program needs which, "USER USED", a line each.
edges() {
    local source object
    (cd "$BATS_TEST_DIRNAME/../../$1" && find . -name '*.c') | cut -c 3- | while read -r source; do
        object=$FREEPORT_BUILD/$1/CMakeFiles/$2.dir/$source.o
        [[ -e $object ]] || continue # of another program in that folder
        nm --format=posix "$object" | awk -v file="$source" '{ print file, $1, $2 }'
    done | awk '$3 ~ /[A-TV-Z]/ { owner[$2] = $1 } { row[NR] = $0 }
        END { for (i = 1; i <= NR; i++) { split(row[i], word); used = owner[word[2]]
            if (word[3] == "U" && used && used != word[1]) print word[1], used } }' | sort -u
}

@test "no circle among the files of the command, nor among those of the benchmark" {
    for program in "cli freeport_cli" "bench fpbench"; do
        # shellcheck disable=SC2086 # two words
        edges $program >"$BATS_TEST_TMPDIR/edges"
        assert [ "$(wc -l <"$BATS_TEST_TMPDIR/edges")" -ge 3 ]
        run -0 --separate-stderr tsort "$BATS_TEST_TMPDIR/edges" # which fails where there is a circle
    done
}
