/* SPDX-License-Identifier: MIT */
/* freeport_bind() and freeport_lookup(), as freeport.h documents them. */
#include "own_handle.h"

/* What the kernel is asked, where a test stands in between. */
static struct fp_calls real_calls;

/* freeport_bind() */

static int bind_any(int fd, const void *address, socklen_t length) {
    return freeport_bind(fp, fd, address, length, 1000, NULL);
}

static void bind_refuses_what_it_cannot_bind(void **state) {
    (void)state;
    fp = open_with("30000-30010", NULL, NULL);
    struct sockaddr_in any = address4("127.0.0.1", 0), sentinel = address4("127.0.0.1", 8080);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int tcp = new_socket(AF_INET, SOCK_STREAM), udp = new_socket(AF_INET, SOCK_DGRAM);
    assert_int_equal(freeport_bind(NULL, tcp, (struct sockaddr *)&any, sizeof any, 0, NULL), -EINVAL);
    assert_int_equal(bind_any(tcp, NULL, sizeof any), -EINVAL);
    for (socklen_t length = 0; length < sizeof any; length++)
        assert_int_equal(bind_any(tcp, &any, length), -EAFNOSUPPORT);
    for (socklen_t length = 0; length < 24; length++)
        assert_int_equal(bind_any(tcp, &six, length), -EAFNOSUPPORT);
    assert_int_equal(bind_any(tcp, &sentinel, sizeof sentinel), -ENOTCONN); /* no session */
    assert_int_equal(bind_any(udp, &any, sizeof any), -ENODATA);            /* no range */
    assert_int_equal(bind_any(-1, &any, sizeof any), -EBADF);
    assert_int_equal(bind_any(9999, &any, sizeof any), -EBADF);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(bind_any(pipes[0], &any, sizeof any), -ENOTSOCK);
    int local = new_socket(AF_UNIX, SOCK_STREAM);
    assert_int_equal(bind_any(local, &any, sizeof any), -EPROTONOSUPPORT);
    int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (raw >= 0)
        assert_int_equal(bind_any(raw, &any, sizeof any), -EPROTONOSUPPORT);
    any = address4("192.0.2.1", 0);
    assert_int_equal(bind_any(tcp, &any, sizeof any), -EADDRNOTAVAIL);
    assert_int_equal(bind_any(tcp, &six, sizeof six), -EAFNOSUPPORT);
    any = address4("127.0.0.1", 0);
    assert_int_equal(bind_any(tcp, &any, sizeof any), 0);
    assert_int_equal(bound_port(tcp), 30000); /* the refusals cost nothing */
    assert_int_equal(bind_any(tcp, &any, sizeof any), -EALREADY);
    int fds[] = {tcp, udp, pipes[0], pipes[1], local, raw};
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
}

/* Its name reads as if it were bound. */
static void bind_takes_a_socket_whose_connection_was_refused(void **state) {
    (void)state;
    struct sockaddr_in nobody = address4("127.0.0.1", 9), any = address4("127.0.0.1", 0);
    uint16_t port = 0;
    fp = open_with("30000-30003", NULL, NULL);
    int fd = new_socket(AF_INET, SOCK_STREAM);
    assert_int_not_equal(connect(fd, (struct sockaddr *)&nobody, sizeof nobody), 0);
    assert_int_not_equal(bound_port(fd), 0);
    assert_int_equal(freeport_bind(fp, fd, (struct sockaddr *)&any, sizeof any, 1000, &port), 0);
    assert_int_equal(port, 30000);
    assert_int_equal(bound_port(fd), 30000);
    assert_int_equal(freeport_bind(fp, fd, (struct sockaddr *)&any, sizeof any, 1000, &port), -EALREADY);
    close(fd);
}

