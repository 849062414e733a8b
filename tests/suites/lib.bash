# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What every suite in this folder stands on. A suite defines suite(), and prepare() where it has to download something,
# and ends with: main "$@". It knows nothing of the shim. At its top stand, for the driver:
#
#   # sentinels: 53,8080/tcp    the ports that are written into it
#   # timeout: 120              seconds that one run may take
#   # tcp: 20000-29999          (and udp:) the range, where the usual one won't do
#   # segment-mode: 0666        where another user takes part
#
# By hand, alone, on the real ports: tests/suites/NAME
set -uo pipefail

PATIENCE=20
CACHE=${FREEPORT_SUITES_CACHE:-/var/tmp/freeport-suites}

# passed NAME, failed NAME: one test's result.
passed() { echo "ok $*" >>"$SUITE_RESULTS"; }
failed() {
    echo "not ok $*" >>"$SUITE_RESULTS"
    echo "--- failed: $*" >&2
}

# check NAME COMMAND...: a test: the command succeeds.
check() {
    local name=$1
    shift
    if "$@"; then passed "$name"; else failed "$name"; fi
}

# expect NAME TEXT COMMAND...: a test: the command prints just that text.
expect() {
    local name=$1 text=$2 output
    shift 2
    output=$("$@")
    if [[ $output == "$text" ]]; then
        passed "$name"
    else
        failed "$name"
        echo "expected: $text; got: $output" >&2
    fi
}

# need NAME COMMAND...: a test without which the rest makes no sense: the suite ends where it fails.
need() {
    check "$@"
    if grep -qxF "not ok $1" "$SUITE_RESULTS"; then exit 1; fi
}

# start NAME COMMAND...: a server in the background, process $STARTED, ended with the suite; output in NAME.out.
start() {
    local name=$1
    shift
    "$@" </dev/null >>"$SUITE_DIR/$name.out" 2>&1 &
    STARTED=$!
    servers+=("$STARTED")
}

# stop PID: ends a server of ours and waits for it.
stop() {
    kill "$1" 2>/dev/null || return 0
    wait "$1" 2>/dev/null
    return 0
}

end_servers() {
    local pid
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null; done
    wait_for 5 servers_are_gone
    for pid in "${servers[@]}"; do kill -KILL "$pid" 2>/dev/null; done
}
servers_are_gone() {
    local pid
    for pid in "${servers[@]}"; do if kill -0 "$pid" 2>/dev/null; then return 1; fi; done
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails after SECONDS.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then return 1; fi
        sleep 0.1
    done
}
wait_tcp() { wait_for "$PATIENCE" tcp_answers "$@"; }
tcp_answers() { (exec 5<>"/dev/tcp/$1/$2"); }

# get URL [OPTION...]: what an HTTP server answers.
get() { curl --silent --show-error --fail --globoff --noproxy '*' --max-time "$PATIENCE" "${@:2}" "$1"; }

# fetch_source PACKAGE [BINARY]: Debian's source, unpacked in $CACHE/source-PACKAGE; of the version that BINARY is
# installed in, if there is one. The host's own list of sources is not touched: the deb-src lines live in a file of ours,
# made from the host's deb lines.
fetch_source() {
    local package=$1 target=$CACHE/source-$1 apt=$CACHE/apt version=
    if [[ ${2:-} ]]; then version="=$(dpkg-query -W -f '${source:Version}' "$2")" || return 1; fi
    if [[ -e $target/.done ]]; then return 0; fi
    mkdir -p "$apt/lists/partial" "$apt/parts" || return 1
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    # shellcheck disable=SC2016 # for apt to fill in
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' | sort -u |
        sed "s|^|deb-src [signed-by=$keyring] |" >"$apt/sources.list"
    local -a options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o "Dir::Etc::sourceparts=$apt/parts"
        -o "Dir::State::lists=$apt/lists" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update || return 1
    rm -rf "$target" "$target.new"
    mkdir -p "$target.new"
    (cd "$target.new" && apt-get "${options[@]}" --only-source source "$package$version") || return 1
    mv "$target.new"/*/ "$target" && rm -rf "$target.new" && touch "$target/.done"
}

prepare() { :; } # a suite may have its own

main() {
    servers=()
    if [[ ${1:-} == prepare ]]; then
        mkdir -p "$CACHE"
        prepare
        exit
    fi
    export LC_ALL=C
    if [[ -z ${SUITE_DIR:-} ]]; then
        SUITE_DIR=$(mktemp -d "/tmp/freeport-suite-${0##*/}.XXXXXX")
        chmod 755 "$SUITE_DIR"
        mkdir -m 1777 "$SUITE_DIR/tmp"
        export SUITE_DIR SUITE_RESULTS=$SUITE_DIR/results TMPDIR=$SUITE_DIR/tmp
        trap 'end_servers; cat "$SUITE_RESULTS"; echo "output: $SUITE_DIR"' EXIT
    else
        trap end_servers EXIT
    fi
    trap 'exit 130' INT TERM
    # What no other copy has: a server that gives it as its answer is ours.
    # shellcheck disable=SC2034
    TOKEN=copy${SUITE_DIR//[!A-Za-z0-9]/-}
    cd "$SUITE_DIR" || exit 1
    suite
}
