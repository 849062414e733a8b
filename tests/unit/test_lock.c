/* SPDX-License-Identifier: MIT */
/* The lock: it puts threads and processes in sequence, and nobody who holds it badly keeps the others for long. */
#include "lock.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, PROCESSES = 4, ROUNDS = 5000 };

/* A busy machine may take this much longer than it should. */
enum { SLACK_MS = 1500 };

/* Shared with child processes; a fresh one for each test. */
static struct {
    struct fp_segment segment;
    _Atomic unsigned inside, intruders, with_lock;
    _Atomic bool waited_in_vain;
    unsigned long count; /* not atomic: the lock's to keep whole */
    _Atomic long waited_ms, got;
} * shared;

static int fresh(void **state) {
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -1;
    fp_lock_prepare(&shared->segment);
    return 0;
}

static int done(void **state) {
    (void)state;
    return munmap(shared, sizeof *shared);
}

static struct fp_lock_word *word(void) {
    return &shared->segment.lock;
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Locks and unlocks; how long it took to get in, and whether it was with the lock. */
static long visit(bool *with_lock) {
    struct fp_locked locked;
    long before = now_ms();
    fp_lock(&shared->segment, &locked);
    long took = now_ms() - before;
    *with_lock = locked.lock != NULL;
    fp_unlock(&locked);
    return took;
}

static void assert_lock_works(void) {
    bool with_lock;
    visit(&with_lock);
    assert_true(with_lock);
}

static pid_t child(void (*body)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        body();
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static int wait_for(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void hold_for_ever(void) {
    struct fp_locked locked;
    fp_lock(&shared->segment, &locked);
    atomic_store(&shared->got, locked.lock ? 1 : -1);
    for (;;)
        pause();
}

static pid_t holder(void) {
    atomic_store(&shared->got, 0);
    pid_t pid = child(hold_for_ever);
    while (atomic_load(&shared->got) == 0)
        pause_ms(1);
    assert_int_equal(atomic_load(&shared->got), 1);
    return pid;
}

/*
 * Mutual exclusion. On a machine that is busy enough, a holder is not on a processor for a quarter of a second, and the
 * lock is taken from it: then two are inside, and it is no fault.
 */
static void come_and_go(void) {
    for (int i = 0; i < ROUNDS; i++) {
        struct fp_locked locked;
        long before = now_ms();
        fp_lock(&shared->segment, &locked);
        if (now_ms() - before > 200)
            atomic_store(&shared->waited_in_vain, true);
        if (locked.lock) {
            if (atomic_fetch_add(&shared->inside, 1) != 0)
                atomic_fetch_add(&shared->intruders, 1);
            shared->count++;
            atomic_fetch_add(&shared->with_lock, 1);
            atomic_fetch_sub(&shared->inside, 1);
        }
        fp_unlock(&locked);
    }
}

static void *thread_come_and_go(void *ignored) {
    come_and_go();
    return ignored;
}

static void assert_none_beside_another(void) {
    if (!atomic_load(&shared->waited_in_vain)) {
        assert_int_equal(atomic_load(&shared->intruders), 0);
        assert_int_equal(shared->count, atomic_load(&shared->with_lock));
    }
}

static void assert_one_at_a_time(unsigned visitors) {
    assert_none_beside_another();
    assert_true(atomic_load(&shared->with_lock) > visitors * ROUNDS / 2);
}

static void threads_hold_it_one_at_a_time(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_come_and_go, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_one_at_a_time(THREADS);
}

static void processes_hold_it_one_at_a_time(void **state) {
    (void)state;
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = child(come_and_go);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(wait_for(pids[i]), 0);
    assert_one_at_a_time(PROCESSES);
}

static void prepare_and_go(void) {
    fp_lock_prepare(&shared->segment);
    come_and_go();
}

static void processes_that_set_it_up_at_once_share_one(void **state) {
    (void)state;
    memset(word(), 0, sizeof *word());
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = child(prepare_and_go);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(wait_for(pids[i]), 0);
    assert_none_beside_another();
    assert_lock_works();
}

/* Holders that come to no good end. */

static void a_holder_that_was_killed_is_followed_at_once(void **state) {
    (void)state;
    for (int round = 0; round < 10; round++) {
        pid_t pid = holder();
        kill(pid, SIGKILL);
        wait_for(pid);
        bool with_lock;
        assert_true(visit(&with_lock) < 100);
        assert_true(with_lock);
    }
}

static void visit_and_tell(void) {
    bool with_lock;
    atomic_store(&shared->got, 2);
    atomic_store(&shared->waited_ms, visit(&with_lock));
    atomic_store(&shared->got, with_lock ? 3 : 4);
}

static void one_who_waits_gets_it_when_the_holder_is_killed(void **state) {
    (void)state;
    for (int attempt = 0; attempt < 20; attempt++) {
        pid_t first = holder(), second = child(visit_and_tell);
        while (atomic_load(&shared->got) != 2)
            pause_ms(1);
        pause_ms(20);
        kill(first, SIGKILL);
        wait_for(first);
        wait_for(second);
        if (atomic_load(&shared->got) == 3 && atomic_load(&shared->waited_ms) > 0)
            return;
    }
    fail_msg("in 20 attempts, one who waited never got the lock of one who was killed");
}

static void a_holder_that_was_stopped_loses_it_after_a_quarter_of_a_second(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        pid_t pid = holder();
        kill(pid, SIGSTOP);
        bool with_lock;
        assert_in_range(visit(&with_lock), 200, 250 + SLACK_MS);
        assert_true(with_lock);
        long best = LONG_MAX;
        for (int i = 0; i < 20; i++) {
            long took = visit(&with_lock);
            assert_true(with_lock);
            best = took < best ? took : best;
        }
        assert_in_range(best, 0, 10);
        kill(pid, SIGKILL);
        wait_for(pid);
        assert_lock_works();
    }
}

static void hold_until_told(void) {
    struct fp_locked locked;
    fp_lock(&shared->segment, &locked);
    atomic_store(&shared->got, 1);
    while (atomic_load(&shared->got) == 1)
        pause_ms(1);
    fp_unlock(&locked);
}

static void one_who_lost_it_does_not_give_back_what_is_anothers(void **state) {
    (void)state;
    pid_t pid = child(hold_until_told);
    while (atomic_load(&shared->got) == 0)
        pause_ms(1);
    struct fp_locked locked;
    fp_lock(&shared->segment, &locked);
    assert_non_null(locked.lock);
    atomic_store(&shared->got, 2);
    assert_int_equal(wait_for(pid), 0);
    assert_true(atomic_load(&word()->holder) == locked.holder);
    fp_unlock(&locked);
    assert_true(atomic_load(&word()->holder) == 0);
}

static void a_thread_that_holds_it_already_gets_it_again_after_the_wait(void **state) {
    (void)state;
    struct fp_locked outer, inner;
    fp_lock(&shared->segment, &outer);
    assert_non_null(outer.lock);
    fp_lock(&shared->segment, &inner);
    assert_non_null(inner.lock);
    fp_unlock(&inner);
    fp_unlock(&outer);
    assert_lock_works();
}

/* Bytes that are no sound lock. */

static void one_that_is_not_ready_is_gone_on_without(void **state) {
    (void)state;
    for (uint32_t value = 0; value < 256; value++) {
        if (value == FP_LOCK_READY)
            continue;
        atomic_store(&word()->state, value);
        bool with_lock;
        assert_true(visit(&with_lock) < 100);
        assert_false(with_lock);
    }
}

static void any_holder_is_waited_for_once(void **state) {
    (void)state;
    static const fp_owner holders[] = {1, UINT64_MAX, INT64_MAX, UINT64_C(0x5555555555555555), FP_MAGIC};
    for (unsigned i = 0; i < sizeof holders / sizeof *holders; i++) {
        atomic_store(&word()->holder, holders[i]);
        bool with_lock;
        assert_in_range(visit(&with_lock), 0, 250 + SLACK_MS);
        assert_true(with_lock);
        assert_lock_works();
    }
}

/* Until the parent ends it: random words all over the lock, faster than it is taken. */
static void scribble(void) {
    volatile uint64_t *words = (volatile uint64_t *)(void *)word();
    uint64_t random = 88172645463325252;
    for (;;) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        words[random % (sizeof *word() / sizeof *words)] = random >> (random & 32);
        atomic_store(&word()->state, FP_LOCK_READY);
    }
}

static void come_and_go_for_a_second(void) {
    for (long until = now_ms() + 1000; now_ms() < until;) {
        bool with_lock;
        visit(&with_lock);
    }
}

static void random_words_that_are_written_meanwhile_end_no_process_and_keep_none_for_long(void **state) {
    (void)state;
    pid_t writer = child(scribble), pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = child(come_and_go_for_a_second);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(wait_for(pids[i]), 0);
    kill(writer, SIGKILL);
    wait_for(writer);
}

/* Signals and cancellation */

static volatile sig_atomic_t handled;

static void handler(int signal) {
    (void)signal;
    handled++;
}

static void assert_signals_wait(bool with_lock) {
    struct fp_locked locked;
    sigset_t before, inside, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    handled = 0;
    fp_lock(&shared->segment, &locked);
    assert_int_equal(locked.lock != NULL, with_lock);
    raise(SIGUSR1);
    raise(SIGUSR2);
    assert_int_equal(handled, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &inside);
    for (int signal = 1; signal < 32; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            assert_true(sigismember(&inside, signal));
    fp_unlock(&locked);
    assert_int_equal(handled, 1); /* SIGUSR2 was blocked before, and is still */
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signal = 1; signal < NSIG; signal++)
        assert_int_equal(sigismember(&before, signal), sigismember(&after, signal));
}

static void signals_wait_until_it_is_unlocked(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    sigset_t second;
    sigemptyset(&second);
    sigaddset(&second, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &second, NULL);

    assert_signals_wait(true);
    atomic_store(&word()->state, 1);
    assert_signals_wait(false);

    handled = 0;
    pthread_sigmask(SIG_UNBLOCK, &second, NULL);
    assert_int_equal(handled, 1);
}

static _Atomic int stage;

static void *cancelled_inside(void *ignored) {
    struct fp_locked locked;
    fp_lock(&shared->segment, &locked);
    atomic_store(&stage, 1);
    while (atomic_load(&stage) != 2)
        pause_ms(1); /* nanosleep(2) is a cancellation point */
    pthread_testcancel();
    atomic_store(&stage, 3);
    fp_unlock(&locked);
    pthread_testcancel();
    atomic_store(&stage, 4);
    return ignored;
}

static void a_thread_is_cancelled_only_when_it_has_unlocked(void **state) {
    (void)state;
    pthread_t thread;
    void *result;
    atomic_store(&stage, 0);
    assert_int_equal(pthread_create(&thread, NULL, cancelled_inside, NULL), 0);
    while (atomic_load(&stage) != 1)
        pause_ms(1);
    pthread_cancel(thread);
    pause_ms(20);
    atomic_store(&stage, 2);
    pthread_join(thread, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_int_equal(atomic_load(&stage), 3);
    assert_lock_works();
}

/*
 * Whoever cancels looks at the thread's state first and sends a signal then: the thread may have switched cancellation
 * off in between, and glibc's handler looks at the type alone.
 */
static void *cancelled_late(void *ignored) {
    enum { SIGCANCEL = 32 };
    int was;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &was);
    struct fp_locked locked;
    fp_lock(&shared->segment, &locked);
    syscall(SYS_tgkill, getpid(), gettid(), SIGCANCEL);
    atomic_store(&stage, 3);
    fp_unlock(&locked);
    pthread_testcancel();
    atomic_store(&stage, 4);
    return ignored;
}

static void a_thread_whose_cancellation_was_under_way_is_cancelled_when_it_has_unlocked(void **state) {
    (void)state;
    a_thread_is_cancelled_only_when_it_has_unlocked(state); /* glibc has its handler in place from the first time on */
    pthread_t thread;
    void *result;
    atomic_store(&stage, 0);
    assert_int_equal(pthread_create(&thread, NULL, cancelled_late, NULL), 0);
    pthread_join(thread, &result);
    /* Newer glibc (2.41) asks, too, whether anybody has cancelled the thread, and lets it go on: stage 4. */
    assert_int_equal(atomic_load(&stage), result == PTHREAD_CANCELED ? 3 : 4);
    assert_lock_works();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(threads_hold_it_one_at_a_time, fresh, done),
        cmocka_unit_test_setup_teardown(processes_hold_it_one_at_a_time, fresh, done),
        cmocka_unit_test_setup_teardown(processes_that_set_it_up_at_once_share_one, fresh, done),
        cmocka_unit_test_setup_teardown(a_holder_that_was_killed_is_followed_at_once, fresh, done),
        cmocka_unit_test_setup_teardown(one_who_waits_gets_it_when_the_holder_is_killed, fresh, done),
        cmocka_unit_test_setup_teardown(a_holder_that_was_stopped_loses_it_after_a_quarter_of_a_second, fresh, done),
        cmocka_unit_test_setup_teardown(one_who_lost_it_does_not_give_back_what_is_anothers, fresh, done),
        cmocka_unit_test_setup_teardown(a_thread_that_holds_it_already_gets_it_again_after_the_wait, fresh, done),
        cmocka_unit_test_setup_teardown(one_that_is_not_ready_is_gone_on_without, fresh, done),
        cmocka_unit_test_setup_teardown(any_holder_is_waited_for_once, fresh, done),
        cmocka_unit_test_setup_teardown(random_words_that_are_written_meanwhile_end_no_process_and_keep_none_for_long,
                                        fresh, done),
        cmocka_unit_test_setup_teardown(signals_wait_until_it_is_unlocked, fresh, done),
        cmocka_unit_test_setup_teardown(a_thread_is_cancelled_only_when_it_has_unlocked, fresh, done),
#ifdef __GLIBC__
        cmocka_unit_test_setup_teardown(a_thread_whose_cancellation_was_under_way_is_cancelled_when_it_has_unlocked,
                                        fresh, done),
#endif
    };
    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
