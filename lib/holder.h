/* SPDX-License-Identifier: MIT */
/* Who holds a port in the kernel: asked only after a bind to a session's own port was refused. */
#ifndef FREEPORT_LIB_HOLDER_H
#define FREEPORT_LIB_HOLDER_H

#include "layout.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * True where a socket on the port belongs to processes that do not share the segment (`device`, `inode`), as far as
 * /proc tells. False where one of ours holds it, or nobody visible: a socket that is bound and does not listen, or a
 * connection in TIME_WAIT, for which the kernel's word stands; or one that is ending, or has ended meanwhile. False,
 * too, where a look at /proc fails for want of a descriptor or in a sandbox: it might be one of ours.
 *
 * `likely` is looked at first: the process that has the port by the table and is there, or 0. It is one of ours whether
 * it has the segment still or not.
 */
bool fp_held_by_stranger(unsigned protocol, uint16_t port, pid_t likely, dev_t device, ino_t inode);

#endif
