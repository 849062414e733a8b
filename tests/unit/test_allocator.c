/* SPDX-License-Identifier: MIT */
/* The public functions, as freeport.h documents them, in a network namespace of their own. */
#include "assign.h"
#include "attempt.h"
#include "freeport.h"
#include "own_network.h"
#include "owner.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { NOBODY = 65534, THREADS = 8, EACH = 50 };

static char segment_name[64], segment_path[80];
static struct freeport *fp;

static int no_segment(void **state) {
    (void)state;
    unlink(segment_path);
    fp = NULL;
    return 0;
}

static int close_it(void **state) {
    (void)state;
    freeport_close(fp);
    return no_segment(NULL);
}

static struct freeport_config config_of(const char *tcp, const char *udp, const char *session) {
    return (struct freeport_config){.tcp = tcp, .udp = udp, .session = session, .segment = segment_name};
}

static struct freeport *open_with(const char *tcp, const char *udp, const char *session) {
    struct freeport_config config = config_of(tcp, udp, session);
    struct freeport *handle;
    assert_int_equal(freeport_open(&handle, &config), 0);
    assert_non_null(handle);
    return handle;
}

static uint16_t get(enum freeport_protocol protocol) {
    uint16_t port = 0;
    int error = freeport_get(fp, protocol, 1000, &port);
    if (error != 0)
        fail_msg("get: %s", freeport_strerror(error));
    return port;
}

static void assert_no_more(enum freeport_protocol protocol) {
    uint16_t port = 4711;
    assert_int_equal(freeport_get(fp, protocol, 1000, &port), -EADDRINUSE);
    assert_int_equal(port, 4711);
}

static int new_socket(int family, int type) {
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

static struct sockaddr_in address4(const char *text, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, text, &address.sin_addr), 1);
    return address;
}

/* freeport_bind() of a fresh socket; a descriptor, or a negative errno. */
static int bind_fresh(struct freeport *handle, int type, uint16_t requested, uint16_t *port) {
    struct sockaddr_in address = address4("127.0.0.1", requested);
    int fd = new_socket(AF_INET, type);
    int error = freeport_bind(handle, fd, (struct sockaddr *)&address, sizeof address, 1000, port);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static uint16_t bound_port(int fd) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    return ntohs(((struct sockaddr_in *)&name)->sin_port);
}

static void set_flag(int fd, int option, int value) {
    assert_int_equal(setsockopt(fd, SOL_SOCKET, option, &value, sizeof value), 0);
}

static int flag(int fd, int option) {
    int value = -1;
    socklen_t length = sizeof value;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, option, &value, &length), 0);
    return value;
}

/* Somebody who knows nothing of freeport. */
static int stranger(int type, uint16_t port, int option) {
    struct sockaddr_in address = address4("0.0.0.0", port);
    int fd = new_socket(AF_INET, type);
    if (option)
        set_flag(fd, option, 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* Runs a body in a child, and hands back its exit code. */
static int in_child(int (*body)(void)) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A child that runs a body, which answers with one number, and then stays until it is killed. */
static pid_t stay(unsigned (*body)(void), unsigned *answer) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        unsigned number = body();
        if (write(pipes[1], &number, sizeof number) != sizeof number)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pipes[0], answer, sizeof *answer), sizeof *answer);
    close(pipes[0]);
    close(pipes[1]);
    return pid;
}

static void end(pid_t pid) {
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* freeport_open() */

static void assert_open_fails(const struct freeport_config *config, int error) {
    struct freeport *handle = (struct freeport *)(void *)segment_name;
    int got = freeport_open(&handle, config);
    if (got != error)
        fail_msg("%d instead of %d for tcp %s, name %s", got, error, config && config->tcp ? config->tcp : "-",
                 config && config->name ? config->name : "-");
    assert_null(handle);
}

static void open_refuses_what_it_cannot_read(void **state) {
    (void)state;
    static const char *const ranges[] = {"", "0", "0-10", "65536", "2-1", "1-", "x", "1-70000", "1 -2", "1,,2", "-1"};
    static const char *const names[] = {"", "a b", "a/b", "\xc3\xa4", "123456789012345678901234567890123"};
    static const char *const segments[] = {"", "/", "x", "/a/b", "/.."};
    char session[66] = "";
    struct freeport_config config = config_of("100-200", NULL, NULL);
    assert_int_equal(freeport_open(NULL, &config), -EINVAL);
    assert_open_fails(NULL, -EINVAL);
    config.tcp = NULL;
    assert_open_fails(&config, -EINVAL);
    for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        config = config_of(ranges[i], NULL, NULL);
        assert_open_fails(&config, -EINVAL);
        config = config_of("100-200", ranges[i], NULL);
        assert_open_fails(&config, -EINVAL);
    }
    config = config_of("100-200", NULL, NULL);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        config.name = names[i];
        assert_open_fails(&config, -EINVAL);
    }
    config.name = NULL;
    for (unsigned i = 0; i < sizeof segments / sizeof *segments; i++) {
        config.segment = segments[i];
        assert_open_fails(&config, -EINVAL);
    }
    config.segment = segment_name;
    config.session = session;
    assert_open_fails(&config, -EINVAL);
    memset(session, 's', 65);
    assert_open_fails(&config, -EINVAL);
    for (unsigned c = 1; c < 256; c++) {
        memset(session, 0, sizeof session);
        session[0] = (char)c;
        if (c <= 0x20 || c >= 0x7f)
            assert_open_fails(&config, -EINVAL);
    }
    assert_int_equal(access(segment_path, F_OK), -1); /* and makes nothing */
}

