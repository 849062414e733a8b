/* SPDX-License-Identifier: MIT */
/*
 * holders: the lock's holder never gives it back. Where it is dead, the next one takes the lock at once. Where it looks
 * alive, the lock is taken from it after a quarter of a second: it is stopped, it ended as a part of a process that is
 * there (a thread, a vfork child), or it has lost the segment.
 *
 * Others have to go on after that wait, and all but at once from then on; the process in question, too; and each has a
 * port of its own. When it has gone on or is dead, all is as before.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OTHERS = 5, LOCK_WAIT_US = 250000, SOON_US = 50000 };

static struct {
    _Atomic int holds;  /* the deed is done */
    _Atomic int go;     /* the holder is to bind, too */
    _Atomic int result; /* what came of it */
    _Atomic int64_t took_us;
    struct {
        _Atomic int port[2];
        _Atomic int64_t took_us[2];
    } others[OTHERS];
    struct haul haul;
} * board;

static struct fp_segment *segment;

static void lock_or_die(void) {
    if (!segment_lock(segment))
        die("the lock isn't to be had");
}

/* Which getpid() and raise() need not tell, in a child that shares its parent's memory. */
static void end_myself(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

static void stop_myself(void) {
    lock_or_die();
    atomic_store(&board->holds, 1);
    raise(SIGSTOP);
    segment_unlock(segment);
}

static void lose_vfork_child(void) {
    pid_t pid = vfork(); // NOLINT: it is what is tested
    if (pid == 0) {
        lock_or_die();
        end_myself();
        _exit(0);
    }
    reap(pid);
    atomic_store(&board->holds, 1);
}

static int lock_and_end(void *ignored) {
    (void)ignored;
    lock_or_die();
    end_myself();
    return 0;
}

/*
 * ThreadSanitizer's clone() hands the child its function on the parent's stack, where something else may stand by the
 * time the child looks, and takes both for one thread: there, the parent waits until the child is gone.
 */
#ifdef __SANITIZE_THREAD__
enum { CLONE_FLAGS = CLONE_VM | CLONE_VFORK | SIGCHLD };
#else
enum { CLONE_FLAGS = CLONE_VM | SIGCHLD };
#endif

static void lose_clone_child(void) {
    enum { STACK = 1 << 18 };
    char *stack = malloc(STACK);
    pid_t pid = stack ? clone(lock_and_end, stack + STACK, CLONE_FLAGS, NULL) : -1;
    if (pid < 0)
        die("clone: %s", strerror(errno));
    reap(pid);
    atomic_store(&board->holds, 1);
}

static void lose_raw_clone_child(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        lock_and_end(NULL);
    reap(pid);
    atomic_store(&board->holds, 1);
}

static void unmap_it(void) {
    lock_or_die();
    munmap(segment, sizeof *segment); /* the test's own mapping; the shim's stays */
    atomic_store(&board->holds, 1);
}

static void *lock_in_thread(void *ignored) {
    lock_or_die();
    return ignored;
}

static void lose_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, lock_in_thread, NULL);
    pthread_join(thread, NULL);
    atomic_store(&board->holds, 1);
}

static void lock_and_exec(void *ignored) {
    (void)ignored;
    lock_or_die();
    execl("/bin/sleep", "sleep", "1000", (char *)NULL);
    die("exec: %s", strerror(errno));
}

static void exec_away(void) {
    int ends[2];
    char nothing;
    if (pipe2(ends, O_CLOEXEC) != 0)
        die("pipe: %s", strerror(errno));
    child(lock_and_exec, NULL);
    close(ends[1]);
    if (read(ends[0], &nothing, 1) != 0) /* its end is closed by exec */
        die("no exec");
    atomic_store(&board->holds, 1);
}

static const struct scene {
    const char *what;
    void (*deed)(void);
    bool dead; /* the holder is: nobody has to wait */
} scenes[] = {
    {"stopped with the lock", stop_myself, false},
    {"a vfork child died with the lock", lose_vfork_child, false},
    {"a CLONE_VM child died with the lock", lose_clone_child, false},
    {"a raw clone child died with the lock", lose_raw_clone_child, true},
    {"the lock's memory was unmapped", unmap_it, false},
    {"a thread ended with the lock", lose_thread, false},
    {"exec with the lock", exec_away, false},
};

