/* SPDX-License-Identifier: MIT */
/*
 * bind(2) is no cancellation point, and the work around it must not become one: a thread that ended between claim and
 * bind would leave a claim of a live process behind.
 *
 * If a signal handler leaves a call by siglongjmp(), a setting that the call has changed stays changed. So cancellation
 * is disabled only while signals are blocked. Elsewhere only the thread's cancel type is changed to deferred, which
 * does little harm if it stays, and the functions below replace libc's, which are cancellation points.
 */
#ifndef FREEPORT_LIB_UNCANCELLED_H
#define FREEPORT_LIB_UNCANCELLED_H

#include "compat.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A thread's cancel state and type. */
struct fp_cancel {
    int state, type;
};

/*
 * Changes the type as well: a cancellation that read the state before it changed sends its signal afterwards, and
 * glibc's handler for that looks at the type alone.
 */
static inline struct fp_cancel fp_cancel_off(void) {
    struct fp_cancel was = {PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DEFERRED};
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was.state);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &was.type);
    return was;
}

static inline void fp_cancel_restore(struct fp_cancel was) {
    int ignored;
    pthread_setcanceltype(was.type, &ignored);
    pthread_setcancelstate(was.state, &ignored);
}

/* Defers a cancellation of this thread to the next cancellation point. There is none before fp_cancel_as_before(). */
static inline int fp_cancel_later(void) {
    int was = PTHREAD_CANCEL_DEFERRED;
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &was);
    return was;
}

static inline void fp_cancel_as_before(int was) {
    int ignored;
    if (was != PTHREAD_CANCEL_DEFERRED)
        pthread_setcanceltype(was, &ignored);
}

/* The thread's settings from before fp_alone_begin(), which blocks signals and cancellation. */
struct fp_alone {
    sigset_t signals; /* the thread's mask before */
    struct fp_cancel cancel;
};

static inline void fp_alone_begin(struct fp_alone *alone) {
    sigset_t all;
    sigfillset(&all);
    fp_signal_mask(SIG_SETMASK, &all, &alone->signals);
    alone->cancel = fp_cancel_off();
}

static inline void fp_alone_end(const struct fp_alone *alone) {
    fp_cancel_restore(alone->cancel);
    fp_signal_mask(SIG_SETMASK, &alone->signals, NULL);
}

/* libc's functions without a cancellation point. */

static inline int fp_open(const char *path, int flags, unsigned mode) {
    return (int)syscall(SYS_openat, (long)AT_FDCWD, path, (long)(flags | O_LARGEFILE), (long)mode);
}

static inline ssize_t fp_read(int fd, void *bytes, size_t size) {
    return syscall(SYS_read, (long)fd, bytes, size);
}

static inline ssize_t fp_write(int fd, const void *bytes, size_t size) {
    return syscall(SYS_write, (long)fd, bytes, size);
}

static inline void fp_close(int fd) {
    syscall(SYS_close, (long)fd);
}

/* `timeout_ms` must not be negative. With count 0 it is a pause. */
static inline int fp_poll(struct pollfd *descriptors, unsigned count, int timeout_ms) {
#ifdef SYS_poll
    return (int)syscall(SYS_poll, descriptors, (long)count, (long)timeout_ms);
#elif defined(SYS_ppoll)
    long time[2] = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    return (int)syscall(SYS_ppoll, descriptors, (long)count, time, NULL, 8L);
#else
    int64_t time[2] = {timeout_ms / 1000, timeout_ms % 1000 * INT64_C(1000000)};
    return (int)syscall(SYS_ppoll_time64, descriptors, (long)count, time, NULL, 8L);
#endif
}

/* Takes one of these signals if it is pending: its number, or -1. */
static inline int fp_take_signal(const sigset_t *signals) {
    static const int64_t none[2] = {0, 0}; /* a zero timespec of either size */
#ifdef SYS_rt_sigtimedwait
    return (int)syscall(SYS_rt_sigtimedwait, signals, NULL, none, 8L);
#else
    return (int)syscall(SYS_rt_sigtimedwait_time64, signals, NULL, none, 8L);
#endif
}

#endif