static void open_takes_names_and_sessions_up_to_their_length(void **state) {
    (void)state;
    char session[65];
    memset(session, '~', 64);
    session[64] = 0;
    struct freeport_config config = config_of("100-200,300", "400", session);
    config.name = "azAZ09_.-azAZ09_.-azAZ09_.-azAZ0";
    assert_int_equal(strlen(config.name), 32);
    assert_int_equal(freeport_open(&fp, &config), 0);
    struct stat st;
    assert_int_equal(stat(segment_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void lenient_makes_a_range_that_cannot_be_read_all_ports(void **state) {
    (void)state;
    struct freeport_config config = config_of("0-70000", NULL, NULL);
    config.flags = FREEPORT_LENIENT;
    assert_int_equal(freeport_open(&fp, &config), 0);
    assert_int_equal(fp->ranges[FP_TCP_INDEX]->size, 65535);
    assert_int_equal(fp->ranges[FP_UDP_INDEX]->size, 0);
    freeport_close(fp);
    config.tcp = NULL;
    assert_int_equal(freeport_open(&fp, &config), 0);
    assert_int_equal(fp->ranges[FP_TCP_INDEX]->size, 65535);
    assert_int_equal(fp->ranges[FP_UDP_INDEX]->size, 65535);
    freeport_close(fp);
    config.name = "not a name";
    assert_open_fails(&config, -EINVAL);
    fp = NULL;
}

static int open_code(void) {
    struct freeport_config config = config_of("100-200", NULL, NULL);
    struct freeport *handle;
    return -freeport_open(&handle, &config);
}

static int open_with_little_room(void) {
    struct rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    return open_code();
}

static int open_without_descriptors(void) {
    struct rlimit limit = {0, 0};
    setrlimit(RLIMIT_NOFILE, &limit);
    return open_code();
}

static int open_as_nobody(void) {
    return setuid(NOBODY) == 0 ? open_code() : 255;
}

static void open_tells_why_the_segment_cannot_be_used(void **state) {
    (void)state;
    assert_int_equal(in_child(open_with_little_room), EFBIG);
    assert_int_equal(in_child(open_without_descriptors), EMFILE);

    int fd = open(segment_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "not a segment", 13), 13);
    close(fd);
    assert_int_equal(in_child(open_code), EPROTO);
    unlink(segment_path);

    if (geteuid() == 0 && in_child(open_as_nobody) == 0) { /* no such user in a user namespace of one */
        assert_int_equal(in_child(open_code), EPERM);
        unlink(segment_path);
        fp = open_with("100-200", NULL, NULL);
        assert_int_equal(in_child(open_as_nobody), EACCES);
    }
}

static void close_takes_null(void **state) {
    (void)state;
    freeport_close(NULL);
}

/* freeport_get() */

static void get_refuses_what_makes_no_sense(void **state) {
    (void)state;
    uint16_t port = 4711;
    fp = open_with("30000-30010", NULL, NULL);
    assert_int_equal(freeport_get(NULL, FREEPORT_TCP, 0, &port), -EINVAL);
    assert_int_equal(freeport_get(fp, FREEPORT_TCP, 0, NULL), -EINVAL);
    assert_int_equal(freeport_get(fp, (enum freeport_protocol)0, 0, &port), -EINVAL);
    assert_int_equal(freeport_get(fp, (enum freeport_protocol)18, 0, &port), -EINVAL);
    assert_int_equal(freeport_get(fp, FREEPORT_UDP, 0, &port), -EINVAL); /* it has no range */
    assert_int_equal(port, 4711);
}

static void get_goes_round_all_of_a_range_of_several_parts_and_then_says_so(void **state) {
    (void)state;
    fp = open_with("30010-30012,30001,30005-30006", NULL, NULL);
    static const uint16_t expected[] = {30001, 30005, 30006, 30010, 30011, 30012};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(get(FREEPORT_TCP), expected[i]);
    assert_no_more(FREEPORT_TCP);
    assert_no_more(FREEPORT_TCP);
}

static void what_was_handed_out_can_be_bound_on_any_address(void **state) {
    (void)state;
    fp = open_with("30000-30010", "30000-30010", NULL);
    for (unsigned i = 0; i < 5; i++) {
        close(stranger(SOCK_STREAM, get(FREEPORT_TCP), 0));
        close(stranger(SOCK_DGRAM, get(FREEPORT_UDP), 0));
    }
}

static void a_port_that_a_stranger_has_on_any_address_is_passed_over(void **state) {
    (void)state;
    fp = open_with("30000-30002", "30000-30002", NULL);
    struct sockaddr_in loopback = address4("127.0.0.1", 30000);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(30001), .sin6_addr = in6addr_loopback};
    int four_fd = new_socket(AF_INET, SOCK_STREAM), six_fd = new_socket(AF_INET6, SOCK_STREAM);
    int udp_fd = stranger(SOCK_DGRAM, 30002, SO_REUSEADDR);
    assert_int_equal(bind(four_fd, (struct sockaddr *)&loopback, sizeof loopback), 0);
    assert_int_equal(bind(six_fd, (struct sockaddr *)&six, sizeof six), 0);
    assert_int_equal(get(FREEPORT_TCP), 30002);
    assert_int_equal(get(FREEPORT_UDP), 30000);
    assert_int_equal(get(FREEPORT_UDP), 30001);
    assert_no_more(FREEPORT_TCP);
    assert_no_more(FREEPORT_UDP);
    close(four_fd);
    close(udp_fd);
    assert_int_equal(get(FREEPORT_TCP), 30000); /* what was busy a moment ago is tried where nothing else is left */
    assert_int_equal(get(FREEPORT_UDP), 30002);
    close(six_fd);
    assert_int_equal(get(FREEPORT_TCP), 30001);
}

static int slow_and_busy(int fd, const struct sockaddr *address, socklen_t length) {
    (void)fd, (void)address, (void)length;
    struct timespec pause = {.tv_nsec = 5000000};
    nanosleep(&pause, NULL);
    errno = EADDRINUSE;
    return -1;
}

static long elapsed_ms(int timeout_ms, int expected) {
    struct timespec before, after;
    uint16_t port = 4711;
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(freeport_get(fp, FREEPORT_TCP, timeout_ms, &port), expected);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_int_equal(port, 4711);
    return (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
}

static void the_timeout_ends_a_pass_and_neither_nothing_nor_for_ever_does(void **state) {
    (void)state;
    fp = open_with("30000-30039", NULL, NULL);
    fp->calls.bind = slow_and_busy;
    assert_in_range(elapsed_ms(50, -ETIMEDOUT), 45, 1000);
    assert_true(elapsed_ms(0, -EADDRINUSE) >= 200);
    assert_true(elapsed_ms(-1, -EADDRINUSE) >= 200);
    assert_true(elapsed_ms(60000, -EADDRINUSE) >= 200);
}

static int kernels_word;

static int fails(int fd, const struct sockaddr *address, socklen_t length) {
    (void)fd, (void)address, (void)length;
    errno = kernels_word;
    return -1;
}

static void any_other_word_of_the_kernel_is_the_answer_and_costs_no_port(void **state) {
    (void)state;
    static const int errors[] = {EACCES, EPERM, ENOBUFS, ENOMEM};
    fp = open_with("30000-30002", NULL, NULL);
    struct fp_calls real = fp->calls;
    for (unsigned i = 0; i < 12; i++) {
        uint16_t port = 4711;
        kernels_word = errors[i % 4];
        fp->calls.bind = fails;
        assert_int_equal(freeport_get(fp, FREEPORT_TCP, 1000, &port), -kernels_word);
        assert_int_equal(port, 4711);
        int fd = bind_fresh(fp, SOCK_STREAM, 0, NULL);
        assert_int_equal(fd, -kernels_word);
    }
    fp->calls = real;
    for (uint16_t port = 30000; port <= 30002; port++)
        assert_int_equal(get(FREEPORT_TCP), port);
}

static int get_with_two_descriptors(void) {
    struct rlimit limit = {3, 3};
    uint16_t port;
    setrlimit(RLIMIT_NOFILE, &limit);
    return -freeport_get(fp, FREEPORT_TCP, 0, &port);
}

static int get_low_as_nobody(void) {
    uint16_t port;
    return setuid(NOBODY) == 0 ? -freeport_get(fp, FREEPORT_UDP, 0, &port) : 255;
}

static void without_a_descriptor_or_permission_the_kernel_is_quoted(void **state) {
    (void)state;
    fp = open_with("30000-30002", "80-90", NULL);
    assert_int_equal(in_child(get_with_two_descriptors), EMFILE);
    int code = in_child(get_low_as_nobody);
    assert_true(code == EACCES || code == 255);
    assert_int_equal(get(FREEPORT_TCP), 30000);
}

/* Reservations */

static unsigned get_four(void) {
    unsigned sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint16_t port = 0;
        if (freeport_get(fp, FREEPORT_TCP, 1000, &port) != 0)
            return 0;
        sum += port;
    }
    return sum;
}

static void a_reservation_is_kept_while_its_process_lives_and_given_on_when_it_died(void **state) {
    (void)state;
    fp = open_with("30000-30003", NULL, NULL);
    for (unsigned round = 0; round < 5; round++) {
        unsigned sum;
        pid_t pid = stay(get_four, &sum);
        assert_int_equal(sum, 4 * 30000 + 6);
        assert_no_more(FREEPORT_TCP);
        assert_int_equal(bind_fresh(fp, SOCK_STREAM, 0, NULL), -EADDRINUSE);
        assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30002), -EPERM);
        end(pid);
    }
    uint32_t seen = 0;
    for (unsigned i = 0; i < 4; i++)
        seen |= 1u << (get(FREEPORT_TCP) - 30000);
    assert_int_equal(seen, 15);
    assert_no_more(FREEPORT_TCP);
}

