/* SPDX-License-Identifier: MIT */
/*
 * Two sessions and one port: a bind of one session's is held up right before the kernel's bind, as by a scheduler, and
 * what another bind of the session's, and another session, do meanwhile must not leave both sessions bound to it.
 */
#include "own_handle.h"

static struct fp_calls real_calls;
static void (*meanwhile)(void);
static unsigned hold_up_at, binds; /* which bind over IPv4 of this process is held up, and how many there were */
static pid_t other;                /* a process of the other session, where it was given the port */

static int bind_held_up(int fd, const struct sockaddr *address, socklen_t length) {
    if (address->sa_family == AF_INET && ++binds == hold_up_at) {
        hold_up_at = 0;
        meanwhile();
    }
    return real_calls.bind(fd, address, length);
}

static void hold_up(unsigned at, void (*body)(void)) {
    real_calls = fp->calls;
    fp->calls.bind = bind_held_up;
    hold_up_at = at;
    binds = 0;
    meanwhile = body;
}

/* A socket on the session's port for 8080, with SO_REUSEADDR, which two TCP sockets that do not listen may share. */
static int bind_shared(struct freeport *session) {
    struct sockaddr_in address = address4("127.0.0.1", 8080);
    int fd = new_socket(AF_INET, SOCK_STREAM);
    set_flag(fd, SO_REUSEADDR, 1);
    int error = freeport_bind(session, fd, (struct sockaddr *)&address, sizeof address, 1000, NULL);
    if (error != 0)
        close(fd);
    return error != 0 ? error : fd;
}

/* 0, or an errno. */
static unsigned bind_in_other_session(void) {
    fp->calls = real_calls;
    struct freeport *session = open_with("30000", NULL, "b");
    int fd = bind_shared(session);
    return fd < 0 ? (unsigned)-fd : 0;
}

static int bind_in_same_session(void) {
    fp->calls = real_calls;
    int fd = bind_shared(fp);
    return fd < 0 ? -fd : 0;
}

static unsigned others_answer;

static void let_the_other_session_come(void) {
    other = stay(bind_in_other_session, &others_answer);
}

static bool port_is(const char *session) {
    struct freeport *handle = open_with("30000", NULL, session);
    bool is = fp_sentinel_behind(handle->segment, &handle->session, FP_TCP_INDEX, 30000) == 8080;
    freeport_close(handle);
    return is;
}

/* Its owner is there and has closed it; nothing else is to be had. */
static void a_port_that_is_being_bound_again_is_no_other_sessions(void **state) {
    (void)state;
    fp = open_with("30000", NULL, "a");
    close(bind_shared(fp));
    hold_up(1, let_the_other_session_come);
    int fd = bind_shared(fp);
    assert_true(fd >= 0);
    assert_int_equal(others_answer, EADDRINUSE);
    assert_int_equal(bound_port(fd), 30000);
    assert_true(port_is("a"));
    close(fd);
    end(other);
}

static void another_binds_and_ends_and_the_other_session_comes(void) {
    assert_int_equal(in_child(bind_in_same_session), 0); /* waits as long as one does for a claim, and takes it over */
    let_the_other_session_come();
}

static int held_by_heir;

static int bind_and_leave_it(void) {
    return bind_in_same_session();
}

/* Held up before the bind without the flags: the kernel refuses it beside the other session's socket. */
static void a_claim_that_was_taken_over_before_it_binds_as_if_fresh_leaves_the_port_to_the_other_session(void **state) {
    (void)state;
    fp = open_with("30000", NULL, "a");
    real_calls = fp->calls;
    assert_int_equal(in_child(bind_and_leave_it), 0);
    hold_up(1, another_binds_and_ends_and_the_other_session_comes);
    assert_int_equal(bind_shared(fp), -EADDRINUSE);
    assert_int_equal(others_answer, 0);
    assert_true(port_is("b"));
    assert_false(port_is("a"));
    end(other);
}

/* The socket of the session's dead server is this process's, too: a bind without the flags is refused. */
static void the_server_ends_and_so_does_its_heir(void) {
    close(held_by_heir);
    another_binds_and_ends_and_the_other_session_comes();
}

/* Held up before the bind with the flags, which the kernel allows. */
static void a_claim_that_was_taken_over_before_it_binds_with_flags_fails_beside_the_other_session(void **state) {
    (void)state;
    fp = open_with("30000", NULL, "a");
    real_calls = fp->calls;
    assert_int_equal(in_child(bind_and_leave_it), 0);
    struct sockaddr_in address = address4("127.0.0.1", 30000);
    held_by_heir = new_socket(AF_INET, SOCK_STREAM);
    set_flag(held_by_heir, SO_REUSEADDR, 1);
    assert_int_equal(bind(held_by_heir, (struct sockaddr *)&address, sizeof address), 0);
    hold_up(2, the_server_ends_and_so_does_its_heir);
    assert_int_equal(bind_shared(fp), -EADDRINUSE);
    assert_int_equal(binds, 2);
    assert_int_equal(others_answer, 0);
    assert_true(port_is("b"));
    assert_false(port_is("a"));
    end(other);
}

