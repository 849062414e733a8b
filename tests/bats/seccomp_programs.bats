# shellcheck shell=bats disable=SC2016,SC2030,SC2031
# SPDX-License-Identifier: MIT
# Real programs that never call libc, each twice at once with the port that is written into it: Go's, busybox's, musl's.

load helper
load cli

PATIENCE=60

setup_file() {
    if command -v go >/dev/null; then
        go_build 0 "$BATS_FILE_TMPDIR/fpgo"
        go_build 1 "$BATS_FILE_TMPDIR/fpgo_cgo"
    fi
}

# go: as the tests use it, without a network; what it has compiled is kept for the next run.
go_environment() {
    export GOCACHE=$FREEPORT_BUILD/tests/programs/go-cache GO111MODULE=on GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local
    export GOPATH=$BATS_FILE_TMPDIR/gopath
}

go_build() (
    go_environment
    cd "$BATS_TEST_DIRNAME/../programs/go" || return
    CGO_ENABLED=$1 go build -o "$2" .
)

setup() {
    freeport_setup
    RANGE=$(own_range)
    SENTINELS=8080,8081
}

# in_session NAME COMMAND...: under freeport run.
in_session() {
    timeout --kill-after=5 "$PATIENCE" "$FREEPORT_CLI" run --quiet --tcp "$RANGE" --udp "$RANGE" \
        --sentinels "$SENTINELS" --session "$1" -- "${@:2}" 3>&-
}

# serves NAME COMMAND...: the same in the background, reported.
serves() {
    background "$1" "$FREEPORT_CLI" run --quiet --tcp "$RANGE" --udp "$RANGE" --sentinels "$SENTINELS" --session "$1" \
        --report "$(report_of "$1")" -- "${@:2}"
    wait_for "$PATIENCE" grep -qs '^tcp 8080 ' "$(report_of "$1")" || fail "$1: no server"
}

# differ: the two servers have ports of their own, and the list has both.
differ() {
    local red blue
    red=$(reported_port "$(report_of red)" tcp 8080) blue=$(reported_port "$(report_of blue)" tcp 8080)
    assert_in_range "$red" "$RANGE"
    refute [ "$red" = "$blue" ]
    run -0 freeport list -rn -o PROTO,PORT,SENTINEL,SESSION,STATE
    assert_line "tcp $red 8080 red bound"
    assert_line "tcp $blue 8080 blue bound"
}

needs_go() { command -v go >/dev/null || cannot "no go"; }

@test "Go: net/http, a hundred connections at once, datagrams both ways, any port" {
    needs_go
    for kind in fpgo fpgo_cgo; do
        serves red "$BATS_FILE_TMPDIR/$kind" serve red
        serves blue "$BATS_FILE_TMPDIR/$kind" serve blue
        differ
        assert_equal "$(in_session red "$BATS_FILE_TMPDIR/$kind" hundred)" "100 red"
        assert_equal "$(in_session blue "$BATS_FILE_TMPDIR/$kind" hundred)" "100 blue"
        assert_equal "$(in_session blue "$BATS_FILE_TMPDIR/$kind" udp)" "blue one from 127.0.0.1:8080
blue two from 127.0.0.1:8080"
        run -0 in_session red "$BATS_FILE_TMPDIR/$kind" any
        for port in ${output//127.0.0.1:/}; do assert_in_range "$port" "$RANGE"; done
        assert_equal "$(grep -c 'serving \[::\]:8080 127.0.0.1:8080' "$BATS_TEST_TMPDIR/red.log")" 1
        end_background
        rm -f "$(report_of red)" "$(report_of blue)"
    done
    run -0 in_session red "$BATS_FILE_TMPDIR/fpgo" refused
    assert_output --partial "connection refused"
}

@test "go test of three packages with one port, twice at once" {
    needs_go
    go_environment
    cp -r "$BATS_TEST_DIRNAME/../programs/go" "$BATS_TEST_TMPDIR/module"
    cd "$BATS_TEST_TMPDIR/module"
    PATIENCE=300
    in_session red go test -p 1 -count 1 ./one ./two ./three >"$BATS_TEST_TMPDIR/red.log" 2>&1 &
    red=$!
    run -0 in_session blue go test -p 1 -count 1 ./one ./two ./three
    wait "$red"
    assert_equal "$(grep -c ^ok "$BATS_TEST_TMPDIR/red.log") $(grep -c ^ok <<<"$output")" "3 3"
}

@test "busybox: httpd and wget, both static" {
    busybox=$(command -v busybox) || cannot "no busybox"
    for session in red blue; do
        mkdir "$BATS_TEST_TMPDIR/$session"
        echo "from $session" >"$BATS_TEST_TMPDIR/$session/index.html"
        serves "$session" "$busybox" httpd -f -p 8080 -h "$BATS_TEST_TMPDIR/$session"
    done
    differ
    for session in red blue; do
        assert_equal "$(in_session "$session" "$busybox" wget -qO- http://127.0.0.1:8080/)" "from $session"
        assert_equal "$(in_session "$session" curl -sS --noproxy '*' http://127.0.0.1:8080/)" "from $session"
    done
}

@test "a static program of musl" {
    command -v musl-gcc >/dev/null || cannot "no musl-gcc"
    cat >"$BATS_TEST_TMPDIR/server.c" <<'C'
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (void *)&a, sizeof a) || listen(fd, 9) || getsockname(fd, (void *)&a, &length))
        return 1;
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;) {
        int peer = accept(fd, NULL, NULL);
        write(peer, "musl\n", 5);
        close(peer);
    }
}
C
    musl-gcc -static -o "$BATS_TEST_TMPDIR/server" "$BATS_TEST_TMPDIR/server.c"
    for session in red blue; do serves "$session" "$BATS_TEST_TMPDIR/server"; done
    differ
    for session in red blue; do
        assert_equal "$(in_session "$session" python3 -c 'import socket