static void names_share_the_ports_and_not_the_sequence(void **state) {
    (void)state;
    struct freeport_config config = config_of("30000-30005", NULL, NULL);
    struct freeport *first, *second;
    config.name = "first";
    assert_int_equal(freeport_open(&first, &config), 0);
    config.name = "second";
    assert_int_equal(freeport_open(&second, &config), 0);
    static const uint16_t expected[] = {30000, 30001, 30002, 30003, 30004, 30005};
    for (unsigned i = 0; i < 6; i++) {
        fp = i % 2 ? second : first;
        assert_int_equal(get(FREEPORT_TCP), expected[i]);
    }
    freeport_close(second);
    fp = first;
}

static void a_released_port_is_given_again_when_the_round_comes_to_it(void **state) {
    (void)state;
    fp = open_with("30000-30003", NULL, NULL);
    for (unsigned i = 0; i < 40; i++) {
        uint16_t port = get(FREEPORT_TCP);
        assert_int_equal(port, 30000 + i % 4);
        assert_int_equal(freeport_release(fp, FREEPORT_TCP, port), 0);
        assert_int_equal(freeport_release(fp, FREEPORT_TCP, port), -ENOENT);
    }
}

static void release_refuses_what_makes_no_sense(void **state) {
    (void)state;
    fp = open_with("30000-30003", NULL, NULL);
    assert_int_equal(freeport_release(NULL, FREEPORT_TCP, 30000), -EINVAL);
    assert_int_equal(freeport_release(fp, (enum freeport_protocol)1, 30000), -EINVAL);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 0), -EINVAL);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30000), -ENOENT);
    uint16_t port = get(FREEPORT_TCP);
    assert_int_equal(freeport_release(fp, FREEPORT_UDP, port), -ENOENT);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, port), 0);
}

static void what_a_dead_process_left_may_be_released_by_anybody(void **state) {
    (void)state;
    fp = open_with("30000-30003", NULL, NULL);
    unsigned sum;
    pid_t pid = stay(get_four, &sum);
    end(pid);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30002), 0);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30002), -ENOENT);
}

/* Many at once */

