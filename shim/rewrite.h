/* SPDX-License-Identifier: MIT */
/*
 * What is rewritten to what, whichever way the calls come in. Results are 0 or a negative errno; FP_UNTOUCHED says that
 * the call is none of ours and goes to the kernel as it is. The caller's memory is read as far as its length says, and
 * written only where the kernel has written it.
 */
#ifndef FREEPORT_SHIM_REWRITE_H
#define FREEPORT_SHIM_REWRITE_H

#include <sys/socket.h>

enum { FP_UNTOUCHED = 1 };

int fp_rewrite_bind(int fd, const struct sockaddr *address, socklen_t length);

/* Gives a TCP socket that was never bound a port of the range; FP_UNTOUCHED: listen now, either way. */
int fp_rewrite_listen(int fd);

/* After the kernel named a socket of ours: a real port of this session's sentinel reads as the sentinel. `room` is the
 * length that the caller had given. */
void fp_rewrite_name(int fd, struct sockaddr *address, socklen_t room, socklen_t length);

#endif
