/* SPDX-License-Identifier: MIT */
#ifndef FREEPORT_DIFFERENTIAL_NETWORK_H
#define FREEPORT_DIFFERENTIAL_NETWORK_H

#include <stdbool.h>

/* A network namespace of its own for this process, with addresses that are not loopback addresses, too. */
bool network_enter(void);

/* Before it, for a process whose children enter many: their tables of sockets are small then, and quickly read. */
void network_prepare(void);

#endif
