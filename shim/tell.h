/* SPDX-License-Identifier: MIT */
/* A line for the person at the terminal: where a server is to be reached, or why a client was refused. */
#ifndef FREEPORT_SHIM_TELL_H
#define FREEPORT_SHIM_TELL_H

#include "caller.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * Before the bind of a sentinel: whether its success is news, which fp_tell_bound() is to tell. It is none where
 * another live process of the session has bound the sentinel already (a worker), or this one has told it.
 */
bool fp_tell_news(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel);

void fp_tell_bound(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel, uint16_t port,
                   const struct sockaddr *address);

/* A client was refused since no server of the session has bound the sentinel. Once in a process. */
void fp_tell_refused(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel);

#endif
