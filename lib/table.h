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
    FP_CLAIMED,  /* somebody is about to bind it */
    FP_BOUND,    /* assigned */
    FP_RESERVED, /* handed out by freeport_get() */
    FP_EXPLICIT, /* bound by its number */
    FP_PLEDGED,  /* kept for a sentinel that nobody has bound: the other protocol's half, or for a client's sake */
    FP_EXPORTED, /* a sentinel's, told to a program before anybody binds it: one that goes past the shim may */
    FP_BUSY,     /* a stranger's, when it was last tried; has no owner */
};

/*
 * requested (16 bits), state (4), name (11), FP_HAD, session (14), FP_BY_NUMBER, FP_NAMED, and 16 to tell one
 * assignment of a port from the next, so that whoever compares and swaps a meaning that it read a moment ago never hits
 * one that merely looks the same.
 */
static inline fp_meaning fp_meaning_of(enum fp_state state, uint16_t requested, unsigned name, unsigned session) {
    return (fp_meaning)requested | ((fp_meaning)state << 16) | ((fp_meaning)name << 20) | ((fp_meaning)session << 32);
}

/* The kernel has said yes to it once: a claim of it is no first one, and somebody of ours may still be there. */
#define FP_HAD (UINT64_C(1) << 31)

/* Of a sentinel's port: every bind of it so far was to its own number. */
#define FP_BY_NUMBER (UINT64_C(1) << 46)

/* Of a sentinel's port: a process of the session names the sentinel, so that its clients are not let through. */
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

/* Whether it stands for a sentinel of a session. Most entries do not: the port that was asked for says so at once. */
static inline bool fp_is_sentinel(fp_meaning meaning) {
    enum fp_state state = fp_state(meaning);
    return fp_requested(meaning) != 0 &&
           (state == FP_CLAIMED || state == FP_BOUND || state == FP_PLEDGED || state == FP_EXPORTED);
}

/* Whether it is more than a try: a bound port stays one while another bind of it is under way. */
static inline bool fp_is_assignment(fp_meaning meaning) {
    enum fp_state state = fp_state(meaning);
    return (state >= FP_BOUND && state <= FP_EXPORTED) || (state == FP_CLAIMED && (meaning & FP_HAD));
}

/* Whether a sentinel's port was kept, and never bound by anybody who is known. */
static inline bool fp_is_kept(fp_meaning meaning) {
    return fp_state(meaning) == FP_PLEDGED || fp_state(meaning) == FP_EXPORTED;
}

/* Labels. A text is a name or a session as it stands in one: eight words, padded with zero bytes. */
struct fp_text {
    uint64_t words[FP_LABEL_BYTES / 8];
    uint64_t hash;
};

/* `string` has FP_LABEL_BYTES at most. */
void fp_text_set(struct fp_text *text, const char *string);

/* Where a sentinel's place is in a range: a hash of session and sentinel that is the same on every host. */
uint64_t fp_text_place(const struct fp_text *session, uint16_t sentinel);

/* Whether a session's name was made up for one process tree, by the shim or the command, rather than given by a user.
 */
bool fp_session_made_up(const char *session);

bool fp_label_is(const struct fp_label *label, const struct fp_text *text);

/* Copies a label out as a string; "" where it is unused or being written. What is not printable becomes '?'. */
void fp_label_read(const struct fp_label *label, char out[FP_LABEL_BYTES + 1]);

/*
 * The slot of a name or session, -ENOENT where there is none; to intern makes one, -ENOSPC where every slot is in use
 * by some entry. A slot that no entry refers to may be emptied by others at any moment, and header.reclaimed tells that
 * it may have been.
 */
int fp_find_name(const struct fp_segment *segment, const struct fp_text *text);
int fp_find_session(const struct fp_segment *segment, const struct fp_text *text);
int fp_intern_name(struct fp_segment *segment, const struct fp_text *text, fp_owner self);
int fp_intern_session(struct fp_segment *segment, const struct fp_text *text, fp_owner self);

/* The index. */

