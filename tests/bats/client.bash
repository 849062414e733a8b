# shellcheck shell=bash disable=SC2016
# SPDX-License-Identifier: MIT
#
# For the tests of clients: a session with a range and a sentinel, programs in it and beside it, and networks of their
# own, where addresses can be had that no host has.

load helper

# Each test's: a range, and two ports outside of it that nothing uses, which are sentinels, and one that is not.
client_setup() {
    freeport_setup
    [[ -x ${FREEPORT_PROGRAMS:-}/fpclient ]] || fail "FREEPORT_PROGRAMS has no fpclient: '${FREEPORT_PROGRAMS:-}'"
    local others
    RANGE=$(own_range)
    others=$(own_range)
    SENTINEL=$(range_port "$others" 0)
    SENTINEL2=$(range_port "$others" 1)
    ORDINARY=$(range_port "$others" 2)
    WAYS=(libc sys) # by libc's functions, and through syscall(2)
    ENTER=()
    configure FREEPORT_TCP="$RANGE" FREEPORT_UDP="$RANGE" FREEPORT_SENTINELS="$SENTINEL,$SENTINEL2" \
        FREEPORT_SESSION="$(tree 1)"
    export RANGE SENTINEL2 ORDINARY WAYS
}

# --- Programs --------------------------------------------------------------------------------------------------------

# client [NAME=VALUE...] WORDS: under the shim, in the network that was entered last.
client() {
    local -a variables=()
    while [[ $1 == *=* ]]; do
        variables+=("$1")
        shift
    done
    shim "${variables[@]}" "${ENTER[@]}" "$FREEPORT_PROGRAMS/fpclient" "$@"
}

# plain WORDS: without the shim.
plain() { timeout --kill-after=5 "$PATIENCE" "${ENTER[@]}" "$FREEPORT_PROGRAMS/fpclient" "$@" 3>&-; }

# says EXPECTED [NAME=VALUE...] WORDS: what the client says under the shim.
says() {
    run -0 client "${@:2}"
    assert_output "$1"
}

# same WORDS: the program says the same under the shim as without it, and something.
same() {
    local expected
    expected=$(plain "$@")
    [[ -n $expected ]] || fail "says nothing without the shim: $*"
    run -0 client "$@"
    assert_output "$expected"
}

# server NAME [NAME=VALUE...] WORDS: in the background under the shim, until it is ready. host_server: without the shim.
server() {
    local name=$1
    shift
    local -a variables=()
    while [[ $1 == *=* ]]; do
        variables+=("$1")
        shift
    done
    shim_background "$name" env "${variables[@]}" "${ENTER[@]}" "$FREEPORT_PROGRAMS/fpclient" "$@"
    wait_ready "$name"
}

host_server() {
    background "$1" "${ENTER[@]}" "$FREEPORT_PROGRAMS/fpclient" "${@:2}"
    wait_ready "$1"
}

wait_ready() {
    wait_for "$PATIENCE" grep -qx ready "$(log_of "$1")" || fail "$1 does not get ready: $(cat "$(log_of "$1")")"
}

log_of() { echo "$BATS_TEST_TMPDIR/$1.log"; }

# tcp_server NAME [NAME=VALUE...] ADDRESS PORT: answers each connection with its name. udp_server: each datagram with
# "NAME:datagram".
tcp_server() { any_server "$1" tcp serve "${@:2}"; }
udp_server() { any_server "$1" udp echo "${@:2}"; }

any_server() {
    local name=$1 protocol=$2 task=$3
    shift 3
    local -a variables=() before=() after=()
    if [[ $protocol == tcp ]]; then before=(reuseaddr) after=(listen); fi
    while [[ $1 == *=* ]]; do
        variables+=("$1")
        shift
    done
    server "$name" "${variables[@]}" "$protocol$(family_of "$1")" "${before[@]}" bind "$1" "$2" "${after[@]}" \
        "$task" "$name"
}

host_tcp() { host_server "$1" "tcp$(family_of "$2")" reuseaddr bind "$2" "$3" listen serve "$1"; }
host_udp() { host_server "$1" "udp$(family_of "$2")" bind "$2" "$3" echo "$1"; }

family_of() { if [[ $1 == *:* ]]; then echo 6; else echo 4; fi; }

# real_port NAME PROTOCOL [SENTINEL]: the real port that a server was given.
real_port() { reported_port "$(report_of "$1")" "$2" "${3:-$SENTINEL}"; }

# tcp_leads_to ADDRESS NAME [NAME=VALUE...]: a connection to the sentinel there, in both ways, is answered by NAME.
tcp_leads_to() {
    for way in "${WAYS[@]}"; do
        says "$(printf '%s\n' ok "$2")" "${@:3}" "$way" "tcp$(family_of "$1")" connect "$1" "$SENTINEL" read
    done
}

# udp_leads_to ADDRESS NAME [NAME=VALUE...]: a connected socket.
udp_leads_to() {
    for way in "${WAYS[@]}"; do
        says "$(printf '%s\n' ok ok "$2:x")" "${@:3}" "$way" "udp$(family_of "$1")" connect "$1" "$SENTINEL" send x \
            room null recvfrom
    done
}

# heard NAME: what a server was asked so far: nothing, most often.
heard() { sed '1,/^ready$/d' "$(log_of "$1")"; }

# --- Networks --------------------------------------------------------------------------------------------------------

# Two hosts, "near" and "far", with a cable between them; the programs of this test run in the near one from here on,
# those in `far COMMAND` in the other. Skips the test where there can be none.
two_hosts() {
    new_network near
    local near=$NETWORK_PID
    new_network far
    FAR=(nsenter --target "$NETWORK_PID" --net)
    ENTER=(nsenter --target "$near" --net)
    "${ENTER[@]}" ip link add cable type veth peer name cable netns "$NETWORK_PID"
    "${ENTER[@]}" ip address add 192.0.2.1/24 brd + dev cable
    "${ENTER[@]}" ip address add 192.0.2.2/24 dev cable # the kernel makes it a secondary one
    "${ENTER[@]}" ip address add 2001:db8::1/64 dev cable nodad
    "${FAR[@]}" ip address add 192.0.2.9/24 brd + dev cable
    "${FAR[@]}" ip address add 2001:db8::9/64 dev cable nodad
    "${ENTER[@]}" ip link set cable up
    "${FAR[@]}" ip link set cable up
    wait_for "$PATIENCE" has_link_local || fail "no link-local address"
    LINK_LOCAL=$(link_local)
    export LINK_LOCAL
}

new_network() {
    needs_networks
    background "network-$1" unshare --net sh -c '
        for interface in all default; do echo 0 >/proc/sys/net/ipv6/conf/$interface/accept_dad; done
        ip link set lo up && echo ready && exec sleep 1000'
    NETWORK_PID=$BACKGROUND_PID
    wait_ready "network-$1"
}

link_local() { "${ENTER[@]}" ip -6 -o address show dev cable scope link | sed -En '/tentative/d; s,.*inet6 ([^/]+)/.*,\1,p'; }
has_link_local() { [[ -n $(link_local) ]]; }

# far FUNCTION ARGUMENTS: in the far host.
far() {
    local -a ENTER=("${FAR[@]}")
    "$@"
}
