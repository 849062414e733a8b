/* SPDX-License-Identifier: MIT */
/*
 * The shared segment, byte by byte. It is a format: processes of different builds, word sizes and C libraries map it at
 * once, so every field has a fixed size and place, and a change here is a new FP_VERSION.
 *
 * The table is indexed by port: entry[protocol][port]. Nothing is allocated, hashed or moved, so nothing can leak or be
 * torn. A process that is killed between two stores leaves one unfinished entry, and that entry names its owner.
 *
 * Every field that changes is atomic, and no step needs the lock to be safe: a name's cursor only moves on, the claim
 * of an entry is a compare-and-swap, and the kernel's bind has the last word. The lock puts binds of sentinels in
 * sequence. Every value that is read here may be garbage (any program may write to it by mistake): it is used as an
 * index only after a mask or a bounds check.
 */
#ifndef FREEPORT_LIB_LAYOUT_H
#define FREEPORT_LIB_LAYOUT_H

#include "compat.h"
#include "portset.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { FP_TCP_INDEX = 0, FP_UDP_INDEX = 1, FP_PROTOCOL_COUNT = 2 };

enum {
    FP_VERSION = 2,
    FP_LOCK_READY = 2,
    FP_LABEL_BYTES = 64, /* a name (32 at most) or a session (64), padded with zero bytes */
    FP_NAMES = 1024,
    FP_SESSIONS = 16384,
    FP_INDEX_SLOTS = 131072, /* one for each entry there can be: it never overflows */
};

#define FP_MAGIC UINT64_C(0x74726f7065657266) /* "freeport" */
#define FP_MAGIC_SWAPPED UINT64_C(0x66726565706f7274)

/* A process: its id, its pid namespace and when it started, in one word, so that it is claimed in one step. owner.h */
typedef uint64_t fp_owner;

/* What an entry is, packed by fp_meaning_*() in table.h into one word, so that a reader sees all of it or none. */
typedef uint64_t fp_meaning;

/*
 * One lock for processes of all word sizes and C libraries. It is no pthread_mutex_t: that holds pointers which the C
 * library follows, so a writer of the segment could make it write anywhere.
 */
struct fp_lock_word {
    _Atomic uint32_t state; /* FP_LOCK_READY; else this segment is used without its lock */
    uint32_t unused;
    _Atomic fp_owner holder; /* 0: the lock is free */
    uint64_t unused2[62];
};

/* A name or a session. `sequence` is 0 if it was never used, odd while it is written, and even when it is complete. */
struct fp_label {
    _Atomic fp_owner writer; /* the process that writes it; if that dies before the end, another takes its place */
    _Atomic uint32_t sequence;
    uint32_t unused;
    _Atomic uint64_t text[FP_LABEL_BYTES / 8];
};

struct fp_entry {
    _Atomic fp_owner owner; /* 0: the entry is free. Claimed by compare-and-swap */
    _Atomic fp_meaning meaning;
    _Atomic uint64_t patience;   /* when the port was last in use, and how long it is not tried again: table.h */
    _Atomic uint32_t since;      /* seconds since the epoch */
    _Atomic uint32_t family;     /* AF_INET, AF_INET6, or 0 where no address was bound */
    _Atomic uint64_t address[2]; /* network order, IPv4 in the first four bytes */
    /* For a sentinel's port: where its socket was last seen. A hint that fp_holder_proved() checks; 0: not known. */
    _Atomic uint64_t holder; /* process id (32 bits) and descriptor (32) */
    _Atomic uint64_t socket; /* the socket's inode */
};

/* The state of a name's sequence. */
struct fp_cursor {
    _Atomic uint32_t last[FP_PROTOCOL_COUNT];      /* the last assigned port; 0 before the first */
    _Atomic uint32_t refreshed[FP_PROTOCOL_COUNT]; /* the search at which the hints were last looked over */
};

struct fp_header {
    /* Written once, before the segment gets its name; checked by each process that maps it. */
    uint64_t magic; /* last of all */
    uint32_t version;
    uint32_t header_bytes;
    uint64_t segment_bytes;
    uint32_t entry_bytes, label_bytes, names, sessions, index_slots, lock_bytes;
    uint64_t unused[4];

    /* Changes from here on. */
    _Atomic uint32_t reach;     /* the largest distance of an index slot from the place that its hash gives */
    _Atomic uint32_t turn;      /* how often the hints were looked over, by any name */
    _Atomic uint32_t search;    /* serial of searches */
    _Atomic uint32_t reclaimed; /* how often labels that no entry refers to were emptied */
    uint64_t unused2[6];
};

struct fp_segment {
    struct fp_header header;
    struct fp_lock_word lock;
    struct fp_label names[FP_NAMES];
    struct fp_cursor cursors[FP_NAMES];
    /* Hints for the search, by protocol and port. A wrong bit costs time, never a port. */
    _Atomic uint64_t taken[FP_PROTOCOL_COUNT][FP_WORDS]; /* has an owner, as far as known */
    _Atomic uint64_t
        held[FP_PROTOCOL_COUNT][FP_WORDS]; /* and is not tried before others: a sentinel's, reserved, or found busy */
    /*
     * The numbers that the index has ever had: one bit tells that a number means nothing to any session. A bit is set
     * before the index slot is written, and never cleared.
     */
    _Atomic uint64_t sentinels[FP_PROTOCOL_COUNT][FP_WORDS]; /* the sentinels */
    _Atomic uint64_t meant[FP_WORDS];                        /* those, and the ports behind them, of both protocols */
    struct fp_label sessions[FP_SESSIONS];                   /* slot 0 stands for "no session" and stays empty */
    /* (session, protocol, sentinel) -> port, by hash: 48 bits of tag, 16 of port. Only a pointer: the entry decides. */
    _Atomic uint64_t index[FP_INDEX_SLOTS];
    struct fp_entry entries[FP_PROTOCOL_COUNT][FP_PORTS];
};

static_assert(sizeof(struct fp_lock_word) == 512, "a format");
static_assert(sizeof(struct fp_label) == 80, "a format");
static_assert(sizeof(struct fp_entry) == 64, "a format");
static_assert(sizeof(struct fp_cursor) == 16, "a format");
static_assert(offsetof(struct fp_header, reach) == 80, "a format");
static_assert(sizeof(struct fp_header) == 144, "a format");
static_assert(offsetof(struct fp_segment, lock) == 144, "a format");
static_assert(offsetof(struct fp_segment, names) == 656, "a format");
static_assert(offsetof(struct fp_segment, cursors) == 656 + 1024 * 80, "a format");
static_assert(offsetof(struct fp_segment, taken) == 98960, "a format");
static_assert(offsetof(struct fp_segment, sentinels) == 98960 + 4 * 8192, "a format");
static_assert(offsetof(struct fp_segment, sessions) == 98960 + 7 * 8192, "a format");
static_assert(offsetof(struct fp_segment, index) == 156304 + 16384 * 80, "a format");
static_assert(offsetof(struct fp_segment, entries) == 1467024 + 131072 * 8, "a format");
static_assert(sizeof(struct fp_segment) == 2515600 + 131072 * 64, "a format");
static_assert(FP_ATOMIC_64_LOCK_FREE, "64-bit atomics that need a lock of the process cannot be shared");

#endif
