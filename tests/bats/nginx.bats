# shellcheck shell=bats
# SPDX-License-Identifier: MIT
# nginx: port 80 for IPv4 and for IPv6, sockets that a master binds and its workers inherit, or one a worker.

load helper

# serve NAME [OPTION]: an nginx of its own directory, with this option at both `listen`s.
serve() {
    local name=$1 option=${2:-} home=$BATS_TEST_TMPDIR/$1
    mkdir "$home"
    cat >"$home/nginx.conf" <<CONFIGURATION
daemon off;
worker_processes 2;
pid nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    scgi_temp_path scgi;
    uwsgi_temp_path uwsgi;
    server {
        listen 80 $option;
        listen [::]:80 $option;
        default_type text/plain;
        location / { return 200 "$name \$server_port\n"; }
        location /worker { return 200 "\$pid\n"; }
    }
}
CONFIGURATION
    shim_background "$name" nginx -e stderr -p "$home" -c "$home/nginx.conf"
}

# The workers that answer there, each once. A connection a request: the kernel chooses by the client's port.
workers() {
    local turn
    for ((turn = 0; turn < 40; turn++)); do get "http://$1:$2/worker"; done | sort -u
}

# The master's children.
children() { tr ' ' '\n' <"/proc/$1/task/$1/children" | sed '/^$/d' | sort; }

# report_lines PORT PID N: what N binds for each family are reported as.
report_lines() {
    local turn
    for ((turn = 0; turn < $3; turn++)); do
        echo "tcp 80 $1 0.0.0.0 $2 default"
        echo "tcp 80 $1 :: $2 default"
    done
}

# two_at_once OPTION BINDS: both answer on both families; leaves $first, $second, $first_pid and $second_pid.
two_at_once() {
    local option=$1 binds=$2 range host
    range=$(own_range)
    configure FREEPORT_TCP="$range" FREEPORT_SENTINELS=80
    serve first "$option"
    first_pid=$BACKGROUND_PID
    serve second "$option"
    second_pid=$BACKGROUND_PID

    wait_report "$(report_of first)" $((2 * binds))
    wait_report "$(report_of second)" $((2 * binds))
    first=$(reported_port "$(report_of first)" tcp 80)
    second=$(reported_port "$(report_of second)" tcp 80)

    assert_not_equal "$first" "$second"
    assert_in_range "$first" "$range"
    assert_in_range "$second" "$range"

    for host in 127.0.0.1 ::1; do
        wait_tcp "$host" "$first"
        wait_tcp "$host" "$second"
    done
    for host in 127.0.0.1 '[::1]'; do
        # The port that nginx shows is the one of its configuration.
        assert_equal "$(get "http://$host:$first/")" "first 80"
        assert_equal "$(get "http://$host:$second/")" "second 80"
    done
    assert_report "$(report_of first)" "$(report_lines "$first" "$first_pid" "$binds")"
    assert_report "$(report_of second)" "$(report_lines "$second" "$second_pid" "$binds")"
}

@test "two nginx with port 80 run at once, each with one port for both its listens" {
    two_at_once "" 1
}

@test "two nginx with port 80 and reuseport run at once, and each worker gets its share" {
    two_at_once reuseport 2
    for host in 127.0.0.1 '[::1]'; do
        assert_equal "$(workers "$host" "$first")" "$(children "$first_pid")"
        assert_equal "$(workers "$host" "$second")" "$(children "$second_pid")"
    done
}

@test "nginx keeps its port over a reload" {
    two_at_once "" 1
    old=$(children "$first_pid")
    kill -HUP "$first_pid"
    workers_are_new() { [[ -z $(comm -12 <(echo "$old") <(children "$first_pid")) ]]; }
    wait_for "$PATIENCE" workers_are_new || fail "the old workers are still there"
    assert_equal "$(get "http://127.0.0.1:$first/")" "first 80"
    assert_equal "$(get "http://[::1]:$first/")" "first 80"
    assert_report "$(report_of first)" "$(report_lines "$first" "$first_pid" 1)"
}
