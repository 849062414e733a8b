/* SPDX-License-Identifier: MIT */
/*
 * A set of ports: a bitmap, so that it is searched by words and combined with the table's bitmaps as it stands.
 * Pure memory. The one header of lib, besides freeport.h, that env/ and shim/ share.
 */
#ifndef FREEPORT_LIB_PORTSET_H
#define FREEPORT_LIB_PORTSET_H

#include <stdbool.h>
#include <stdint.h>

enum { FP_PORTS = 65536, FP_WORDS = FP_PORTS / 64 };

struct fp_portset {
    uint64_t words[FP_WORDS];
};

static inline bool fp_portset_has(const struct fp_portset *set, uint16_t port) {
    return (set->words[port / 64] >> (port % 64)) & 1;
}

/* A set to be searched: the search looks at no word outside of first..last. */
struct fp_range {
    unsigned size;
    uint16_t first, last;
    struct fp_portset ports;
};

/* Sentinels for which a certain real port was asked for. `protocol` is FP_TCP or FP_UDP. */
enum { FP_PINS = 64 };

struct fp_pins {
    unsigned count;
    struct fp_pin {
        uint16_t sentinel, port;
        unsigned protocol;
    } pin[FP_PINS];
};

/* The real port that was asked for (PORT=REAL); 0: none. */
static inline uint16_t fp_pinned(const struct fp_pins *pins, unsigned protocol, uint16_t sentinel) {
    for (unsigned i = 0; i < pins->count; i++)
        if (pins->pin[i].sentinel == sentinel && pins->pin[i].protocol == protocol)
            return pins->pin[i].port;
    return 0;
}

/* Fills *range, which is zeroed memory, as fp_portset_parse(). False, and size 0, if the text can't be read. */
bool fp_range_parse(struct fp_range *range, const char *text);

/* Removes from..to, both included; from <= to. The rest may be empty: size 0. */
void fp_range_take_out(struct fp_range *range, uint16_t from, uint16_t to);

/* Adds from..to, both included; from <= to. */
void fp_portset_add(struct fp_portset *set, uint16_t from, uint16_t to);

bool fp_portset_empty(const struct fp_portset *set);

/*
 * Reads "PORT" or "FROM-TO" (1 to 65535, FROM <= TO, decimal digits alone, leading zeros allowed, no sign, no space) at
 * *text and moves *text behind it. The caller checks what follows. False if there is no range; *text is then
 * undefined.
 */
bool fp_portset_read_range(const char **text, uint16_t *from, uint16_t *to);

/*
 * Adds a whole range variable, "FROM-TO" or "PORT", several with commas, to *set. False, and an empty set, where it
 * can't be read; the empty text can't. Words without a port of the text are not written: each page that is touched
 * costs a page fault.
 */
bool fp_portset_parse(struct fp_portset *set, const char *text);

#endif
