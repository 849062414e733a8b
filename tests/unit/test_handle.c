/* SPDX-License-Identifier: MIT */
/* freeport_open(), freeport_close(), freeport_each() and freeport_strerror(), as freeport.h documents them; and a
 * handle in a child. */
#include "own_handle.h"

#include <limits.h>

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
    assert_open_fails(&config, -ENODATA);
    for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        config = config_of(ranges[i], NULL, NULL);
        assert_open_fails(&config, -ERANGE);
        config = config_of("100-200", ranges[i], NULL);
        assert_open_fails(&config, -ERANGE);
    }
    config = config_of("100-200", NULL, NULL);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        config.name = names[i];
        assert_open_fails(&config, -EILSEQ);
    }
    config.name = NULL;
    for (unsigned i = 0; i < sizeof segments / sizeof *segments; i++) {
        config.segment = segments[i];
        assert_open_fails(&config, -ENAMETOOLONG);
    }
    config.segment = segment_name;
    config.session = session;
    assert_open_fails(&config, -EBADMSG);
    config.session = "auto"; /* which others have another session in place of */
    assert_open_fails(&config, -EBADMSG);
    config.session = session;
    memset(session, 's', 65);
    assert_open_fails(&config, -EBADMSG);
    for (unsigned c = 1; c < 256; c++) {
        memset(session, 0, sizeof session);
        session[0] = (char)c;
        if (c <= 0x20 || c >= 0x7f)
            assert_open_fails(&config, -EBADMSG);
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
    assert_open_fails(&config, -EILSEQ);
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
    assert_string_equal(visits->text[n][2], TREE_A);
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
    fp = open_with("30000-30010", "30000-30010", TREE_A);
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
    fp_note_explicit(fp, 0, FP_TCP_INDEX, 30009, (struct sockaddr *)&six);

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
    static const int errors[] = {0,
                                 EINVAL,
                                 EADDRINUSE,
                                 ETIMEDOUT,
                                 EACCES,
                                 EPERM,
                                 EPROTO,
                                 ENOENT,
                                 ENOSPC,
                                 EROFS,
                                 EFBIG,
                                 ENOMEM,
                                 EPROTONOSUPPORT,
                                 EBADF,
                                 EADDRNOTAVAIL,
                                 EMFILE,
                                 ENFILE,
                                 EBADF,
                                 ENOTSOCK,
                                 ENOBUFS,
                                 EAFNOSUPPORT,
                                 ERANGE,
                                 ENODATA,
                                 EILSEQ,
                                 EBADMSG,
                                 ENAMETOOLONG,
                                 ENOTCONN,
                                 EALREADY,
                                 EBUSY,
                                 123456,
                                 -5};
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) {
        const char *text = freeport_strerror(-errors[i]);
        assert_non_null(text);
        assert_true(strlen(text) > 3);
        assert_null(strchr(text, '\n'));
        if (errors[i] > 0 && errors[i] < 1000)
            assert_string_not_equal(text, freeport_strerror(-123456));
    }
    assert_string_equal(freeport_strerror(INT_MIN), freeport_strerror(-123456));
    assert_string_equal(freeport_strerror(INT_MAX), freeport_strerror(-123456));
}

int main(void) {
    if (!own_handle("handle"))
        return OWN_NETWORK_NONE;
    const struct CMUnitTest tests[] = {
        TEST(open_refuses_what_it_cannot_read),
        TEST(open_takes_names_and_sessions_up_to_their_length),
        TEST(lenient_makes_a_range_that_cannot_be_read_all_ports),
        TEST(open_tells_why_the_segment_cannot_be_used),
        TEST(close_takes_null),
        TEST(a_handle_goes_on_in_a_child_and_what_it_gets_there_is_the_childs),
        TEST(the_parents_reservation_stays_the_parents),
        TEST(a_label_that_was_emptied_meanwhile_is_made_again),
        TEST(each_visits_every_assignment_tcp_first_in_the_order_of_ports),
        TEST(each_tells_whose_process_is_gone),
        TEST(every_documented_error_has_a_text_in_one_line),
    };
    return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}
