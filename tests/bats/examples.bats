# shellcheck shell=bats disable=SC2016
# SPDX-License-Identifier: MIT
# examples/ does what its comments say, from a copy, with freeport found in PATH. What shows two suites with one
# hard-coded port at once is also run without freeport, where it has to fail: or it would show nothing.

load helper

PATIENCE=60
export BATS_TEST_TIMEOUT=900 # one of them builds freeport

setup() {
    freeport_setup
    [[ -x ${FREEPORT_CLI:-} ]] || fail "FREEPORT_CLI is no program: '${FREEPORT_CLI:-}'"
    cp -r "$BATS_TEST_DIRNAME/../../examples" "$BATS_TEST_TMPDIR/examples"
    cd "$BATS_TEST_TMPDIR/examples" || return
    # The distribution's own python3 and node, whatever else stands first in PATH.
    mkdir "$BATS_TEST_TMPDIR/bin"
    ln -s "$FREEPORT_CLI" "$BATS_TEST_TMPDIR/bin/freeport"
    configure PATH="$BATS_TEST_TMPDIR/bin:/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin"
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_REPORT="$BATS_TEST_TMPDIR/ports.report"
}

# within COMMAND...: not longer than PATIENCE, and without bats' own descriptors.
within() { timeout --kill-after=5 "$PATIENCE" "$@" 3>&- 4>&-; }

# alone COMMAND...: in a network of its own, where port 8080 is nobody else's.
alone() {
    within unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
}

# Two sessions had 8080, each on a port of its own out of the range.
assert_two_ports() {
    local -a ports
    mapfile -t ports < <(reported_ports "$BATS_TEST_TMPDIR/ports.report" tcp 8080 | tr ' ' '\n' | sort -u)
    assert_equal "${#ports[@]} ports" "2 ports"
    for port in "${ports[@]}"; do assert_in_range "$port" "$range"; done
}

