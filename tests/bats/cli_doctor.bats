# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# freeport doctor: what is wrong with the host, the range or a program, and what mends it.

load helper
load cli

# finding WHAT: the lines about it, without the padding.
finding() { sed -nE "s/^(ok|note|mend) +$1 +/\1 /p" <<<"$output"; }

# in_network COMMAND...: in a network namespace of its own, where sysctl concerns nobody else.
in_network() { unshare --net -- bash -ec 'ip link set lo up; "$@"' bash "$@"; }

# As in_network, after a sysctl: NAME VALUE.
doctor_with() {
    local name=$1 value=$2
    shift 2
    in_network bash -ec 'echo "$2" >"/proc/sys/net/ipv4/$1"; shift 2; exec "$@"' bash "$name" "$value" \
        env ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} ASAN_OPTIONS=detect_leaks=0 \
        "$FREEPORT_CLI" doctor "$@"
}

@test "all well: 0, a line a finding" {
    range=$(own_range)
    freeport get --name other --tcp "$(own_range)"
    run -0 freeport doctor --tcp "$range" --udp "$range" /bin/true
    assert_line --index 0 "ok    config     none"
    assert_equal "$(finding segment)" "ok $TEST_SEGMENT, of user $UID, mode 0600"
    assert_equal "$(finding shim)" "ok $FREEPORT_SHIM: a bind to port 0 under it got tcp ${range%-*}"
    assert_equal "$(finding range)" "ok $range: clear of the kernel's own ports, $(tr '\t' - \
        </proc/sys/net/ipv4/ip_local_port_range)"
    assert_equal "$(finding busy)" "ok tcp $range: no port is in use by a stranger
ok udp $range: no port is in use by a stranger"
    assert_equal "$(finding program)" "ok /bin/true: by the preloaded library"
    assert_equal "${#lines[@]}" 8
}

@test "it looks: no segment is made, no port used up, and nobody misses one meanwhile" {
    range=$(own_range 3)
    configure FREEPORT_TCP="$range"
    run -0 freeport doctor
    assert_equal "$(finding segment)" "ok $TEST_SEGMENT: not there yet; the first program makes it"
    assert_equal "$(finding shim)" "ok $FREEPORT_SHIM: a bind to port 0 under it got tcp ${range%-*}"
    [[ ! -e /dev/shm$TEST_SEGMENT ]]
    assert_equal "$(freeport get)" "${range%-*}"
    run -0 freeport doctor
    assert_equal "$(finding shim)" "ok $FREEPORT_SHIM: a bind to port 0 under it got tcp $(range_port "$range" 2)"
    assert_equal "$(freeport list --all -rn -o PORT)" "${range%-*}"
    assert_equal "$(freeport get)" "$(range_port "$range" 1)"
}

@test "it leaves nothing in /dev/shm" {
    needs_mounts
    run -0 unshare --mount sh -ec 'mount -t tmpfs tmpfs /dev/shm; "$@" >/dev/null; ls -A /dev/shm' sh \
        env ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} ASAN_OPTIONS=detect_leaks=0 \
        "$FREEPORT_CLI" doctor
    assert_output ""
}

@test "config: which file and section" {
    config '[web]' "tcp = $(own_range)"
    run -0 freeport doctor --config "$CONFIG" --name web
    assert_line --index 0 "ok    config     $CONFIG [web]: tcp = $(sed -n 's/^tcp = //p' "$CONFIG")"
    FREEPORT_CONFIG=$CONFIG run -0 freeport doctor --tcp "$(own_range)"
    assert_line --index 0 "ok    config     $CONFIG, which has no section [default]"
}

@test "shim: one that does not load, or is not there" {
    [[ -z ${FREEPORT_SANITIZER_RUNTIME:-} ]] || skip "the sanitizer's runtime is in LD_PRELOAD"
    echo broken >"$BATS_TEST_TMPDIR/libfreeport_shim.so"
    FREEPORT_SHIM=$BATS_TEST_TMPDIR/libfreeport_shim.so run -1 freeport doctor
    assert_equal "$(finding shim | cut -d: -f1-4)" "mend $BATS_TEST_TMPDIR/libfreeport_shim.so does not load: ERROR: \
ld.so: object '$BATS_TEST_TMPDIR/libfreeport_shim.so' from LD_PRELOAD cannot be preloaded (file too short)"
    assert_output --partial "; install it for this libc, or name another in FREEPORT_SHIM"
    FREEPORT_SHIM=/none/such.so run -1 freeport doctor
    assert_line "freeport: FREEPORT_SHIM: '/none/such.so': expected the path of libfreeport_shim.so"
    assert_equal "$(finding shim)" "mend libfreeport_shim.so can't be used; see above"
}

