/* SPDX-License-Identifier: MIT */
#include "table.h"

#include "owner.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

/* Labels */

enum { TEXT_WORDS = FP_LABEL_BYTES / 8 };

static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    return x;
}

static uint64_t hash_words(const uint64_t words[TEXT_WORDS]) {
    uint64_t hash = 1;
    for (unsigned i = 0; i < TEXT_WORDS; i++)
        hash = mix(hash + words[i]);
    return hash;
}

void fp_text_set(struct fp_text *text, const char *string) {
    *text = (struct fp_text){.hash = 0};
    char *bytes = (char *)text->words;
    for (unsigned i = 0; i < FP_LABEL_BYTES && string[i]; i++)
        bytes[i] = string[i];
    text->hash = hash_words(text->words);
}

uint64_t fp_text_place(const struct fp_text *session, uint16_t sentinel) {
    const unsigned char *bytes = (const unsigned char *)session->words;
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a over bytes: the same for either byte order */
    for (unsigned i = 0; i < FP_LABEL_BYTES && bytes[i]; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return mix(hash + sentinel);
}

static unsigned span(const char *text, bool hex) {
    unsigned length = 0;
    while ((text[length] >= '0' && text[length] <= '9') || (hex && text[length] >= 'a' && text[length] <= 'f'))
        length++;
    return length;
}

/* Made-up names are PID-16 HEX DIGITS (the shim) and run-PID-8 HEX DIGITS (the command). */
bool fp_session_made_up(const char *session) {
    const char *at = session;
    bool command = strncmp(at, "run-", 4) == 0 || strncmp(at, "env-", 4) == 0;
    at += command ? 4 : 0;
    unsigned digits = span(at, false), last = command ? 8 : 16;
    return digits > 0 && at[digits] == '-' && span(at + digits + 1, true) == last && at[digits + 1 + last] == 0;
}

bool fp_label_is(const struct fp_label *label, const struct fp_text *text) {
    uint32_t before = atomic_load_explicit(&label->sequence, memory_order_acquire);
    if (before == 0 || before % 2 != 0)
        return false;
    for (unsigned i = 0; i < TEXT_WORDS; i++)
        if (atomic_load_explicit(&label->text[i], memory_order_relaxed) != text->words[i])
            return false;
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&label->sequence, memory_order_relaxed) == before;
}

