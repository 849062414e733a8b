/* SPDX-License-Identifier: MIT */
/* Who holds a session's port in the kernel. */
#ifndef FREEPORT_LIB_HOLDER_H
#define FREEPORT_LIB_HOLDER_H

#include "layout.h"

#include <stdbool.h>
#include <sys/types.h>

/* Where a socket is: a process, one of its descriptors, and the socket's inode, by which both are proved. */
struct fp_holder {
    pid_t pid;
    int fd;
    uint64_t socket;
};

/* For a descriptor of this process; false where its socket can't be told (a sandbox). */
bool fp_holder_here(struct fp_holder *holder, int fd);

/*
 * Whether that process has that socket there still. A socket that was bound stays bound to its port: true means that
 * the port is held. It takes one system call, whatever the number of sockets. False where it can't be told.
 */
bool fp_holder_proved(const struct fp_holder *holder);

/*
 * True where a socket on the port belongs to processes that do not share the segment (`device`, `inode`), as far as
 * /proc tells. False where one of ours holds it, or nobody visible: a socket that is bound and does not listen, or a
 * connection in TIME_WAIT, for which the kernel's word stands; or one that is ending, or has ended meanwhile. False,
 * too, where a look at /proc fails for want of a descriptor or in a sandbox: it might be one of ours.
 *
 * `likely` is looked at first: the process that has the port by the table and is there, or 0. It is one of ours whether
 * it has the segment still or not.
 *
 * Reads the host's socket tables, which takes milliseconds on a large host: fp_holder_proved() comes first. Where one
 * of ours is found, *found says where; its `socket` is 0 where none was.
 */
bool fp_held_by_stranger(unsigned protocol, uint16_t port, pid_t likely, dev_t device, ino_t inode,
                         struct fp_holder *found);

/* True where all that is left on a TCP port are connections in TIME_WAIT. Reads the host's socket tables, as above. */
bool fp_port_lingers(uint16_t port);

#endif
