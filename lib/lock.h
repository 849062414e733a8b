/* SPDX-License-Identifier: MIT */
/*
 * The lock that puts all processes of a segment in sequence: a word that names its holder. From a dead holder it is
 * taken at once, from a live one that keeps it after 250 ms.
 *
 * No step on the table relies on it: see layout.h. Its content is not trusted: a wrong word costs that wait, and
 * nothing else.
 */
#ifndef FREEPORT_LIB_LOCK_H
#define FREEPORT_LIB_LOCK_H

#include "layout.h"
#include "uncancelled.h"

#include <stdbool.h>

struct fp_locked {
    struct fp_lock_word *lock; /* NULL: this process goes on without the lock */
    fp_owner holder;           /* this process */
    struct fp_alone alone;     /* what the thread was before */
};

/* Sets the lock up in a fresh segment. */
void fp_lock_prepare(struct fp_segment *segment);

/*
 * From here to fp_unlock(), no signal handler runs in this thread and it can't be cancelled, lock or no lock. Memory
 * operations and kill(2) of signal 0 alone may stand between the two.
 */
void fp_lock(struct fp_segment *segment, struct fp_locked *locked);
void fp_unlock(struct fp_locked *locked);

/* The same where the thread is between fp_alone_begin() and fp_alone_end() already: no system call. */
void fp_lock_alone(struct fp_segment *segment, struct fp_locked *locked);
void fp_unlock_alone(struct fp_locked *locked);

#endif
