/* SPDX-License-Identifier: MIT */
/*
 * One allocation in progress: the steps that binds to port 0 (assign.c) and to sentinels (sentinel.c) are made of. None
 * of them needs the lock.
 */
#ifndef FREEPORT_LIB_ATTEMPT_H
#define FREEPORT_LIB_ATTEMPT_H

#include "assign.h"
#include "search.h"

/* In the memory of its caller. */
struct fp_attempt {
    const struct fp_bind *bind;
    struct freeport *fp;
    fp_owner self;
    struct fp_search search;
    fp_meaning meaning; /* of an entry that it claims */
    uint32_t reclaimed; /* how often labels had been emptied when the meaning was made */
    fp_owner was_owner; /* the owner of a claimed entry before the claim; 0 if it was free */
    fp_meaning was_meaning;
    bool lost;        /* its socket is bound to a port that another session has taken meanwhile */
    int64_t until_ms; /* its deadline on the monotonic clock; 0 until it is first needed */
};

enum fp_choice {
    FP_CHOICE_NONE,
    FP_CHOICE_CLAIMED,  /* a free port, or one of a dead owner: claimed */
    FP_CHOICE_OCCUPIED, /* its owner lives but may have closed it: bind it first, then take the entry */
};

/* -ENOSPC where there is no room for one more name or session. */
int fp_attempt_begin(struct fp_attempt *attempt, const struct fp_bind *bind);

/* The next port to try. */
enum fp_choice fp_attempt_next(struct fp_attempt *attempt, uint16_t *port);

/* Claims the entry that the search has found. False if the entry has changed since. */
bool fp_attempt_claim(struct fp_attempt *attempt, uint16_t port);

/* Binds the program's own socket to one port, with its reuse flags off meanwhile. */
int fp_attempt_bind(const struct fp_attempt *attempt, uint16_t port);
int fp_attempt_bind_alone(const struct fp_attempt *attempt, uint16_t port);

/* Records that the claimed port is bound. */
void fp_attempt_record(struct fp_attempt *attempt, uint16_t port);

/* Ends a try that failed with `error`. Only -EADDRINUSE means that the port is busy. */
void fp_attempt_give_up(struct fp_attempt *attempt, uint16_t port, bool claimed, int error);

/* True if the time is over. With a timeout of 0, one pass may still look at every port. */
bool fp_attempt_expired(struct fp_attempt *attempt);

/* The deadline; with a timeout of 0, now. */
int64_t fp_attempt_until(struct fp_attempt *attempt);

#endif