/* Copies the words of a label; false if the label is not complete, or was written meanwhile. */
static bool label_words(const struct fp_label *label, uint64_t words[TEXT_WORDS]) {
    uint32_t before = atomic_load_explicit(&label->sequence, memory_order_acquire);
    for (unsigned i = 0; i < TEXT_WORDS; i++)
        words[i] = atomic_load_explicit(&label->text[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return before != 0 && before % 2 == 0 && atomic_load_explicit(&label->sequence, memory_order_relaxed) == before;
}

void fp_label_read(const struct fp_label *label, char out[FP_LABEL_BYTES + 1]) {
    uint64_t words[TEXT_WORDS];
    out[0] = 0;
    if (!label_words(label, words))
        return;
    memcpy(out, words, FP_LABEL_BYTES);
    out[FP_LABEL_BYTES] = 0;
    for (char *at = out; *at; at++)
        if (*at < 0x21 || *at > 0x7e)
            *at = '?';
}

/* True if a slot can be written: it was never used, or its writer died before the end. */
static bool label_open(struct fp_label *label) {
    uint32_t sequence = atomic_load(&label->sequence);
    if (sequence == 0)
        return atomic_load(&label->writer) == 0 || fp_owner_gone_quick(atomic_load(&label->writer));
    return sequence % 2 != 0 && fp_owner_gone_quick(atomic_load(&label->writer));
}

static bool label_write(struct fp_label *label, const struct fp_text *text, fp_owner self) {
    fp_owner was = atomic_load(&label->writer);
    if (!label_open(label) || !atomic_compare_exchange_strong(&label->writer, &was, self))
        return false;
    uint32_t sequence = atomic_load(&label->sequence) | 1;
    atomic_store(&label->sequence, sequence);
    for (unsigned i = 0; i < TEXT_WORDS; i++)
        atomic_store_explicit(&label->text[i], text->words[i], memory_order_relaxed);
    sequence++;
    atomic_store(&label->sequence, sequence ? sequence : 2);
    return true;
}

static int label_find(const struct fp_label *labels, unsigned first, unsigned count, const struct fp_text *text) {
    unsigned slots = count - first;
    unsigned at = (unsigned)(text->hash % slots);
    for (unsigned i = 0; i < slots; i++, at = (at + 1) % slots) {
        const struct fp_label *label = &labels[first + at];
        if (fp_label_is(label, text))
            return (int)(first + at);
        if (atomic_load_explicit(&label->sequence, memory_order_relaxed) == 0 &&
            atomic_load_explicit(&label->writer, memory_order_relaxed) == 0)
            break; /* never used, and no writer has begun there since it was read */
    }
    return -ENOENT;
}

static int label_make(struct fp_label *labels, unsigned first, unsigned count, const struct fp_text *text,
                      fp_owner self) {
    unsigned at = (unsigned)(text->hash % (count - first));
    for (unsigned i = first; i < count; i++, at = (at + 1) % (count - first))
        if (label_write(&labels[first + at], text, self))
            return (int)(first + at);
    return -ENOSPC;
}

/*
 * Empties every slot that no entry refers to. This walks the whole table, once in thousands of new sessions. A second
 * label of the same text may be made afterwards, nearer to the place that its hash gives. That does no harm, since
 * sessions are compared by text, not by slot.
 */
static void labels_reclaim(struct fp_segment *segment, struct fp_label *labels, unsigned first, unsigned count,
                           unsigned (*slot_of)(fp_meaning)) {
    uint64_t used[FP_SESSIONS / 64] = {0};
    /* Comes first: a process that reads the old count has recorded its entry by now, and the loop below sees that. */
    atomic_fetch_add(&segment->header.reclaimed, 1);
    for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++) {
        for (unsigned port = 1; port < FP_PORTS; port++) {
            const struct fp_entry *entry = &segment->entries[protocol][port];
            if (atomic_load(&entry->owner) == 0)
                continue;
            unsigned slot = slot_of(atomic_load(&entry->meaning));
            used[slot / 64] |= UINT64_C(1) << (slot % 64);
        }
    }
    for (unsigned slot = first; slot < count; slot++) {
        if ((used[slot / 64] >> (slot % 64)) & 1)
            continue;
        atomic_store(&labels[slot].sequence, 1);
        for (unsigned i = 0; i < TEXT_WORDS; i++)
            atomic_store_explicit(&labels[slot].text[i], 0, memory_order_relaxed);
        atomic_store(&labels[slot].sequence, 0);
        atomic_store(&labels[slot].writer, 0);
    }
}

static int intern(struct fp_segment *segment, struct fp_label *labels, unsigned first, unsigned count,
                  unsigned (*slot_of)(fp_meaning), const struct fp_text *text, fp_owner self) {
    int slot = label_find(labels, first, count, text);
    if (slot < 0)
        slot = label_make(labels, first, count, text, self);
    if (slot < 0) {
        labels_reclaim(segment, labels, first, count, slot_of);
        slot = label_make(labels, first, count, text, self);
    }
    return slot;
}

int fp_find_name(const struct fp_segment *segment, const struct fp_text *text) {
    return label_find(segment->names, 0, FP_NAMES, text);
}

int fp_find_session(const struct fp_segment *segment, const struct fp_text *text) {
    return label_find(segment->sessions, 1, FP_SESSIONS, text);
}

int fp_intern_name(struct fp_segment *segment, const struct fp_text *text, fp_owner self) {
    return intern(segment, segment->names, 0, FP_NAMES, fp_name, text, self);
}

int fp_intern_session(struct fp_segment *segment, const struct fp_text *text, fp_owner self) {
    return intern(segment, segment->sessions, 1, FP_SESSIONS, fp_session, text, self);
}

/* The index */

enum { PORT_BITS = 16 };

static uint64_t key_hash(uint64_t session_hash, unsigned protocol, uint16_t sentinel) {
    return mix(session_hash ^ mix(((uint64_t)protocol << 16) + sentinel + 1));
}

static uint64_t tag_of(uint64_t hash) {
    return hash & ~(uint64_t)0xffff;
}

static unsigned place_of(uint64_t hash, unsigned distance) {
    return (unsigned)((hash + distance) % FP_INDEX_SLOTS);
}

static unsigned reach_of(const struct fp_segment *segment) {
    uint32_t reach = atomic_load_explicit(&segment->header.reach, memory_order_acquire);
    return reach < FP_INDEX_SLOTS ? reach : FP_INDEX_SLOTS - 1;
}

static bool entry_stands_for(const struct fp_segment *segment, const struct fp_text *session, unsigned protocol,
                             uint16_t port, uint16_t sentinel, fp_meaning *meaning) {
    *meaning = atomic_load(&segment->entries[protocol][port].meaning);
    return fp_is_sentinel(*meaning) && fp_requested(*meaning) == sentinel &&
           fp_label_is(&segment->sessions[fp_session(*meaning)], session);
}

uint16_t fp_index_find(const struct fp_segment *segment, const struct fp_text *session, unsigned protocol,
                       uint16_t sentinel, fp_meaning *meaning) {
    uint64_t hash = key_hash(session->hash, protocol, sentinel);
    unsigned reach = reach_of(segment);
    for (unsigned distance = 0; distance <= reach; distance++) {
        uint64_t slot = atomic_load_explicit(&segment->index[place_of(hash, distance)], memory_order_acquire);
        if (slot == 0)
            break;
        uint16_t port = (uint16_t)slot;
        if (tag_of(slot) == tag_of(hash) && entry_stands_for(segment, session, protocol, port, sentinel, meaning))
            return port;
    }
    return 0;
}

/* True if the slot's port has an entry that fits the slot's tag. Any other slot counts as empty. */
static bool slot_live(const struct fp_segment *segment, uint64_t slot) {
    for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++) {
        fp_meaning meaning = atomic_load(&segment->entries[protocol][(uint16_t)slot].meaning);
        uint64_t words[TEXT_WORDS];
        if (fp_is_sentinel(meaning) && label_words(&segment->sessions[fp_session(meaning)], words) &&
            tag_of(key_hash(hash_words(words), protocol, fp_requested(meaning))) == tag_of(slot))
            return true;
    }
    return false;
}

