/* SPDX-License-Identifier: MIT */
/*
 * The calls as they are behind this library: libc's, or those of the next preloaded library. Resolved once, in the
 * constructor, and by whichever hook comes first where another library's constructor calls one of them earlier.
 */
#ifndef FREEPORT_SHIM_PRELOAD_REAL_H
#define FREEPORT_SHIM_PRELOAD_REAL_H

#include "guest.h"

#define FP_HOOK __attribute__((visibility("default")))

struct fp_real {
    struct fp_calls calls; /* bind and getsockname, for the allocator */
    int (*listen)(int fd, int backlog);
    long (*syscall)(long number, ...);
};

/* Written once, before fp_guest.phase leaves FP_PHASE_UNSTARTED, and the same values whoever writes them. */
extern struct fp_real fp_real;

void fp_real_start(void);

/*
 * syscall(2) alone, and nothing of the rest: jemalloc makes its first calls through it with its own lock held, and to
 * start the guest from there, which allocates, would wait for that lock for ever.
 */
void fp_real_resolve_syscall(void);

/* First in every hook: whether this process has anything managed. */
static inline bool fp_hook_awake(void) {
    if (__builtin_expect(fp_guest_phase() == FP_PHASE_UNSTARTED, 0))
        fp_real_start();
    return fp_guest_awake();
}

/* A hook's result from a rewrite's: 0 with errno as it was, or -1 with errno set. */
int fp_hook_result(int error, int saved_errno);

#endif
