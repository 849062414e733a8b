/* SPDX-License-Identifier: MIT */
/*
 * The threads and processes that the supervisor serves: a descriptor (pidfd) for each, and who it is in the table. A
 * bounded number of them is kept. A descriptor never stands for another process that got the same id: of one that has
 * ended, the kernel says ESRCH, and it is looked up anew.
 */
#ifndef FREEPORT_SHIM_SECCOMP_PROCESS_H
#define FREEPORT_SHIM_SECCOMP_PROCESS_H

#include "owner.h"
#include "supervisor.h"
#include "usage.h"

#include <stdbool.h>
#include <sys/types.h>

struct fp_process {
    struct fp_source ended; /* of one that is kept: its pidfd */
    fp_owner owner;
    pid_t thread; /* 0: none */
    pid_t pid;    /* the process that the thread is of */
    int pidfd;
    unsigned used;         /* by how many calls at the moment */
    signed char preloaded; /* 0: not looked at; else 1, or -1 for no */
    bool whole;            /* pidfd is the process's, not the thread's: the kernel knows no other (before 6.9) */
    bool fresh;            /* it was looked up for this call */
    bool over;             /* it has ended */
    bool kept;             /* in the table of those that are kept */
};

/* From here on, what is kept of a process goes when the process ends. Called once. */
void fp_process_watch(struct fp_supervisor *supervisor);

/* Looks a thread up; NULL where it has ended, or, with errno EMFILE or ENFILE, where no descriptor is left. */
struct fp_process *fp_process_get(pid_t thread);
void fp_process_put(struct fp_process *process);

/* What fp_process_get() keeps of a thread is out of date. */
void fp_process_forget(struct fp_process *process);

/*
 * A descriptor of the program's as one of the supervisor's own, to be closed; or a negative errno: -EBADF, -ESRCH,
 * -EPERM, -EMFILE, -ENFILE.
 */
int fp_process_descriptor(const struct fp_process *process, int number);

/*
 * Which ports the process has used by their own number; NULL where there is no memory. Of a bounded number of
 * processes: one that is forgotten, or has just been forked, sees the sentinels again.
 */
struct fp_usage *fp_process_usage(const struct fp_process *process);

/* Whether the process has the segment mapped: a shim works in it, too. Looked at once. */
bool fp_process_preloaded(struct fp_process *process, dev_t device, ino_t inode);

/* Closes the descriptors of all that no call uses at the moment. */
void fp_process_trim(void);

#endif
