/* SPDX-License-Identifier: MIT */
/* One side of a comparison: a player in a fresh network namespace, on the plain kernel or under freeport. */
#ifndef FREEPORT_DIFFERENTIAL_WORLD_H
#define FREEPORT_DIFFERENTIAL_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { MOST_WORDS = 32 };

struct side {
    const char *player;
    const char *shim;        /* preloaded into the player; NULL: none */
    char *under[MOST_WORDS]; /* the command that starts the player: its words */
    bool managed;            /* false: on the plain kernel */
    const char *connect;     /* FREEPORT_CONNECT */
    const char *sentinels;   /* FREEPORT_SENTINELS */
    const char *segment;     /* FREEPORT_SEGMENT */
    bool serves;             /* one player for all, instead of one for each sequence */
    int server;              /* the socket to it */
    int output;              /* what the player says: a file in memory */
    pid_t pid;
};

bool side_open(struct side *side);
void side_close(struct side *side);

/* Plays the calls of a seed; `chosen` as the player has it. */
void side_start(struct side *side, uint64_t seed, const char *chosen);

/* Waits for it. Its output, which belongs to the caller; with a last line for a player that failed. */
char *side_finish(struct side *side);

/* The segment as it was when it was new, without the time that it takes to make one. */
bool segment_keep(struct side *side);
bool segment_renew(void);
void segment_remove(void);

#endif
