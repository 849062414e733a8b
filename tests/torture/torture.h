/* SPDX-License-Identifier: MIT */
/*
 * What the torture programs share. Each runs under the shim, in a network, pid and mount namespace and on a small range
 * of its own (see run), does terrible things to processes, and prints one row of the table for each.
 *
 * They know the segment's layout and nothing else of how it works: what is checked is what a program sees.
 */
#ifndef FREEPORT_TESTS_TORTURE_H
#define FREEPORT_TESTS_TORTURE_H

#include "owner.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { SENTINEL = 8080, MOST_PORTS = 8192 };

/* What the run script sets: TORTURE_FULL, TORTURE_SEED, TORTURE_SLOW (how many times slower the build is). */
extern bool full;
extern unsigned slow;

/* The range, of both protocols: FREEPORT_TCP, one FROM-TO. */
extern uint16_t range_first;
extern unsigned range_count;

void torture_start(void);

/* A number below `limit` that the seed alone decides. */
unsigned chance(unsigned limit);
void chance_start(unsigned seed);

int64_t now_us(void);
/* What something took this thread, without the time for which it could have run and others had the processors. */
struct clock {
    int64_t us, queued_us;
};
struct clock clock_start(void);
int64_t clock_us(const struct clock *start);

void pause_us(long us);
void pause_for_ever(void) __attribute__((noreturn));
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* One row. `lost`: ports that can't be assigned any more, and calls that failed; `twice`: ports assigned twice. */
struct tally {
    const char *what;
    unsigned long times, lost, twice;
    int64_t slowest_us;
    char note[160];
};

void tally_time(struct tally *tally, int64_t us);

void note(struct tally *tally, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the row; whether nothing was lost and nothing assigned twice. */
bool tally_print(const struct tally *tally);

/* A memory that is shared with all children. */
void *shared_memory(size_t size);

/* Waits until it is set; false after ten seconds. */
bool comes_about(_Atomic int *what);

/* A child that runs the function and exits; it ends with its parent. */
pid_t child(void (*body)(void *), void *context);
/* Its wait status. */
int reap(pid_t pid);
void end(pid_t pid);

/* A socket of that type (SOCK_STREAM, SOCK_DGRAM), bound to the port of 127.0.0.1; or -errno. */
int take(int type, uint16_t port);
/* The same, past the shim: what a stranger does. */
int take_as_stranger(int type, uint16_t port);
uint16_t port_of(int fd);

/* What one process could have, from outside: the ports of each protocol that it was given. */
struct haul {
    unsigned char got[2][MOST_PORTS]; /* how often, by protocol and place in the range */
    unsigned count[2];
    int64_t first_us; /* how long the first took */
    int error;        /* of the first that failed and should not have; 0 */
};

/* Notes a port that was given, or the error. */
void haul_note(struct haul *haul, int type, int port_or_error);
/* Binds port 0 until nothing is left, or `most` times. The sockets stay open. */
void haul_take(struct haul *haul, int type, unsigned most);
unsigned haul_twice(const struct haul *haul);
/* How many ports of the range neither has. */
unsigned haul_missing(const struct haul *haul, int type);

/* The segment, by its name in FREEPORT_SEGMENT. */
struct fp_segment *segment_map(void);
pid_t segment_lock_holder(const struct fp_segment *segment); /* 0: nobody */
/* Takes the lock as any process of ours would; false where it isn't to be had. */
bool segment_lock(struct fp_segment *segment);
void segment_unlock(struct fp_segment *segment);

#endif
