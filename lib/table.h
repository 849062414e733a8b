/* SPDX-License-Identifier: MIT */
/*
 * What stands in the segment, and how it changes: labels, entries, the index of sentinels, the hints. Pure memory.
 *
 * Callers that change something hold the lock where they can; each function is safe without it.
 */
#ifndef FREEPORT_LIB_TABLE_H
#define FREEPORT_LIB_TABLE_H

#include "layout.h"

#include <stdbool.h>
#include <sys/socket.h>

enum fp_state {
    FP_FREE,
    FP_CLAIMED,  /* its owner is about to bind it */
    FP_BOUND,    /* assigned */
    FP_RESERVED, /* handed out by freeport_get() */
    FP_EXPLICIT, /* bound by its number */
    FP_PLEDGED,  /* kept for a sentinel that is not bound yet: the other protocol's half, or a client came first */
    FP_EXPORTED, /* kept for a sentinel, and told to a program, which may bind it without the shim */
    FP_BUSY,     /* a foreign socket had it when it was last tried; no owner */
};

/*
 * The bits: requested (16), state (4), name (11), FP_HAD, session (14), FP_BY_NUMBER, FP_NAMED, and a serial (16). The
 * serial differs from one assignment of the port to the next, so that a compare-and-swap with an old value fails (ABA).
 */
static inline fp_meaning fp_meaning_of(enum fp_state state, uint16_t requested, unsigned name, unsigned session) {
    return (fp_meaning)requested | ((fp_meaning)state << 16) | ((fp_meaning)name << 20) | ((fp_meaning)session << 32);
}

/* The port was bound once by a managed bind: under a new claim, a socket of the session may still be bound to it. */
#define FP_HAD (UINT64_C(1) << 31)

/* For a sentinel's port: every bind so far was to the real number. */
#define FP_BY_NUMBER (UINT64_C(1) << 46)

/* For a sentinel's port: a process of the session names the sentinel, so its clients never go to the host's server. */
#define FP_NAMED (UINT64_C(1) << 47)

static inline fp_meaning fp_with_serial(fp_meaning meaning, uint32_t serial) {
    return (meaning & UINT64_C(0xffffffffffff)) | ((fp_meaning)serial << 48);
}

static inline uint16_t fp_requested(fp_meaning meaning) {
    return (uint16_t)meaning;
}

static inline enum fp_state fp_state(fp_meaning meaning) {
    return (enum fp_state)((meaning >> 16) & 0xf);
}

static inline fp_meaning fp_with_state(fp_meaning meaning, enum fp_state state) {
    return (meaning & ~((fp_meaning)0xf << 16)) | ((fp_meaning)state << 16);
}

static inline unsigned fp_name(fp_meaning meaning) {
    return (unsigned)(meaning >> 20) % FP_NAMES;
}

static inline unsigned fp_session(fp_meaning meaning) {
    return (unsigned)(meaning >> 32) % FP_SESSIONS;
}

/* True for a sentinel's entry. The requested port is looked at first: it tells for most entries. */
static inline bool fp_is_sentinel(fp_meaning meaning) {
    enum fp_state state = fp_state(meaning);
    return fp_requested(meaning) != 0 &&
           (state == FP_CLAIMED || state == FP_BOUND || state == FP_PLEDGED || state == FP_EXPORTED);
}

/* True for an assignment, as opposed to a first claim. A bound port stays one while it is claimed again. */
static inline bool fp_is_assignment(fp_meaning meaning) {
    enum fp_state state = fp_state(meaning);
    return (state >= FP_BOUND && state <= FP_EXPORTED) || (state == FP_CLAIMED && (meaning & FP_HAD));
}

/* True for a sentinel's port that is kept and was never bound, as far as known. */
static inline bool fp_is_kept(fp_meaning meaning) {
    return fp_state(meaning) == FP_PLEDGED || fp_state(meaning) == FP_EXPORTED;
}

/* Labels. A text is a name or a session in the form of a label: eight words, padded with zero bytes. */
struct fp_text {
    uint64_t words[FP_LABEL_BYTES / 8];
    uint64_t hash;
};

/* `string` has FP_LABEL_BYTES at most. */
void fp_text_set(struct fp_text *text, const char *string);

/* The hash of session and sentinel that gives the sentinel's place in a range. It is the same on every host. */
uint64_t fp_text_place(const struct fp_text *session, uint16_t sentinel);

/* True if the session's name was made up by the shim or the command, for one process tree, and not given by a user. */
bool fp_session_made_up(const char *session);

bool fp_label_is(const struct fp_label *label, const struct fp_text *text);

/* Copies a label as a string; "" if it is unused or being written. Characters that are not printable become '?'. */
void fp_label_read(const struct fp_label *label, char out[FP_LABEL_BYTES + 1]);

/*
 * fp_find_*(): the slot of a name or session, or -ENOENT. fp_intern_*() makes one; -ENOSPC if entries refer to every
 * slot. A slot that no entry refers to may be emptied at any moment by another process, which counts up
 * header.reclaimed.
 */
