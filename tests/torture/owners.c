/* SPDX-License-Identifier: MIT */
/*
 * owners: a process that has a port is gone, and another one has its process id; the very same, since this process
 * namespace hands out the ids that it is told to. What a child of the first still holds is nobody else's; what nobody
 * holds is everybody's, although a process of that id is there; and all of it is so for that process as well.
 */
#include "freeport.h"
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OWNER = 3000, TICK_US = 10000 };

static struct {
    _Atomic int port, go, done;
    struct haul haul;
} * board;

static struct freeport *handle;

/* A child of that very id. */
static pid_t child_as(pid_t wanted, void (*body)(void *), void *context) {
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || dprintf(fd, "%d", (int)wanted - 1) < 0)
        die("ns_last_pid: %s", strerror(errno));
    close(fd);
    pid_t pid = child(body, context);
    if (pid != wanted)
        die("process %d is %d", (int)wanted, (int)pid);
    return pid;
}

/* A daemon: its child has the socket, and it is gone itself. */
static void leave_to_child(void *ignored) {
    (void)ignored;
    int fd = take(SOCK_STREAM, 0);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        atomic_store(&board->port, port_of(fd));
        while (!atomic_load(&board->go))
            pause_us(500);
        _exit(0);
    }
    while (!atomic_load(&board->port))
        pause_us(500);
}

static void bind_and_end(void *ignored) {
    (void)ignored;
    int fd = take(SOCK_STREAM, 0);
    atomic_store(&board->port, port_of(fd));
}

static void reserve_and_end(void *ignored) {
    (void)ignored;
    uint16_t port = 0;
    if (freeport_get(handle, FREEPORT_TCP, 0, &port) != 0)
        die("no port to be had");
    atomic_store(&board->port, port);
}

/* Killed where the kernel is about to bind: the claim stands. */
static void bind_and_be_killed(void *ignored) {
    (void)ignored;
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    take(SOCK_STREAM, 0);
    _exit(1);
}

static void kill_at_bind(pid_t pid) {
    struct __ptrace_syscall_info info;
    int status;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD);
        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY &&
            info.entry.nr == SYS_bind)
            kill(pid, SIGKILL);
        else
            ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    }
    if (!WIFSIGNALED(status))
        die("nobody was killed at bind");
}

static const struct scene {
    const char *what;
    void (*owner)(void *);
    bool held, traced;
} scenes[] = {
    {"an owner's id comes back: its daemon's child has the port", leave_to_child, true, false},
    {"an owner's id comes back: it had bound the port", bind_and_end, false, false},
    {"an owner's id comes back: it had reserved the port", reserve_and_end, false, false},
    {"an owner's id comes back: it was about to bind the port", bind_and_be_killed, false, true},
};

/* The one who has the id by chance, and asks for ports itself in the end. */
static void bystander(void *ignored) {
    (void)ignored;
    atomic_store(&board->done, 1);
    while (atomic_load(&board->done) != 2)
        pause_us(500);
    haul_take(&board->haul, SOCK_STREAM, range_count + 1);
    atomic_store(&board->done, 3);
    pause_for_ever();
}

static void sweep(void *ignored) {
    (void)ignored;
    struct clock start = clock_start();
    haul_take(&board->haul, SOCK_STREAM, 1);
    board->haul.first_us = clock_us(&start);
    haul_take(&board->haul, SOCK_STREAM, range_count + 1);
}

/* Everything is to be had but what a child holds. */
static void judge(struct tally *tally, const struct scene *scene) {
    const struct haul *haul = &board->haul;
    unsigned missing = haul_missing(haul, SOCK_STREAM), held = scene->held && !atomic_load(&board->go);
    bool stolen = held && haul->got[0][atomic_load(&board->port) - range_first] != 0;
    tally->twice += haul_twice(haul) + stolen;
    tally->lost += missing > held ? missing - held : 0;
    tally_time(tally, haul->first_us);
    memset(&board->haul, 0, sizeof board->haul);
}

static void one_go(struct tally *tally, const struct scene *scene) {
    memset(board, 0, sizeof *board);
    pid_t owner = child_as(OWNER, scene->owner, NULL);
    if (scene->traced)
        kill_at_bind(owner);
    else
        reap(owner);
    pause_us(3 * TICK_US); /* start times are told in ticks */
    pid_t other = child_as(OWNER, bystander, NULL);
    if (!comes_about(&board->done))
        die("nobody came");
    reap(child(sweep, NULL));
    judge(tally, scene);
    atomic_store(&board->done, 2);
    while (atomic_load(&board->done) != 3)
        pause_us(500);
    judge(tally, scene);
    end(other);
    if (scene->held) {
        atomic_store(&board->go, 1);
        if (waitpid(-1, NULL, 0) < 0) /* its parent is gone: it comes to us */
            die("no child of a daemon");
        reap(child(sweep, NULL));
        judge(tally, scene);
    }
    tally->times++;
}

int main(void) {
    torture_start();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    board = shared_memory(sizeof *board);
    struct freeport_config config = {.tcp = getenv("FREEPORT_TCP"), .segment = getenv("FREEPORT_SEGMENT")};
    int error = freeport_open(&handle, &config);
    if (error != 0)
        die("freeport_open: %s", freeport_strerror(error));
    bool well = true;
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        struct tally tally = {.what = scenes[i].what};
        for (unsigned turn = 0; turn < (full ? 100 : 5); turn++)
            one_go(&tally, &scenes[i]);
        well = tally_print(&tally) && well;
    }
    return well ? 0 : 1;
}
