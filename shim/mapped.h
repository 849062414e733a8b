/* SPDX-License-Identifier: MIT */
/*
 * Whether memory that a caller hands in can be read. For what can't, EFAULT is the kernel's to say, and no reason to
 * end the program.
 */
#ifndef FREEPORT_SHIM_MAPPED_H
#define FREEPORT_SHIM_MAPPED_H

#include "rewrite.h"

#include <stddef.h>

enum { FP_PAGE = 4096, FP_CALLERS_STACK = 16 * 1024 };

/* By system calls: whether both ends can be read, and so all of it where `size` is a page at most. Keeps errno. */
bool fp_mapped_somewhere(const void *memory, size_t size);

/* Most often it is a variable of the caller's, a little farther up the stack: that needs no system call. */
static inline bool fp_mapped(const void *memory, size_t size) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return (uintptr_t)memory - here < FP_CALLERS_STACK || (fp_readable(memory) && fp_mapped_somewhere(memory, size));
}

#endif
