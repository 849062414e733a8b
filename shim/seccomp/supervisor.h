/* SPDX-License-Identifier: MIT */
/*
 * The supervisor of a session's programs that never call libc: a process that all of them descend from. It takes what
 * the filter notifies, does what is the session's on the program's own socket, and lets the kernel go on with the rest.
 *
 * One thread at a time receives. A call that may take a while hands that over to another thread before it begins.
 * Threads are made when they are needed, up to a bound; so are the descriptors that are kept.
 */
#ifndef FREEPORT_SHIM_SECCOMP_SUPERVISOR_H
#define FREEPORT_SHIM_SECCOMP_SUPERVISOR_H

#include "guest.h"
#include "protocol.h"

#include <stdint.h>

struct fp_supervisor;

/* Something that is waited for beside the programs. `ready` runs in one thread at a time. */
struct fp_source {
    int fd;
    void (*ready)(struct fp_source *source, uint32_t events);
    struct fp_supervisor *supervisor; /* filled in by fp_supervisor_watch() */
};

/* Made before the process whose descendants are to be served. NULL, with errno, where it can't be. */
struct fp_supervisor *fp_supervisor_new(struct fp_guest *guest);

/* The name of the socket that launchers connect to: FREEPORT_SUPERVISOR. */
const char *fp_supervisor_name(const struct fp_supervisor *supervisor);

/*
 * To be called in the process that is to serve: opens the socket, and raises the limit on descriptors. 0 or a negative
 * errno. Nothing is served yet; launchers that connect from here on wait.
 */
int fp_supervisor_open(struct fp_supervisor *supervisor);

int fp_supervisor_watch(struct fp_supervisor *supervisor, struct fp_source *source);
void fp_supervisor_forget(struct fp_supervisor *supervisor, struct fp_source *source);

/* Serves, until a source ends the process. All signals are blocked. */
__attribute__((noreturn)) void fp_supervisor_serve(struct fp_supervisor *supervisor);

#endif