static void bind_gives_the_socket_the_next_port_and_its_flags_back(void **state) {
    (void)state;
    fp = open_with("30000-30099", "31000-31099", NULL);
    static const int options[] = {SO_REUSEADDR, SO_REUSEPORT};
    int fds[16];
    for (unsigned i = 0; i < 16; i++) {
        int type = i & 4 ? SOCK_DGRAM : SOCK_STREAM;
        struct sockaddr_in any = address4(i & 8 ? "127.0.0.1" : "0.0.0.0", 0);
        struct sockaddr_in before = any;
        uint16_t port = 0;
        fds[i] = new_socket(AF_INET, type);
        for (unsigned o = 0; o < 2; o++)
            if (i & (1 << o))
                set_flag(fds[i], options[o], 1);
        assert_int_equal(freeport_bind(fp, fds[i], (struct sockaddr *)&any, sizeof any, 1000, &port), 0);
        assert_memory_equal(&any, &before, sizeof any);
        assert_int_equal(port, (type == SOCK_STREAM ? 30000 : 31000) + 2 * (i % 4 + (i & 8 ? 4 : 0)));
        assert_int_equal(bound_port(fds[i]), port);
        for (unsigned o = 0; o < 2; o++)
            assert_int_equal(flag(fds[i], options[o]), (i >> o) & 1);
    }
    for (unsigned i = 0; i < 16; i++)
        close(fds[i]);
}

/* 127.0.0.2 and ::1 are free for the kernel, whoever has the number on 127.0.0.1. */
static void assert_no_other_address_gets_it(void) {
    struct sockaddr_in other = address4("127.0.0.2", 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = new_socket(AF_INET, SOCK_STREAM), fd6 = new_socket(AF_INET6, SOCK_STREAM);
    assert_int_equal(freeport_bind(fp, fd, (struct sockaddr *)&other, sizeof other, 1000, NULL), -EADDRINUSE);
    assert_int_equal(freeport_bind(fp, fd6, (struct sockaddr *)&six, sizeof six, 1000, NULL), -EADDRINUSE);
    close(fd);
    close(fd6);
}

static unsigned bind_and_stay(void) {
    uint16_t port = 0;
    bind_fresh(fp, SOCK_STREAM, 0, &port);
    return port;
}

/* Its socket is inherited by a child, which stays until the pipe is closed. */
static int heir_pipe[2];

static int bind_and_leave_a_child(void) {
    char nothing;
    bind_fresh(fp, SOCK_STREAM, 0, NULL);
    if (fork() == 0) {
        close(heir_pipe[1]);
        _exit((int)read(heir_pipe[0], &nothing, 1));
    }
    return 0;
}

static void a_port_is_nobody_elses_on_any_address_while_it_is_bound(void **state) {
    (void)state;
    fp = open_with("30000", NULL, NULL);
    unsigned port;
    pid_t pid = stay(bind_and_stay, &port);
    assert_int_equal(port, 30000);
    assert_no_other_address_gets_it();
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);

    int own = bind_fresh(fp, SOCK_STREAM, 0, NULL);
    assert_true(own >= 0);
    assert_no_other_address_gets_it();
    close(own);

    assert_int_equal(pipe(heir_pipe), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    assert_int_equal(in_child(bind_and_leave_a_child), 0);
    assert_no_other_address_gets_it();
    close(heir_pipe[0]);
    close(heir_pipe[1]);
    assert_true(waitpid(-1, NULL, 0) > 0); /* it has come to us */
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void bind_with_reuse_flags_joins_no_stranger(void **state) {
    (void)state;
    static const int options[] = {SO_REUSEADDR, SO_REUSEPORT};
    fp = open_with("30000-30007", "30000-30007", NULL);
    for (unsigned i = 0; i < 4; i++) {
        int type = i & 2 ? SOCK_DGRAM : SOCK_STREAM, option = options[i & 1];
        int other = stranger(type, (uint16_t)(30000 + (i & 1) * 4), option), fd = new_socket(AF_INET, type);
        struct sockaddr_in any = address4("0.0.0.0", 0);
        uint16_t port;
        set_flag(fd, option, 1);
        assert_int_equal(freeport_bind(fp, fd, (struct sockaddr *)&any, sizeof any, 1000, &port), 0);
        assert_int_equal(port, 30002 + (i & 1) * 4);
        close(fd);
        close(other);
    }
}

static void assert_filter_can_be_attached(uint16_t requested, int family) {
    struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = first};
    struct sockaddr_in6 address = {.sin6_family = (sa_family_t)family, .sin6_port = htons(requested)};
    int fd = new_socket(family, SOCK_DGRAM);
    set_flag(fd, SO_REUSEPORT, 1);
    uint16_t port;
    assert_int_equal(freeport_bind(fp, fd, (struct sockaddr *)&address, sizeof address, 1000, &port), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program), 0);
    close(fd);
}