static struct { _Atomic unsigned count[65536], failures; } * board;

static void get_many(void) {
    for (unsigned i = 0; i < EACH; i++) {
        uint16_t port;
        if (freeport_get(fp, FREEPORT_TCP, -1, &port) == 0)
            atomic_fetch_add(&board->count[port], 1);
        else
            atomic_fetch_add(&board->failures, 1);
    }
}

static void *get_many_in_thread(void *ignored) {
    get_many();
    return ignored;
}

static int get_many_in_child(void) {
    get_many();
    return 0;
}

static void assert_each_once(unsigned from, unsigned count) {
    assert_int_equal(atomic_load(&board->failures), 0);
    for (unsigned port = 0; port < 65536; port++)
        if (atomic_load(&board->count[port]) != (port >= from && port < from + count))
            fail_msg("port %u was handed out %u times", port, atomic_load(&board->count[port]));
}

static void threads_get_distinct_ports(void **state) {
    (void)state;
    fp = open_with("30000-30399", NULL, NULL);
    memset(board, 0, sizeof *board);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_many_in_thread, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_each_once(30000, THREADS * EACH);
    assert_no_more(FREEPORT_TCP);
}

static void processes_get_distinct_ports(void **state) {
    (void)state;
    fp = open_with("30000-30399", NULL, NULL);
    memset(board, 0, sizeof *board);
    /* All stay until the last is done: a dead one's are free. */
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pids[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            get_many_in_child();
            if (write(pipes[1], "x", 1) != 1)
                _exit(1);
            for (;;)
                pause();
        }
    }
    char byte;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_each_once(30000, THREADS * EACH);
    assert_no_more(FREEPORT_TCP);
    for (unsigned i = 0; i < THREADS; i++)
        end(pids[i]);
    close(pipes[0]);
    close(pipes[1]);
}

/*
 * One call inside of another: what a signal handler does, and what two threads do where they meet at the worst moment.
 * The hook runs right before the kernel is asked about a port.
 */
static struct fp_calls real_calls;
static void (*meanwhile)(void);

static int bind_with_hook(int fd, const struct sockaddr *address, socklen_t length) {
    void (*hook)(void) = meanwhile;
    meanwhile = NULL;
    if (hook)
        hook();
    return real_calls.bind(fd, address, length);
}

static void hook(void (*body)(void)) {
    real_calls = fp->calls;
    fp->calls.bind = bind_with_hook;
    meanwhile = body;
}

static uint16_t inner_port;
static int inner_error;

static void inner_get(void) {
    inner_port = 0;
    inner_error = freeport_get(fp, FREEPORT_TCP, 1000, &inner_port);
}

static void assert_not_both_have_it(void) {
    uint16_t outer_port = 0;
    int outer_error = freeport_get(fp, FREEPORT_TCP, 1000, &outer_port);
    if (outer_error == 0 && inner_error == 0)
        assert_int_not_equal(outer_port, inner_port);
    assert_true(outer_error == 0 || inner_error == 0);
}

static void a_get_inside_of_anothers_probe_is_not_given_the_same_port(void **state) {
    (void)state;
    fp = open_with("30000", NULL, NULL);
    hook(inner_get);
    assert_not_both_have_it();
}

static void a_get_inside_of_anothers_probe_of_an_old_port_of_ours_is_not_given_the_same(void **state) {
    (void)state;
    fp = open_with("30000", NULL, NULL);
    close(bind_fresh(fp, SOCK_STREAM, 0, NULL));
    hook(inner_get);
    assert_not_both_have_it();
}

static void inner_bind(void) {
    inner_error = bind_fresh(fp, SOCK_STREAM, 0, &inner_port);
}

static void a_bind_inside_of_anothers_try_leaves_the_entry_to_who_has_the_port(void **state) {
    (void)state;
    fp = open_with("30000", NULL, NULL);
    uint16_t outer_port = 0;
    hook(inner_bind);
    int outer_error = bind_fresh(fp, SOCK_STREAM, 0, &outer_port);
    assert_true((outer_error >= 0) != (inner_error >= 0));
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30000), 0); /* one of them has it, and the table knows */
    close(outer_error >= 0 ? outer_error : inner_error);
}

static unsigned bind_one(void) {
    uint16_t port = 0;
    return bind_fresh(fp, SOCK_STREAM, 0, &port) >= 0 ? port : 0;
}

static int get_code(void) {
    uint16_t port;
    return -freeport_get(fp, FREEPORT_TCP, 1000, &port);
}

static void inner_get_of_a_child(void) {
    inner_error = -in_child(get_code);
}

/* `requested` is 0, or a sentinel. */
static void assert_left_over_goes_to_one(uint16_t requested, void (*inner)(void)) {
    unsigned left;
    fp = open_with("30000", NULL, "a");
    end(stay(bind_one, &left));
    assert_int_equal(left, 30000);
    hook(inner);
    int outer = bind_fresh(fp, SOCK_STREAM, requested, NULL);
    assert_null(meanwhile);
    assert_true((outer >= 0) != (inner_error == 0));
    close(outer);
    close_it(NULL);
}

static void a_get_inside_of_a_bind_of_a_left_over_port_is_not_given_the_same(void **state) {
    (void)state;
    assert_left_over_goes_to_one(0, inner_get);
    assert_left_over_goes_to_one(0, inner_get_of_a_child);
    assert_left_over_goes_to_one(8080, inner_get);
    assert_left_over_goes_to_one(8080, inner_get_of_a_child);
}

static unsigned bind_one_and_close(void) {
    uint16_t port = 0;
    int fd = bind_fresh(fp, SOCK_STREAM, 0, &port);
    close(fd);
    return fd >= 0 ? port : 0;
}

