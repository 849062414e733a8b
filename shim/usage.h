/* SPDX-License-Identifier: MIT */
/*
 * Which ports of its session's sentinels a process has used by their own number, told to it by --export, say: it is to
 * see that number again, while another process that used the sentinel sees the sentinel. Kept by number, since nothing
 * is kept by descriptor; what came last counts. Zeroed memory is a process that has used none. Any thread may write.
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
 * The real port was bound, or is about to be reached: by its own number, or by a sentinel. NULL: nobody keeps it for
 * that process.
 */
static inline void fp_usage_bound(struct fp_usage *usage, unsigned protocol, uint16_t port, bool by_number) {
    if (usage)
        fp_usage_set(usage->bound[protocol], port, by_number);
}

static inline void fp_usage_reached(struct fp_usage *usage, unsigned protocol, uint16_t port, bool by_number) {
    if (usage)
        fp_usage_set(usage->reached[protocol], port, by_number);
}

/* Whether the process bound, or reached, the port by its own number when it last did. */
static inline bool fp_usage_bound_by_number(const struct fp_usage *usage, unsigned protocol, uint16_t port) {
    return usage && fp_hint(usage->bound[protocol], port);
}

static inline bool fp_usage_reached_by_number(const struct fp_usage *usage, unsigned protocol, uint16_t port) {
    return usage && fp_hint(usage->reached[protocol], port);
}

#endif
