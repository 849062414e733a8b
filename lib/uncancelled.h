/* SPDX-License-Identifier: MIT */
/*
 * bind(2) is no cancellation point, and what is done around it must not become one: a thread that ended between a claim
 * and its bind would leave the claim behind, in the name of a process that is there.
 *
 * A signal handler may leave a call by siglongjmp(), and what the call has switched stays switched. So cancellation is
 * switched off only where signals are blocked. Elsewhere the functions below stand for libc's, which are cancellation
 * points, and the thread's type alone is changed: a thread that is left with a deferred cancellation ends a little
 * later.
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
 * The type, too: a cancellation that saw the state before it changed sends its signal after, and glibc's handler for it
 * asks for the type alone.
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

/* A cancellation of this thread waits for a cancellation point, of which there is none until fp_cancel_as_before(). */
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

/* No signal handler runs in this thread, and it can't be cancelled. */
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

/* As libc's functions, and no cancellation points. */

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

/* `timeout_ms` is bounded. With no descriptor, a pause. */
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

/* One of these signals that is pending, taken: its number; or -1. */
static inline int fp_take_signal(const sigset_t *signals) {
    static const int64_t none[2] = {0, 0}; /* a timespec of no length, whatever its size */
#ifdef SYS_rt_sigtimedwait
    return (int)syscall(SYS_rt_sigtimedwait, signals, NULL, none, 8L);
#else
    return (int)syscall(SYS_rt_sigtimedwait_time64, signals, NULL, none, 8L);
#endif
}

#endif
