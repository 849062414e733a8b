/* SPDX-License-Identifier: MIT */
/* What the parts of the player share: the state of a sequence, the line that is being written, addresses and names. */
#ifndef FREEPORT_DIFFERENTIAL_PLAY_H
#define FREEPORT_DIFFERENTIAL_PLAY_H

#include "sequence.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { MOST_SEEN = 128 };

/* In shared memory: a forked child and an executed one go on with it. */
struct play {
    uint64_t seed;
    int fds[SLOTS];
    enum kind kinds[SLOTS];
    bool traffic; /* something was sent, so that a receiver may wait a moment for it */
    unsigned seen_count;
    uint32_t seen[MOST_SEEN]; /* ports that the kernel or the shim chose, with their protocol, as they turned up */
};

extern struct play *play;

/* The line: player.c */

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
void say_error(int error);

/* One call: calls.c. Says how it went, and keeps a new descriptor. */
void play_step(const struct step *step, unsigned index);

/* Addresses: address.c */

/* The address of a step, at the end of a page that nothing may read past, and what it was made of. */
struct placed {
    struct sockaddr *at;
    socklen_t length;
    unsigned char content[256];
    unsigned size; /* bytes at `at` */
};

void address_place(const struct step *step, unsigned which, struct placed *placed);
void address_say(const struct step *step, unsigned which, const struct placed *placed);
/* Says so where a call has changed it. */
void address_check(const struct placed *placed);

/* Memory that is not mapped. */
void *unmapped(void);

/* Room for a name, with a pattern in it. */
struct name {
    unsigned char bytes[192];
    socklen_t room, length;
    struct sockaddr *at;  /* or NULL */
    socklen_t *length_at; /* or NULL */
};

void name_prepare(const struct step *step, struct name *name);
/* What was written there, and whether it is more than there is room for. `done`: the call succeeded. */
void name_say(const struct name *name, enum kind kind, bool done);
void name_say_address(const struct sockaddr *address, socklen_t written, enum kind kind);

#endif
