/* SPDX-License-Identifier: MIT */
/*
 * Which port to try next: next after the last assigned one of the name, round the range, by words of the hints.
 *
 * A search goes round the range once for each kind of port, the best kind first, and offers a port at most once as long
 * as the caller says which ones were refused (fp_entry_refused). It is bounded by the range, whatever the hints say.
 */
#ifndef FREEPORT_LIB_SEARCH_H
#define FREEPORT_LIB_SEARCH_H

#include "layout.h"

#include <stdbool.h>

enum fp_kind {
    FP_KIND_PLACE,         /* from a sentinel's own place on: the first that no live process has, used before or not */
    FP_KIND_FRESH,         /* nobody's, as far as known */
    FP_KIND_LEFT,          /* our own from before, or of somebody who is gone */
    FP_KIND_GONE,          /* of somebody who was there when one last asked, and is gone now */
    FP_KIND_IDLE,          /* of a process that is there: it may have closed it */
    FP_KIND_RECENT,        /* the same, assigned a moment ago: it may be about to bind it by its number */
    FP_KIND_BUSY,          /* found busy before; it may have come free */
    FP_KIND_SENTINEL_LEFT, /* a sentinel's whose process is gone: its session may come back to it */
    FP_KIND_SENTINEL,      /* a sentinel's: only where nothing else is to be had */
    FP_KINDS
};

struct fp_search {
    struct fp_segment *segment;
    const struct fp_range *range;
    const struct fp_range *twin; /* the other protocol's where the port has to be fresh there too, or NULL */
    unsigned protocol;
    fp_owner self;
    struct fp_cursor *cursor;
    uint32_t serial;
    unsigned kind;
    uint16_t start; /* the last assigned port: where the round begins and ends */
    uint32_t at;    /* the port last offered in this round */
    fp_owner owner; /* what its entry said when it was found fit: it may say something else by now */
    fp_meaning meaning;
    bool wrapped, refreshed;
    bool placed;    /* it began at a sentinel's own place: the name's sequence stays where it is */
    fp_owner asked; /* the last owner that was asked for by kill(2), and what came of it */
    bool asked_gone;
    bool claims;        /* a claim of a process that is there is worth a try, too, at the last: it may be a stuck one */
    bool under_lock;    /* nothing but memory and kill(2) of signal 0 is asked who is there */
    fp_owner looked_up; /* the last owner that was looked up, and what came of it */
    bool looked_up_gone;
};

void fp_search_begin(struct fp_search *search, struct fp_segment *segment, unsigned name, unsigned protocol,
                     const struct fp_range *range, fp_owner self);

/*
 * Before the first port is asked for: the search begins at the place that a hash has in the range. The same hash and
 * range begin at the same port on every host, whatever the table has seen.
 */
void fp_search_place(struct fp_search *search, uint64_t hash);

/* fp_owner_gone_quick(), asked once for entries of one owner that follow each other. */
bool fp_search_gone(struct fp_search *search, fp_owner owner);

/* The next port worth a try; 0 when the round is over for every kind. */
uint16_t fp_search_next(struct fp_search *search);

/*
 * Moves the name's sequence to a port, unless another search has moved it farther since this one began; and back from
 * it, where it came to nothing and nobody went on since.
 */
void fp_search_advance(struct fp_search *search, uint16_t port);
void fp_search_withdraw(struct fp_search *search, uint16_t port);

#endif
