/* SPDX-License-Identifier: MIT */
/*
 * What is rewritten to what, whichever way the calls come in. Results are 0 or a negative errno; FP_UNTOUCHED says that
 * the call is none of ours and goes to the kernel as it is. The caller's memory is read as far as its length says, and
 * written only where the kernel has written it.
 */
#ifndef FREEPORT_SHIM_REWRITE_H
#define FREEPORT_SHIM_REWRITE_H

#include "caller.h"
#include "socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { FP_UNTOUCHED = 1 };

/* Whether a pointer may be looked at: not where the kernel is sure to say EFAULT. */
static inline bool fp_readable(const void *pointer) {
    return (uintptr_t)pointer >= 4096 && (uintptr_t)pointer < (uintptr_t)-4096;
}

/* Whether an error is no word on a socket, but a sandbox's, which won't let anybody see what it is. */
static inline bool fp_untold(int error) {
    return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

/*
 * bind and listen: rewrite_bind.c. `call` binds the program's socket, the way that the program's call came; the guest's
 * own table is for the guest's questions and sockets.
 */

/* Whether a port may mean anything to a bind. Looks at no socket. */
bool fp_rewrites_bind(const struct fp_caller *caller, uint16_t port);

int fp_rewrite_bind(const struct fp_caller *caller, fp_bind_call *call, int fd, const struct sockaddr *theirs,
                    socklen_t length);

/* Gives a TCP socket that was never bound a port of the range; FP_UNTOUCHED: listen now, either way. */
int fp_rewrite_listen(const struct fp_caller *caller, fp_bind_call *call, int fd);

/*
 * Names of sockets, after the kernel gave them, where the guest renames: rewrite_name.c. `room`: the caller's length,
 * `length`: the name's, which is more where the kernel has cut it.
 */

/* A socket's own name: a real port of this session's sentinel reads as the sentinel, unless it was bound by its number.
 */
void fp_rewrite_own_name(const struct fp_caller *caller, int fd, struct sockaddr *name, socklen_t room,
                         socklen_t length);

/* The name of the peer, or of a datagram's sender: the same, where that is on this host. */
void fp_rewrite_peer_name(const struct fp_caller *caller, int fd, struct sockaddr *name, socklen_t room,
                          socklen_t length);

/*
 * Where a connection or datagram goes: rewrite_destination.c. 0: to *out instead, of the same length; else
 * FP_UNTOUCHED. Nothing is refused here: where the session has no server, the kernel refuses at the port that is kept
 * for one.
 */
int fp_rewrite_destination(const struct fp_caller *caller, int fd, const struct sockaddr *address, socklen_t length,
                           struct sockaddr_storage *out);

/*
 * The same for what is sent with those flags: by UDP, or by TCP with MSG_FASTOPEN; without, TCP does not look at the
 * address. UDP over IPv4 takes AF_UNSPEC for IPv4 there, which connect takes for "disconnect".
 */
int fp_rewrite_datagram(const struct fp_caller *caller, int fd, int flags, const struct sockaddr *address,
                        socklen_t length, struct sockaddr_storage *out);

/* Whether an address, be it ever so foreign, is one of this host's. Loopback costs no system call, others a socket. */
bool fp_address_is_local(const struct fp_caller *caller, const struct sockaddr *theirs, socklen_t length);

#endif
