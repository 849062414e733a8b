/* SPDX-License-Identifier: MIT */
/*
 * Which port to try next: next after the last assigned one of the name, round the range, by words of the hints.
 *
 * A search goes round the range once for each kind of port, the best kind first, and offers a port at most once as long
 * as the caller says which ones were refused (fp_entry_refused). It is bounded by the range, whatever the hints say.
 *
 * Ports that living processes may have closed come by age: the one that has not been in use for longest is the first.
 * The search of a bind to port 0 looks for the first kinds among the even ports, and then among the odd ones.
 */
#ifndef FREEPORT_LIB_SEARCH_H
#define FREEPORT_LIB_SEARCH_H

#include "layout.h"

#include <stdbool.h>

enum fp_kind {
    FP_KIND_PLACE,         /* from a sentinel's own place on: the first that no live process has, used before or not */
    FP_KIND_FRESH,         /* no process's, as far as known */
    FP_KIND_LEFT,          /* this process's own from before, or a dead one's, by the hints */
    FP_KIND_OWN,           /* this process's own, whatever the hints say, not in use for long */
    FP_KIND_OWN_OLDEST,    /* the same, not in use for a moment: by age */
    FP_KIND_GONE,          /* a dead process's that the hints hide */
    FP_KIND_OWN_RECENT,    /* this process's own: by age */
    FP_KIND_IDLE,          /* a living process's, not in use for long: it may have closed it. By age */
    FP_KIND_BUSY,          /* any other that is no sentinel's: by age */
    FP_KIND_SENTINEL_LEFT, /* a sentinel's whose process is gone: its session may come back to it */
    FP_KIND_SENTINEL,      /* a sentinel's: only where nothing else is to be had */
    FP_KINDS
};

enum { FP_OLDEST = 32, FP_ASKED = 32 };

/* The oldest ports of a kind, the oldest first. */
struct fp_oldest {
    uint16_t ports[FP_OLDEST];
    uint32_t ages[FP_OLDEST];
    unsigned count, next; /* of these; the next to offer */
    unsigned rounds;      /* how often they were gathered */
    uint32_t last_age;    /* of the youngest that was gathered so far, where there were too many */
    uint16_t last_port;
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
    fp_owner owner; /* what its entry said when the search chose it; it may have changed since */
    fp_meaning meaning;
    bool wrapped, refreshed;
    bool placed;                /* it began at a sentinel's own place, so the name's sequence does not move */
    bool gathering;             /* ports are gathered by age now, and none is offered */
    uint64_t parity;            /* the ports of a word that the kind at hand is looked for among */
    uint32_t age;               /* of the port last chosen, in searches */
    bool own_seen, else_seen;   /* an entry of this process, and of any other */
    uint32_t asked, asked_gone; /* a bit for each slot of asked_owners: whether it is in use, and what came of it */
    bool claims;                /* at the end, also try ports that a live process has claimed: it may be stuck */
    bool under_lock;            /* whether an owner lives may be asked by kill(2) of signal 0 only */
    fp_owner looked_up;         /* the last owner that was looked up, and what came of it */
    bool looked_up_gone;

    /* Not initialized, since most searches need neither. */
    struct fp_oldest oldest;
    fp_owner asked_owners[FP_ASKED]; /* that were asked for by kill(2) */
};

void fp_search_begin(struct fp_search *search, struct fp_segment *segment, unsigned name, unsigned protocol,
                     const struct fp_range *range, fp_owner self);

/*
 * Makes the search begin at the port that a hash stands for. The same hash and range begin at the same port on every
 * host, whatever the table has. To be called before the first fp_search_next().
 */
void fp_search_place(struct fp_search *search, uint64_t hash);

/* Makes the search try even ports before odd ones. To be called before the first fp_search_next(). */
void fp_search_even_first(struct fp_search *search);

/* fp_owner_gone_quick(), with the answers kept for most owners. */
bool fp_search_gone(struct fp_search *search, fp_owner owner);

/* The next port to try; 0 when the rounds of all kinds are over. */
uint16_t fp_search_next(struct fp_search *search);

/*
 * fp_search_advance() moves the name's sequence to a port, unless another search has moved it farther since this one
 * began. fp_search_withdraw() moves it back when the port was not bound and no other search has moved it since.
 */
void fp_search_advance(struct fp_search *search, uint16_t port);
void fp_search_withdraw(struct fp_search *search, uint16_t port);

#endif
