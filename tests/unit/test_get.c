/* SPDX-License-Identifier: MIT */
/* freeport_get() and freeport_release(), as freeport.h documents them. */
#include "own_handle.h"

enum { THREADS = 8, EACH = 50 };

/* freeport_get() */

static void get_refuses_what_makes_no_sense(void **state) {
    (void)state;
    uint16_t port = 4711;
    fp = open_with("30000-30010", NULL, NULL);
    assert_int_equal(freeport_get(NULL, FREEPORT_TCP, 0, &port), -EINVAL);
    assert_int_equal(freeport_get(fp, FREEPORT_TCP, 0, NULL), -EINVAL);
    assert_int_equal(freeport_get(fp, (enum freeport_protocol)0, 0, &port), -EPROTONOSUPPORT);
    assert_int_equal(freeport_get(fp, (enum freeport_protocol)18, 0, &port), -EPROTONOSUPPORT);
    assert_int_equal(freeport_get(fp, FREEPORT_UDP, 0, &port), -ENODATA); /* it has no range */
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
    assert_int_equal(freeport_release(fp, (enum freeport_protocol)1, 30000), -EPROTONOSUPPORT);
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

int main(void) {
    if (!own_handle("get"))
        return OWN_NETWORK_NONE;
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests_name("get", tests, NULL, NULL);
}
