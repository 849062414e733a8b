/* SPDX-License-Identifier: MIT */
/* A line for a person at a terminal: the address of a server, or why a client was refused. */
#ifndef FREEPORT_SHIM_TELL_H
#define FREEPORT_SHIM_TELL_H

#include "caller.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * True if a bind of the sentinel, when it succeeds, is to be told by fp_tell_bound(). Asked before the bind. False if
 * another live process of the session has bound the sentinel (this one is a worker), or if it was told before.
 */
bool fp_tell_news(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel);

void fp_tell_bound(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel, uint16_t port,
                   const struct sockaddr *address);

/* A client was refused since no server of the session has bound the sentinel. Once in a process. */
void fp_tell_refused(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel);

#endif