/* The kernel makes it at the bind, at which the flag is off. */
static void udp_with_reuseport_has_a_group_to_attach_a_filter_to(void **state) {
    (void)state;
    fp = open_with(NULL, "30000-30010", TREE_A);
    assert_filter_can_be_attached(0, AF_INET);
    assert_filter_can_be_attached(0, AF_INET6);
    assert_filter_can_be_attached(8080, AF_INET);
    assert_filter_can_be_attached(8081, AF_INET6);
}

/* Beside a port that is held on an address of the host's, and one that was closed. */
static void an_address_that_is_not_the_hosts_is_bound_where_the_program_may(void **state) {
    (void)state;
    fp = open_with("30000-30001", NULL, NULL);
    uint16_t port = 0;
    int held = bind_fresh(fp, SOCK_STREAM, 0, &port), closed = bind_fresh(fp, SOCK_STREAM, 0, NULL), on = 1;
    assert_int_equal(port, 30000);
    close(closed);
    struct sockaddr_in foreign = address4("192.0.2.1", 0);
    int fd = new_socket(AF_INET, SOCK_STREAM);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on), 0);
    assert_int_equal(freeport_bind(fp, fd, (struct sockaddr *)&foreign, sizeof foreign, 1000, &port), 0);
    assert_int_equal(port, 30001);
    close(fd);
    close(held);
}

static void sockets_over_ipv6_are_bound_too(void **state) {
    (void)state;
    fp = open_with("30000-30010", NULL, NULL);
    struct {
        struct sockaddr_in6 address;
        char more[40];
    } six = {.address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback}};
    static const socklen_t lengths[] = {24, 28, 68};
    for (unsigned i = 0; i < 3; i++) {
        uint16_t port = 0;
        int fd = new_socket(AF_INET6, SOCK_STREAM);
        assert_int_equal(freeport_bind(fp, fd, (struct sockaddr *)&six, lengths[i], 1000, &port), 0);
        assert_int_equal(port, 30000 + 2 * i);
        assert_int_equal(bound_port(fd), port);
        close(fd);
    }
}

/* Sentinels */

static void a_session_has_one_port_for_a_sentinel_and_another_session_another(void **state) {
    (void)state;
    struct freeport *a = open_with("30000-30010", NULL, TREE_A), *b = open_with("30000-30010", NULL, TREE_B);
    uint16_t port_a, port_b, again;
    int first = bind_fresh(a, SOCK_STREAM, 8080, &port_a), second = bind_fresh(b, SOCK_STREAM, 8080, &port_b);
    assert_true(first >= 0 && second >= 0);
    assert_int_equal(port_a, 30000);
    assert_int_equal(port_b, 30001);
    assert_int_equal(bind_fresh(a, SOCK_STREAM, 8080, &again), -EADDRINUSE); /* as on the real port */
    close(first);
    first = bind_fresh(a, SOCK_STREAM, 8080, &again);
    assert_true(first >= 0);
    assert_int_equal(again, port_a);
    close(first);
    close(second);
    freeport_close(a);
    fp = b;
}

enum { NOT_YET = 1, INTERRUPTED = 2 };
static int worker; /* a descriptor or a negative errno, or one of these */
static uint16_t worker_port;

