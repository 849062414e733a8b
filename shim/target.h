/* SPDX-License-Identifier: MIT */
/*
 * Tells whether a shim can work in a file that is about to be executed. Reads the file as the kernel would, with a few
 * small reads and no memory but the stack. Used before exec, also in vfork children.
 */
#ifndef FREEPORT_SHIM_TARGET_H
#define FREEPORT_SHIM_TARGET_H

#include <stdbool.h>
#include <stdint.h>

enum fp_target_kind {
    FP_TARGET_UNKNOWN, /* it can't be read, or the kernel would not execute it */
    FP_TARGET_DYNAMIC, /* a dynamic loader starts it, which loads LD_PRELOAD */
    FP_TARGET_STATIC,  /* it has no loader, so nothing is preloaded */
    FP_TARGET_GO,      /* it makes its system calls itself */
};

/* For a script, of its interpreter. The members behind `kind` are set for programs only. */
struct fp_target {
    enum fp_target_kind kind;
    unsigned char elf_class; /* ELFCLASS32 or ELFCLASS64 */
    uint16_t machine;        /* EM_... */
    bool musl;               /* its loader is musl's */
};

/* Keeps no descriptor; may change errno. */
struct fp_target fp_target_look(const char *path);

/*
 * True if a shim works in it, or if nothing is known about it. `preload`: the LD_PRELOAD that it gets, or NULL. With
 * $PLATFORM in it, the loader of a program of the other word size finds that size's shim.
 */
bool fp_target_covered(const struct fp_target *target, const char *preload);

#endif