/* Of a process that is there, and has closed it. */
static void a_get_inside_of_a_bind_of_an_idle_port_is_not_given_the_same(void **state) {
    (void)state;
    unsigned idle;
    fp = open_with("30000", NULL, NULL);
    pid_t owner = stay(bind_one_and_close, &idle);
    assert_int_equal(idle, 30000);
    hook(inner_get_of_a_child);
    int outer = bind_fresh(fp, SOCK_STREAM, 0, NULL);
    assert_null(meanwhile);
    assert_true((outer >= 0) != (inner_error == 0));
    close(outer);
    end(owner);
}

/* What a thread leaves that ends, or goes elsewhere, between its claim and the kernel's answer. */

static fp_meaning meaning_here(enum fp_state state, uint16_t requested) {
    int name = fp_intern_name(fp->segment, &fp->name, fp_owner_self());
    int session = fp->has_session ? fp_intern_session(fp->segment, &fp->session, fp_owner_self()) : 0;
    assert_true(name >= 0 && session >= 0);
    return fp_meaning_of(state, requested, (unsigned)name, (unsigned)session);
}

static void leave_a_claim(uint16_t port, fp_owner owner) {
    assert_true(
        fp_entry_claim(fp->segment, FP_TCP_INDEX, port, 0, owner, fp_with_serial(meaning_here(FP_CLAIMED, 0), 4711)));
}

static unsigned nothing(void) {
    return 0;
}

/* A process that is there, until end(). */
static pid_t bystander(void) {
    unsigned ignored;
    return stay(nothing, &ignored);
}

/* By exec(2), or by siglongjmp() out of a handler: its process is there, and will not come back to it. */
static void a_claim_that_a_living_process_left_is_anothers_to_take(void **state) {
    (void)state;
    pid_t other = bystander();
    fp = open_with("30000-30001", NULL, NULL);
    leave_a_claim(30000, fp_owner_of(other));
    leave_a_claim(30001, fp_owner_self());
    for (unsigned i = 0; i < 20; i++) {
        uint16_t ports[2] = {0, 0};
        int fds[2] = {bind_fresh(fp, SOCK_STREAM, 0, &ports[0]), bind_fresh(fp, SOCK_STREAM, 0, &ports[1])};
        assert_true(fds[0] >= 0 && fds[1] >= 0);
        assert_int_equal(ports[0] + ports[1], 60001);
        close(fds[0]);
        close(fds[1]);
    }
    end(other);
}

/* The port looks free on all addresses, and is not on the one that is asked for. */
static int busy_here(int fd, const struct sockaddr *address, socklen_t length) {
    if (address->sa_family != AF_INET)
        return real_calls.bind(fd, address, length);
    errno = EADDRINUSE;
    return -1;
}

/* Whoever left it may have given it up since, in vain: given back as a claim it would be nobody's to end. */
static void a_claim_that_was_taken_over_in_vain_is_no_claim_any_more(void **state) {
    (void)state;
    pid_t other = bystander();
    fp = open_with("30000", NULL, NULL);
    leave_a_claim(30000, fp_owner_of(other));
    real_calls = fp->calls;
    fp->calls.bind = busy_here;
    assert_int_equal(bind_fresh(fp, SOCK_STREAM, 0, NULL), -EADDRINUSE);
    fp->calls = real_calls;
    assert_int_equal(fp_state(fp_entry_meaning(fp->segment, FP_TCP_INDEX, 30000)), FP_BOUND);
    assert_true(fp_entry_owner(fp->segment, FP_TCP_INDEX, 30000) == fp_owner_of(other));
    assert_int_equal(get(FREEPORT_TCP), 30000); /* which takes no claim of a process that is there */
    end(other);
}

static unsigned asked;

/* Between the look at a port and its claim somebody else has had it, and closed it; each time. */
static int bind_beside_others(int fd, const struct sockaddr *address, socklen_t length) {
    struct fp_entry *entry = fp_entry_at(fp->segment, FP_TCP_INDEX, 30000);
    if (++asked == 1000)
        _exit(1);
    atomic_store(&entry->meaning, fp_with_serial(atomic_load(&entry->meaning), 4711 + asked));
    return real_calls.bind(fd, address, length);
}

static void a_get_that_others_are_always_faster_than_comes_to_an_end(void **state) {
    (void)state;
    unsigned idle;
    uint16_t port = 4711;
    fp = open_with("30000", NULL, NULL);
    pid_t owner = stay(bind_one_and_close, &idle);
    assert_int_equal(idle, 30000);
    real_calls = fp->calls;
    fp->calls.bind = bind_beside_others;
    asked = 0;
    assert_int_equal(freeport_get(fp, FREEPORT_TCP, -1, &port), -EADDRINUSE);
    assert_in_range(asked, 1, 10);
    fp->calls = real_calls;
    assert_int_equal(get(FREEPORT_TCP), 30000);
    end(owner);
}

static sigjmp_buf out_of_here;

static void leave_by_jump(int signal) {
    (void)signal;
    siglongjmp(out_of_here, 1);
}

static int bind_and_raise(int fd, const struct sockaddr *address, socklen_t length) {
    int result = real_calls.bind(fd, address, length);
    raise(SIGUSR1);
    return result;
}

static void a_handler_that_does_not_return_leaves_the_programs_flags_as_they_were(void **state) {
    (void)state;
    static const int options[] = {SO_REUSEADDR, SO_REUSEPORT};
    struct sigaction action = {.sa_handler = leave_by_jump}, before;
    sigaction(SIGUSR1, &action, &before);
    fp = open_with("30000-30003", NULL, NULL);
    real_calls = fp->calls;
    fp->calls.bind = bind_and_raise;
    for (volatile unsigned i = 0; i < 2; i++) {
        struct sockaddr_in any = address4("127.0.0.1", 0);
        volatile int fd = new_socket(AF_INET, SOCK_STREAM);
        set_flag(fd, options[i], 1);
        if (sigsetjmp(out_of_here, 1) == 0)
            freeport_bind(fp, fd, (struct sockaddr *)&any, sizeof any, 1000, NULL);
        assert_int_equal(flag(fd, options[i]), 1);
        assert_int_equal(bound_port(fd), 30000 + i);
        close(fd);
    }
    sigaction(SIGUSR1, &before, NULL);
}