@test "shim: a variable that the programs here can't read" {
    FREEPORT_CONNECT=on run -1 freeport doctor
    assert_equal "$(finding shim)" "mend $FREEPORT_SHIM: a bind to port 0 under it failed: freeport: FREEPORT_CONNECT=on: \
expected session, fallthrough or off; until it is mended, managed binds fail with EINVAL; see the lines below"
}

@test "shim: no port to be had" {
    one=$(own_range 1)
    one=${one%-*}
    background stranger /usr/bin/python3 -uc "$LISTEN" "$one"
    wait_lines "$BATS_TEST_TMPDIR/stranger.log" 1
    run -1 freeport doctor --tcp "$one"
    assert_equal "$(finding shim | sed 's/failed: .*/failed/')" \
        "mend $FREEPORT_SHIM: a bind to port 0 under it failed"
    assert_equal "$(finding busy)" "mend tcp $one: 1 of 1 ports are in use by strangers: $one (python3); choose another \
range"
}

@test "segment: one that was damaged is gone" {
    freeport get --tcp "$(own_range)"
    printf '\377' | dd of="/dev/shm$TEST_SEGMENT" bs=1 seek=0 conv=notrunc status=none
    run -0 freeport doctor --tcp "$(own_range)"
    assert_equal "$(finding segment)" "note $TEST_SEGMENT: it was damaged, and is removed; the first program makes a new one"
    [[ ! -e /dev/shm$TEST_SEGMENT ]]
}

@test "segment: 5 for one that can't be used, after all other findings" {
    other_version
    run -5 freeport doctor --tcp "$(own_range)" /bin/true
    assert_line "$OTHER_VERSION"
    assert_equal "$(finding segment)" "mend $TEST_SEGMENT can't be used; see above"
    assert_line --partial "ok    shim       $FREEPORT_SHIM: a bind to port 0 under it got tcp "
    assert_line "ok    program    /bin/true: by the preloaded library"
}

@test "range: the kernel's own ports, and the sysctl line that keeps it clear of them" {
    needs_networks
    run -1 doctor_with ip_local_port_range "32000 33000" --tcp 31000-32010,32020 --udp 32999-34000
    assert_equal "$(finding range)" "mend 31000-32010,32020,32999-34000: an outgoing connection may take \
32000-32010,32020,32999-33000, of the kernel's own ports 32000-33000; stay below 32000, or: sysctl -w \
net.ipv4.ip_local_reserved_ports=32000-32010,32020,32999-33000"
    run -1 doctor_with ip_local_reserved_ports 40000,32768-32769 --tcp 32767-32770
    assert_output --partial "may take 32770, of the kernel's own ports 32768-60999; stay below 32768, or: sysctl -w \
net.ipv4.ip_local_reserved_ports=32768-32769,40000,32770"
}

@test "range: the sysctl line, as it stands, mends it" {
    needs_networks
    in_network env ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} \
        ASAN_OPTIONS=detect_leaks=0 bash -c '
        line=$("$0" doctor --tcp 40000-40010,50000 | grep -o "sysctl -w .*") && sysctl() { echo "${2#*=}" \
            >/proc/sys/net/ipv4/ip_local_reserved_ports; } && eval "$line" && "$0" doctor --tcp 40000-40010,50000' \
        "$FREEPORT_CLI"
}

@test "privileged ports, for everyone but who may bind them" {
    needs_networks
    run -0 in_network env ${FREEPORT_SANITIZER_RUNTIME:+LD_PRELOAD="$FREEPORT_SANITIZER_RUNTIME"} \
        ASAN_OPTIONS=detect_leaks=0 "$FREEPORT_CLI" doctor --tcp 1000-1030
    assert_equal "$(finding privileged)" ""
    run -1 in_network setpriv --bounding-set -net_bind_service --inh-caps -net_bind_service \
        env ASAN_OPTIONS=detect_leaks=0 "$FREEPORT_CLI" doctor --tcp 1000-1030
    assert_equal "$(finding privileged)" "mend tcp 1000-1030 begins below port 1024, which only root binds; begin there, \
or: sysctl -w net.ipv4.ip_unprivileged_port_start=1000"
}