int fp_find_name(const struct fp_segment *segment, const struct fp_text *text);
int fp_find_session(const struct fp_segment *segment, const struct fp_text *text);
int fp_intern_name(struct fp_segment *segment, const struct fp_text *text, fp_owner self);
int fp_intern_session(struct fp_segment *segment, const struct fp_text *text, fp_owner self);

/* The index. */

/* The port behind a sentinel, and the meaning of its entry; 0 if the session has no port for it. */
uint16_t fp_index_find(const struct fp_segment *segment, const struct fp_text *session, unsigned protocol,
                       uint16_t sentinel, fp_meaning *meaning);

/*
 * Points the index from a session's sentinel to a port, whose entry has that meaning already. Returns the port that the
 * index has: another process may have been faster, if one of them goes on without the lock.
 */
uint16_t fp_index_add(struct fp_segment *segment, const struct fp_text *session, unsigned protocol, uint16_t sentinel,
                      uint16_t port);

/* True if an entry belongs to that session. */
bool fp_is_of_session(const struct fp_segment *segment, fp_meaning meaning, const struct fp_text *session);

/* The sentinel that a real port of that session stands for; 0 if it stands for none. */
uint16_t fp_sentinel_behind(const struct fp_segment *segment, const struct fp_text *session, unsigned protocol,
                            uint16_t port);

/* Entries. */

static inline struct fp_entry *fp_entry_at(struct fp_segment *segment, unsigned protocol, uint16_t port) {
    return &segment->entries[protocol & 1][port];
}

static inline fp_owner fp_entry_owner(struct fp_segment *segment, unsigned protocol, uint16_t port) {
    return atomic_load(&fp_entry_at(segment, protocol, port)->owner);
}

static inline fp_meaning fp_entry_meaning(struct fp_segment *segment, unsigned protocol, uint16_t port) {
    return atomic_load(&fp_entry_at(segment, protocol, port)->meaning);
}

/* Changes the owner from `was` to `self`, and then the meaning. False if either was changed by others meanwhile. */
bool fp_entry_claim(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner was, fp_owner self,
                    fp_meaning meaning);

/*
 * The same for an entry with the owner `was` and the meaning `found`. The meaning is changed first, since two threads
 * of one process have the same owner; so only one of two searches that found the entry gets it.
 */
bool fp_entry_adopt(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner was, fp_owner self,
                    fp_meaning found, fp_meaning meaning);

/* Takes the entry, whatever it says. For a process whose socket is bound to the port. */
void fp_entry_take(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner self, fp_meaning meaning);

/* Records that a claimed port is assigned. `address` is NULL if no socket was bound. */
void fp_entry_record(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_meaning meaning,
                     const struct sockaddr *address);

/* The part of fp_entry_record() besides the meaning: time and address. */
void fp_entry_describe(struct fp_segment *segment, unsigned protocol, uint16_t port, const struct sockaddr *address);

/* Records another address, on which the port was bound since. */
void fp_entry_move(struct fp_segment *segment, unsigned protocol, uint16_t port, const struct sockaddr *address);

/* True if the kernel would refuse a bind to that address while a socket is bound to the entry's address. */
bool fp_entry_meets(const struct fp_entry *entry, const struct sockaddr *address);

/* Frees the entry, if `owner` still owns it. */
void fp_entry_release(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner owner);

/*
 * Notes that the port was busy at search `serial`: it is not tried again for a while, which is longer each time. If
 * `claimant` had claimed the entry for the try, it becomes FP_BUSY. With `claimant` 0 its owner and meaning stay.
 */
void fp_entry_refused(struct fp_segment *segment, unsigned protocol, uint16_t port, uint32_t serial, fp_owner claimant);

/* Gives the entry up, if `owner` still owns it, and leaves `meaning` in it. */
void fp_entry_leave(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner owner, fp_meaning meaning);

/*
 * Patience. The bits: an exponent (7), FP_REFUSED, the turn at which the port is tried again (24), and the search at
 * which it was last known to be in use (32): when it was assigned, or refused since.
 */
#define FP_REFUSED UINT64_C(0x80) /* a bind was refused since the last assignment */

static inline uint32_t fp_patience_serial(uint64_t patience) {
    return (uint32_t)(patience >> 32);
}

bool fp_patience_over(uint64_t patience, uint32_t turn);

/* `patience` after one more refusal in that turn. */
uint64_t fp_patience_more(uint64_t patience, uint32_t turn, uint32_t serial);

/* Hints. */

static inline bool fp_hint(const _Atomic uint64_t *words, uint16_t port) {
    return (atomic_load_explicit(&words[port / 64], memory_order_relaxed) >> (port % 64)) & 1;
}

/* Reads the bit first: mostly it has the right value, and a read is cheaper than a locked instruction. */
static inline void fp_hint_set(_Atomic uint64_t *words, uint16_t port) {
    if (!fp_hint(words, port))
        atomic_fetch_or_explicit(&words[port / 64], UINT64_C(1) << (port % 64), memory_order_relaxed);
}

static inline void fp_hint_clear(_Atomic uint64_t *words, uint16_t port) {
    if (fp_hint(words, port))
        atomic_fetch_and_explicit(&words[port / 64], ~(UINT64_C(1) << (port % 64)), memory_order_relaxed);
}

#endif