/* fork */

static unsigned child_gets_one(void) {
    uint16_t port = 0;
    return freeport_get(fp, FREEPORT_TCP, 1000, &port) == 0 ? port : 0;
}

static pid_t owner_pid;

static int note_owner(const struct freeport_assignment *assignment, void *port) {
    if (assignment->port == *(unsigned *)port)
        owner_pid = assignment->pid;
    return 0;
}

static void a_handle_goes_on_in_a_child_and_what_it_gets_there_is_the_childs(void **state) {
    (void)state;
    fp = open_with("30000-30003", NULL, NULL);
    assert_int_equal(get(FREEPORT_TCP), 30000);
    unsigned port;
    pid_t pid = stay(child_gets_one, &port);
    assert_int_equal(port, 30001);
    assert_int_equal(freeport_each(fp, note_owner, &port), 0);
    assert_int_equal(owner_pid, pid);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30001), -EPERM);
    assert_int_equal(get(FREEPORT_TCP), 30002);
    end(pid);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30001), 0);
}

static int child_releases_the_parents(void) {
    return -freeport_release(fp, FREEPORT_TCP, 30000);
}

static void the_parents_reservation_stays_the_parents(void **state) {
    (void)state;
    fp = open_with("30000-30003", NULL, NULL);
    assert_int_equal(get(FREEPORT_TCP), 30000);
    assert_int_equal(in_child(child_releases_the_parents), EPERM);
}

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
        assert_int_equal(bind_any(tcp, &any, length), -EINVAL);
    for (socklen_t length = 0; length < 24; length++)
        assert_int_equal(bind_any(tcp, &six, length), -EINVAL);
    assert_int_equal(bind_any(tcp, &sentinel, sizeof sentinel), -EINVAL); /* no session */
    assert_int_equal(bind_any(udp, &any, sizeof any), -EINVAL);           /* no range */
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
    assert_int_equal(bind_any(tcp, &any, sizeof any), -EINVAL);
    int fds[] = {tcp, udp, pipes[0], pipes[1], local, raw};
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
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
        assert_int_equal(port, (type == SOCK_STREAM ? 30000 : 31000) + i % 4 + (i & 8 ? 4 : 0));
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
    fp = open_with("30000-30003", "30000-30003", NULL);
    for (unsigned i = 0; i < 4; i++) {
        int type = i & 2 ? SOCK_DGRAM : SOCK_STREAM, option = options[i & 1];
        int other = stranger(type, (uint16_t)(30000 + (i & 1) * 2), option), fd = new_socket(AF_INET, type);
        struct sockaddr_in any = address4("0.0.0.0", 0);
        uint16_t port;
        set_flag(fd, option, 1);
        assert_int_equal(freeport_bind(fp, fd, (struct sockaddr *)&any, sizeof any, 1000, &port), 0);
        assert_int_equal(port, 30001 + (i & 1) * 2);
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
    fp = open_with(NULL, "30000-30010", "a");
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
        assert_int_equal(port, 30000 + i);
        assert_int_equal(bound_port(fd), port);
        close(fd);
    }
}

/* Sentinels */

static void a_session_has_one_port_for_a_sentinel_and_another_session_another(void **state) {
    (void)state;
    struct freeport *a = open_with("30000-30010", NULL, "a"), *b = open_with("30000-30010", NULL, "b");
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
    fp = open_with("30000-30010", NULL, "a");
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
    fp = open_with("30000-30010", NULL, "a");
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
    fp_index_add(fp->segment, &fp->session, FP_TCP_INDEX, 8080, port);
}

/* Somebody was faster, died at it, and the port is a stranger's: each time another. */
static int bind_and_lose(int fd, const struct sockaddr *address, socklen_t length) {
    if (address->sa_family != AF_INET || races == RACES)
        return real_calls.bind(fd, address, length);
    claim_for_the_session((uint16_t)(30000 + ++races));
    errno = EADDRINUSE;
    return -1;
}

static void a_bind_of_a_sentinel_may_lose_many_races(void **state) {
    (void)state;
    unsigned ignored;
    fp = open_with("30000-30199", NULL, "a");
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

/* Without the segment, it is no process of ours. */
static unsigned be_a_stranger(void) {
    freeport_close(fp);
    return (unsigned)stranger(SOCK_STREAM, 30000, 0);
}

/* Whoever gave it up was killed half way: it is nobody's, and says still whose it was. And a stranger has come. */
static void a_port_for_a_sentinel_is_found_where_the_sessions_own_was_given_up_half_way(void **state) {
    (void)state;
    fp = open_with("30000-30001", NULL, "a");
    fp_meaning meaning = meaning_here(FP_BOUND, 8080) | FP_HAD;
    atomic_store(&fp_entry_at(fp->segment, FP_TCP_INDEX, 30000)->meaning, meaning);
    fp_index_add(fp->segment, &fp->session, FP_TCP_INDEX, 8080, 30000);
    unsigned ignored;
    pid_t other = stay(be_a_stranger, &ignored);
    uint16_t port = 0;
    assert_int_equal(fp_pledge(fp, FREEPORT_TCP, 8080, false, 1000, &port), 0);
    assert_int_equal(port, 30001);
    end(other);
}

static void the_other_protocol_gets_the_same_number(void **state) {
    (void)state;
    fp = open_with("30000-30010", "30005-30020", "a");
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
    fp = open_with("30000-30010", NULL, "a");
    struct freeport *other = open_with("30000-30010", NULL, "b"), *none = open_with("30000-30010", NULL, NULL);
    uint16_t port, found = 4711;
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8080, &found), -ENOENT);
    int fd = bind_fresh(fp, SOCK_STREAM, 8080, &port);
    assert_true(fd >= 0);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8081, &found), -ENOENT);
    assert_int_equal(freeport_lookup(fp, FREEPORT_UDP, 8080, &found), -ENOENT);
    assert_int_equal(freeport_lookup(other, FREEPORT_TCP, 8080, &found), -ENOENT);
    assert_int_equal(freeport_lookup(none, FREEPORT_TCP, 8080, &found), -EINVAL);
    assert_int_equal(freeport_lookup(NULL, FREEPORT_TCP, 8080, &found), -EINVAL);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8080, NULL), -EINVAL);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 0, &found), -EINVAL);
    assert_int_equal(freeport_lookup(fp, (enum freeport_protocol)0, 8080, &found), -EINVAL);
    assert_int_equal(found, 4711);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8080, &found), 0);
    assert_int_equal(found, port);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, port), 0);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8080, &found), -ENOENT);
    close(fd);
    freeport_close(other);
    freeport_close(none);
}