@test "make -j" {
    needs_localhost
    cd make
    run -0 within make --silent -j2
    assert_equal "$(sort <<<"$output")" "one: reached one on port 8080
two: reached two on port 8080"
    assert_two_ports
    rm ./*.up
    needs_networks
    run ! alone make -j2 ISOLATE=
    assert_output --partial "Address already in use"
}

@test "CTest" {
    needs_localhost
    cd ctest
    within cmake -B build >/dev/null
    run -0 within ctest --test-dir build -j2
    assert_line "100% tests passed, 0 tests failed out of 2"
    assert_two_ports
    rm build/*.up
    within cmake -B build -DISOLATE= >/dev/null
    needs_networks
    run ! alone ctest --test-dir build -j2 --output-on-failure
    assert_output --partial "Address already in use"
}

@test "bats" {
    needs_localhost
    cd bats
    run -0 within env -u BATS_TMPDIR bats --jobs 2 suite.bats
    assert_output --regexp "ok 1 the first test has port 8080
ok 2 the second test has port 8080, too"
    assert_two_ports
    needs_networks
    ISOLATE='' run ! alone bats --jobs 2 suite.bats
    assert_output --partial "Address already in use"
}

# installed: freeport in a prefix of its own, at $PREFIX.
installed() {
    PREFIX=$BATS_TEST_TMPDIR/usr
    cmake --install "$FREEPORT_BUILD" --prefix "$PREFIX" >/dev/null
}

# twice NAME COMMAND...: two of it at once; both succeed.
twice() {
    local name=$1 copy
    shift
    for copy in 1 2; do background "$name-$copy" "$@"; eval "pid_$copy=$BACKGROUND_PID"; done
    for copy in 1 2; do
        eval "wait \$pid_$copy" || fail "$name-$copy failed: $(cat "$BATS_TEST_TMPDIR/$name-$copy.log")"
    done
}

@test "automake, and two suites of it at once" {
    cd automake
    within autoreconf -i >/dev/null 2>&1
    within ./configure >/dev/null
    run -0 within make check -j2
    assert_line "# PASS:  2"
    assert_two_ports
    rm -f ./*.up ./*.log ./*.trs
    cp -r . ../automake-2
    rm "$BATS_TEST_TMPDIR/ports.report"
    twice make sh -c 'cd "../$(mkdir ../lock 2>/dev/null && echo automake || echo automake-2)" && exec make check -j2'
    assert_equal "$(reported_ports "$BATS_TEST_TMPDIR/ports.report" tcp 8080 | tr ' ' '\n' | sort -u | wc -l)" 4
    rm -f ./*.up ./*.log ./*.trs
    within ./configure ISOLATE= >/dev/null
    needs_networks
    run ! alone make check -j2
    assert_line "# FAIL:  1"
}

@test "freeport_add_test, by find_package: two build folders at once" {
    installed
    mkdir project
    cat >project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.18)
project(example LANGUAGES NONE)
enable_testing()
find_package(freeport REQUIRED)
freeport_add_test(NAME one SENTINELS 8080 COMMAND ${SUITE} one two)
freeport_add_test(NAME two OPTIONS --log warn COMMAND ${SUITE} two one)
CMAKE
    for copy in a b; do
        within cmake -S project -B "$copy" -DSUITE="$PWD/suite" -DCMAKE_PREFIX_PATH="$PREFIX" >/dev/null
    done
    twice ctest sh -c 'exec ctest --test-dir "$(mkdir a.lock 2>/dev/null && echo a || echo b)" -j2'
    assert_equal "$(reported_ports "$BATS_TEST_TMPDIR/ports.report" tcp 8080 | tr ' ' '\n' | sort -u | wc -l)" 4
    for bad in 'NAME x' 'COMMAND x' 'NAME x COMMAND y OTHER' 'OTHER NAME x COMMAND y'; do
        sed "/^freeport_add_test/d" project/CMakeLists.txt >wrong.txt
        mkdir -p wrong
        { cat wrong.txt; echo "freeport_add_test($bad)"; } >wrong/CMakeLists.txt
        [[ $bad == 'NAME x COMMAND y OTHER' ]] ||
            run ! within cmake -S wrong -B wrong/build -DCMAKE_PREFIX_PATH="$PREFIX"
    done
}

@test "the bats library: sessions for each test, two of it at once" {
    installed
    sed 's/^TEST/@test/' >library.bats <<'BATS'
bats_require_minimum_version 1.5.0
bats_load_library freeport
setup() { freeport_setup 8080; }
teardown() { freeport_teardown; }
TEST "one" {
    in_session /usr/bin/python3 -m http.server 8080 >/dev/null 2>&1 &
    port=$(freeport port --wait 20 8080)
    [ "$port" != 8080 ]
    curl -sf --noproxy '*' "localhost:$port" >/dev/null
    in_session curl -sf --noproxy '*' localhost:8080 >/dev/null
    echo "$FREEPORT_SESSION" >>"$NAMES"
}
BATS
    configure NAMES="$BATS_TEST_TMPDIR/names"
    twice bats env -u BATS_TMPDIR BATS_LIB_PATH="$PREFIX/lib/bats" bats library.bats
    assert_equal "$(sort -u "$NAMES" | wc -l)" 2
    while read -r name; do run -1 freeport stop "$name"; done <"$NAMES" # the teardown has ended it
}

@test "the pytest plugin: a session for each worker, two suites at once" {
    installed
    cp pytest/test_server.py .
    printf '[pytest]\nfreeport = true\n' >pytest.ini
    configure PYTHONPATH="$(dirname "$(find "$PREFIX" -name pytest_freeport.py)")"
    twice pytest sh -c 'exec /usr/bin/python3 -m pytest -n 2 -p no:cacheprovider --basetemp="$0/pytest-$$" \
        test_server.py' "$BATS_TEST_TMPDIR"
    for copy in 1 2; do assert_regex "$(cat "$BATS_TEST_TMPDIR/pytest-$copy.log")" "2 passed"; done
    assert_equal "$(reported_ports "$BATS_TEST_TMPDIR/ports.report" tcp 8080 | tr ' ' '\n' | sort -u | wc -l)" 4
    # The real port, told to a client outside.
    cat >test_port.py <<'PYTHON'
import http.server, os, subprocess, threading, urllib.request

def test_port(freeport_port):
    server = http.server.HTTPServer(("127.0.0.1", 8080), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = freeport_port(8080)
    outside = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    subprocess.run(["curl", "-sf", "--noproxy", "*", f"http://localhost:{port}/"], env=outside, check=True)
PYTHON
    run -0 within freeport run --follow no /usr/bin/python3 -m pytest -p no:cacheprovider test_port.py
    assert_output --partial "1 passed"
}

@test "pytest-xdist" {
    needs_localhost
    cd pytest
    run -0 within python3 -m pytest -p no:cacheprovider --basetemp="$BATS_TEST_TMPDIR/pytest"
    assert_output --partial "2 passed"
    assert_two_ports
    needs_networks
    run ! alone python3 -m pytest -p no:cacheprovider --basetemp="$BATS_TEST_TMPDIR/plain" -o addopts= -n 2
    assert_output --partial "Address already in use"
}

@test "Node's test runner" {
    needs_localhost
    cd node
    run -0 within node run.mjs
    assert_line "ok 1 - one has port 8080"
    assert_line "ok 2 - two has port 8080"
    assert_line "# pass 2"
    assert_two_ports
    rm ./*.up
    needs_networks
    run ! alone node run.mjs plain
    assert_output --partial "EADDRINUSE"
}

@test "a shell script that wants two ports, and two of it at once" {
    cd shell
    background first ./two-servers
    background second ./two-servers
    wait_lines "$BATS_TEST_TMPDIR/first.log" 2
    wait_lines "$BATS_TEST_TMPDIR/second.log" 2
    for log in first second; do
        run -0 cat "$BATS_TEST_TMPDIR/$log.log"
        assert_line --index 0 --regexp "^http://127\.0\.0\.1:[0-9]+/ is the first$"
        assert_line --index 1 --regexp "^http://127\.0\.0\.1:[0-9]+/ is the second$"
    done
    found=$(grep -oh ':[0-9][0-9]*/' "$BATS_TEST_TMPDIR"/{first,second}.log | tr -d ':/' | sort -u)
    assert_equal "$(wc -l <<<"$found")" 4
    for port in $found; do assert_in_range "$port" "$range"; done
}

