/* SPDX-License-Identifier: MIT */
/* Which process holds a session's port, by what the kernel says. */
#ifndef FREEPORT_LIB_HOLDER_H
#define FREEPORT_LIB_HOLDER_H

#include "layout.h"

#include <stdbool.h>
#include <sys/types.h>

/* Where a socket is open: a process, a descriptor of it, and the socket's inode, which proves the other two. */
struct fp_holder {
    pid_t pid;
    int fd;
    uint64_t socket;
};

/* Fills in the holder for a descriptor of this process. False if the socket's inode can't be read (a sandbox). */
bool fp_holder_here(struct fp_holder *holder, int fd);

/*
 * True if that process still has that socket open at that descriptor. A bound socket stays bound to its port, so the
 * port is held then. One system call, whatever the number of sockets on the host. False if it can't be told.
 */
bool fp_holder_proved(const struct fp_holder *holder);

/*
 * True if a foreign socket is on the port: one of processes that do not have the segment (`device`, `inode`) mapped, as
 * far as /proc tells. False if a process with the segment holds it, or if no holder is visible: a connection in
 * TIME_WAIT, or a bound socket that does not listen. False, too, if /proc can't be read (no descriptor left, a
 * sandbox), since the holder may have the segment.
 *
 * A process that is ending can't be looked into. It may have the socket, so its end is waited for: for 30 ms in all,
 * and false after that.
 *
 * `likely` is asked first: the live process that owns the port by the table, or 0. It is not foreign, even if it no
 * longer has the segment mapped.
 *
 * Reads the host's socket tables, which takes milliseconds on a large host: call fp_holder_proved() first. If a process
 * with the segment holds the port, *found says where; else found->socket is 0.
 */
bool fp_held_by_stranger(unsigned protocol, uint16_t port, pid_t likely, dev_t device, ino_t inode,
                         struct fp_holder *found);

/* True if nothing but connections in TIME_WAIT is left on a TCP port. Reads the host's socket tables, as above. */
bool fp_port_lingers(uint16_t port);

#endif