/* A worker of the same server: beside whoever has the sentinel. */
static int bind_worker(uint16_t *port) {
    struct sockaddr_in address = address4("127.0.0.1", 8080);
    int fd = new_socket(AF_INET, SOCK_STREAM);
    set_flag(fd, SO_REUSEPORT, 1);
    int error = freeport_bind(fp, fd, (struct sockaddr *)&address, sizeof address, 1000, port);
    return error != 0 ? error : fd;
}

static void bind_in_handler(int signal) {
    (void)signal;
    int saved = errno;
    worker = bind_worker(&worker_port);
    errno = saved;
}

/* The signal comes right behind the kernel's yes to the socket itself, which still has its reuse flags off. */
static int bind_and_be_interrupted(int fd, const struct sockaddr *address, socklen_t length) {
    int result = real_calls.bind(fd, address, length);
    if (address->sa_family == AF_INET && worker == NOT_YET) {
        worker = INTERRUPTED;
        raise(SIGUSR1);
    }
    return result;
}

static void a_handler_that_binds_the_sentinel_that_its_thread_is_binding_gets_it_too(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = bind_in_handler}, before;
    sigaction(SIGUSR1, &action, &before);
    fp = open_with("30000-30010", NULL, TREE_A);
    real_calls = fp->calls;
    fp->calls.bind = bind_and_be_interrupted;
    worker = NOT_YET;
    uint16_t port = 0;
    int first = bind_worker(&port);
    sigaction(SIGUSR1, &before, NULL);
    assert_true(first > INTERRUPTED);
    assert_true(worker > INTERRUPTED);
    assert_int_equal(worker_port, port);
    close(first);
    close(worker);
}

static int die_in_bind(int fd, const struct sockaddr *address, socklen_t length) {
    (void)fd, (void)address, (void)length;
    _exit(0);
}

static int die_with_a_claim(void) {
    fp->calls.bind = die_in_bind;
    bind_fresh(fp, SOCK_STREAM, 8080, NULL);
    return 1;
}

/* A socket that is bound and does not listen stands in no table of /proc: nobody can tell whose it is. */
static void what_a_dead_process_claimed_and_never_had_is_given_up_where_it_is_busy(void **state) {
    (void)state;
    fp = open_with("30000-30010", NULL, TREE_A);
    assert_int_equal(in_child(die_with_a_claim), 0);
    struct sockaddr_in address = address4("127.0.0.1", 30000);
    int blocker = new_socket(AF_INET, SOCK_STREAM);
    assert_int_equal(bind(blocker, (struct sockaddr *)&address, sizeof address), 0);
    uint16_t port = 0;
    int fd = bind_fresh(fp, SOCK_STREAM, 8080, &port);
    assert_true(fd >= 0);
    assert_int_equal(port, 30001);
    close(fd);
    close(blocker);
}

static fp_owner dead;
static unsigned races;
enum { RACES = 100 };

static void claim_for_the_session(uint16_t port) {
    assert_true(fp_entry_claim(fp->segment, FP_TCP_INDEX, port, 0, dead, meaning_here(FP_CLAIMED, 8080)));
    assert_int_equal(fp_index_add(fp->segment, &fp->session, FP_TCP_INDEX, 8080, port), port);
}

/* Somebody was faster to find the port a stranger's, claimed another, and died at it; that is a stranger's, too. */
static int bind_and_lose(int fd, const struct sockaddr *address, socklen_t length) {
    if (address->sa_family != AF_INET || races == RACES)
        return real_calls.bind(fd, address, length);
    atomic_store(&fp_entry_at(fp->segment, FP_TCP_INDEX, fp_address_port(address))->meaning,
                 fp_meaning_of(FP_BUSY, 0, 0, 0));
    claim_for_the_session((uint16_t)(30000 + ++races));
    errno = EADDRINUSE;
    return -1;
}

