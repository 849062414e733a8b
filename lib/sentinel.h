/* SPDX-License-Identifier: MIT */
#ifndef FREEPORT_LIB_SENTINEL_H
#define FREEPORT_LIB_SENTINEL_H

#include "assign.h"

/* fp_bind() to a sentinel. */
int fp_bind_sentinel(const struct fp_bind *bind, uint16_t *port, bool *conflict);

#endif
