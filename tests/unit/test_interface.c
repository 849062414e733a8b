/* SPDX-License-Identifier: MIT */
/*
 * freeport.h as an interface that stays: what a config may hold, the environment's session, several ports at once,
 * ports that are kept for sentinels, and versions.
 */
#include "own_handle.h"

#include <sys/stat.h>
#include <sys/wait.h>

/* The config */

static int open_error(const struct freeport_config *config) {
    struct freeport *handle = NULL;
    int error = freeport_open(&handle, config);
    freeport_close(handle);
    return error;
}

static void what_a_config_does_not_know_is_refused(void **state) {
    (void)state;
    struct freeport_config config = config_of("30000-30010", NULL, NULL);
    for (unsigned bit = 0; bit < 32; bit++) {
        config.flags = 1u << bit;
        assert_int_equal(open_error(&config), config.flags == FREEPORT_LENIENT ? 0 : -EINVAL);
    }
    config.flags = 0;
    for (unsigned i = 0; i < sizeof config.reserved / sizeof config.reserved[0]; i++) {
        config.reserved[i] = &config;
        assert_int_equal(open_error(&config), -EINVAL);
        config.reserved[i] = NULL;
    }
    assert_int_equal(open_error(&config), 0);
}

static void a_segment_has_the_mode_of_the_config(void **state) {
    (void)state;
    static const unsigned refused[] = {1, 0400, 0060, 0700, 01600, 0667, 0666 | 1u << 31};
    struct freeport_config config = config_of("30000-30010", NULL, NULL);
    struct stat st;
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        config.mode = refused[i];
        assert_int_equal(open_error(&config), -EINVAL);
    }
    config.mode = 0660;
    assert_int_equal(open_error(&config), 0);
    assert_int_equal(stat(segment_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
}

/* freeport_join() */

static char *empty(const char *name) {
    (void)name;
    return NULL;
}

static const char *environment[][2] = {
    {"FREEPORT_NAME", "suite"},         {"FREEPORT_TCP", "30000-30010"},    {"FREEPORT_UDP", "30100"},
    {"FREEPORT_SESSION", "red"},        {"FREEPORT_SEGMENT", "/elsewhere"}, {"FREEPORT_SEGMENT_MODE", "0660"},
    {"FREEPORT_SEGMENT_OWNER", "1234"},
};

static char *full(const char *name) {
    for (unsigned i = 0; i < sizeof environment / sizeof *environment; i++)
        if (strcmp(environment[i][0], name) == 0)
            return (char *)(uintptr_t)environment[i][1];
    return NULL;
}

static void join_takes_what_the_config_leaves_open(void **state) {
    (void)state;
    struct freeport_config config = {.name = NULL};
    assert_int_equal(freeport_join(NULL, full), -EINVAL);
    assert_int_equal(freeport_join(&config, NULL), -EINVAL);
    assert_int_equal(freeport_join(&config, empty), 0);
    assert_null(config.name);
    assert_null(config.session);
    assert_int_equal(config.mode, 0);

    assert_int_equal(freeport_join(&config, full), 0);
    assert_string_equal(config.name, "suite");
    assert_string_equal(config.tcp, "30000-30010");
    assert_string_equal(config.udp, "30100");
    assert_string_equal(config.session, "red");
    assert_string_equal(config.segment, "/elsewhere");
    assert_int_equal(config.mode, 0660);
    assert_int_equal(config.owner, 1234);

    config = (struct freeport_config){
        .name = "own", .tcp = "1", .udp = "2", .session = "s", .segment = "/own", .mode = 0600, .owner = 5};
    assert_int_equal(freeport_join(&config, full), 0);
    assert_string_equal(config.name, "own");
    assert_string_equal(config.session, "s");
    assert_string_equal(config.segment, "/own");
    assert_int_equal(config.mode, 0600);
    assert_int_equal(config.owner, 5);
}

static void join_refuses_numbers_that_it_cannot_read(void **state) {
    (void)state;
    static const char *const modes[] = {"", "0", "600x", "0800", "0400", "0667", "07777777777777777777777"};
    static const char *const owners[] = {"", "x", "-1", "4294967295", "99999999999999999999"};
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct freeport_config config = {.name = NULL};
        environment[5][1] = modes[i];
        assert_int_equal(freeport_join(&config, full), -EINVAL);
    }
    environment[5][1] = "0660";
    for (unsigned i = 0; i < sizeof owners / sizeof *owners; i++) {
        struct freeport_config config = {.name = NULL};
        environment[6][1] = owners[i];
        assert_int_equal(freeport_join(&config, full), -EINVAL);
    }
    environment[6][1] = "1234";
}

/* freeport_get_many() */

static void many_ports_are_different_ones(void **state) {
    (void)state;
    uint16_t ports[8] = {0};
    fp = open_with("30000-30007", NULL, NULL);
    assert_int_equal(freeport_get_many(fp, FREEPORT_TCP, 1000, ports, 8), 0);
    uint32_t seen = 0;
    for (unsigned i = 0; i < 8; i++)
        seen |= 1u << (ports[i] - 30000);
    assert_int_equal(seen, 255);
    assert_no_more(FREEPORT_TCP);
}

static void too_many_ports_are_none(void **state) {
    (void)state;
    uint16_t ports[9];
    fp = open_with("30000-30007", NULL, NULL);
    for (unsigned round = 0; round < 3; round++)
        assert_int_equal(freeport_get_many(fp, FREEPORT_TCP, -1, ports, 9), -EADDRINUSE);
    assert_int_equal(freeport_get_many(fp, FREEPORT_TCP, 0, ports, 8), 0);
}