uint16_t fp_index_add(struct fp_segment *segment, const struct fp_text *session, unsigned protocol, uint16_t sentinel,
                      uint16_t port) {
    uint64_t hash = key_hash(session->hash, protocol, sentinel);
    for (unsigned distance = 0; distance < FP_INDEX_SLOTS; distance++) {
        _Atomic uint64_t *place = &segment->index[place_of(hash, distance)];
        uint64_t slot = atomic_load(place);
        fp_meaning ignored;
        bool same = slot != 0 && tag_of(slot) == tag_of(hash);
        if (same && entry_stands_for(segment, session, protocol, (uint16_t)slot, sentinel, &ignored))
            return (uint16_t)slot;
        if (slot != 0 && !same && slot_live(segment, slot))
            continue;
        fp_hint_set(segment->sentinels[protocol], sentinel);
        fp_hint_set(segment->meant, sentinel);
        fp_hint_set(segment->meant, port);
        /* The reach is stored first: a reader that may see the slot has to search that far. */
        uint32_t reach = atomic_load(&segment->header.reach);
        while (reach < distance && !atomic_compare_exchange_weak(&segment->header.reach, &reach, distance)) {
        }
        if (atomic_compare_exchange_strong(place, &slot, tag_of(hash) | port))
            return port;
        distance--; /* another process has just written the slot: look at it again */
    }
    return port;
}

bool fp_is_of_session(const struct fp_segment *segment, fp_meaning meaning, const struct fp_text *session) {
    return fp_label_is(&segment->sessions[fp_session(meaning)], session);
}

uint16_t fp_sentinel_behind(const struct fp_segment *segment, const struct fp_text *session, unsigned protocol,
                            uint16_t port) {
    fp_meaning meaning = atomic_load_explicit(&segment->entries[protocol][port].meaning, memory_order_acquire);
    if (!fp_is_sentinel(meaning) || !fp_is_of_session(segment, meaning, session))
        return 0;
    return fp_requested(meaning);
}