static void holder(void *context) {
    const struct scene *scene = context;
    scene->deed();
    while (atomic_load(&board->go) == 0)
        pause_us(500);
    struct clock start = clock_start();
    int fd = take(SOCK_STREAM, 0);
    atomic_store(&board->took_us, clock_us(&start));
    atomic_store(&board->result, fd < 0 ? fd : port_of(fd));
    pause_for_ever();
}

static void other(void *context) {
    unsigned self = (unsigned)(uintptr_t)context;
    for (int i = 0; i < 2; i++) {
        struct clock start = clock_start();
        /* The second time over UDP: there are not so many ports. */
        int fd = take(i == 0 ? SOCK_STREAM : SOCK_DGRAM, 0);
        atomic_store(&board->others[self].took_us[i], clock_us(&start));
        atomic_store(&board->others[self].port[i], fd < 0 ? fd : port_of(fd));
    }
    pause_for_ever();
}

static void latecomer(void *ignored) {
    (void)ignored;
    struct clock start = clock_start();
    int fd = take(SOCK_STREAM, 0);
    board->haul.first_us = clock_us(&start);
    haul_note(&board->haul, SOCK_STREAM, fd < 0 ? fd : port_of(fd));
}

static void sweep(void *ignored) {
    (void)ignored;
    haul_take(&board->haul, SOCK_STREAM, range_count + 1);
    haul_take(&board->haul, SOCK_DGRAM, range_count + 1);
}

/* In time, or at all. Whoever is late for the lock's sake is so each time; see below. */
static unsigned late(struct tally *tally, int64_t took_us, int64_t limit_us) {
    tally_time(tally, took_us);
    return took_us > limit_us;
}

static void one_go(struct tally *tally, const struct scene *scene) {
    memset(board, 0, sizeof *board);
    pid_t pid = child(holder, (void *)(uintptr_t)scene);
    if (!comes_about(&board->holds))
        die("%s: nothing came of it", scene->what);
    pid_t pids[OTHERS];
    unsigned failed = 0;
    int64_t wait_us = (int64_t)SOON_US * slow + (scene->dead ? 0 : LOCK_WAIT_US);
    for (uintptr_t i = 0; i < OTHERS; i++)
        pids[i] = child(other, (void *)i);
    for (unsigned i = 0; i < OTHERS; i++) {
        failed += !comes_about(&board->others[i].port[1]);
        haul_note(&board->haul, SOCK_STREAM, board->others[i].port[0]);
        haul_note(&board->haul, SOCK_DGRAM, board->others[i].port[1]);
        failed += late(tally, board->others[i].took_us[0], wait_us);
        failed += late(tally, board->others[i].took_us[1], (int64_t)SOON_US * slow);
    }
    kill(pid, SIGCONT);
    atomic_store(&board->go, 1);
    failed += !comes_about(&board->result);
    haul_note(&board->haul, SOCK_STREAM, board->result);
    failed += late(tally, board->took_us, wait_us);
    end(pid);
    reap(child(latecomer, NULL));
    failed += late(tally, board->haul.first_us, (int64_t)SOON_US * slow);
    for (unsigned i = 0; i < OTHERS; i++)
        end(pids[i]);
    tally->twice += haul_twice(&board->haul);
    failed += board->haul.error != 0;

    memset(&board->haul, 0, sizeof board->haul);
    reap(child(sweep, NULL));
    tally->lost += failed + haul_missing(&board->haul, SOCK_STREAM) + haul_missing(&board->haul, SOCK_DGRAM);
    tally->twice += haul_twice(&board->haul);
    tally->times++;
}

static bool play(const struct scene *scene, const unsigned char *pristine) {
    struct tally all = {.what = scene->what};
    enum { TRIES = 4 };
    for (unsigned i = 0; i < (full ? 20 : 2); i++) {
        struct tally tally = {.what = scene->what};
        /* What is late on a busy machine is not late each time. */
        for (unsigned tries = 0; tries == 0 || (tries < TRIES && tally.lost > 0 && tally.twice == 0); tries++) {
            tally = (struct tally){.what = scene->what};
            memcpy(segment, pristine, sizeof *segment);
            one_go(&tally, scene);
        }
        all.times++;
        all.lost += tally.lost;
        all.twice += tally.twice;
        tally_time(&all, tally.slowest_us);
    }
    return tally_print(&all);
}

int main(void) {
    torture_start();
    board = shared_memory(sizeof *board);
    segment = segment_map();
    unsigned char *pristine = malloc(sizeof *segment);
    memcpy(pristine, segment, sizeof *segment);
    bool well = true;
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        well = play(&scenes[i], pristine) && well;
    return well ? 0 : 1;
}
