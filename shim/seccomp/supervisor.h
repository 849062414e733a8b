/* SPDX-License-Identifier: MIT */
/*
 * The supervisor of programs that never call libc: a process that all of them descend from. It receives the filter's
 * notifications, makes the session's calls on duplicates of the programs' sockets, and lets the kernel make the others.
 *
 * One thread at a time receives notifications. Before a call that may block, it lets another thread receive. Threads
 * are started as they are needed, up to a bound. The number of kept descriptors is bounded, too.
 */
#ifndef FREEPORT_SHIM_SECCOMP_SUPERVISOR_H
#define FREEPORT_SHIM_SECCOMP_SUPERVISOR_H

#include "guest.h"
#include "protocol.h"

#include <stdint.h>

struct fp_supervisor;

/* A descriptor that the supervisor waits for. `ready` runs in one thread at a time. */
struct fp_source {
    int fd;
    void (*ready)(struct fp_source *source, uint32_t events);
    struct fp_supervisor *supervisor; /* filled in by fp_supervisor_watch() */
};

/* To be called before the supervisor process is forked. NULL, with errno, on failure. */
struct fp_supervisor *fp_supervisor_new(struct fp_guest *guest);

/* The name of the socket that launchers connect to: FREEPORT_SUPERVISOR. */
const char *fp_supervisor_name(const struct fp_supervisor *supervisor);

/*
 * To be called in the supervisor process: opens the socket, and raises the limit on descriptors. 0 or a negative errno.
 * Nothing is served yet; launchers that connect from here on wait.
 */
int fp_supervisor_open(struct fp_supervisor *supervisor);

int fp_supervisor_watch(struct fp_supervisor *supervisor, struct fp_source *source);
void fp_supervisor_forget(struct fp_supervisor *supervisor, struct fp_source *source);

/* Serves, until a source ends the process. All signals are blocked. */
__attribute__((noreturn)) void fp_supervisor_serve(struct fp_supervisor *supervisor);

#endif
