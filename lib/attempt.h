/* SPDX-License-Identifier: MIT */
/*
 * One allocation under way: the steps of which assign.c and sentinel.c tell the story. None of them needs the lock.
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
    fp_owner was_owner; /* what a claimed entry said before; 0 where it was free */
    fp_meaning was_meaning;
    bool lost;        /* its socket is bound to a port that became another session's */
    int64_t until_ms; /* when it has to be back, on the monotonic clock; 0 until somebody asks */
};

enum fp_choice {
    FP_CHOICE_NONE,
    FP_CHOICE_CLAIMED,  /* a free port, or one that is left over: claimed */
    FP_CHOICE_OCCUPIED, /* somebody's who is there, and who may have closed it: bind it first */
};

/* -ENOSPC where there is no room for one more name or session. */
int fp_attempt_begin(struct fp_attempt *attempt, const struct fp_bind *bind);

/* The next port to try. */
enum fp_choice fp_attempt_next(struct fp_attempt *attempt, uint16_t *port);

/* Claims the entry that the search has found fit, unless anything has happened to it since. */
bool fp_attempt_claim(struct fp_attempt *attempt, uint16_t port);

/* The kernel's word on one port, for the program's own socket: as it is, and with its reuse flags off meanwhile. */
int fp_attempt_bind(const struct fp_attempt *attempt, uint16_t port);
int fp_attempt_bind_alone(const struct fp_attempt *attempt, uint16_t port);

/* The port is bound: the claim has come true. */
void fp_attempt_record(struct fp_attempt *attempt, uint16_t port);

/* A try that came to nothing: -EADDRINUSE alone means that the port is busy. */
void fp_attempt_give_up(struct fp_attempt *attempt, uint16_t port, bool claimed, int error);

/* Whether a pass has to end. One that waits for nobody may still look at every port. */
bool fp_attempt_expired(struct fp_attempt *attempt);

/* When it has to be back; now, for one that waits for nobody. */
int64_t fp_attempt_until(struct fp_attempt *attempt);

int64_t fp_now_ms(void);

#endif
