/* SPDX-License-Identifier: MIT */
/*
 * What one thread of a process does while another is in the middle of an allocation: stopped before and behind each
 * change that it makes to the table, and often between them, which no scheduler does as thoroughly.
 *
 * The one that is stopped is a process that shares this one's memory, and so counts as this process (owner.h), as a
 * thread does; but it can be traced by its parent. It shares errno, too, which is kept for it.
 */
#include "own_handle.h"

#include <stdatomic.h>
#include <sys/ptrace.h>

enum { FIRST_PORT = 30000, PORTS = 2, STACK = 256 * 1024, MOST_INSTRUCTIONS = 8192, BETWEEN = 64 };

/* What a thread was given. */
struct taken {
    int error, fd;
    uint16_t port;
};

static void get_one(struct taken *taken) {
    taken->error = freeport_get(fp, FREEPORT_TCP, 0, &taken->port);
}

static void give_back(struct taken *taken) {
    assert_int_equal(freeport_release(fp, FREEPORT_TCP, taken->port), 0);
}

static void bind_one(struct taken *taken, uint16_t requested) {
    struct sockaddr_in address = address4("127.0.0.1", requested);
    taken->fd = new_socket(AF_INET, SOCK_STREAM);
    set_flag(taken->fd, SO_REUSEPORT, requested != 0); /* as one of a server's workers */
    taken->error = freeport_bind(fp, taken->fd, (struct sockaddr *)&address, sizeof address, 0, &taken->port);
}

static void bind_any(struct taken *taken) {
    bind_one(taken, 0);
}

static void bind_sentinel(struct taken *taken) {
    bind_one(taken, 8080);
}

static void close_worker(struct taken *taken) {
    assert_int_equal(close(taken->fd), 0);
}

static void close_bound(struct taken *taken) {
    close_worker(taken);
    give_back(taken);
}

/* Comes and goes: has none in the end. */
static void get_and_give_back(struct taken *taken) {
    get_one(taken);
    give_back(taken);
    taken->port = 0;
}

static void get_another(struct taken *taken);

/* One way to be given a port, and how it is undone. */
struct deed {
    void (*take)(struct taken *taken);
    void (*undo)(struct taken *taken);
    bool shared; /* all of one session have one port */
};

static const struct deed getting = {get_one, give_back, false}, binding = {bind_any, close_bound, false},
                         binding_sentinel = {bind_sentinel, close_worker, true},
                         passing = {get_and_give_back, get_another, false};

/* The thread that is stopped. */
static struct {
    const struct deed *deed;
    struct taken taken;
    atomic_bool inside;
    _Alignas(16) char stack[STACK];
} stopped;

/* What the one has that was stopped is nobody else's. */
static void get_another(struct taken *taken) {
    get_one(taken);
    assert_int_equal(taken->error, 0);
    assert_int_not_equal(taken->port, stopped.taken.port);
    give_back(taken);
}

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
    bool bound =
        fp_probe(&fp->calls, FP_TCP_INDEX, FIRST_PORT) != 0 || fp_probe(&fp->calls, FP_TCP_INDEX, FIRST_PORT + 1) != 0;
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
    second->undo(&taken);
    first->undo(&stopped.taken);
}

/* Each time from the same table on: that takes the same way, instruction by instruction. */
static void each_has_its_own(const struct deed *first, const struct deed *second) {
    fp = open_with("30000-30001", NULL, "one");
    static bool worth[MOST_INSTRUCTIONS];
    static struct fp_segment before;
    struct taken taken;
    get_one(&taken); /* makes the labels of name and session */
    give_back(&taken);
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

static void a_get_meanwhile_gets_another_than_a_get(void **state) {
    (void)state;
    each_has_its_own(&getting, &getting);
}

static void a_bind_meanwhile_gets_another_than_a_get(void **state) {
    (void)state;
    each_has_its_own(&getting, &binding);
}

static void a_get_meanwhile_gets_another_than_a_bind(void **state) {
    (void)state;
    each_has_its_own(&binding, &getting);
}

static void a_bind_meanwhile_gets_another_than_a_bind(void **state) {
    (void)state;
    each_has_its_own(&binding, &binding);
}

static void one_who_comes_and_goes_meanwhile_leaves_the_port_to_a_get(void **state) {
    (void)state;
    each_has_its_own(&getting, &passing);
}

/* Whoever is stopped with the lock counts as the one who comes for it: that one goes on without. */
static void a_bind_of_the_sentinel_meanwhile_gets_the_same(void **state) {
    (void)state;
    each_has_its_own(&binding_sentinel, &binding_sentinel);
}

static void a_get_meanwhile_gets_another_than_a_sentinels_bind(void **state) {
    (void)state;
    each_has_its_own(&binding_sentinel, &getting);
}

static void a_bind_of_a_sentinel_meanwhile_gets_another_than_a_get(void **state) {
    (void)state;
    each_has_its_own(&getting, &binding_sentinel);
}

int main(void) {
    if (!own_handle("stopped"))
        return OWN_NETWORK_NONE;
    const struct CMUnitTest tests[] = {
        TEST(a_get_meanwhile_gets_another_than_a_get),
        TEST(a_bind_meanwhile_gets_another_than_a_get),
        TEST(a_get_meanwhile_gets_another_than_a_bind),
        TEST(a_bind_meanwhile_gets_another_than_a_bind),
        TEST(one_who_comes_and_goes_meanwhile_leaves_the_port_to_a_get),
        TEST(a_bind_of_the_sentinel_meanwhile_gets_the_same),
        TEST(a_get_meanwhile_gets_another_than_a_sentinels_bind),
        TEST(a_bind_of_a_sentinel_meanwhile_gets_another_than_a_get),
    };
    return cmocka_run_group_tests_name("stopped", tests, NULL, NULL);
}