/* Entries */

static bool hold_back(fp_meaning meaning) {
    return fp_is_sentinel(meaning) || fp_state(meaning) == FP_RESERVED;
}

static void mark(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_meaning meaning) {
    /* A crash here leaves a port that the hints call free: the search finds the claim. No port is lost. */
    if (hold_back(meaning))
        fp_hint_set(segment->held[protocol], port);
    fp_hint_set(segment->taken[protocol], port);
    if (!hold_back(meaning))
        fp_hint_clear(segment->held[protocol], port);
}

bool fp_entry_claim(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner was, fp_owner self,
                    fp_meaning meaning) {
    struct fp_entry *entry = fp_entry_at(segment, protocol, port);
    fp_meaning found = atomic_load(&entry->meaning);
    if (!atomic_compare_exchange_strong(&entry->owner, &was, self))
        return false;
    /*
     * A crash here leaves the old meaning with a dead owner. Another thread of this process may see an old entry of its
     * own process and adopt it first: then the entry is that thread's.
     */
    if (!atomic_compare_exchange_strong(&entry->meaning, &found, meaning))
        return false;
    /* That thread may have given it up since, and the entry may have any owner. */
    if (atomic_load(&entry->owner) != self) {
        atomic_compare_exchange_strong(&entry->meaning, &meaning, found);
        return false;
    }
    mark(segment, protocol, port, meaning);
    return true;
}

bool fp_entry_adopt(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner was, fp_owner self,
                    fp_meaning found, fp_meaning meaning) {
    struct fp_entry *entry = fp_entry_at(segment, protocol, port);
    if (!atomic_compare_exchange_strong(&entry->meaning, &found, meaning))
        return false;
    if (!atomic_compare_exchange_strong(&entry->owner, &was, self)) {
        /* The owner has changed meanwhile, without a claim: the old meaning is put back. */
        atomic_compare_exchange_strong(&entry->meaning, &meaning, found);
        return false;
    }
    mark(segment, protocol, port, meaning);
    return true;
}

void fp_entry_take(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner self, fp_meaning meaning) {
    struct fp_entry *entry = fp_entry_at(segment, protocol, port);
    atomic_store(&entry->owner, self);
    atomic_store(&entry->meaning, meaning);
    mark(segment, protocol, port, meaning);
}

/* The address in the form of an entry. Returns its family, or 0 without an address. */
static uint32_t address_words(const struct sockaddr *address, uint64_t words[2]) {
    words[0] = words[1] = 0;
    if (address && (address->sa_family == AF_INET || address->sa_family == AF_UNSPEC)) {
        memcpy(words, &((const struct sockaddr_in *)(const void *)address)->sin_addr, sizeof(struct in_addr));
        return AF_INET;
    }
    if (address && address->sa_family == AF_INET6) {
        memcpy(words, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, sizeof(struct in6_addr));
        return AF_INET6;
    }
    return 0;
}

bool fp_entry_meets(const struct fp_entry *entry, const struct sockaddr *address) {
    uint64_t words[2], theirs[2] = {atomic_load_explicit(&entry->address[0], memory_order_relaxed),
                                    atomic_load_explicit(&entry->address[1], memory_order_relaxed)};
    uint32_t family = address_words(address, words);
    bool same = words[0] == theirs[0] && words[1] == theirs[1];
    bool any = (words[0] | words[1]) == 0 || (theirs[0] | theirs[1]) == 0;
    return atomic_load_explicit(&entry->family, memory_order_relaxed) == family && (same || any);
}

/* Notes that the port is in use now, and was not refused since. */
static void note_use(struct fp_segment *segment, struct fp_entry *entry) {
    uint64_t now = atomic_load_explicit(&segment->header.search, memory_order_relaxed);
    atomic_store_explicit(&entry->patience, now << 32, memory_order_relaxed);
}

