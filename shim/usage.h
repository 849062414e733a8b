/* SPDX-License-Identifier: MIT */
/*
 * The real ports behind sentinels that a process has used by their own number (told to it by --export, say). That
 * process sees the real number in names; other processes see the sentinel. Kept by number, since nothing is kept for a
 * descriptor; the last use counts. Zeroed memory: none was used. Any thread may write.
 */
#ifndef FREEPORT_SHIM_USAGE_H
#define FREEPORT_SHIM_USAGE_H

#include "layout.h"
#include "table.h"

#include <stdbool.h>

struct fp_usage {
    _Atomic uint64_t bound[FP_PROTOCOL_COUNT][FP_WORDS];   /* by a bind: names of its own sockets */
    _Atomic uint64_t reached[FP_PROTOCOL_COUNT][FP_WORDS]; /* by connect and the sends: names of peers */
};

static inline void fp_usage_set(_Atomic uint64_t *words, uint16_t port, bool by_number) {
    if (by_number)
        fp_hint_set(words, port);
    else
        fp_hint_clear(words, port);
}

/*
 * Notes that the real port was bound (or is about to be reached), by its own number or by its sentinel. With `usage`
 * NULL, nothing is noted.
 */
static inline void fp_usage_bound(struct fp_usage *usage, unsigned protocol, uint16_t port, bool by_number) {
    if (usage)
        fp_usage_set(usage->bound[protocol], port, by_number);
}

static inline void fp_usage_reached(struct fp_usage *usage, unsigned protocol, uint16_t port, bool by_number) {
    if (usage)
        fp_usage_set(usage->reached[protocol], port, by_number);
}

/* True if the process's last bind (or connect or send) of the port was by its own number. */
static inline bool fp_usage_bound_by_number(const struct fp_usage *usage, unsigned protocol, uint16_t port) {
    return usage && fp_hint(usage->bound[protocol], port);
}

static inline bool fp_usage_reached_by_number(const struct fp_usage *usage, unsigned protocol, uint16_t port) {
    return usage && fp_hint(usage->reached[protocol], port);
}

#endif
