/* SPDX-License-Identifier: MIT */
/*
 * The lock that puts all processes of a segment in sequence: a robust process-shared mutex, one for each kind of
 * pthread_mutex_t there is (they differ between word sizes and C libraries), in an area of the segment each.
 *
 * It is a courtesy, not a guarantee: whoever can't have it within a quarter of a second goes on without. See layout.h.
 */
#ifndef FREEPORT_LIB_LOCK_H
#define FREEPORT_LIB_LOCK_H

#include "layout.h"
#include "uncancelled.h"

#include <signal.h>
#include <stdbool.h>

struct fp_locked {
    struct fp_lock_area *area; /* NULL: went on without */
    sigset_t signals;          /* the thread's mask before */
    struct fp_cancel cancel;   /* its cancel state and type before */
};

/* Sets up this process's kind of lock in a fresh segment. Where another kind of process made it, fp_lock() does. */
void fp_lock_prepare(struct fp_segment *segment);

/*
 * From here to fp_unlock(), no signal handler runs in this thread and it can't be cancelled, lock or no lock. Memory
 * operations and kill(2) of signal 0 alone may stand between the two.
 */
void fp_lock(struct fp_segment *segment, struct fp_locked *locked);
void fp_unlock(struct fp_locked *locked);

#endif
