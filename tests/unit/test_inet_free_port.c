/* SPDX-License-Identifier: MIT */
/*
 * The unit tests of inet_free_port, the Erlang library that freeport comes from, told again: its port numbers, its
 * order, its way with ranges that make no sense. In a network namespace of their own, where those numbers are free.
 */
#include "freeport.h"
#include "own_network.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>

enum { TIMEOUT_MS = 1000 };

static char segment[64], path[80];

static int no_segment(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

/* start_link(Name, [{tcp, …}, {udp, …}]) */
static struct freeport *start(const char *tcp, const char *udp, unsigned flags) {
    struct freeport_config config = {.tcp = tcp, .udp = udp, .segment = segment, .flags = flags};
    struct freeport *fp;
    assert_int_equal(freeport_open(&fp, &config), 0);
    return fp;
}

/* get_port(S, Protocol, Timeout) */
static uint16_t get(struct freeport *fp, enum freeport_protocol protocol) {
    uint16_t port = 0;
    assert_int_equal(freeport_get(fp, protocol, TIMEOUT_MS, &port), 0);
    return port;
}

static void tcp_ports_come_one_after_the_other(void **state) {
    (void)state;
    struct freeport *fp = start("30000-30100", NULL, 0);
    assert_int_equal(get(fp, FREEPORT_TCP), 30000);
    assert_int_equal(get(fp, FREEPORT_TCP), 30001);
    assert_int_equal(get(fp, FREEPORT_TCP), 30002);
    freeport_close(fp);
}

static void udp_ports_come_one_after_the_other(void **state) {
    (void)state;
    struct freeport *fp = start(NULL, "31000-31100", 0);
    assert_int_equal(get(fp, FREEPORT_UDP), 31000);
    assert_int_equal(get(fp, FREEPORT_UDP), 31001);
    assert_int_equal(get(fp, FREEPORT_UDP), 31002);
    freeport_close(fp);
}

static void tcp_and_udp_have_a_range_and_a_sequence_each(void **state) {
    (void)state;
    struct freeport *fp = start("30000-30100", "31000-31100", 0);
    for (uint16_t i = 0; i < 3; i++) {
        assert_int_equal(get(fp, FREEPORT_TCP), 30000 + i);
        assert_int_equal(get(fp, FREEPORT_UDP), 31000 + i);
    }
    freeport_close(fp);
}

static void without_a_range_all_ports_are_to_be_had(void **state) {
    (void)state;
    struct freeport *fp = start(NULL, NULL, FREEPORT_LENIENT);
    for (uint16_t port = 1; port <= 3; port++) {
        assert_int_equal(get(fp, FREEPORT_TCP), port);
        assert_int_equal(get(fp, FREEPORT_UDP), port);
    }
    freeport_close(fp);
}

static void without_a_range_nothing_starts_unless_it_is_lenient(void **state) {
    (void)state;
    struct freeport_config config = {.segment = segment};
    struct freeport *fp;
    assert_int_equal(freeport_open(&fp, &config), -ENODATA);
    assert_null(fp);
}

static void ports_are_sequential_to_the_end_of_the_range(void **state) {
    (void)state;
    struct freeport *fp = start("30000-30100", NULL, 0);
    for (uint16_t port = 30000; port <= 30100; port++)
        assert_int_equal(get(fp, FREEPORT_TCP), port);
    uint16_t none = 0;
    assert_int_equal(freeport_get(fp, FREEPORT_TCP, TIMEOUT_MS, &none), -EADDRINUSE);
    freeport_close(fp);
}

static void a_port_in_use_is_left_out_of_the_sequence(void **state) {
    (void)state;
    struct sockaddr_in taken = {.sin_family = AF_INET, .sin_port = htons(30001)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&taken, sizeof taken), 0);
    struct freeport *fp = start("30000-30100", NULL, 0);
    assert_int_equal(get(fp, FREEPORT_TCP), 30000);
    assert_int_equal(get(fp, FREEPORT_TCP), 30002);
    close(fd);
    freeport_close(fp);
}

/* {error, limit_finder} */
static void one_port_that_a_listener_has_is_an_error(void **state) {
    (void)state;
    struct sockaddr_in taken = {.sin_family = AF_INET, .sin_port = htons(30000)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(fd, (struct sockaddr *)&taken, sizeof taken), 0);
    assert_int_equal(listen(fd, 5), 0);
    struct freeport *fp = start("30000-30000", NULL, 0);
    uint16_t port = 0;
    assert_int_equal(freeport_get(fp, FREEPORT_TCP, TIMEOUT_MS, &port), -EADDRINUSE);
    assert_int_equal(port, 0);
    close(fd);
    assert_int_equal(freeport_get(fp, FREEPORT_TCP, TIMEOUT_MS, &port), 0);
    assert_int_equal(port, 30000);
    freeport_close(fp);
}

static void an_invalid_range_is_all_ports_where_it_is_lenient(void **state) {
    (void)state;
    struct freeport *fp = start("0-70000", "70000-0", FREEPORT_LENIENT);
    assert_int_equal(get(fp, FREEPORT_TCP), 1);
    assert_int_equal(get(fp, FREEPORT_TCP), 2);
    assert_int_equal(get(fp, FREEPORT_UDP), 1);
    freeport_close(fp);
}

static void an_invalid_range_is_an_error_where_it_is_not(void **state) {
    (void)state;
    struct freeport_config config = {.tcp = "0-70000", .segment = segment};
    struct freeport *fp;
    assert_int_equal(freeport_open(&fp, &config), -ERANGE);
    assert_null(fp);
}

static void a_call_comes_back_within_its_timeout(void **state) {
    (void)state;
    struct freeport *fp = start("30000-30100", NULL, 0);
    for (int timeout = 0; timeout <= TIMEOUT_MS; timeout += 250) {
        uint16_t port = 0;
        assert_int_equal(freeport_get(fp, FREEPORT_TCP, timeout, &port), 0);
        assert_int_equal(port, 30000 + timeout / 250);
    }
    freeport_close(fp);
}

int main(void) {
    if (!own_network()) {
        fprintf(stderr, "no network namespace to be had: not tested\n");
        return OWN_NETWORK_NONE;
    }
    snprintf(segment, sizeof segment, "/test-inet-free-port-%d", (int)getpid());
    snprintf(path, sizeof path, "/dev/shm%s", segment);
/* clang-format off */
#define TEST(name) cmocka_unit_test_setup_teardown(name, no_segment, no_segment)
    /* clang-format on */
    const struct CMUnitTest tests[] = {
        TEST(tcp_ports_come_one_after_the_other),
        TEST(udp_ports_come_one_after_the_other),
        TEST(tcp_and_udp_have_a_range_and_a_sequence_each),
        TEST(without_a_range_all_ports_are_to_be_had),
        TEST(without_a_range_nothing_starts_unless_it_is_lenient),
        TEST(ports_are_sequential_to_the_end_of_the_range),
        TEST(a_port_in_use_is_left_out_of_the_sequence),
        TEST(one_port_that_a_listener_has_is_an_error),
        TEST(an_invalid_range_is_all_ports_where_it_is_lenient),
        TEST(an_invalid_range_is_an_error_where_it_is_not),
        TEST(a_call_comes_back_within_its_timeout),
    };
    return cmocka_run_group_tests_name("inet_free_port", tests, NULL, NULL);
}
