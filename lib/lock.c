/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include "clock.h"
#include "owner.h"

#include <time.h>

/* How long to wait for a live holder, and the pauses between two looks at the lock. */
enum { WAIT_MS = 250, SHORTEST_PAUSE_NS = 20000, LONGEST_PAUSE_NS = 1000000 };

void fp_lock_prepare(struct fp_segment *segment) {
    atomic_store_explicit(&segment->lock.state, FP_LOCK_READY, memory_order_release);
}

static bool take_from(struct fp_lock_word *lock, fp_owner holder, fp_owner self) {
    return atomic_compare_exchange_strong_explicit(&lock->holder, &holder, self, memory_order_acquire,
                                                   memory_order_relaxed);
}

/*
 * Waits until the lock is free or its holder is dead. A holder that keeps it for the whole wait is stopped, or in
 * another pid namespace; the lock is taken from it. A dead holder leaves nothing to repair: each of its stores is valid
 * by itself (layout.h), and an entry that it had claimed has a dead owner.
 */
static bool wait_for(struct fp_lock_word *lock, fp_owner self) {
    struct timespec pause = {.tv_nsec = SHORTEST_PAUSE_NS};
    int64_t until = fp_now_ns() + WAIT_MS * INT64_C(1000000);
    fp_owner first = atomic_load_explicit(&lock->holder, memory_order_relaxed);
    for (;;) {
        fp_owner holder = atomic_load_explicit(&lock->holder, memory_order_relaxed);
        if (fp_owner_gone_quick(holder) && take_from(lock, holder, self))
            return true;
        if (fp_now_ns() >= until)
            return holder == first && take_from(lock, holder, self);
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < LONGEST_PAUSE_NS)
            pause.tv_nsec *= 2;
    }
}

void fp_lock_alone(struct fp_segment *segment, struct fp_locked *locked) {
    struct fp_lock_word *lock = &segment->lock;
    locked->lock = NULL;
    if (atomic_load_explicit(&lock->state, memory_order_acquire) != FP_LOCK_READY)
        return;
    locked->holder = fp_owner_self();
    if (take_from(lock, 0, locked->holder) || wait_for(lock, locked->holder))
        locked->lock = lock;
}

void fp_unlock_alone(struct fp_locked *locked) {
    /* If the lock was taken from this process meanwhile, its new holder releases it. */
    fp_owner holder = locked->holder;
    if (locked->lock)
        atomic_compare_exchange_strong_explicit(&locked->lock->holder, &holder, 0, memory_order_release,
                                                memory_order_relaxed);
}

void fp_lock(struct fp_segment *segment, struct fp_locked *locked) {
    fp_alone_begin(&locked->alone);
    fp_lock_alone(segment, locked);
}

void fp_unlock(struct fp_locked *locked) {
    fp_unlock_alone(locked);
    fp_alone_end(&locked->alone);
}
