/* SPDX-License-Identifier: MIT */
/*
 * The lock that puts all processes of a segment in sequence: a word that says who holds it. A holder that is dead is
 * followed at once, by whoever looks next; one that does not give it back, after a quarter of a second.
 *
 * It is a courtesy, not a guarantee: see layout.h. Nothing in it is followed or trusted, so whatever stands there, the
 * worst that comes of it is that wait.
 */
#ifndef FREEPORT_LIB_LOCK_H
#define FREEPORT_LIB_LOCK_H

#include "layout.h"
#include "uncancelled.h"

#include <stdbool.h>

struct fp_locked {
    struct fp_lock_word *lock; /* NULL: went on without */
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

#endif
