/* SPDX-License-Identifier: MIT */
#include "portset.h"

#include <string.h>

void fp_portset_add(struct fp_portset *set, uint16_t from, uint16_t to) {
    unsigned first = from / 64, last = to / 64;
    uint64_t head = UINT64_MAX << (from % 64);    /* from `from` to the end of its word */
    uint64_t tail = UINT64_MAX >> (63 - to % 64); /* from the start of its word to `to` */

    /* One access to each word, which reads and writes: a page that is read first and written then faults twice. */
    for (unsigned word = first; word <= last; word++)
        set->words[word] |= (word == first ? head : UINT64_MAX) & (word == last ? tail : UINT64_MAX);
}

bool fp_portset_empty(const struct fp_portset *set) {
    for (unsigned word = 0; word < FP_WORDS; word++)
        if (set->words[word] != 0)
            return false;
    return true;
}

/* Stops at the first digit that makes the number larger than 65535, so that no text is long enough to overflow it. */
static bool read_port(const char **text, uint16_t *port) {
    const char *digit = *text;
    unsigned number = 0;

    for (; *digit >= '0' && *digit <= '9'; digit++) {
        number = number * 10 + (unsigned)(*digit - '0');
        if (number > UINT16_MAX)
            return false;
    }
    *text = digit;
    *port = (uint16_t)number;
    return number != 0; /* also 0 where there was no digit */
}

bool fp_portset_read_range(const char **text, uint16_t *from, uint16_t *to) {
    if (!read_port(text, from))
        return false;
    *to = *from;
    if (**text != '-')
        return true;
    ++*text;
    return read_port(text, to) && *from <= *to;
}

/* *first and *last become the lowest and the highest port. */
static bool parse(struct fp_portset *set, const char *text, uint16_t *first, uint16_t *last) {
    uint16_t from, to;
    while (fp_portset_read_range(&text, &from, &to)) {
        fp_portset_add(set, from, to);
        if (from < *first)
            *first = from;
        if (to > *last)
            *last = to;
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            break;
    }
    memset(set, 0, sizeof *set); /* after an error, nothing of the list counts */
    return false;
}

bool fp_portset_parse(struct fp_portset *set, const char *text) {
    uint16_t first = UINT16_MAX, last = 0;
    return parse(set, text, &first, &last);
}

/* The number of bits. Full words, the most frequent ones, are answered first: popcount may be a function call. */
static unsigned count(uint64_t word) {
    return word == UINT64_MAX ? 64 : (unsigned)__builtin_popcountll(word);
}

bool fp_range_parse(struct fp_range *range, const char *text) {
    range->first = UINT16_MAX;
    range->last = 0;
    if (!parse(&range->ports, text, &range->first, &range->last))
        return false;
    for (unsigned word = range->first / 64; word <= range->last / 64u; word++)
        range->size += count(range->ports.words[word]);
    return true;
}

void fp_range_take_out(struct fp_range *range, uint16_t from, uint16_t to) {
    if (from < range->first)
        from = range->first;
    if (to > range->last)
        to = range->last;
    for (unsigned port = from; port <= to && range->size > 0;) {
        uint64_t *word = &range->ports.words[port / 64], mask = UINT64_MAX << (port % 64);
        if (port / 64 == to / 64)
            mask &= UINT64_MAX >> (63 - to % 64);
        range->size -= count(*word & mask);
        *word &= ~mask;
        port = (port / 64 + 1) * 64;
    }
    if (range->size == 0) {
        range->first = UINT16_MAX;
        range->last = 0;
        return;
    }
    while (!fp_portset_has(&range->ports, range->first))
        range->first++;
    while (!fp_portset_has(&range->ports, range->last))
        range->last--;
}
