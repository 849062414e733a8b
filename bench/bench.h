/* SPDX-License-Identifier: MIT */
/* fpbench: what is measured (calls.c), by whom (fpbench.c), and who else is there meanwhile (beside.c). */
#ifndef FREEPORT_BENCH_BENCH_H
#define FREEPORT_BENCH_BENCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "freeport.h"

enum { CHUNK = 64, SENTINEL = 8080, ORDINARY = 9090, FIRST_SENTINEL = 10000 };

/* Everything that a measured call needs, made before the clock runs. */
struct bench {
    uint16_t from, to; /* --range */
    bool socket_range; /* --socket-range: IP_LOCAL_PORT_RANGE, on each socket */
    char **words;      /* behind the name of what is measured */

    int kind; /* SOCK_STREAM or SOCK_DGRAM */
    int sockets[CHUNK];
    int client, server;
    struct sockaddr_in there; /* the server's */
    unsigned next;
    struct freeport *library;
    uint16_t ports[CHUNK];
    uint64_t lost, twice; /* of `processes` */
};

/* 0, or -1 with errno. */
typedef int step(struct bench *bench, unsigned i);

struct measure {
    const char *name;
    step *setup;  /* once */
    step *before; /* for each of a chunk, before the clock runs */
    step *call;   /* what is timed */
    step *after;
    unsigned chunk;
    /* Instead of all these but the first: measures `count` on its own, and says how many nanoseconds it took. */
    double (*whole)(struct bench *bench, unsigned count);
};

const struct measure *measure_named(const char *name);

/* clock.c: the monotonic clock. */
uint64_t nanoseconds(void);

/* fpbench WORD...: beside a measurement. Returns an exit code, or -1 where the word is none of these. */
int beside(char **words);

#endif