/* freeport_each() */

struct visits {
    unsigned count, stop_at;
    struct freeport_assignment seen[8];
    char text[8][3][70];
};

static int visit(const struct freeport_assignment *assignment, void *context) {
    struct visits *visits = context;
    if (visits->count < 8) {
        unsigned n = visits->count;
        visits->seen[n] = *assignment;
        snprintf(visits->text[n][0], 70, "%s", assignment->address);
        snprintf(visits->text[n][1], 70, "%s", assignment->name);
        snprintf(visits->text[n][2], 70, "%s", assignment->session);
    }
    return ++visits->count == visits->stop_at ? 42 : 0;
}

static void assert_visit(const struct visits *visits, unsigned n, enum freeport_protocol protocol, uint16_t port,
                         uint16_t requested, enum freeport_state wanted, const char *address) {
    const struct freeport_assignment *seen = &visits->seen[n];
    assert_int_equal(seen->protocol, protocol);
    assert_int_equal(seen->port, port);
    assert_int_equal(seen->requested, requested);
    assert_int_equal(seen->state, wanted);
    assert_int_equal(seen->alive, 1);
    assert_int_equal(seen->pid, getpid());
    assert_in_range(seen->since, time(NULL) - 60, time(NULL));
    assert_string_equal(visits->text[n][0], address);
    assert_string_equal(visits->text[n][1], "default");
    assert_string_equal(visits->text[n][2], "a");
}

static struct fp_text session_text(unsigned number) {
    char string[16];
    struct fp_text text;
    snprintf(string, sizeof string, "other-%u", number);
    fp_text_set(&text, string);
    return text;
}

/* Thousands of other sessions come up after this one's label was found and before its port is claimed. */
static void a_label_that_was_emptied_meanwhile_is_made_again(void **state) {
    (void)state;
    fp = open_with("30000-30009", NULL, "mine");
    struct sockaddr_in address = address4("127.0.0.1", 0);
    struct fp_bind bind = {
        .fp = fp, .protocol = FP_TCP_INDEX, .address = (struct sockaddr *)&address, .length = sizeof address};
    struct fp_attempt attempt;
    assert_int_equal(fp_attempt_begin(&attempt, &bind), 0);
    for (unsigned i = 0; fp_find_session(fp->segment, &fp->session) >= 0; i++) {
        struct fp_text other = session_text(i);
        assert_true(i < FP_SESSIONS && fp_intern_session(fp->segment, &other, fp_owner_self()) > 0);
    }
    uint16_t port;
    assert_int_equal(fp_attempt_next(&attempt, &port), FP_CHOICE_CLAIMED);
    fp_attempt_record(&attempt, port);
    fp_meaning meaning = fp_entry_meaning(fp->segment, FP_TCP_INDEX, port);
    assert_int_equal(fp_state(meaning), FP_BOUND);
    assert_true(fp_label_is(&fp->segment->sessions[fp_session(meaning)], &fp->session));
}

static void each_visits_every_assignment_tcp_first_in_the_order_of_ports(void **state) {
    (void)state;
    fp = open_with("30000-30010", "30000-30010", "a");
    struct visits visits = {.count = 0};
    assert_int_equal(freeport_each(fp, visit, &visits), 0);
    assert_int_equal(visits.count, 0);
    assert_int_equal(freeport_each(NULL, visit, &visits), -EINVAL);
    assert_int_equal(freeport_each(fp, NULL, &visits), -EINVAL);

    assert_int_equal(get(FREEPORT_UDP), 30000);
    assert_int_equal(get(FREEPORT_TCP), 30000);
    int sentinel = bind_fresh(fp, SOCK_STREAM, 8080, NULL), plain = bind_fresh(fp, SOCK_STREAM, 0, NULL);
    assert_true(sentinel >= 0 && plain >= 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    fp_note_explicit(fp, FP_TCP_INDEX, 30009, (struct sockaddr *)&six);

    assert_int_equal(freeport_each(fp, visit, &visits), 0);
    assert_int_equal(visits.count, 6);
    assert_visit(&visits, 0, FREEPORT_TCP, 30000, 0, FREEPORT_RESERVED, "");
    assert_visit(&visits, 1, FREEPORT_TCP, 30001, 8080, FREEPORT_ASSIGNED, "127.0.0.1");
    assert_visit(&visits, 2, FREEPORT_TCP, 30002, 0, FREEPORT_ASSIGNED, "127.0.0.1");
    assert_visit(&visits, 3, FREEPORT_TCP, 30009, 30009, FREEPORT_EXPLICIT, "::1");
    assert_visit(&visits, 4, FREEPORT_UDP, 30000, 0, FREEPORT_RESERVED, "");
    assert_visit(&visits, 5, FREEPORT_UDP, 30001, 8080, FREEPORT_PLEDGED, "");

    for (unsigned stop = 1; stop <= 6; stop++) {
        struct visits few = {.stop_at = stop};
        assert_int_equal(freeport_each(fp, visit, &few), 42);
        assert_int_equal(few.count, stop);
    }
    close(sentinel);
    close(plain);
}

static void each_tells_whose_process_is_gone(void **state) {
    (void)state;
    fp = open_with("30000-30003", NULL, NULL);
    unsigned sum;
    end(stay(get_four, &sum));
    struct visits visits = {.count = 0};
    assert_int_equal(freeport_each(fp, visit, &visits), 0);
    assert_int_equal(visits.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(visits.seen[i].alive, 0);
        assert_string_equal(visits.text[i][2], "");
    }
}

static void every_documented_error_has_a_text_in_one_line(void **state) {
    (void)state;
    static const int errors[] = {
        0,        EINVAL,  EADDRINUSE,   ETIMEDOUT,       EACCES, EPERM,         EPROTO, ENOENT, ENOSPC,
        EROFS,    EFBIG,   ENOMEM,       EPROTONOSUPPORT, EBADF,  EADDRNOTAVAIL, EMFILE, ENFILE, EBADF,
        ENOTSOCK, ENOBUFS, EAFNOSUPPORT, 123456,          -5};
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) {
        const char *text = freeport_strerror(-errors[i]);
        assert_non_null(text);
        assert_true(strlen(text) > 3);
        assert_null(strchr(text, '\n'));
        if (errors[i] > 0 && errors[i] < 1000)
            assert_string_not_equal(text, freeport_strerror(-123456));
    }
}

