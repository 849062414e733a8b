/* SPDX-License-Identifier: MIT */
/* Owners: one word for a process, that tells it from every other one, also from a later one of the same id. */
#include "owner.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534 };

/* The format of an owner, once more and in other words: start 32 bits, namespace 10, process id 22. */
static uint64_t start_of(fp_owner owner) {
    return owner >> 32;
}

static fp_owner with_start(fp_owner owner, uint32_t start) {
    return (owner & 0xffffffff) | ((uint64_t)start << 32);
}

static fp_owner with_pid(fp_owner owner, uint32_t pid) {
    return (owner & ~UINT64_C(0x3fffff)) | pid;
}

/* A child that waits until it is killed. */
static pid_t sleeper(void) {
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    return pid;
}

static void end(pid_t pid) {
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Runs a check in a child; its result is the check's. */
static bool in_child(bool (*check)(fp_owner parent), fp_owner argument) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(check(argument) ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void self_is_what_others_find_under_its_process_id(void **state) {
    (void)state;
    fp_owner self = fp_owner_self();
    assert_true(self != 0);
    assert_int_equal(fp_owner_pid(self), getpid());
    assert_true(self == fp_owner_of(getpid()));
    assert_true(self == fp_owner_self());
}

static void an_owner_carries_the_start_time_that_proc_has(void **state) {
    (void)state;
    FILE *file = fopen("/proc/self/stat", "r");
    char text[1024];
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    unsigned long long start = 0;
    /* Fields 3 to 21 stand between the name and the start time. */
    assert_int_equal(sscanf(strrchr(text, ')') + 2,
                            "%*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &start),
                     1);
    assert_true(start != 0);
    assert_true(start_of(fp_owner_self()) == (start & 0xffffffff));
}

static bool same_under_any_name(fp_owner ignored) {
    static const char *const names[] = {"a) R 1 2 3", ") (", "((((", "))))", "a b c d e", "1 2 3 4 5 6 7 8", ""};
    (void)ignored;
    fp_owner plain = fp_owner_of(getpid());
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        prctl(PR_SET_NAME, names[i]);
        if (fp_owner_of(getpid()) != plain)
            return false;
    }
    return start_of(plain) != 0;
}

static void a_process_with_brackets_and_spaces_in_its_name_is_read_right(void **state) {
    (void)state;
    assert_true(in_child(same_under_any_name, 0));
}

static bool differs_from(fp_owner parent) {
    fp_owner self = fp_owner_self();
    return self != parent && fp_owner_pid(self) == getpid() && self == fp_owner_of(getpid()) &&
           !fp_owner_gone_quick(parent) && !fp_owner_gone(parent);
}

static void a_child_is_another_owner_than_its_parent_and_finds_it_there(void **state) {
    (void)state;
    assert_true(in_child(differs_from, fp_owner_self()));
}

static bool strange_user_finds_it_there(fp_owner parent) {
    return setuid(NOBODY) == 0 && !fp_owner_gone_quick(parent) && !fp_owner_gone(parent) &&
           fp_owner_of(fp_owner_pid(parent)) == parent;
}

static int count_as_its_parent(void *parent) {
    fp_owner owner = *(fp_owner *)parent;
    return fp_owner_self() != owner || fp_owner_gone_quick(owner);
}

static void a_child_that_shares_the_memory_counts_as_its_parent(void **state) {
    (void)state;
    static _Alignas(16) char stack[256 * 1024];
    fp_owner self = fp_owner_self();
    pid_t pid = clone(count_as_its_parent, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &self);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(fp_owner_self() == self);
}

static void another_users_process_is_there(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_true(in_child(strange_user_finds_it_there, fp_owner_self()));
}

static void a_process_is_there_until_it_is_waited_for_and_gone_then(void **state) {
    (void)state;
    pid_t pid = sleeper();
    fp_owner owner = fp_owner_of(pid);
    assert_int_equal(fp_owner_pid(owner), pid);
    assert_false(fp_owner_gone_quick(owner));
    assert_false(fp_owner_gone(owner));
    kill(pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(fp_owner_gone_quick(owner)); /* a zombie still has its process id */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(fp_owner_gone_quick(owner));
    assert_true(fp_owner_gone(owner));
    assert_true(fp_owner_of(pid) == 0);
}

static void a_process_id_that_came_back_is_another_owner(void **state) {
    (void)state;
    pid_t pid = sleeper();
    fp_owner now = fp_owner_of(pid);
    for (int difference = -2; difference <= 2; difference++) {
        fp_owner earlier = with_start(now, (uint32_t)((int64_t)start_of(now) + difference));
        assert_false(fp_owner_gone_quick(earlier)); /* it can't tell */
        assert_int_equal(fp_owner_gone(earlier), difference != 0);
    }
    /* Each bit of the start time counts. */
    for (unsigned bit = 0; bit < 32; bit++)
        assert_true(fp_owner_gone(now ^ (UINT64_C(1) << (32 + bit))));
    end(pid);
}

static void an_owner_without_a_start_time_is_its_process_id_alone(void **state) {
    (void)state;
    pid_t pid = sleeper();
    fp_owner bare = with_start(fp_owner_of(pid), 0);
    assert_false(fp_owner_gone_quick(bare));
    assert_false(fp_owner_gone(bare));
    assert_false(fp_owner_gone(with_start(fp_owner_self(), 0)));
    end(pid);
    assert_true(fp_owner_gone_quick(bare));
    assert_true(fp_owner_gone(bare));
}

static void our_own_process_id_of_an_earlier_life_is_gone_at_first_glance(void **state) {
    (void)state;
    fp_owner self = fp_owner_self();
    fp_owner earlier = with_start(self, (uint32_t)start_of(self) - 1);
    assert_true(fp_owner_gone_quick(earlier));
    assert_true(fp_owner_gone(earlier));
}

static void a_process_of_another_pid_namespace_counts_as_there(void **state) {
    (void)state;
    pid_t pid = sleeper();
    fp_owner owner = fp_owner_of(pid);
    end(pid);
    assert_true(fp_owner_gone(owner));
    for (unsigned bit = 0; bit < 10; bit++) {
        fp_owner foreign = owner ^ (UINT64_C(1) << (22 + bit));
        assert_false(fp_owner_gone_quick(foreign));
        assert_false(fp_owner_gone(foreign));
        foreign = with_pid(foreign, 0);
        assert_false(fp_owner_gone_quick(foreign));
    }
}

static void nobody_is_gone(void **state) {
    (void)state;
    assert_true(fp_owner_gone_quick(0));
    assert_true(fp_owner_gone(0));
    /* Process id 0 would be this process group, to kill(2). */
    assert_true(fp_owner_gone_quick(with_pid(fp_owner_self(), 0)));
    assert_true(fp_owner_of(0) == 0);
    assert_true(fp_owner_of(-1) == 0);
    assert_true(fp_owner_of(-getpid()) == 0);
}

static void the_largest_process_id_has_room(void **state) {
    (void)state;
    assert_int_equal(fp_owner_pid(with_pid(fp_owner_self(), 0x3fffff)), 4194303);
    assert_true(fp_owner_gone_quick(with_pid(fp_owner_self(), 0x3fffff)));
}

static void errno_is_kept(void **state) {
    (void)state;
    pid_t pid = sleeper();
    fp_owner owner = fp_owner_of(pid);
    end(pid);
    errno = ERANGE;
    fp_owner_gone_quick(owner);
    fp_owner_gone(owner);
    fp_owner_gone(with_start(fp_owner_self(), 7));
    fp_owner_of(pid);
    fp_owner_of(getpid());
    assert_int_equal(errno, ERANGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(self_is_what_others_find_under_its_process_id),
        cmocka_unit_test(an_owner_carries_the_start_time_that_proc_has),
        cmocka_unit_test(a_process_with_brackets_and_spaces_in_its_name_is_read_right),
        cmocka_unit_test(a_child_is_another_owner_than_its_parent_and_finds_it_there),
        cmocka_unit_test(a_child_that_shares_the_memory_counts_as_its_parent),
        cmocka_unit_test(another_users_process_is_there),
        cmocka_unit_test(a_process_is_there_until_it_is_waited_for_and_gone_then),
        cmocka_unit_test(a_process_id_that_came_back_is_another_owner),
        cmocka_unit_test(an_owner_without_a_start_time_is_its_process_id_alone),
        cmocka_unit_test(our_own_process_id_of_an_earlier_life_is_gone_at_first_glance),
        cmocka_unit_test(a_process_of_another_pid_namespace_counts_as_there),
        cmocka_unit_test(nobody_is_gone),
        cmocka_unit_test(the_largest_process_id_has_room),
        cmocka_unit_test(errno_is_kept),
    };
    return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