static void many_ports_of_nothing_are_refused(void **state) {
    (void)state;
    uint16_t port;
    fp = open_with("30000-30007", NULL, NULL);
    assert_int_equal(freeport_get_many(NULL, FREEPORT_TCP, 0, &port, 1), -EINVAL);
    assert_int_equal(freeport_get_many(fp, FREEPORT_TCP, 0, NULL, 1), -EINVAL);
    assert_int_equal(freeport_get_many(fp, FREEPORT_TCP, 0, &port, 0), -EINVAL);
    assert_int_equal(freeport_get_many(fp, FREEPORT_UDP, 0, &port, 1), -ENODATA);
    assert_int_equal(freeport_get_many(fp, (enum freeport_protocol)0, 0, &port, 1), -EPROTONOSUPPORT);
}

/* freeport_pledge() */

static void a_sentinels_port_is_kept_and_its_server_gets_it(void **state) {
    (void)state;
    uint16_t port = 0, again = 0, bound = 0, found = 0;
    fp = open_with("30000-30010", "30000-30010", TREE_A);
    assert_int_equal(freeport_pledge(fp, FREEPORT_TCP, 8080, 1000, &port), 0);
    assert_int_equal(freeport_pledge(fp, FREEPORT_TCP, 8080, 1000, &again), 0);
    assert_int_equal(again, port);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 8080, &found), 0);
    assert_int_equal(found, port);
    assert_int_not_equal(get(FREEPORT_TCP), port);
    int fd = bind_fresh(fp, SOCK_STREAM, 8080, &bound);
    assert_true(fd >= 0);
    assert_int_equal(bound, port);
    assert_int_equal(bound_port(fd), port);
    close(fd);
}

static void pledge_refuses_what_makes_no_sense(void **state) {
    (void)state;
    uint16_t port = 4711;
    struct freeport *none = open_with("30000-30010", NULL, NULL);
    fp = open_with("30000-30010", NULL, TREE_A);
    assert_int_equal(freeport_pledge(NULL, FREEPORT_TCP, 8080, 0, &port), -EINVAL);
    assert_int_equal(freeport_pledge(fp, FREEPORT_TCP, 8080, 0, NULL), -EINVAL);
    assert_int_equal(freeport_pledge(fp, FREEPORT_TCP, 0, 0, &port), -EINVAL);
    assert_int_equal(freeport_pledge(fp, (enum freeport_protocol)0, 8080, 0, &port), -EPROTONOSUPPORT);
    assert_int_equal(freeport_pledge(fp, FREEPORT_UDP, 8080, 0, &port), -ENODATA);
    assert_int_equal(freeport_pledge(none, FREEPORT_TCP, 8080, 0, &port), -ENOTCONN);
    assert_int_equal(port, 4711);
    freeport_close(none);
}

/* Numbers of the range */

static void a_number_of_the_range_is_bound_as_it_stands(void **state) {
    (void)state;
    uint16_t port = 0, found;
    struct freeport *none = open_with("30000-30002", NULL, NULL);
    fp = open_with("30000-30002", NULL, TREE_A);
    int first = bind_fresh(fp, SOCK_STREAM, 30001, &port);
    assert_true(first >= 0);
    assert_int_equal(port, 30001);
    assert_int_equal(bound_port(first), 30001);
    assert_int_equal(freeport_lookup(fp, FREEPORT_TCP, 30001, &found), -ENOENT); /* no sentinel */
    assert_int_equal(bind_fresh(fp, SOCK_STREAM, 30001, &port), -EADDRINUSE);
    int second = bind_fresh(none, SOCK_STREAM, 30002, &port);
    assert_int_equal(port, 30002);
    assert_int_equal(get(FREEPORT_TCP), 30000);
    assert_no_more(FREEPORT_TCP);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30001), -EBUSY);
    close(first);
    close(second);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30001), 0);
    freeport_close(none);
}

static void a_port_that_is_bound_is_not_released(void **state) {
    (void)state;
    uint16_t port;
    fp = open_with("30000-30002", "30000-30002", NULL);
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    static const enum freeport_protocol protocols[] = {FREEPORT_TCP, FREEPORT_UDP};
    for (unsigned i = 0; i < 2; i++) {
        int fd = bind_fresh(fp, types[i], 0, &port);
        assert_true(fd >= 0);
        assert_int_equal(freeport_release(fp, protocols[i], port), -EBUSY);
        assert_int_equal(freeport_release(fp, protocols[i], port), -EBUSY); /* and is assigned still */
        close(fd);
        assert_int_equal(freeport_release(fp, protocols[i], port), 0);
    }
}

/* Versions */

static void header_and_library_have_the_version_of_the_project(void **state) {
    (void)state;
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", FREEPORT_VERSION_MAJOR, FREEPORT_VERSION_MINOR, FREEPORT_VERSION_PATCH);
    assert_string_equal(text, PROJECT_VERSION);
    assert_int_equal(freeport_version(), FREEPORT_VERSION_NUMBER);
}

int main(void) {
    if (!own_handle("interface"))
        return OWN_NETWORK_NONE;
    const struct CMUnitTest tests[] = {
        TEST(what_a_config_does_not_know_is_refused), TEST(a_segment_has_the_mode_of_the_config),
        TEST(join_takes_what_the_config_leaves_open), TEST(join_refuses_numbers_that_it_cannot_read),
        TEST(many_ports_are_different_ones),          TEST(too_many_ports_are_none),
        TEST(many_ports_of_nothing_are_refused),      TEST(a_sentinels_port_is_kept_and_its_server_gets_it),
        TEST(pledge_refuses_what_makes_no_sense),     TEST(a_number_of_the_range_is_bound_as_it_stands),
        TEST(a_port_that_is_bound_is_not_released),   TEST(header_and_library_have_the_version_of_the_project),
    };
    return cmocka_run_group_tests_name("interface", tests, NULL, NULL);
}
