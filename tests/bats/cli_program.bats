# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# A look at the program before it is started: where the shim can't work, and nothing else is to reach it, one line says
# so and what to do, and the program runs all the same.

load helper
load cli

ANOTHER_WAY="let it take its port from the environment (freeport run --export PORT=8080) or as an argument (freeport get)"
STATIC="a static program, into which nothing can be loaded; $ANOTHER_WAY"
GO="a Go program, which calls the kernel itself and not libc; $ANOTHER_WAY"

# told PROGRAM ARGUMENT...: what freeport run says before it starts the program.
told() { freeport run --via preload "$@" 2>&1 >/dev/null </dev/null | grep '^freeport: .*not covered'; }

# looked PROGRAM: the same of freeport doctor, which does not start it.
looked() { freeport doctor "$1" | sed -n 's/^mend  program *//p'; }

# taken PROGRAM: and which way it would be taken.
taken() { freeport doctor "$1" | sed -n 's/^ok    program *//p'; }

@test "a static program" {
    run -0 freeport run --via preload "$FREEPORT_PROGRAMS/fpsock_static" tcp4 bind 127.0.0.1 0
    assert_line --index 0 "freeport: $FREEPORT_PROGRAMS/fpsock_static: not covered: $STATIC"
    assert_line --index 1 ok
    assert_equal "${#lines[@]}" 2
}

@test "a Go program, although it may have an interpreter" {
    assert_equal "$(told "$FREEPORT_PROGRAMS/fpsock_go")" "freeport: $FREEPORT_PROGRAMS/fpsock_go: not covered: $GO"
}

@test "a program of musl libc is covered by the shim of its word size" {
    echo 'int puts(const char *); int main(void) { return puts("started") < 0; }' >"$BATS_TEST_TMPDIR/program.c"
    musl-gcc -o "$BATS_TEST_TMPDIR/program" "$BATS_TEST_TMPDIR/program.c"
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "a sanitizer's runtime is in LD_PRELOAD, which musl does not load"
    run -0 freeport run "$BATS_TEST_TMPDIR/program"
    assert_output started
    run -0 env LD_PRELOAD="$FREEPORT_SHIM" "$FREEPORT_CLI" run "$BATS_TEST_TMPDIR/program"
    assert_output started
}

# elf_program CLASS MACHINE: a dynamic program of so many bits, as far as its headers go.
elf_program() {
    /usr/bin/python3 - "$BATS_TEST_TMPDIR/program" "$@" <<'PYTHON'
import os
import struct
import sys

path, bits, machine = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
loader = b"/lib/ld-linux.so.2\0"
wide = bits == 64
header, entry = (64, 56) if wide else (52, 32)
ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if sys.byteorder == "little" else 2, 1]) + bytes(9)
place = header + entry
words = "=HHIQQQIHHHHHH" if wide else "=HHIIIIIHHHHHH"
image = ident + struct.pack(words, 2, machine, 1, 0, header, 0, 0, header, entry, 1, 0, 0, 0)
if wide:
    image += struct.pack("=IIQQQQQQ", 3, 4, place, 0, 0, len(loader), len(loader), 1)
else:
    image += struct.pack("=IIIIIIII", 3, place, 0, 0, len(loader), len(loader), 4, 1)
with open(path, "wb") as file:
    file.write(image + loader)
os.chmod(path, 0o755)
PYTHON
}

@test "a program of another word size or machine, for which there is no shim" {
    own=$(getconf LONG_BIT)
    elf_program $((96 - own)) 12345
    assert_equal "$(looked "$BATS_TEST_TMPDIR/program")" \
        "$BATS_TEST_TMPDIR/program: a $((96 - own))-bit program, for which there is no shim; $ANOTHER_WAY"
    elf_program "$own" 12345
    assert_equal "$(looked "$BATS_TEST_TMPDIR/program")" \
        "$BATS_TEST_TMPDIR/program: a $own-bit program, for which there is no shim; $ANOTHER_WAY"
}

@test "a set-user-ID program, for everyone but the user that it becomes" {
    ((UID == 0)) || skip "only root makes files for others"
    cp /bin/true "$BATS_TEST_TMPDIR/program"
    chown 4711 "$BATS_TEST_TMPDIR/program"
    chmod 4755 "$BATS_TEST_TMPDIR/program"
    assert_equal "$(told "$BATS_TEST_TMPDIR/program")" "freeport: $BATS_TEST_TMPDIR/program: not covered: a set-user-ID \
or set-group-ID program, for which LD_PRELOAD is ignored; run it as the user that it becomes, or run a copy, which has \
no such rights"
    chown 0 "$BATS_TEST_TMPDIR/program"
    chmod 4755 "$BATS_TEST_TMPDIR/program"
    assert_equal "$(told "$BATS_TEST_TMPDIR/program")" ""
    chgrp 4711 "$BATS_TEST_TMPDIR/program"
    chmod 2755 "$BATS_TEST_TMPDIR/program"
    assert_equal "$(told "$BATS_TEST_TMPDIR/program" | grep -c set-group-ID)" 1
}

