/* SPDX-License-Identifier: MIT */
/* The differences that freeport makes on purpose. freeport(7), LIMITS, names each. */
#ifndef FREEPORT_DIFFERENTIAL_INTENDED_H
#define FREEPORT_DIFFERENTIAL_INTENDED_H

#include "sequence.h"

/* The first line in which two plays of a sequence differ. */
struct difference {
    const struct sequence *sequence;
    const char *connect; /* FREEPORT_CONNECT */
    const char *played;  /* what the player said on the plain kernel */
    unsigned index;      /* the call */
    char kernel[512];    /* its line on the plain kernel */
    char freeport[512];  /* and under freeport */
};

/* The reason, where the difference is intended; else NULL. */
const char *intended_reason(const struct difference *difference);

/* All reasons, a line each. */
void intended_print(void);

#endif
