/* SPDX-License-Identifier: MIT */
#include "image.h"

#include "torture.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGE = 4096, PAGES = (sizeof(struct fp_segment) + PAGE - 1) / PAGE };

static struct fp_segment *segment;
static unsigned char *image, *sound; /* `sound`: without any state */
static bool touched[PAGES];          /* pages that were seen to change; a full look now and then finds new ones */

static size_t page_bytes(unsigned page) {
    size_t rest = sizeof(struct fp_segment) - (size_t)page * PAGE;
    return rest < PAGE ? rest : PAGE;
}

static unsigned char *page_at(void *memory, unsigned page) {
    return (unsigned char *)memory + (size_t)page * PAGE;
}

void image_of(struct fp_segment *of) {
    segment = of;
    image = shared_memory(sizeof *segment); /* which a fork need not copy the page tables of */
    sound = shared_memory(sizeof *segment);
}

void image_keep(void) {
    memset(touched, 0, sizeof touched);
    memcpy(image, segment, sizeof *segment);
    memcpy(sound, segment, sizeof *segment);
}

void image_restore(bool look_everywhere) {
    for (unsigned page = 0; page < PAGES; page++) {
        if (!look_everywhere && !touched[page])
            continue;
        if (memcmp(page_at(segment, page), page_at(image, page), page_bytes(page)) != 0) {
            touched[page] = true;
            memcpy(page_at(segment, page), page_at(image, page), page_bytes(page));
        }
    }
}

/* What a death left: the pages that it changed. */
struct state {
    uint64_t hash;
    unsigned count;
    struct page {
        unsigned number;
        unsigned char bytes[PAGE];
    } * pages;
};

enum { MOST_STATES = 512 };
static struct state states[MOST_STATES];
static unsigned state_count;

/* Process ids, start times and the clock differ each time, and mean the same. */
static uint64_t same_for_all(uint64_t word, pid_t victim, uint32_t now) {
    if ((word & 0x3fffff) == (uint64_t)victim && word >> 32 != 0)
        return 1; /* an owner */
    for (unsigned half = 0; half < 2; half++) {
        uint32_t value = (uint32_t)(word >> (32 * half));
        uint32_t same = (value & 0x3fffffff) == (uint32_t)victim ? (value & 0xc0000000) | 2
                        : now - value < 60                       ? 3
                                                                 : value;
        word = (word & ~(UINT64_C(0xffffffff) << (32 * half))) | ((uint64_t)same << (32 * half));
    }
    return word;
}

void image_note_state(pid_t victim) {
    uint64_t hash = 14695981039346656037u;
    unsigned count = 0;
    uint32_t now = (uint32_t)time(NULL);
    static unsigned changed[PAGES];
    for (unsigned page = 0; page < PAGES; page++) {
        if (!touched[page] || memcmp(page_at(segment, page), page_at(image, page), page_bytes(page)) == 0)
            continue;
        changed[count++] = page;
        for (size_t at = 0; at + 8 <= page_bytes(page); at += 8) {
            uint64_t word;
            memcpy(&word, page_at(segment, page) + at, 8);
            hash = (hash ^ same_for_all(word, victim, now)) * 1099511628211u;
            hash ^= hash >> 29;
        }
        hash = (hash ^ page) * 1099511628211u;
    }
    for (unsigned i = 0; i < state_count; i++)
        if (states[i].hash == hash)
            return;
    if (count == 0)
        return;
    if (state_count == MOST_STATES)
        die("more than %u states", MOST_STATES);
    struct state *state = &states[state_count++];
    *state = (struct state){hash, count, calloc(count, sizeof *state->pages)};
    for (unsigned i = 0; i < count; i++) {
        state->pages[i].number = changed[i];
        memcpy(state->pages[i].bytes, page_at(segment, changed[i]), page_bytes(changed[i]));
    }
}

unsigned image_states(void) {
    return state_count;
}

void image_begin_state(unsigned number) {
    for (unsigned n = 0; n < states[number].count; n++) {
        const struct page *page = &states[number].pages[n];
        memcpy(page_at(image, page->number), page->bytes, page_bytes(page->number));
    }
    image_restore(true);
}

void image_end_state(unsigned number) {
    for (unsigned n = 0; n < states[number].count; n++) {
        unsigned page = states[number].pages[n].number;
        memcpy(page_at(image, page), page_at(sound, page), page_bytes(page));
    }
}

void image_forget_states(void) {
    for (unsigned i = 0; i < state_count; i++)
        free(states[i].pages);
    state_count = 0;
}
