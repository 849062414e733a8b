/* SPDX-License-Identifier: MIT */
/*
 * For whom a call is made: for this process itself, under the preloaded library; or, in a supervisor, for another
 * process, whose socket the supervisor has a duplicate of.
 */
#ifndef FREEPORT_SHIM_CALLER_H
#define FREEPORT_SHIM_CALLER_H

#include "usage.h"

#include <stdbool.h>
#include <sys/types.h>

struct fp_guest;

/* What a descriptor was when it was looked at: programs close descriptors and reuse their numbers. */
struct fp_stream {
    dev_t device;
    ino_t inode;
};

/* False, and *stream as it was, where the descriptor is closed. */
bool fp_stream_note(struct fp_stream *stream, int fd);

struct fp_caller {
    struct fp_guest *guest;
    fp_owner owner;                         /* 0: this process */
    pid_t pid;                              /* 0: this process */
    bool preloaded;                         /* another process, with a shim of its own, which notes what it binds */
    int process;                            /* its pidfd; -1: this process */
    const struct fp_stream *standard_error; /* as it was when the caller was started */
    struct fp_usage *usage;                 /* which ports it has used by their number; NULL: not kept */
};

/* This process. */
extern const struct fp_caller fp_own_caller;

/* The caller's descriptor of a number, or a duplicate of it; -1 where there is none. To be given back. */
int fp_caller_descriptor(const struct fp_caller *caller, int number);
void fp_caller_give_back(const struct fp_caller *caller, int fd);

#endif