@test "a C program on libfreeport, by pkg-config and by find_package" {
    PATIENCE=600 # builds the library
    prefix=$BATS_TEST_TMPDIR/usr
    within cmake -S "$BATS_TEST_DIRNAME/../.." -B "$BATS_TEST_TMPDIR/build" -DCMAKE_INSTALL_PREFIX="$prefix" \
        -DFREEPORT_BUILD_CLI=OFF -DBUILD_TESTING=OFF >/dev/null
    within cmake --build "$BATS_TEST_TMPDIR/build" --target install >/dev/null
    libraries=$(dirname "$(find "$prefix" -name libfreeport.so)")

    cd c
    # The line as its comment has it.
    PKG_CONFIG_PATH=$libraries/pkgconfig within sh -c "$(sed -n 's/^ \* *\$ \(cc .*\)/\1/p' server.c)"
    within cmake -B build -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
    within cmake --build build >/dev/null

    # The library has no environment: its segment is the user's own, and another network's is another one.
    needs_networks
    background servers env LD_LIBRARY_PATH="$libraries" unshare --net sh -c '
        ip link set lo up
        ./server 30000-31000 & build/server 30000-31000 &
        echo "$!"
        until curl -sf --max-time 5 http://127.0.0.1:30000/ && curl -sf --max-time 5 http://127.0.0.1:30002/; do
            sleep 0.05
        done
        echo both have answered
        rm -f "/dev/shm$(env -u FREEPORT_SEGMENT "$FREEPORT_CLI" run -- sh -c "echo \"\$FREEPORT_SEGMENT\"")"
        wait'
    # Of a range, the even ports come first.
    wait_for 60 grep -q 'both have answered' "$BATS_TEST_TMPDIR/servers.log" || fail "they never answered"
    assert_equal "$(grep -E '^3000[02]$' "$BATS_TEST_TMPDIR/servers.log" | sort)" "$(printf '%s\n' 30000 30002)"
    assert_equal "$(grep -o 'this is process [0-9]*' "$BATS_TEST_TMPDIR/servers.log" | sort -u | wc -l)" 2
}