@test "a program with file capabilities, for everyone but root" {
    ((UID == 0)) || skip "only root gives capabilities"
    cp /bin/true "$BATS_TEST_TMPDIR/program"
    setcap cap_net_bind_service+ep "$BATS_TEST_TMPDIR/program" || skip "no file capabilities here"
    assert_equal "$(told "$BATS_TEST_TMPDIR/program")" ""
    chmod -R a+rX "${BATS_RUN_TMPDIR%/*}"/bats-run-* 2>/dev/null || true
    run setpriv --reuid 4711 --clear-groups "$FREEPORT_CLI" doctor --segment "$TEST_SEGMENT-4711" \
        "$BATS_TEST_TMPDIR/program"
    assert_line --partial "a program with file capabilities, for which LD_PRELOAD is ignored; run it as the user that it \
becomes, or run a copy, which has no such rights"
}

@test "a script counts as its interpreter, behind env too" {
    printf '#!%s tcp4\n' "$FREEPORT_PROGRAMS/fpsock_static" >"$BATS_TEST_TMPDIR/script"
    printf '#!/usr/bin/env -S A=b fpsock_static tcp4\n' >"$BATS_TEST_TMPDIR/by_env"
    printf '#! %s\n' "$BATS_TEST_TMPDIR/script" >"$BATS_TEST_TMPDIR/twice"
    printf '#!/bin/sh\n' >"$BATS_TEST_TMPDIR/plain"
    chmod +x "$BATS_TEST_TMPDIR"/{script,by_env,twice,plain}
    for script in script twice by_env; do
        assert_equal "$(PATH=$FREEPORT_PROGRAMS:$PATH told "$BATS_TEST_TMPDIR/$script")" \
            "freeport: $BATS_TEST_TMPDIR/$script, run by $FREEPORT_PROGRAMS/fpsock_static: not covered: $STATIC"
    done
    assert_equal "$(taken "$BATS_TEST_TMPDIR/script")" \
        "$BATS_TEST_TMPDIR/script, run by $FREEPORT_PROGRAMS/fpsock_static: by the filter: ${STATIC%%;*}"
    assert_equal "$(told "$BATS_TEST_TMPDIR/plain")" ""
    run freeport doctor "$BATS_TEST_TMPDIR/plain"
    assert_line "ok    program    $BATS_TEST_TMPDIR/plain, run by /bin/sh: by the preloaded library"
}

@test "with --export, what is left to do is to use it; where that does not help, it is not advised" {
    run -0 freeport run --via preload --export PORT=8080,OTHER=8081 "$FREEPORT_PROGRAMS/fpsock_static"
    assert_output "freeport: $FREEPORT_PROGRAMS/fpsock_static: not covered: a static program, into which nothing can be \
loaded; let it bind the port that --export has set: PORT=8080,OTHER=8081"
    ((UID == 0)) || skip "only root makes files for others"
    cp /bin/true "$BATS_TEST_TMPDIR/program"
    chown 4711 "$BATS_TEST_TMPDIR/program"
    chmod 4755 "$BATS_TEST_TMPDIR/program"
    run -0 freeport run --export PORT=8080 "$BATS_TEST_TMPDIR/program"
    assert_output --partial "; run it as the user that it becomes, or run a copy, which has no such rights"
}

@test "along PATH, as execvp(3) looks" {
    mkdir "$BATS_TEST_TMPDIR/one" "$BATS_TEST_TMPDIR/two"
    : >"$BATS_TEST_TMPDIR/one/program" # can't be run: passed over
    cp "$FREEPORT_PROGRAMS/fpsock_static" "$BATS_TEST_TMPDIR/two/program"
    path=$BATS_TEST_TMPDIR/one:$BATS_TEST_TMPDIR/two:$PATH
    assert_equal "$(PATH=$path told program)" "freeport: $BATS_TEST_TMPDIR/two/program: not covered: $STATIC"
    cd "$BATS_TEST_TMPDIR/two"
    assert_equal "$(PATH=:$PATH told program)" "freeport: program: not covered: $STATIC"
}

@test "nothing is said of a program that is covered, nor with --log quiet, nor of what can't be understood" {
    assert_equal "$(told true)" ""
    assert_equal "$(told "$FREEPORT_PROGRAMS/fpsock")" ""
    assert_equal "$(told --log quiet "$FREEPORT_PROGRAMS/fpsock_static")" ""
    loader=$(readelf -lW /bin/true | sed -n 's/.*interpreter: \(.*\)]/\1/p')
    assert_equal "$(told "$loader" /bin/true)" ""
    printf '\x7fELF' >"$BATS_TEST_TMPDIR/short"
    head -c 4000 "$FREEPORT_PROGRAMS/fpsock" >"$BATS_TEST_TMPDIR/cut"
    printf '#!\n' >"$BATS_TEST_TMPDIR/nothing"
    printf '#!/none/such\n' >"$BATS_TEST_TMPDIR/none"
    chmod +x "$BATS_TEST_TMPDIR"/{short,cut,nothing,none}
    for program in short cut nothing none; do
        assert_equal "$(looked "$BATS_TEST_TMPDIR/$program")" ""
    done
}
