/* SPDX-License-Identifier: MIT */
/*
 * A look at a file that is about to be executed: whether this shim, preloaded, works in it. The kernel decides what a
 * file is; this follows it, with a few small reads and no memory but the stack. Used before exec, in vfork children
 * too.
 */
#ifndef FREEPORT_SHIM_TARGET_H
#define FREEPORT_SHIM_TARGET_H

enum fp_target {
    FP_TARGET_UNKNOWN, /* it can't be read, or is nothing that the kernel executes: the kernel answers */
    FP_TARGET_COVERED, /* the preload works in it */
    FP_TARGET_STATIC,  /* no dynamic loader, so nothing is preloaded */
    FP_TARGET_GO,      /* it makes its system calls itself */
    FP_TARGET_FOREIGN, /* of another word size, processor or C library than this shim */
};

/* A script counts as its interpreter. Keeps no descriptor; may change errno. */
enum fp_target fp_target_look(const char *path);

/* The same for an open file. */
enum fp_target fp_target_look_at(int fd);

#endif