@test "an Erlang release with several pools of ports, two nodes at once" {
    cd erlang
    first=${range%-*}
    sed -i "s/{30000, 30999}/{$first, $((first + 49))}/" sys.config
    sed -i "s/{31500, 31999}/{$((first + 50)), $((first + 99))}/" sys.config
    within ./build
    background one ./start
    background two ./start
    wait_lines "$BATS_TEST_TMPDIR/one.log" 3
    wait_lines "$BATS_TEST_TMPDIR/two.log" 3
    assert_equal "$(sort "$BATS_TEST_TMPDIR"/{one,two}.log)" "calls tcp $((first + 50))
calls tcp $((first + 51))
calls udp $((first + 50))
calls udp $((first + 51))
web tcp $first
web tcp $((first + 1))"
}

# What systemd says of that unit; of the host's other units, which it looks at as well, nothing.
complaints() {
    within systemd-analyze verify --man=no "$1" 2>&1 | grep -F "${1##*/}" || true
}

@test "a systemd unit: two instances, and one of them again" {
    cd systemd
    mkdir -p "$BATS_TEST_TMPDIR/srv"
    sed "s|/usr/bin/freeport|$FREEPORT_CLI|; s|20000-20999|$range|; s|/srv|$BATS_TEST_TMPDIR/srv|" \
        legacy@.service >"$BATS_TEST_TMPDIR/legacy@red.service"
    assert_equal "$(complaints "$BATS_TEST_TMPDIR/legacy@red.service")" ""
    sed 's/^ExecStart=/ExecStrat=/' "$BATS_TEST_TMPDIR/legacy@red.service" >"$BATS_TEST_TMPDIR/legacy@typo.service"
    assert_regex "$(complaints "$BATS_TEST_TMPDIR/legacy@typo.service")" "ExecStrat"
    # As systemd has it, near enough: lines that go on joined, %i replaced, split at blanks.
    command=$(sed -n '/^ExecStart=/,/[^\\]$/p' "$BATS_TEST_TMPDIR/legacy@red.service" | sed 's/^ExecStart=//; s/\\$//' |
        tr '\n' ' ')
    for copy in red blue; do
        read -ra words <<<"${command//%i/$copy}"
        background "$copy" "${words[@]}"
        eval "$copy=$BACKGROUND_PID"
        wait_lines "$BATS_TEST_TMPDIR/$copy.log" 1
    done
    # shellcheck disable=SC2154
    stop "$red"
    port=$(freeport port 8080 --session legacy-red)
    assert_not_equal "$(freeport port 8080 --session legacy-blue)" "$port"
    read -ra words <<<"${command//%i/red}"
    background again "${words[@]}"
    wait_lines "$BATS_TEST_TMPDIR/again.log" 1
    assert_equal "$(freeport port 8080 --session legacy-red)" "$port"
    wait_tcp 127.0.0.1 "$port"
}

@test "a CI workflow: its commands, as two jobs on one host" {
    needs_localhost
    mkdir one two
    # The matrix, and the steps that run something: a line each, as the shell gets it.
    /usr/bin/python3 - ci/workflow.yml >steps <<'PYTHON'
import sys
import yaml

job = yaml.safe_load(open(sys.argv[1]))["jobs"]["suite"]
print("copies", *job["strategy"]["matrix"]["copy"])
for variable, value in job["env"].items():
    print("env", f"{variable}={value}")
for step in job["steps"]:
    if "run" in step:
        print("run", step["run"])
PYTHON
    assert_equal "$(sed -n 's/^copies //p' steps)" "one two"
    unset FREEPORT_REPORT
    for copy in one two; do
        # The suite waits for its other copy, in one folder for both; the report is in the job's own.
        other=$([[ $copy == one ]] && echo two || echo one)
        printf '#!/bin/sh\ncd .. && exec ./suite "$1" %s\n' "$other" >"$copy/suite"
        chmod +x "$copy/suite"
        {
            echo 'set -e'
            sed -n 's/^env /export /p' steps | sed 's/\${{ matrix.copy }}/'"$copy/"
            sed -n 's/^run //p' steps
        } >"$copy/script"
        (cd "$copy" && background "$copy" sh ./script)
    done
    for copy in one two; do
        wait_lines "$BATS_TEST_TMPDIR/$copy.log" 2
        run -0 cat "$BATS_TEST_TMPDIR/$copy.log"
        assert_line "$copy: reached $copy on port 8080"
        assert_line --regexp "^tcp 8080 [0-9]+ "
        cat "$copy/ports.txt" >>"$BATS_TEST_TMPDIR/ports.report"
    done
    assert_two_ports
}
