/* SPDX-License-Identifier: MIT */
/*
 * Who owns an entry: process id (22 bits), a hash of its pid namespace (10 bits) and its start time in clock ticks
 * (32 bits, cut off), in one word. A process id alone comes back; with its start time it does not.
 *
 * Where there is no /proc the start time is 0, and the process id has to do.
 */
#ifndef FREEPORT_LIB_OWNER_H
#define FREEPORT_LIB_OWNER_H

#include "layout.h"

#include <stdbool.h>
#include <sys/types.h>

/* The calling process, without a system call after the first time. A fork child finds out anew. */
fp_owner fp_owner_self(void);

/* Another process; 0 where there is none of that id. */
fp_owner fp_owner_of(pid_t pid);

static inline pid_t fp_owner_pid(fp_owner owner) {
    return (pid_t)(owner & 0x3fffff);
}

/*
 * Whether the owner is gone, as far as one kill(2) of signal 0 tells: a process id that came back counts as there, and
 * so does a process of another pid namespace. Nobody (0) is gone. Takes well under a microsecond: may be called under
 * the lock.
 */
bool fp_owner_gone_quick(fp_owner owner);

/* The same with the start time looked up in /proc. Not under the lock. */
bool fp_owner_gone(fp_owner owner);

#endif
