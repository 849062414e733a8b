/* SPDX-License-Identifier: MIT */
/*
 * How a port is assigned: chosen by the search, claimed in the table, bound in the kernel, recorded. The public
 * functions and the shim are built on it. Protocols are indices (FP_TCP_INDEX, FP_UDP_INDEX), ports in host order,
 * errors negative errnos. Nothing here allocates memory or keeps a descriptor.
 */
#ifndef FREEPORT_LIB_ASSIGN_H
#define FREEPORT_LIB_ASSIGN_H

#include "freeport.h"
#include "segment.h"
#include "socket.h"
#include "table.h"

/* A handle. Written once when it is opened, then only read. */
struct freeport {
    struct fp_segment *segment;
    struct fp_segment_facts facts;
    struct fp_calls calls;
    const struct fp_range *ranges[FP_PROTOCOL_COUNT]; /* of size 0: the protocol has no range */
    const struct fp_pins *pins;                       /* NULL: none */
    struct fp_text name, session;
    bool has_session;
    bool named; /* the session's name was given, not made up: its sentinels have their own places in the range */
};

/* A handle that keeps its ranges itself. Zeroed memory to begin with. */
struct fp_whole_handle {
    struct freeport handle;
    struct fp_range ranges[FP_PROTOCOL_COUNT];
};

/* Fills all but segment and calls from a config. -EILSEQ, -EBADMSG, -ERANGE and -ENODATA as freeport_open(). */
int fp_configure(struct fp_whole_handle *whole, const struct freeport_config *config);

/*
 * A bind to port 0 (`sentinel` 0) or to a sentinel, on a socket of that protocol that is not bound yet. With `pledge`,
 * the sentinel is one of the other protocol too, and gets one number in both where the ranges allow it. The address is
 * not changed; *port receives the real port.
 */
struct fp_bind {
    struct freeport *fp;
    fp_owner owner; /* the process that gets the port; 0: this process */
    int fd;
    unsigned protocol;
    const struct sockaddr *address;
    socklen_t length;
    uint16_t sentinel;
    bool pledge;
    bool named[FP_PROTOCOL_COUNT]; /* the caller's own list names the sentinel */
    int timeout_ms;                /* 0: does not wait for other processes; negative: no bound */
    fp_bind_call *bind;            /* how fd is bound; NULL: as sockets of the allocator's own, by fp->calls */
};

/* *conflict: true if -EADDRINUSE is the kernel's answer for a port that the session had before this bind. */
int fp_bind(const struct fp_bind *bind, uint16_t *port, bool *conflict);

/* Notes that a port was bound by its number, so that no other process is given it. `owner`: as in struct fp_bind. */
void fp_note_explicit(struct freeport *fp, fp_owner owner, unsigned protocol, uint16_t port,
                      const struct sockaddr *address);

/*
 * The port that the session has for bind->sentinel. If it has none, a port is chosen and kept for the sentinel; no
 * socket is bound to it yet. `exported`: its number is about to be told to a program that may bind it without the shim.
 * The socket and the address of *bind are not looked at. Errors as freeport_get(). A signal handler may call it.
 */
int fp_pledge(const struct fp_bind *bind, bool exported, uint16_t *port);

/* freeport_release() for a process that need not be the caller. */
int fp_release(struct freeport *fp, enum freeport_protocol protocol, fp_owner owner, uint16_t port);

/* freeport_get() for a process that need not be the caller. */
int fp_get(struct freeport *fp, enum freeport_protocol protocol, fp_owner owner, int timeout_ms, uint16_t *port);

#endif
