/* SPDX-License-Identifier: MIT */
/*
 * The threads and processes that the supervisor serves: a pidfd for each, and its owner in the shared table. A bounded
 * number of them is kept. A pidfd never means another process with the same id: after the end of its process the kernel
 * answers ESRCH, and the id is looked up again.
 */
#ifndef FREEPORT_SHIM_SECCOMP_PROCESS_H
#define FREEPORT_SHIM_SECCOMP_PROCESS_H

#include "owner.h"
#include "supervisor.h"
#include "usage.h"

#include <stdbool.h>
#include <sys/types.h>

struct fp_process {
    struct fp_source ended; /* the pidfd of a kept one, which is readable when it ends */
    fp_owner owner;
    pid_t thread; /* 0: none */
    pid_t pid;    /* the thread's process */
    int pidfd;
    unsigned used;         /* the number of calls that use it now */
    signed char preloaded; /* 0: not looked at; else 1, or -1 for no */
    bool whole;            /* pidfd is of the process, not of the thread: before Linux 6.9 there is no other */
    bool fresh;            /* it was looked up for this call */
    bool over;             /* it has ended */
    bool kept;             /* it is in the table of kept ones */
};

/* Starts to watch for the ends of processes, at which they are dropped from the table. Called once. */
void fp_process_watch(struct fp_supervisor *supervisor);

/* Looks a thread up. NULL if it has ended, or, with errno EMFILE or ENFILE, if no descriptor is left. */
struct fp_process *fp_process_get(pid_t thread);
void fp_process_put(struct fp_process *process);

/* Drops a kept thread that is out of date. */
void fp_process_forget(struct fp_process *process);

/*
 * Duplicates a descriptor of the program into the supervisor; the caller closes it. Or a negative errno: -EBADF,
 * -ESRCH, -EPERM, -EMFILE, -ENFILE.
 */
int fp_process_descriptor(const struct fp_process *process, int number);

/*
 * The ports that the process has used by their own number; NULL without memory. Kept for a bounded number of processes:
 * one that was dropped, or was just forked, sees the sentinels again.
 */
struct fp_usage *fp_process_usage(const struct fp_process *process);

/* True if the process has the segment mapped, so that a shim works in it as well. Looked up once. */
bool fp_process_preloaded(struct fp_process *process, dev_t device, ino_t inode);

/* Closes the pidfds of all that no call uses now. */
void fp_process_trim(void);

#endif
