/* SPDX-License-Identifier: MIT */
/*
 * The calls as they are behind this library: libc's, or those of the next preloaded library. Resolved once, in the
 * constructor, and by whichever hook comes first where another library's constructor calls one of them earlier.
 */
#ifndef FREEPORT_SHIM_PRELOAD_REAL_H
#define FREEPORT_SHIM_PRELOAD_REAL_H

#include "compat.h"
#include "guest.h"
#include "rewrite.h"

#include <errno.h>
#include <time.h>

#define FP_HOOK __attribute__((visibility("default")))

struct fp_real {
    struct fp_calls calls; /* bind and getsockname, for the allocator */
    int (*listen)(int fd, int backlog);
    int (*connect)(int fd, const struct sockaddr *address, socklen_t length);
    int (*getpeername)(int fd, struct sockaddr *address, socklen_t *length);
    int (*accept)(int fd, struct sockaddr *address, socklen_t *length);
    int (*accept4)(int fd, struct sockaddr *address, socklen_t *length, int flags);
    ssize_t (*sendto)(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    int (*sendmmsg)(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags);
    ssize_t (*recvfrom)(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *length);
    ssize_t (*recvfrom_chk)(int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *from,
                            socklen_t *length);
    ssize_t (*recvmsg)(int fd, struct msghdr *message, int flags);
    int (*recvmmsg)(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags, struct timespec *timeout);
};

/* Written once, before fp_guest.phase leaves FP_PHASE_UNSTARTED, and the same values whoever writes them. */
extern struct fp_real fp_real;
extern long (*fp_real_syscall)(long number, ...); /* by itself: syscall.c reaches it from assembly */

void fp_real_start(void);

/*
 * syscall(2) alone, and nothing of the rest: jemalloc makes its first calls through it with its own lock held, and to
 * start the guest from there, which allocates, would wait for that lock for ever.
 */
void fp_real_resolve_syscall(void);

/* First in every hook: whether managed binds may exist in this process. */
static inline bool fp_hook_awake(void) {
    enum fp_phase phase = fp_guest_phase();
    if (__builtin_expect(phase == FP_PHASE_UNSTARTED, 0)) {
        fp_real_start();
        phase = fp_guest_phase();
    }
    return phase >= FP_PHASE_REFUSING;
}

/* The same in those that bring names back. */
static inline bool fp_hook_renames(void) {
    return fp_hook_awake() && fp_guest.renames;
}

/* A hook's result from a rewrite's: 0 with errno as it was, or -1 with errno set. */
static inline int fp_hook_result(int error, int saved_errno) {
    errno = error < 0 ? -error : saved_errno;
    return error < 0 ? -1 : 0;
}

/* How many messages sendmmsg takes at once (UIO_MAXIOV): it looks at no more of them. */
enum { FP_MOST_MESSAGES = 1024 };

/* The length that a caller gave room for, before the kernel overwrites it. */
static inline socklen_t fp_hook_room(const void *address, const socklen_t *length) {
    return address && fp_readable(length) ? *length : 0;
}

#endif
