/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

enum { KEPT = 256, STATUS_BYTES = 512 };

static struct fp_process kept[KEPT];
static struct fp_supervisor *watcher;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int open_pidfd(pid_t pid, unsigned flags) {
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

int fp_process_descriptor(const struct fp_process *process, int number) {
    int fd = (int)syscall(SYS_pidfd_getfd, process->pidfd, number, 0);
    return fd >= 0 ? fd : -errno;
}

/* The process of a thread, by /proc; 0 if it has ended. */
static pid_t process_of(pid_t thread) {
    char path[32], text[STATUS_BYTES];
    snprintf(path, sizeof path, "/proc/%d/status", (int)thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return 0;
    text[length] = 0;
    const char *line = strstr(text, "\nTgid:");
    return line ? (pid_t)strtol(line + strlen("\nTgid:"), NULL, 10) : 0;
}

static bool look_up(struct fp_process *process, pid_t thread) {
    *process = (struct fp_process){.thread = thread, .pid = process_of(thread), .pidfd = -1, .fresh = true};
    if (process->pid == 0) {
        errno = ESRCH;
        return false;
    }
    if (thread != process->pid)
        process->pidfd = open_pidfd(thread, PIDFD_THREAD);
    if (process->pidfd < 0) {
        process->pidfd = open_pidfd(process->pid, 0);
        process->whole = thread != process->pid;
    }
    process->owner = process->pidfd >= 0 ? fp_owner_of(process->pid) : 0;
    return process->pidfd >= 0;
}

/* True if the thread still runs. A thread's pidfd tells that; with a process's pidfd, tgkill(2) of signal 0 does. */
static bool still(const struct fp_process *process) {
    return !process->whole || syscall(SYS_tgkill, process->pid, process->thread, 0) == 0;
}

/* Closing the pidfd ends epoll's watch on it, too. */
static void drop(struct fp_process *process) {
    if (process->pidfd >= 0 && process->thread != 0)
        close(process->pidfd);
    process->thread = 0;
    process->pidfd = -1;
}

static bool has_ended(const struct fp_process *process) {
    struct pollfd look = {.fd = process->pidfd, .events = POLLIN};
    return process->thread != 0 && poll(&look, 1, 0) > 0;
}

/* The process has ended. If a call still uses it, that call drops it at its end. */
static void notice_end(struct fp_source *source, uint32_t events) {
    struct fp_process *process = (struct fp_process *)source;
    (void)events;
    pthread_mutex_lock(&lock);
    if (has_ended(process)) {
        process->over = true;
        if (process->used == 0)
            drop(process);
        else
            fp_supervisor_forget(watcher, &process->ended);
    }
    pthread_mutex_unlock(&lock);
}

void fp_process_watch(struct fp_supervisor *supervisor) {
    watcher = supervisor;
}

static void keep(struct fp_process *process) {
    process->kept = true;
    process->ended = (struct fp_source){.fd = process->pidfd, .ready = notice_end};
    if (watcher)
        fp_supervisor_watch(watcher, &process->ended);
}

/* If another process is in use in its slot of the table, this one is kept for the current call only. */
static struct fp_process *get_unkept(pid_t thread) {
    struct fp_process *process = calloc(1, sizeof *process);
    if (process && !look_up(process, thread)) {
        int error = errno;
        free(process);
        errno = error;
        return NULL;
    }
    if (process)
        process->used = 1;
    return process;
}

struct fp_process *fp_process_get(pid_t thread) {
    struct fp_process *process = &kept[(unsigned)thread % KEPT];
    pthread_mutex_lock(&lock);
    bool same = process->thread == thread && still(process), found = same;
    if (!same && process->used == 0) {
        drop(process);
        found = look_up(process, thread);
        if (found)
            keep(process);
        else
            process->thread = 0;
    }
    if (found)
        process->used++;
    bool busy = !found && process->used != 0;
    int error = errno;
    pthread_mutex_unlock(&lock);
    if (busy)
        return get_unkept(thread);
    errno = error;
    return found ? process : NULL;
}

void fp_process_put(struct fp_process *process) {
    if (!process->kept) {
        drop(process);
        free(process);
        return;
    }
    pthread_mutex_lock(&lock);
    process->fresh = false;
    if (--process->used == 0 && process->over)
        drop(process);
    pthread_mutex_unlock(&lock);
}

void fp_process_forget(struct fp_process *process) {
    if (!process->kept)
        return;
    pthread_mutex_lock(&lock);
    if (process->used == 1)
        drop(process);
    pthread_mutex_unlock(&lock);
}

struct fp_usage *fp_process_usage(const struct fp_process *process) {
    static struct {
        fp_owner owner;
        struct fp_usage *usage;
    } known[KEPT];
    unsigned at = (unsigned)process->pid % KEPT;
    pthread_mutex_lock(&lock);
    if (!known[at].usage)
        known[at].usage = calloc(1, sizeof *known[at].usage);
    else if (known[at].owner != process->owner)
        memset((void *)known[at].usage, 0, sizeof *known[at].usage);
    known[at].owner = process->owner;
    struct fp_usage *usage = known[at].usage;
    pthread_mutex_unlock(&lock);
    return usage;
}

bool fp_process_preloaded(struct fp_process *process, dev_t device, ino_t inode) {
    char path[32], line[PATH_MAX + 128];
    unsigned high, low;
    unsigned long found;
    if (process->preloaded != 0)
        return process->preloaded > 0;
    process->preloaded = -1;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)process->pid);
    FILE *maps = fopen(path, "re");
    while (maps && process->preloaded < 0 && fgets(line, sizeof line, maps))
        if (sscanf(line, "%*s %*s %*s %x:%x %lu", &high, &low, &found) == 3 && found == inode &&
            high == major(device) && low == minor(device))
            process->preloaded = 1;
    if (maps)
        fclose(maps);
    return process->preloaded > 0;
}

void fp_process_trim(void) {
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < KEPT; i++)
        if (kept[i].thread != 0 && kept[i].used == 0)
            drop(&kept[i]);
    pthread_mutex_unlock(&lock);
}