/* The same where a living process of the session's has the port. */
static void a_claim_beside_the_sessions_server_that_was_taken_over_fails_beside_the_other_session(void **state) {
    (void)state;
    fp = open_with("30000", NULL, "a");
    int server = bind_shared(fp);
    assert_true(server >= 0);
    held_by_heir = server;
    hold_up(1, the_server_ends_and_so_does_its_heir);
    assert_int_equal(bind_shared(fp), -EADDRINUSE);
    assert_int_equal(others_answer, 0);
    assert_true(port_is("b"));
    end(other);
}

/* The other session's socket came right behind its look at the port. */
static void a_first_bind_that_takes_too_long_lets_no_other_join_the_socket_that_it_finds(void **state) {
    (void)state;
    fp = open_with("30000", NULL, "b");
    int busy = bind_shared(fp);
    freeport_close(fp);
    fp = open_with("30000", NULL, "a");
    real_calls = fp->calls;
    fp_meaning claim = fp_with_serial(meaning_here(FP_CLAIMED, 8080), 4711);
    fp_entry_take(fp->segment, FP_TCP_INDEX, 30000, fp_owner_self(), claim);
    fp_index_add(fp->segment, &fp->session, FP_TCP_INDEX, 8080, 30000);
    assert_int_equal(in_child(bind_in_same_session), EADDRINUSE);
    assert_true(fp_entry_meaning(fp->segment, FP_TCP_INDEX, 30000) == claim);
    assert_true(fp_entry_owner(fp->segment, FP_TCP_INDEX, 30000) == fp_owner_self());
    close(busy);
}

/* Taken over, and the port is the session's still: bound is bound. */
static void another_binds_and_ends(void) {
    assert_int_equal(in_child(bind_in_same_session), 0);
}

static void a_claim_that_was_taken_over_in_the_session_comes_true_all_the_same(void **state) {
    (void)state;
    fp = open_with("30000", NULL, "a");
    close(bind_shared(fp));
    hold_up(1, another_binds_and_ends);
    int fd = bind_shared(fp);
    assert_true(fd >= 0);
    fp_meaning meaning = fp_entry_meaning(fp->segment, FP_TCP_INDEX, 30000);
    assert_int_equal(fp_state(meaning), FP_BOUND);
    assert_true(meaning & FP_HAD);
    assert_true(fp_entry_owner(fp->segment, FP_TCP_INDEX, 30000) == fp_owner_self());
    close(fd);
}

static unsigned serve_shared(void) {
    return (unsigned)bind_in_same_session();
}

/* A refused bind leaves the entry as it was. */
static void a_bind_that_is_refused_gives_its_claim_back(void **state) {
    (void)state;
    unsigned ignored;
    fp = open_with("30000-30001", NULL, "a");
    real_calls = fp->calls;
    pid_t server = stay(serve_shared, &ignored);
    fp_meaning before = fp_entry_meaning(fp->segment, FP_TCP_INDEX, 30000);
    fp_owner owner = fp_entry_owner(fp->segment, FP_TCP_INDEX, 30000);
    assert_int_equal(bind_fresh(fp, SOCK_STREAM, 8080, NULL), -EADDRINUSE);
    assert_true(fp_entry_meaning(fp->segment, FP_TCP_INDEX, 30000) == before);
    assert_true(fp_entry_owner(fp->segment, FP_TCP_INDEX, 30000) == owner);
    end(server);
}

int main(void) {
    if (!own_handle("two-sessions"))
        return OWN_NETWORK_NONE;
    const struct CMUnitTest tests[] = {
        TEST(a_port_that_is_being_bound_again_is_no_other_sessions),
        TEST(a_claim_that_was_taken_over_before_it_binds_as_if_fresh_leaves_the_port_to_the_other_session),
        TEST(a_claim_that_was_taken_over_before_it_binds_with_flags_fails_beside_the_other_session),
        TEST(a_claim_beside_the_sessions_server_that_was_taken_over_fails_beside_the_other_session),
        TEST(a_first_bind_that_takes_too_long_lets_no_other_join_the_socket_that_it_finds),
        TEST(a_claim_that_was_taken_over_in_the_session_comes_true_all_the_same),
        TEST(a_bind_that_is_refused_gives_its_claim_back),
    };
    return cmocka_run_group_tests_name("two-sessions", tests, NULL, NULL);
}