/* The port behind a sentinel, and what its entry means; 0 where the session has none. */
uint16_t fp_index_find(const struct fp_segment *segment, const struct fp_text *session, unsigned protocol,
                       uint16_t sentinel, fp_meaning *meaning);

/*
 * Points a sentinel of a session to a port whose entry says so already. Returns the port that it is pointed to: where
 * another one was faster, which without the lock may be, that one's.
 */
uint16_t fp_index_add(struct fp_segment *segment, const struct fp_text *session, unsigned protocol, uint16_t sentinel,
                      uint16_t port);

/* Whether an entry is that session's. */
bool fp_is_of_session(const struct fp_segment *segment, fp_meaning meaning, const struct fp_text *session);

/* The sentinel of that session for which a real port stands; 0 where it stands for none. */
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

/* Changes the owner from `was` to `self`, and then the meaning. False where anybody else changed either meanwhile. */
bool fp_entry_claim(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner was, fp_owner self,
                    fp_meaning meaning);

/*
 * The same for an entry that was found to be `was`'s and to mean `found`: by its meaning first, which tells two threads
 * of one process apart, and two searches that found the same one left.
 */
bool fp_entry_adopt(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner was, fp_owner self,
                    fp_meaning found, fp_meaning meaning);

/* For who holds the port in the kernel: whatever the entry said, it is theirs. */
void fp_entry_take(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner self, fp_meaning meaning);

/* A claim came true. `address` is NULL where nothing was bound. */
void fp_entry_record(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_meaning meaning,
                     const struct sockaddr *address);

/* What a claim that came true says besides: when it was, and where. As fp_entry_record(), which says what it means. */
void fp_entry_describe(struct fp_segment *segment, unsigned protocol, uint16_t port, const struct sockaddr *address);

/* Its holder has bound it on another address since. */
void fp_entry_move(struct fp_segment *segment, unsigned protocol, uint16_t port, const struct sockaddr *address);

/* Whether the kernel would refuse a bind to that address beside a socket on the one that the entry was recorded for. */
bool fp_entry_meets(const struct fp_entry *entry, const struct sockaddr *address);

/* Back to free, if it is still `owner`'s. */
void fp_entry_release(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner owner);

/*
 * The port could not be had at search `serial`: not worth another try for a while, and a longer one each time. Where
 * `claimant` has claimed the entry for the try, it becomes BUSY; somebody else's (`claimant` 0) stays as it is.
 */
void fp_entry_refused(struct fp_segment *segment, unsigned protocol, uint16_t port, uint32_t serial, fp_owner claimant);

/* Gives an entry up, if it is still `owner`'s, and leaves `meaning` behind. */
void fp_entry_leave(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner owner, fp_meaning meaning);

/*
 * Patience: exponent (7 bits), FP_REFUSED, the turn from which on it is worth a try (24), and the search at which the
 * port was last known to be in use (32): when it was assigned, or refused since.
 */
#define FP_REFUSED UINT64_C(0x80) /* it was refused since it was last assigned */

static inline uint32_t fp_patience_serial(uint64_t patience) {
    return (uint32_t)(patience >> 32);
}

bool fp_patience_over(uint64_t patience, uint32_t turn);

/* `patience` after another disappointment in that turn. */
uint64_t fp_patience_more(uint64_t patience, uint32_t turn, uint32_t serial);

/* Hints. */

static inline bool fp_hint(const _Atomic uint64_t *words, uint16_t port) {
    return (atomic_load_explicit(&words[port / 64], memory_order_relaxed) >> (port % 64)) & 1;
}

/* Most often it is set, or clear, as it is to be: a look is cheaper than a locked instruction. */
static inline void fp_hint_set(_Atomic uint64_t *words, uint16_t port) {
    if (!fp_hint(words, port))
        atomic_fetch_or_explicit(&words[port / 64], UINT64_C(1) << (port % 64), memory_order_relaxed);
}

static inline void fp_hint_clear(_Atomic uint64_t *words, uint16_t port) {
    if (fp_hint(words, port))
        atomic_fetch_and_explicit(&words[port / 64], ~(UINT64_C(1) << (port % 64)), memory_order_relaxed);
}

#endif
