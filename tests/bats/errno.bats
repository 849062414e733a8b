# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# What a program can get wrong, it is told in the kernel's words; what is right leaves errno and its memory alone.
#
# fpsock watches that in every other file, too: each call is made with an errno that has to stay, on success, and with
# addresses in read-only memory that ends where they do.

load helper

setup() {
    freeport_setup
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_UDP="$range" FREEPORT_SENTINELS=8080
}

# as_without EXPECTED... -- WORD...: the same results with the shim and without.
as_without() {
    local expected=()
    while [[ $1 != -- ]]; do
        expected+=("$1")
        shift
    done
    shift
    run -0 timeout "$PATIENCE" "$FPSOCK" "$@"
    got "${expected[@]}"
    run -0 fpsock "$@"
    got "${expected[@]}"
}

@test "an address that is too short or too long" {
    for port in 0 8080 "${range%-*}"; do
        as_without EINVAL EINVAL EINVAL EINVAL -- tcp4 bindlen 127.0.0.1 "$port" 0 bindlen 127.0.0.1 "$port" 1 \
            bindlen 127.0.0.1 "$port" 2 bindlen 127.0.0.1 "$port" 15
        as_without EINVAL EINVAL EINVAL -- tcp6 bindlen ::1 "$port" 16 bindlen ::1 "$port" 23 bindlen ::1 "$port" 129
        as_without EINVAL EINVAL -- udp4 bindlen 127.0.0.1 "$port" 129 bindlen 127.0.0.1 "$port" 200
    done
}

@test "an address of another family" {
    for port in 0 8080 "${range%-*}"; do
        as_without EAFNOSUPPORT EAFNOSUPPORT -- tcp4 bindunspec 127.0.0.1 "$port" udp4 bindunspec 127.0.0.1 "$port"
        as_without EINVAL -- tcp6 bind 127.0.0.1 "$port"
        as_without EAFNOSUPPORT -- tcp6 bindlen 127.0.0.1 "$port" 28
        as_without EAFNOSUPPORT -- tcp4 bind ::1 "$port"
        as_without EAFNOSUPPORT -- tcp6 bindunspec :: "$port"
    done
}

@test "an address that no interface has" {
    for port in 0 8080 "${range%-*}"; do
        as_without EADDRNOTAVAIL EADDRNOTAVAIL -- tcp4 bind 192.0.2.1 "$port" tcp6 bind 2001:db8::1 "$port"
    done
}

@test "no address at all" {
    as_without EFAULT EFAULT EFAULT -- tcp4 bindnull tcp6 bindnull udp4 bindnull
}

@test "an address that can't be read" {
    as_without EFAULT EFAULT -- tcp4 bindbad udp6 bindbad
}

@test "an address that can't be read to its end" {
    as_without EFAULT EFAULT EFAULT -- tcp4 bindcut 127.0.0.1 0 17 bindcut 127.0.0.1 8080 128 \
        bindcut 127.0.0.1 "${range%-*}" 28
}

@test "no socket" {
    as_without EBADF EBADF EBADF EBADF -- fd 99 bind 127.0.0.1 0 bind 127.0.0.1 8080 listen name
    as_without ENOTSOCK ENOTSOCK ENOTSOCK -- openfd 9 "$BATS_TEST_TMPDIR/file" fd 9 bind 127.0.0.1 0 listen name
}

@test "listen on what can't" {
    as_without EOPNOTSUPP EOPNOTSUPP -- udp4 listen udp6 listen
}

@test "getsockname with too little room writes as much as there is" {
    configure FREEPORT_SOCKNAME=virtual
    run -0 fpsock tcp4 bind 127.0.0.1 8080 nameshort 8 nameshort 4 nameshort 3 nameshort 2 nameshort 1 nameshort 0 \
        nameshort 16 tcp6 bind ::1 8080 nameshort 16 nameshort 28
    got ok "8 bytes of 16, port 8080" "4 bytes of 16, port 8080" "3 bytes of 16" "2 bytes of 16" "1 bytes of 16" \
        "0 bytes of 16" "127.0.0.1 8080" ok "16 bytes of 28, port 8080" "::1 8080"
}

@test "getsockname without room or length" {
    as_without EFAULT EFAULT -- tcp4 namenull udp4 namenull
}

@test "errno stays as it was through a search, a probe, a report and a wait" {
    configure FREEPORT_REPORT="$BATS_TEST_TMPDIR/no/such/file" FREEPORT_LOG=quiet
    stranger tcp tcp4 bind 127.0.0.1 "${range%-*}"
    run -0 fpsock tcp4 bind 127.0.0.1 0 tcp4 bind 127.0.0.1 8080 name tcp6 bind ::1 8080 udp4 bind 0.0.0.0 8080 \
        tcp4 bind 127.0.0.1 8080
    got ok ok "127.0.0.1 8080" ok ok EADDRINUSE
}
