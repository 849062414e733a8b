/* SPDX-License-Identifier: MIT */
/*
 * The process that a call is made for. Under the preloaded library it is this process. In a supervisor it is another
 * one, and the supervisor has a duplicate of its socket.
 */
#ifndef FREEPORT_SHIM_CALLER_H
#define FREEPORT_SHIM_CALLER_H

#include "usage.h"

#include <stdbool.h>
#include <sys/types.h>

struct fp_guest;

/* A descriptor with the identity that it had when it was noted, since programs close descriptors and reuse numbers. */
struct fp_stream {
    dev_t device;
    ino_t inode;
};

/* False if the descriptor is closed; *stream is not changed then. */
bool fp_stream_note(struct fp_stream *stream, int fd);

struct fp_caller {
    struct fp_guest *guest;
    fp_owner owner;                         /* 0: this process */
    pid_t pid;                              /* 0: this process */
    bool preloaded;                         /* another process, in which a shim works as well and notes its binds */
    int process;                            /* its pidfd; -1: this process */
    const struct fp_stream *standard_error; /* its identity when the caller was started */
    struct fp_usage *usage;                 /* the ports that it has used by their own number; NULL: not kept */
};

/* This process. */
extern const struct fp_caller fp_own_caller;

/* The caller's descriptor with that number, or a duplicate of it; -1 without one. To be given back. */
int fp_caller_descriptor(const struct fp_caller *caller, int number);
void fp_caller_give_back(const struct fp_caller *caller, int fd);

#endif
