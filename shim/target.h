/* SPDX-License-Identifier: MIT */
/*
 * What a file is that is about to be executed: whether a shim can work in it. The kernel decides what it executes; this
 * follows it, with a few small reads and no memory but the stack. Used before exec, in vfork children too.
 */
#ifndef FREEPORT_SHIM_TARGET_H
#define FREEPORT_SHIM_TARGET_H

#include <stdbool.h>
#include <stdint.h>

enum fp_target_kind {
    FP_TARGET_UNKNOWN, /* it can't be read, or is nothing that the kernel executes: the kernel answers */
    FP_TARGET_DYNAMIC, /* a dynamic loader starts it, which preloads */
    FP_TARGET_STATIC,  /* no loader, so nothing is preloaded */
    FP_TARGET_GO,      /* it makes its system calls itself */
};

/* A script is what its interpreter is. The rest is set for a program alone. */
struct fp_target {
    enum fp_target_kind kind;
    unsigned char elf_class; /* ELFCLASS32 or ELFCLASS64 */
    uint16_t machine;        /* EM_... */
    bool musl;               /* its loader is musl's */
};

/* Keeps no descriptor; may change errno. */
struct fp_target fp_target_look(const char *path);

/*
 * True if a shim works in it, or nothing is known about it. `preload`: the LD_PRELOAD that it gets, or NULL; one with
 * $PLATFORM in it leads programs of the other word size to a shim of theirs.
 */
bool fp_target_covered(const struct fp_target *target, const char *preload);

#endif
