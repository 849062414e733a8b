/* SPDX-License-Identifier: MIT */
/*
 * What differs between the C libraries that this is built with: glibc from 2.28 on, and musl.
 */
#ifndef FREEPORT_LIB_COMPAT_H
#define FREEPORT_LIB_COMPAT_H

#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * pthread_sigmask(), which takes libpthread.so before glibc 2.32: sigprocmask() is the same call for the calling thread
 * in glibc and in musl. The arguments are always valid.
 */
static inline void fp_signal_mask(int how, const sigset_t *set, sigset_t *before) {
    sigprocmask(how, set, before);
}

/* Whether 64-bit atomics need no lock. ATOMIC_LLONG_LOCK_FREE is 1 to clang on i386, where the code is inline. */
#define FP_ATOMIC_64_LOCK_FREE __atomic_always_lock_free(8, 0)

/* Kernel headers before 5.6 and 5.3 do not know them; their numbers are the same for all processors but alpha. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* musl does not have it in its headers. */
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

/* The flags of sendmmsg() and recvmmsg(): unsigned in musl. */
#ifdef __GLIBC__
typedef int fp_mmsg_flags;
#else
typedef unsigned fp_mmsg_flags;
#endif

/* pwritev2() with RWF_NOWAIT at the file's own offset; musl has no such function before 1.2.5. */
static inline ssize_t fp_write_nowait(int fd, const struct iovec *part) {
    return syscall(SYS_pwritev2, (long)fd, part, 1L, -1L, -1L, (long)RWF_NOWAIT);
}

#endif