void fp_entry_move(struct fp_segment *segment, unsigned protocol, uint16_t port, const struct sockaddr *address) {
    struct fp_entry *entry = fp_entry_at(segment, protocol, port);
    uint64_t words[2];
    uint32_t family = address_words(address, words);
    atomic_store_explicit(&entry->family, family, memory_order_relaxed);
    atomic_store_explicit(&entry->address[0], words[0], memory_order_relaxed);
    atomic_store_explicit(&entry->address[1], words[1], memory_order_relaxed);
    note_use(segment, entry);
}

void fp_entry_describe(struct fp_segment *segment, unsigned protocol, uint16_t port, const struct sockaddr *address) {
    struct fp_entry *entry = fp_entry_at(segment, protocol, port);
    uint64_t words[2];
    uint32_t family = address_words(address, words);
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME_COARSE,
                  &now); /* seconds are enough, and the coarse clock costs no access to a device */
    atomic_store_explicit(&entry->since, (uint32_t)now.tv_sec, memory_order_relaxed);
    atomic_store_explicit(&entry->family, family, memory_order_relaxed);
    atomic_store_explicit(&entry->address[0], words[0], memory_order_relaxed);
    atomic_store_explicit(&entry->address[1], words[1], memory_order_relaxed);
    note_use(segment, entry);
}

void fp_entry_record(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_meaning meaning,
                     const struct sockaddr *address) {
    fp_entry_describe(segment, protocol, port, address);
    atomic_store(&fp_entry_at(segment, protocol, port)->meaning, meaning);
    mark(segment, protocol, port, meaning);
}

void fp_entry_leave(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner owner, fp_meaning left) {
    struct fp_entry *entry = fp_entry_at(segment, protocol, port);
    fp_meaning meaning = atomic_load(&entry->meaning);
    /* The owner is cleared first: if another process has taken the entry meanwhile, nothing of it is overwritten. */
    if (atomic_compare_exchange_strong(&entry->owner, &owner, 0))
        atomic_compare_exchange_strong(&entry->meaning, &meaning, left);
}

void fp_entry_release(struct fp_segment *segment, unsigned protocol, uint16_t port, fp_owner owner) {
    fp_hint_clear(segment->held[protocol], port);
    fp_hint_clear(segment->taken[protocol], port);
    fp_entry_leave(segment, protocol, port, owner, 0);
}

/*
 * How long a refused port is not tried again, as powers of two, in turns. It begins with four turns: a busy port mostly
 * belongs to a server that stays.
 */
enum { FIRST_PATIENCE = 2, LONGEST_PATIENCE = 8 };

bool fp_patience_over(uint64_t patience, uint32_t turn) {
    uint32_t due = (uint32_t)(patience >> 8) & 0xffffff;
    uint32_t left = (due - turn) & 0xffffff;
    return left == 0 || left > (1 << LONGEST_PATIENCE); /* the turn has come, or the value is not valid */
}

uint64_t fp_patience_more(uint64_t patience, uint32_t turn, uint32_t serial) {
    unsigned exponent = (unsigned)(patience & (FP_REFUSED - 1));
    if (exponent < FIRST_PATIENCE)
        exponent = FIRST_PATIENCE;
    if (exponent > LONGEST_PATIENCE)
        exponent = LONGEST_PATIENCE;
    uint64_t due = (turn + (1u << exponent)) & 0xffffff;
    if (exponent < LONGEST_PATIENCE)
        exponent++;
    return exponent | (patience & FP_REFUSED) | (due << 8) | ((uint64_t)serial << 32);
}

void fp_entry_refused(struct fp_segment *segment, unsigned protocol, uint16_t port, uint32_t serial,
                      fp_owner claimant) {
    struct fp_entry *entry = fp_entry_at(segment, protocol, port);
    uint32_t turn = atomic_load_explicit(&segment->header.turn, memory_order_relaxed);
    uint64_t patience = atomic_load_explicit(&entry->patience, memory_order_relaxed);
    atomic_store_explicit(&entry->patience, fp_patience_more(patience, turn, serial) | FP_REFUSED,
                          memory_order_relaxed);
    fp_hint_set(segment->taken[protocol], port);
    fp_hint_set(segment->held[protocol], port);
    if (claimant)
        fp_entry_leave(segment, protocol, port, claimant, fp_meaning_of(FP_BUSY, 0, 0, 0));
}
