/* SPDX-License-Identifier: MIT */
/* What the kill program plays: a deed, which is stepped through, and the segment and the processes that it meets. */
#ifndef FREEPORT_TESTS_TORTURE_SCENE_H
#define FREEPORT_TESTS_TORTURE_SCENE_H

#include "freeport.h"
#include "torture.h"

/* What is done, and stepped through. */
enum verb { BIND, LISTEN, GET, RELEASE };

struct deed {
    enum verb verb;
    uint16_t port; /* 0, SENTINEL, or a number in the range */
    bool reuse;    /* SO_REUSEPORT */
};

/* What it needs, made before: a socket, or a reservation. */
struct ready {
    int fd;
    uint16_t port;
};

struct ready deed_ready(const struct deed *deed);
int deed_perform(const struct deed *deed, struct ready *ready); /* 0 or -errno */
int deed_outcome(int error, const struct ready *ready);         /* the port, or -errno */

struct scene {
    const char *what;
    struct deed deed;
    void (*before)(void); /* makes the segment that each process finds */
    unsigned strangers;   /* ports that are not to be had at all */
    bool keep;            /* go on from each state that a death leaves */
};

extern const struct scene scenes[];
extern const unsigned scene_count;

/* Ends who stayed. */
void scene_over(void);

/* The role of those who never heard of freeport: see start_again(). Does not return. */
void scene_strangers(void) __attribute__((noreturn));

/* This program once more, from its start, in a role. */
void start_again(const char *role) __attribute__((noreturn));

/* What all processes share, whichever program they became; of kill.c. */
struct board {
    _Atomic int inside;
    _Atomic int result; /* of the deed: a port, or -errno */
    _Atomic int done;
    _Atomic int64_t started_us;
    struct haul haul;
};

extern struct board *board;
extern int board_fd;
extern struct freeport *handle;

#endif