print(socket.create_connection(("127.0.0.1", 8080)).makefile().readline().strip())')" musl
        assert_equal "$(cat "$BATS_TEST_TMPDIR/$session.log")" 8080
    done
}

@test "a script whose Go server and whose Python server ask each other, twice at once" {
    needs_go
    cat >"$BATS_TEST_TMPDIR/suite" <<'SUITE'
#!/bin/sh
"$1" serve "$2" >/dev/null &
go=$!
python3 -c 'import http.server, sys, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"python and " + urllib.request.urlopen("http://127.0.0.1:8080/").read()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Handler).serve_forever()' &
python=$!
until curl -sSf --noproxy '*' http://127.0.0.1:8081/ 2>/dev/null; do sleep 0.1; done
kill $go $python
SUITE
    chmod +x "$BATS_TEST_TMPDIR/suite"
    in_session red "$BATS_TEST_TMPDIR/suite" "$BATS_FILE_TMPDIR/fpgo" red >"$BATS_TEST_TMPDIR/red.log" &
    red=$!
    run -0 in_session blue "$BATS_TEST_TMPDIR/suite" "$BATS_FILE_TMPDIR/fpgo" blue
    assert_output "python and blue"
    wait "$red"
    assert_equal "$(cat "$BATS_TEST_TMPDIR/red.log")" "python and red"
}

# modules FILE: from npm, which .ci/run installs them with, and no test.
modules() {
    MODULES=$FREEPORT_BUILD/tests/programs/npm/node_modules
    [[ -x $MODULES/$1 ]] || cannot "no $1: tests/programs/npm/install $FREEPORT_BUILD"
}

@test "esbuild's server, started by a shell" {
    modules .bin/esbuild
    for session in red blue; do
        mkdir "$BATS_TEST_TMPDIR/$session"
        echo "from $session" >"$BATS_TEST_TMPDIR/$session/index.html"
        mkfifo "$BATS_TEST_TMPDIR/$session.in" # it ends with its input
        sleep 300 >"$BATS_TEST_TMPDIR/$session.in" 3>&- &
        end_later $!
        serves "$session" sh -c 'exec <"$1"; "$0" --servedir="$2" --serve=127.0.0.1:8080' "$MODULES/.bin/esbuild" \
            "$BATS_TEST_TMPDIR/$session.in" "$BATS_TEST_TMPDIR/$session"
    done
    differ
    for session in red blue; do
        assert_equal "$(in_session "$session" curl -sS --noproxy '*' http://127.0.0.1:8080/)" "from $session"
    done
}

@test "bun's server" {
    modules bun/bin/bun.exe
    printf '%s\n' 'Bun.serve({port: 8080, fetch() { return new Response(`bun ${process.argv[2]}\n`); }});' \
        >"$BATS_TEST_TMPDIR/serve.js"
    for session in red blue; do
        serves "$session" "$MODULES/bun/bin/bun.exe" "$BATS_TEST_TMPDIR/serve.js" "$session"
    done
    differ
    for session in red blue; do
        assert_equal "$(in_session "$session" curl -sS --noproxy '*' http://127.0.0.1:8080/)" "bun $session"
    done
}
