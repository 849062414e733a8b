/* SPDX-License-Identifier: MIT */
/* What happens in the middle of an allocation: see test_stopped.c, too. */
#include "own_handle.h"

#include <sched.h>

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
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, 30000), -EBUSY); /* one of them has it, and the table knows */
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
    fp = open_with("30000", NULL, TREE_A);
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

static void leave_a_claim(uint16_t port, fp_owner owner) {
    assert_true(
        fp_entry_claim(fp->segment, FP_TCP_INDEX, port, 0, owner, fp_with_serial(meaning_here(FP_CLAIMED, 0), 4711)));
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
        assert_int_equal(bound_port(fd), 30000 + 2 * i);
        close(fd);
    }
    sigaction(SIGUSR1, &before, NULL);
}

/*
 * A worker that is not on a processor for longer than others wait, behind its bind and with its reuse flags off still:
 * until another one was refused, by the flags that it has.
 */
static struct {
    int fd;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned refused;
} late = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int bind_late(int fd, const struct sockaddr *address, socklen_t length) {
    int result = real_calls.bind(fd, address, length), saved = errno;
    pthread_mutex_lock(&late.mutex);
    late.refused += result != 0;
    pthread_cond_broadcast(&late.changed);
    while (fd == late.fd && result == 0 && late.refused < 2) /* without its flags, and with them */
        pthread_cond_wait(&late.changed, &late.mutex);
    pthread_mutex_unlock(&late.mutex);
    errno = saved;
    return result;
}

static void *bind_worker(void *fd) {
    struct sockaddr_in address = address4("127.0.0.1", 8080);
    uint16_t port = 0;
    set_flag(*(int *)fd, SO_REUSEPORT, 1);
    int error = freeport_bind(fp, *(int *)fd, (struct sockaddr *)&address, sizeof address, 5000, &port);
    return (void *)(intptr_t)(error != 0 ? error : port);
}

static void a_worker_waits_for_another_that_has_bound_the_sentinel_and_its_flags_off(void **state) {
    (void)state;
    fp = open_with("30000-30003", NULL, "workers");
    real_calls = fp->calls;
    fp->calls.bind = bind_late;
    late.fd = new_socket(AF_INET, SOCK_STREAM);
    int other = new_socket(AF_INET, SOCK_STREAM);
    pthread_t thread;
    void *port;
    assert_int_equal(pthread_create(&thread, NULL, bind_worker, &late.fd), 0);
    while (bound_port(late.fd) == 0)
        sched_yield();
    assert_int_equal((intptr_t)bind_worker(&other), 30000);
    assert_int_equal(pthread_join(thread, &port), 0);
    assert_int_equal((intptr_t)port, 30000);
    assert_in_range(late.refused, 2, 1000);
    close(other);
    close(late.fd);
}

int main(void) {
    if (!own_handle("meanwhile"))
        return OWN_NETWORK_NONE;
    const struct CMUnitTest tests[] = {
        TEST(a_get_inside_of_anothers_probe_is_not_given_the_same_port),
        TEST(a_get_inside_of_anothers_probe_of_an_old_port_of_ours_is_not_given_the_same),
        TEST(a_bind_inside_of_anothers_try_leaves_the_entry_to_who_has_the_port),
        TEST(a_get_inside_of_a_bind_of_a_left_over_port_is_not_given_the_same),
        TEST(a_get_inside_of_a_bind_of_an_idle_port_is_not_given_the_same),
        TEST(a_claim_that_a_living_process_left_is_anothers_to_take),
        TEST(a_claim_that_was_taken_over_in_vain_is_no_claim_any_more),
        TEST(a_get_that_others_are_always_faster_than_comes_to_an_end),
        TEST(a_handler_that_does_not_return_leaves_the_programs_flags_as_they_were),
        TEST(a_worker_waits_for_another_that_has_bound_the_sentinel_and_its_flags_off),
    };
    return cmocka_run_group_tests_name("meanwhile", tests, NULL, NULL);
}
