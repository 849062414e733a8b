/* SPDX-License-Identifier: MIT */
/*
 * Tells whether memory that the program passes in can be read. If not, the call goes to the kernel, which answers
 * EFAULT: the shim must not end the program.
 */
#ifndef FREEPORT_SHIM_MAPPED_H
#define FREEPORT_SHIM_MAPPED_H

#include "rewrite.h"

#include <stddef.h>

enum { FP_PAGE = 4096, FP_CALLERS_STACK = 16 * 1024 };

/* Asks by system calls whether both ends can be read; then all of it can, if `size` is a page at most. Keeps errno. */
bool fp_mapped_somewhere(const void *memory, size_t size);

/* Mostly the memory is a variable of the program a little farther up the stack: that needs no system call. */
static inline bool fp_mapped(const void *memory, size_t size) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return (uintptr_t)memory - here < FP_CALLERS_STACK || (fp_readable(memory) && fp_mapped_somewhere(memory, size));
}

#endif