static void a_bind_of_a_sentinel_may_lose_many_races(void **state) {
    (void)state;
    unsigned ignored;
    fp = open_with("30000-30199", NULL, TREE_A);
    pid_t pid = stay(nothing, &ignored);
    dead = fp_owner_of(pid);
    end(pid);
    claim_for_the_session(30000);
    real_calls = fp->calls;
    fp->calls.bind = bind_and_lose;
    races = 0;
    uint16_t port = 0;
    int fd = bind_fresh(fp, SOCK_STREAM, 8080, &port);
    assert_true(fd >= 0);
    assert_int_equal(port, 30000 + RACES);
    close(fd);
}

static void the_other_protocol_gets_the_same_number(void **state) {
    (void)state;
    fp = open_with("30000-30010", "30005-30020", TREE_A);
    int blocker = stranger(SOCK_DGRAM, 30005, 0);
    uint16_t tcp, udp;
    int first = bind_fresh(fp, SOCK_STREAM, 53, &tcp), second = bind_fresh(fp, SOCK_DGRAM, 53, &udp);
    assert_true(first >= 0 && second >= 0);
    assert_int_equal(tcp, 30006); /* the first number that is free in both */
    assert_int_equal(udp, 30006);
    close(first);
    close(second);
    close(blocker);
}

static void lookup_finds_the_port_behind_a_sentinel(void **state) {
    (void)state;
    fp = open_with("30000-30010", NULL, TREE_A);
    struct freeport *other = open_with("30000-30010", NULL, TREE_B), *none = open_with("30000-30010", NULL, NULL);
    uint16_t port, found = 4711;
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8080, &found), -ENOENT);
    int fd = bind_fresh(fp, SOCK_STREAM, 8080, &port);
    assert_true(fd >= 0);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8081, &found), -ENOENT);
    assert_int_equal(freeport_lookup(fp, FREEPORT_UDP, 8080, &found), -ENOENT);
    assert_int_equal(freeport_lookup(other, FREEPORT_TCP, 8080, &found), -ENOENT);
    assert_int_equal(freeport_lookup(none, FREEPORT_TCP, 8080, &found), -ENOTCONN);
    assert_int_equal(freeport_lookup(NULL, FREEPORT_TCP, 8080, &found), -EINVAL);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8080, NULL), -EINVAL);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 0, &found), -EINVAL);
    assert_int_equal(freeport_lookup(fp, (enum freeport_protocol)0, 8080, &found), -EPROTONOSUPPORT);
    assert_int_equal(found, 4711);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8080, &found), 0);
    assert_int_equal(found, port);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, port), -EBUSY);
    close(fd);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, port), 0);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8080, &found), -ENOENT);
    freeport_close(other);
    freeport_close(none);
}

int main(void) {
    if (!own_handle("bind"))
        return OWN_NETWORK_NONE;
    const struct CMUnitTest tests[] = {
        TEST(udp_with_reuseport_has_a_group_to_attach_a_filter_to),
        TEST(an_address_that_is_not_the_hosts_is_bound_where_the_program_may),
        TEST(bind_refuses_what_it_cannot_bind),
        TEST(bind_takes_a_socket_whose_connection_was_refused),
        TEST(bind_gives_the_socket_the_next_port_and_its_flags_back),
        TEST(a_port_is_nobody_elses_on_any_address_while_it_is_bound),
        TEST(bind_with_reuse_flags_joins_no_stranger),
        TEST(sockets_over_ipv6_are_bound_too),
        TEST(a_session_has_one_port_for_a_sentinel_and_another_session_another),
        TEST(a_handler_that_binds_the_sentinel_that_its_thread_is_binding_gets_it_too),
        TEST(what_a_dead_process_claimed_and_never_had_is_given_up_where_it_is_busy),
        TEST(a_bind_of_a_sentinel_may_lose_many_races),
        TEST(the_other_protocol_gets_the_same_number),
        TEST(lookup_finds_the_port_behind_a_sentinel),
    };
    return cmocka_run_group_tests_name("bind", tests, NULL, NULL);
}
