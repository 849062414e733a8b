/* SPDX-License-Identifier: MIT */
/*
 * The messages between the launcher and a session's supervisor, over a SOCK_SEQPACKET socket. Its abstract name is in
 * FREEPORT_SUPERVISOR. Both programs are of one build.
 *
 *   launcher                      supervisor
 *   connect                  ->
 *                                 may it look into the launcher?
 *                            <-   struct fp_hello
 *   installs the filter
 *   struct fp_request        ->
 *                                 takes the listener out of the launcher (pidfd_getfd)
 *                            <-   int32_t: 0, or a negative errno
 *   executes the program
 *
 * No descriptor is sent: sendmsg(2) is a call that the filter notifies.
 */
#ifndef FREEPORT_SHIM_SECCOMP_PROTOCOL_H
#define FREEPORT_SHIM_SECCOMP_PROTOCOL_H

#include "filter.h"

#include <stdint.h>

enum { FP_PROTOCOL_VERSION = 1, FP_SUPERVISOR_NAME_BYTES = 64 };

/* The step that failed in the supervisor. */
enum fp_step {
    FP_STEP_NONE,
    FP_STEP_DESCENT, /* the launcher does not descend from it */
    FP_STEP_ROOM,    /* it has no descriptor left for one more listener */
    FP_STEP_FILTER,  /* libseccomp could not make the filter */
    FP_STEP_PIDFD,   /* pidfd_open */
    FP_STEP_GETFD,   /* pidfd_getfd */
    FP_STEP_MEMORY,  /* process_vm_readv */
};

struct fp_hello {
    uint32_t version;
    uint32_t step; /* enum fp_step */
    int32_t error; /* of that step: 0, or a negative errno */
    uint32_t said; /* a launcher of this session has printed the reason already */
    int32_t id;    /* the result of listen(-1, FP_PROBE_BACKLOG) in a process that this supervisor serves already */
    struct fp_filter filter;
};

/* listen() with descriptor -1 and this backlog is a call that no program makes. Without a supervisor it gives EBADF. */
enum { FP_PROBE_BACKLOG = 0x66707662 };

struct fp_request {
    int32_t listener; /* a descriptor of the launcher's; -1: it could not install the filter, and has said so */
};

#endif
