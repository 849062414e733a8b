/* SPDX-License-Identifier: MIT */
/*
 * Who owns an entry: process id (22 bits), a hash of its pid namespace (10 bits) and its start time in clock ticks
 * (32 bits, cut off), in one word. A process id is used again for another process; with the start time the two differ.
 *
 * Without /proc the start time is 0, and the process id alone names the owner.
 */
#ifndef FREEPORT_LIB_OWNER_H
#define FREEPORT_LIB_OWNER_H

#include "layout.h"

#include <stdbool.h>
#include <sys/types.h>

/* The calling process. Takes a system call only at the first time, and at the first time in a forked child. */
fp_owner fp_owner_self(void);

/* Another process; 0 where there is none of that id. */
fp_owner fp_owner_of(pid_t pid);

static inline pid_t fp_owner_pid(fp_owner owner) {
    return (pid_t)(owner & 0x3fffff);
}

/*
 * True if the owner is dead, as far as one kill(2) of signal 0 tells. An owner whose process id was used again counts
 * as alive, and so does one of another pid namespace. Owner 0 is dead. Takes well under a microsecond: may be called
 * under the lock.
 */
bool fp_owner_gone_quick(fp_owner owner);

/* The same with the start time looked up in /proc. Not under the lock. */
bool fp_owner_gone(fp_owner owner);

#endif