int main(void) {
    if (!own_network()) {
        fprintf(stderr, "no network namespace to be had: not tested\n");
        return OWN_NETWORK_NONE;
    }
    snprintf(segment_name, sizeof segment_name, "/test-allocator-%d", (int)getpid());
    snprintf(segment_path, sizeof segment_path, "/dev/shm%s", segment_name);
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 1;
/* clang-format off */
#define TEST(name) cmocka_unit_test_setup_teardown(name, no_segment, close_it)
    /* clang-format on */
    const struct CMUnitTest tests[] = {
        TEST(open_refuses_what_it_cannot_read),
        TEST(open_takes_names_and_sessions_up_to_their_length),
        TEST(lenient_makes_a_range_that_cannot_be_read_all_ports),
        TEST(open_tells_why_the_segment_cannot_be_used),
        TEST(close_takes_null),
        TEST(get_refuses_what_makes_no_sense),
        TEST(get_goes_round_all_of_a_range_of_several_parts_and_then_says_so),
        TEST(what_was_handed_out_can_be_bound_on_any_address),
        TEST(a_port_that_a_stranger_has_on_any_address_is_passed_over),
        TEST(the_timeout_ends_a_pass_and_neither_nothing_nor_for_ever_does),
        TEST(any_other_word_of_the_kernel_is_the_answer_and_costs_no_port),
        TEST(without_a_descriptor_or_permission_the_kernel_is_quoted),
        TEST(a_reservation_is_kept_while_its_process_lives_and_given_on_when_it_died),
        TEST(names_share_the_ports_and_not_the_sequence),
        TEST(a_released_port_is_given_again_when_the_round_comes_to_it),
        TEST(release_refuses_what_makes_no_sense),
        TEST(what_a_dead_process_left_may_be_released_by_anybody),
        TEST(threads_get_distinct_ports),
        TEST(processes_get_distinct_ports),
        TEST(a_get_inside_of_anothers_probe_is_not_given_the_same_port),
        TEST(a_get_inside_of_anothers_probe_of_an_old_port_of_ours_is_not_given_the_same),
        TEST(a_bind_inside_of_anothers_try_leaves_the_entry_to_who_has_the_port),
        TEST(a_get_inside_of_a_bind_of_a_left_over_port_is_not_given_the_same),
        TEST(a_get_inside_of_a_bind_of_an_idle_port_is_not_given_the_same),
        TEST(a_claim_that_a_living_process_left_is_anothers_to_take),
        TEST(a_claim_that_was_taken_over_in_vain_is_no_claim_any_more),
        TEST(a_get_that_others_are_always_faster_than_comes_to_an_end),
        TEST(a_handler_that_does_not_return_leaves_the_programs_flags_as_they_were),
        TEST(udp_with_reuseport_has_a_group_to_attach_a_filter_to),
        TEST(an_address_that_is_not_the_hosts_is_bound_where_the_program_may),
        TEST(a_handle_goes_on_in_a_child_and_what_it_gets_there_is_the_childs),
        TEST(the_parents_reservation_stays_the_parents),
        TEST(bind_refuses_what_it_cannot_bind),
        TEST(bind_gives_the_socket_the_next_port_and_its_flags_back),
        TEST(a_port_is_nobody_elses_on_any_address_while_it_is_bound),
        TEST(bind_with_reuse_flags_joins_no_stranger),
        TEST(sockets_over_ipv6_are_bound_too),
        TEST(a_session_has_one_port_for_a_sentinel_and_another_session_another),
        TEST(a_handler_that_binds_the_sentinel_that_its_thread_is_binding_gets_it_too),
        TEST(what_a_dead_process_claimed_and_never_had_is_given_up_where_it_is_busy),
        TEST(a_bind_of_a_sentinel_may_lose_many_races),
        TEST(a_port_for_a_sentinel_is_found_where_the_sessions_own_was_given_up_half_way),
        TEST(the_other_protocol_gets_the_same_number),
        TEST(lookup_finds_the_port_behind_a_sentinel),
        TEST(a_label_that_was_emptied_meanwhile_is_made_again),
        TEST(each_visits_every_assignment_tcp_first_in_the_order_of_ports),
        TEST(each_tells_whose_process_is_gone),
        TEST(every_documented_error_has_a_text_in_one_line),
    };
    return cmocka_run_group_tests_name("allocator", tests, NULL, NULL);
}
