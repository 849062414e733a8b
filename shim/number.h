/* SPDX-License-Identifier: MIT */
/* What a port number means to a guest: its own list says, and the table of its session. */
#ifndef FREEPORT_SHIM_NUMBER_H
#define FREEPORT_SHIM_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

struct fp_guest;

enum fp_number {
    FP_NUMBER_FOREIGN,  /* nothing */
    FP_NUMBER_SENTINEL, /* a sentinel: another port stands for it */
    FP_NUMBER_OWN,      /* a port of the range, or one that the session was given: that very port */
};

/* Wants an active guest to know what the session has; else by the list alone. */
enum fp_number fp_number_meaning(const struct fp_guest *guest, unsigned protocol, uint16_t port);

/* Whether the guest's own list makes the port a sentinel, which the session has no port for yet. */
bool fp_number_listed(const struct fp_guest *guest, unsigned protocol, uint16_t port);

/*
 * Whether the session was given the port: assigned by a bind to port 0 or for a sentinel, bound by its number, or
 * reserved; and reserved outside of any session by a process that is there, whose business is to tell the number.
 */
bool fp_number_given(const struct fp_guest *guest, unsigned protocol, uint16_t port);

#endif
