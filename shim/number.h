/* SPDX-License-Identifier: MIT */
/* What a port number means to a guest, by its own list of sentinels and by its session's entries in the table. */
#ifndef FREEPORT_SHIM_NUMBER_H
#define FREEPORT_SHIM_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

struct fp_guest;

enum fp_number {
    FP_NUMBER_FOREIGN,  /* a port that freeport does not touch */
    FP_NUMBER_SENTINEL, /* a sentinel: another port stands for it */
    FP_NUMBER_OWN,      /* a port of the range, or one that the session was given: used as it is */
};

/* If the guest is not active, the list alone counts. */
enum fp_number fp_number_meaning(const struct fp_guest *guest, unsigned protocol, uint16_t port);

/* True if the guest's own list makes the port a sentinel: it is named, or "all" is and the session was not given it. */
bool fp_number_listed(const struct fp_guest *guest, unsigned protocol, uint16_t port);

/*
 * True if the session was given the port: by a bind to port 0, for a sentinel, by a bind to its number, or reserved.
 * Also if a live process has reserved it outside of any session, since it may have told the number to this one.
 */
bool fp_number_given(const struct fp_guest *guest, unsigned protocol, uint16_t port);

#endif
