/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

/* ThreadSanitizer sees no lock in pthread_mutex_clocklock(), and wonders at the unlock. */
#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__GLIBC__) && !defined(__SANITIZE_THREAD__) && !HAS_FEATURE(thread_sanitizer)
#if __GLIBC_PREREQ(2, 30)
#define HAS_CLOCKLOCK
#endif
#endif

enum { AREA_UNSET, AREA_IN_WORK, AREA_READY };

enum { WAIT_MS = 250, WAIT_STUCK_MS = 1 };

static_assert(sizeof(pthread_mutex_t) <= FP_LOCK_BYTES, "the mutex has to fit into its area");

static struct fp_lock_area *own_area(struct fp_segment *segment) {
    unsigned kind = sizeof(void *) == 8 ? 0 : 1;
#ifndef __GLIBC__
    kind += 2;
#endif
    return &segment->locks[kind];
}

static pthread_mutex_t *mutex_of(struct fp_lock_area *area) {
    return (pthread_mutex_t *)(void *)area->mutex;
}

void fp_lock_prepare(struct fp_segment *segment) {
    struct fp_lock_area *area = own_area(segment);
    uint32_t unset = AREA_UNSET;
    if (!atomic_compare_exchange_strong(&area->state, &unset, AREA_IN_WORK))
        return; /* one that died here leaves AREA_IN_WORK, and its kind of process works without the lock */
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    /* A holder that comes again (a raw clone child that shares its parent's thread) is told, and goes on without. */
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    int error = pthread_mutex_init(mutex_of(area), &attributes);
    pthread_mutexattr_destroy(&attributes);
    if (error == 0)
        atomic_store_explicit(&area->state, AREA_READY, memory_order_release);
}

/* glibc ends the process over some kinds that fp_lock_prepare() never makes, should a stray write have left one. */
static bool kind_is_ours(const pthread_mutex_t *mutex) {
#ifdef __GLIBC__
    enum { ROBUST = 16, SHARED = 128 }; /* the format of __kind, which is part of the ABI */
    return mutex->__data.__kind == (PTHREAD_MUTEX_ERRORCHECK | ROBUST | SHARED);
#else
    return mutex != NULL;
#endif
}

static int wait_for(struct fp_lock_area *area) {
    pthread_mutex_t *mutex = mutex_of(area);
    if (!kind_is_ours(mutex))
        return EINVAL;
    int error = pthread_mutex_trylock(mutex);
    if (error != EBUSY)
        return error;
    long ms = atomic_load_explicit(&area->stuck, memory_order_relaxed) ? WAIT_STUCK_MS : WAIT_MS;
    struct timespec until;
#ifdef HAS_CLOCKLOCK
    clockid_t clock = CLOCK_MONOTONIC;
#else
    clockid_t clock = CLOCK_REALTIME;
#endif
    clock_gettime(clock, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
#ifdef HAS_CLOCKLOCK
    error = pthread_mutex_clocklock(mutex, clock, &until);
#else
    error = pthread_mutex_timedlock(mutex, &until);
#endif
    if (error == ETIMEDOUT)
        atomic_store_explicit(&area->stuck, 1, memory_order_relaxed);
    return error;
}

void fp_lock(struct fp_segment *segment, struct fp_locked *locked) {
    sigset_t all;
    sigfillset(&all);
    locked->cancel = fp_cancel_off();
    pthread_sigmask(SIG_SETMASK, &all, &locked->signals);

    struct fp_lock_area *area = own_area(segment);
    locked->area = NULL;
    if (atomic_load_explicit(&area->state, memory_order_acquire) == AREA_UNSET)
        fp_lock_prepare(segment);
    if (atomic_load_explicit(&area->state, memory_order_acquire) != AREA_READY)
        return;
    int error = wait_for(area);
    if (error == EOWNERDEAD) {
        /*
         * The holder died in the middle of something. There is nothing to repair: each store that it made is valid by
         * itself (layout.h), and an entry that it had claimed names an owner that is gone.
         */
        error = pthread_mutex_consistent(mutex_of(area));
    }
    if (error == 0) {
        locked->area = area;
        if (atomic_load_explicit(&area->stuck, memory_order_relaxed))
            atomic_store_explicit(&area->stuck, 0, memory_order_relaxed);
    }
}

void fp_unlock(struct fp_locked *locked) {
    if (locked->area)
        pthread_mutex_unlock(mutex_of(locked->area));
    pthread_sigmask(SIG_SETMASK, &locked->signals, NULL);
    fp_cancel_restore(locked->cancel);
}