@test "busy: strangers in the range, by number and name; one's own do not count" {
    range=$(own_range)
    read -r one two three four five < <(range_ports "$range" 0 5)
    background stranger /usr/bin/python3 -uc "$LISTEN" "$one" "$two" "$three" "$four" "$five/udp"
    wait_lines "$BATS_TEST_TMPDIR/stranger.log" 1
    run -0 freeport doctor --tcp "$range" --udp "$range"
    assert_equal "$(finding busy)" "note tcp $range: 4 of 100 ports are in use by strangers: $one (python3), $two \
(python3), $three (python3), ...; they are passed over
note udp $range: 1 of 100 ports are in use by strangers: $five (python3); they are passed over"
    range=$(own_range)
    FREEPORT_TCP=$range shim_background own /usr/bin/python3 -uc "$LISTEN" 0
    wait_lines "$BATS_TEST_TMPDIR/own.log" 1
    run -0 freeport doctor --tcp "$range"
    assert_equal "$(finding busy)" "ok tcp $range: no port is in use by a stranger"
}

@test "program: its arguments are not looked at" {
    run -0 freeport doctor --tcp "$(own_range)" /bin/true --udp x none
    assert_equal "$(finding program)" "ok /bin/true: by the preloaded library"
    run -0 freeport doctor --tcp "$(own_range)" -- /bin/true
    assert_equal "$(finding program)" "ok /bin/true: by the preloaded library"
}

@test "program: one that there is not" {
    run -1 freeport doctor --tcp "$(own_range)" "$BATS_TEST_TMPDIR/none"
    assert_equal "$(finding program)" "mend $BATS_TEST_TMPDIR/none: there is none that can be run; name it by its path, \
or see PATH"
}

@test "a name of a program can't break the lines" {
    cp /bin/true "$BATS_TEST_TMPDIR/"$'a\nmend x\e[2J'
    run -0 freeport doctor --tcp "$(own_range)" "$BATS_TEST_TMPDIR/"$'a\nmend x\e[2J'
    assert_equal "$(finding program)" "ok $BATS_TEST_TMPDIR/a\x0amend x\x1b[2J: by the preloaded library"
}

@test "a bad value is a usage error" {
    run -2 freeport doctor --tcp x
    assert_output --partial "freeport: --tcp: 'x': expected FROM-TO"
    run -2 freeport doctor --fly
    assert_output "freeport: doctor: --fly: expected an option of this verb; see freeport doctor --help"
}

@test "a launcher is looked through at what it starts: npx, npm run, and what the script begins with" {
    cd "$BATS_TEST_TMPDIR" || return
    mkdir -p app/node_modules/.bin app/src bin
    printf '#!/bin/sh\n' >bin/npx
    chmod +x bin/npx
    cp bin/npx bin/npm
    configure PATH="$PWD/bin:$PATH"
    ln -s "$FREEPORT_PROGRAMS/fpsock_static" app/node_modules/.bin/served
    cat >app/package.json <<'JSON'
{ "name": "a \"quoted\" {name", "files": ["scripts", {"dev": "no"}],
  "scripts": { "build": "true", "dev": "NODE_ENV=x exec served --port 3000 & other", "start": "sh start.sh" } }
JSON
    cd app/src || return
    for command in "npx served" "npx --yes -p served served" "npm run dev" "npm run --silent dev -- --host" \
        "npm exec served"; do
        # shellcheck disable=SC2086 # words
        run -0 freeport doctor $command
        assert_line --partial "program    $BATS_TEST_TMPDIR/app/node_modules/.bin/served, which ${command%% *} starts: by the filter: a static program"
    done
    run freeport doctor npm start
    assert_line --regexp "^ok +program +.*/sh, which npm starts: by the preloaded library$"
    for command in "npm install" "npm run none" "npm" "npx"; do
        # shellcheck disable=SC2086
        run freeport doctor $command
        refute_output --partial "starts"
    done
    echo '{"scripts": {"dev": "served' >../package.json # cut off
    run freeport doctor npm run dev
    refute_output --partial "starts"
    run -0 freeport run --via preload npx served
    assert_output --partial "served: not covered: a static program"
}
