# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# What programs that are linked with libfreeport rely on is as lib/libfreeport.abi has it.

load helper

@test "the library's interface is the one that is kept in a list" {
    [[ $(getconf LONG_BIT) == 64 ]] || skip "the list has the places of fields on a 64-bit machine"
    run -0 "$BATS_TEST_DIRNAME/../abi" "$FREEPORT_LIBRARY"
    assert_equal "$output" "$(<"$BATS_TEST_DIRNAME/../../lib/libfreeport.abi")"
}

@test "the libraries need no glibc after 2.34, on whatever they are built" {
    for library in "$FREEPORT_LIBRARY" "$FREEPORT_SHIM"; do
        versions=$(objdump -T "$library" | sed -n 's/.*(\{0,1\}GLIBC_\([0-9.]*\).*/\1/p' | sort -uV)
        [[ $versions ]] || skip "not built with glibc"
        assert_equal "${library##*/}: $(printf '%s\n' "$versions" 2.34 | sort -V | tail -n 1)" "${library##*/}: 2.34"
    done
}
