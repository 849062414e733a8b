/* SPDX-License-Identifier: MIT */
/*
 * What one thread of a process does while another is in the middle of an allocation: stopped before and behind each
 * change that it makes to the table, and often between them, which no scheduler does as thoroughly.
 *
 * The one that is stopped is a process that shares this one's memory, and so counts as this process (owner.h), as a
 * thread does; but it can be traced by its parent. It shares errno, too, which is kept for it.
 */
#include "assign.h"
#include "freeport.h"
#include "own_network.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum { FIRST_PORT = 30000, PORTS = 2, STACK = 256 * 1024, MOST_INSTRUCTIONS = 8192, BETWEEN = 64 };

static char segment_name[64], segment_path[80];
static struct freeport *fp;

/* What a thread was given. */
struct taken {
    int error, fd;
    uint16_t port;
};

static void get(struct taken *taken) {
    taken->error = freeport_get(fp, FREEPORT_TCP, 0, &taken->port);
}

static void give_back(struct taken *taken) {
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, taken->port), 0);
}

static void bind_any(struct taken *taken) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    taken->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    taken->error = freeport_bind(fp, taken->fd, (struct sockaddr *)&address, sizeof address, 0, &taken->port);
}

/* As one of a server's workers. */
static void bind_sentinel(struct taken *taken) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    taken->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(taken->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    taken->error = freeport_bind(fp, taken->fd, (struct sockaddr *)&address, sizeof address, 0, &taken->port);
}

static void close_worker(struct taken *taken) {
    assert_int_equal(close(taken->fd), 0);
}

static void close_bound(struct taken *taken) {
    assert_int_equal(close(taken->fd), 0);
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, taken->port), 0);
}

/* One way to be given a port, and how it is undone. */
struct deed {
    void (*take)(struct taken *taken);
    void (*undo)(struct taken *taken);
    bool shared; /* all of one session have one port */
};

static const struct deed getting = {get, give_back, false}, binding = {bind_any, close_bound, false},
                         binding_sentinel = {bind_sentinel, close_worker, true};

/* The thread that is stopped. */
static struct {
    const struct deed *deed;
    struct taken taken;
    atomic_bool inside;
    _Alignas(16) char stack[STACK];
} stopped;

static int run_stopped(void *unused) {
    (void)unused;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || kill(getpid(), SIGSTOP) != 0)
        return 1;
    stopped.inside = true;
    stopped.deed->take(&stopped.taken);
    stopped.inside = false;
    return 0;
}

static int wait_for(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* One more instruction of it. */
static void step(pid_t pid) {
    assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
    int status = wait_for(pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(WSTOPSIG(status), SIGTRAP);
}

static pid_t start(const struct deed *deed) {
    stopped.deed = deed;
    stopped.taken = (struct taken){.error = 0};
    pid_t pid = clone(run_stopped, stopped.stack + STACK, CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
    assert_true(pid > 0);
    assert_true(WIFSTOPPED(wait_for(pid)));
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL), 0); /* should a test fail half way */
    while (!stopped.inside)
        step(pid);
    return pid;
}

/* What both threads read and write. */
struct picture {
    struct fp_entry entries[PORTS];
    uint64_t taken, held;
};

static struct picture picture(void) {
    struct picture picture = {.taken = fp->segment->taken[FP_TCP_INDEX][FIRST_PORT / 64],
                              .held = fp->segment->held[FP_TCP_INDEX][FIRST_PORT / 64]};
    memcpy(picture.entries, &fp->segment->entries[FP_TCP_INDEX][FIRST_PORT], sizeof picture.entries);
    return picture;
}

/* Walks through a deed, and says before which instruction it is worth to be stopped. How many it has. */
static unsigned walk(const struct deed *deed, bool worth[static MOST_INSTRUCTIONS]) {
    unsigned count = 0, changes = 0;
    memset(worth, 0, MOST_INSTRUCTIONS);
    pid_t pid = start(deed);
    struct picture before = picture();
    while (stopped.inside) {
        step(pid);
        assert_true(++count < MOST_INSTRUCTIONS);
        struct picture now = picture();
        bool changed = memcmp(&now, &before, sizeof now) != 0;
        changes += changed;
        before = now;
        worth[count] = changed || count % BETWEEN == 0;
        worth[count - 1] |= changed;
    }
    assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
    assert_int_equal(wait_for(pid), 0);
    deed->undo(&stopped.taken);
    assert_true(changes >= 4); /* the owner, the claim, its mark, what it means when it has come true */
    return count;
}

/* The second deed, after so many instructions of the first: of two ports each has one, or both have the session's. */
static void meanwhile(const struct deed *first, const struct deed *second, unsigned instructions) {
    struct taken taken = {.error = 0};
    pid_t pid = start(first);
    /* The clock, which is read when all is said, takes a few instructions more or less. */
    for (unsigned i = 0; i < instructions && stopped.inside; i++)
        step(pid);
    int saved = errno;
    bool bound = fp_probe(&fp->calls, FP_TCP_INDEX, FIRST_PORT) != 0;
    second->take(&taken);
    errno = saved;
    assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
    assert_int_equal(wait_for(pid), 0);
    bool shared = first->shared && second->shared;
    /* Beside one who has bound it, and is stopped with its reuse flags off, that is the kernel's word. */
    bool told = shared && bound && taken.error == -EADDRINUSE && stopped.taken.error == 0;
    if (told)
        taken.port = stopped.taken.port, taken.error = 0;
    if (stopped.taken.error != 0 || taken.error != 0 || (stopped.taken.port == taken.port) != shared)
        fail_msg("after %u instructions: port %u (%s) and port %u (%s)", instructions, stopped.taken.port,
                 freeport_strerror(stopped.taken.error), taken.port, freeport_strerror(taken.error));
    first->undo(&stopped.taken);
    second->undo(&taken);
}

/* Each time from the same table on: that takes the same way, instruction by instruction. */
static void each_has_its_own(const struct deed *first, const struct deed *second) {
    static bool worth[MOST_INSTRUCTIONS];
    static struct fp_segment before;
    struct taken taken;
    memcpy(&before, fp->segment, sizeof before);
    first->take(&taken); /* what the dynamic linker does at a first call is none of it */
    first->undo(&taken);
    memcpy(fp->segment, &before, sizeof before);
    unsigned count = walk(first, worth);
    for (unsigned at = 0; at + 1 < count; at++) {
        if (!worth[at])
            continue;
        memcpy(fp->segment, &before, sizeof before);
        meanwhile(first, second, at);
    }
}

static void test_get_while_getting(void **state) {
    (void)state;
    each_has_its_own(&getting, &getting);
}

static void test_bind_while_getting(void **state) {
    (void)state;
    each_has_its_own(&getting, &binding);
}

static void test_get_while_binding(void **state) {
    (void)state;
    each_has_its_own(&binding, &getting);
}

static void test_bind_while_binding(void **state) {
    (void)state;
    each_has_its_own(&binding, &binding);
}

/* Whoever is stopped with the lock counts as the one who comes for it: that one goes on without. */
static void test_bind_of_a_sentinel_while_binding_it(void **state) {
    (void)state;
    each_has_its_own(&binding_sentinel, &binding_sentinel);
}

static void test_get_while_binding_a_sentinel(void **state) {
    (void)state;
    each_has_its_own(&binding_sentinel, &getting);
}

static void test_bind_of_a_sentinel_while_getting(void **state) {
    (void)state;
    each_has_its_own(&getting, &binding_sentinel);
}

static int open_it(void **state) {
    (void)state;
    struct freeport_config config = {.tcp = "30000-30001", .session = "one", .segment = segment_name};
    unlink(segment_path);
    return freeport_open(&fp, &config);
}

static int close_it(void **state) {
    (void)state;
    freeport_close(fp);
    return unlink(segment_path);
}

int main(void) {
    if (!own_network())
        return OWN_NETWORK_NONE;
    snprintf(segment_name, sizeof segment_name, "/freeport-test-%d", (int)getpid());
    snprintf(segment_path, sizeof segment_path, "/dev/shm%s", segment_name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_get_while_getting, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_bind_while_getting, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_get_while_binding, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_bind_while_binding, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_bind_of_a_sentinel_while_binding_it, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_get_while_binding_a_sentinel, open_it, close_it),
        cmocka_unit_test_setup_teardown(test_bind_of_a_sentinel_while_getting, open_it, close_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
