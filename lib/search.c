/* SPDX-License-Identifier: MIT */
#include "search.h"

#include "owner.h"
#include "table.h"

#include <stddef.h>

/* The hints are checked once in (size of the range / this) searches: a few entries a search, whatever the size. */
enum { REFRESH_SHARE = 8 };

/* What "a moment ago" and "long ago" mean: a number of searches, as a part of the range's size. */
enum { MOMENT_SHARE = 2, LONGEST_MOMENT = 2, LONG_SHARE = 4 };

/* How many times the oldest ports of a kind are gathered; the second is for busy ones. After that: in port order. */
enum { MOST_ROUNDS = 4, MOST_BUSY_ROUNDS = 1 };

#define EVEN_PORTS UINT64_C(0x5555555555555555)
#define ALL_PORTS (~UINT64_C(0))

void fp_search_begin(struct fp_search *search, struct fp_segment *segment, unsigned name, unsigned protocol,
                     const struct fp_range *range, fp_owner self) {
    struct fp_cursor *cursor = &segment->cursors[name % FP_NAMES];
    search->segment = segment;
    search->range = range;
    search->protocol = protocol;
    search->self = self;
    search->cursor = cursor;
    search->serial = atomic_fetch_add_explicit(&segment->header.search, 1, memory_order_relaxed) + 1;
    search->start = (uint16_t)atomic_load_explicit(&cursor->last[protocol], memory_order_relaxed);
    search->at = search->start;
    search->parity = ALL_PORTS;
    search->twin = NULL;
    search->kind = FP_KIND_FRESH;
    search->owner = search->looked_up = 0;
    search->meaning = 0;
    search->age = search->asked = search->asked_gone = 0;
    search->wrapped = search->refreshed = search->own_seen = search->else_seen = search->gathering = search->placed =
        false;
    search->oldest.rounds = search->oldest.count = search->oldest.next = 0;
    search->claims = search->under_lock = search->looked_up_gone = false;
}

void fp_search_even_first(struct fp_search *search) {
    search->parity = EVEN_PORTS;
}

/* The range's port number `rank`, from 0 on. */
static uint16_t port_of_rank(const struct fp_range *range, unsigned rank) {
    if (range->size == range->last - range->first + 1u)
        return (uint16_t)(range->first + rank);
    for (unsigned word = range->first / 64; word <= range->last / 64u; word++) {
        uint64_t bits = range->ports.words[word];
        unsigned count = (unsigned)__builtin_popcountll(bits);
        if (rank < count) {
            while (rank-- > 0)
                bits &= bits - 1;
            return (uint16_t)(word * 64 + (unsigned)__builtin_ctzll(bits));
        }
        rank -= count;
    }
    return range->first;
}

void fp_search_place(struct fp_search *search, uint64_t hash) {
    if (search->range->size == 0)
        return;
    search->placed = true;
    search->kind = FP_KIND_PLACE;
    search->start = (uint16_t)(port_of_rank(search->range, (unsigned)(hash % search->range->size)) - 1);
    search->at = search->start;
}

/* The distance from the port where the search began, round the range; that port itself is the farthest. */
static uint16_t how_far(const struct fp_search *search, uint32_t port) {
    return (uint16_t)(port - search->start - 1);
}

void fp_search_advance(struct fp_search *search, uint16_t port) {
    if (search->placed)
        return;
    _Atomic uint32_t *last = &search->cursor->last[search->protocol];
    uint32_t found = atomic_load_explicit(last, memory_order_relaxed);
    while ((found == search->start || how_far(search, found) < how_far(search, port)) &&
           !atomic_compare_exchange_weak_explicit(last, &found, port, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void fp_search_withdraw(struct fp_search *search, uint16_t port) {
    if (search->placed)
        return;
    uint32_t expected = port;
    atomic_compare_exchange_strong(&search->cursor->last[search->protocol], &expected, search->start);
}

static uint64_t hint_word(const _Atomic uint64_t *words, unsigned word) {
    return atomic_load_explicit(&words[word], memory_order_relaxed);
}

/* The ports of one word that may be of this kind, by the hints. */
static inline uint64_t candidates(const struct fp_search *search, unsigned kind, unsigned word) {
    const struct fp_segment *segment = search->segment;
    uint64_t range = search->range->ports.words[word] & search->parity;
    uint64_t taken = hint_word(segment->taken[search->protocol], word);
    /* Not a sentinel's number: a session that got it as a real port could not tell the two apart. */
    uint64_t unmeant = range & ~hint_word(segment->sentinels[search->protocol], word);
    switch (kind) {
    case FP_KIND_FRESH:
        return unmeant & ~taken;
    case FP_KIND_LEFT:
        return unmeant & taken & ~hint_word(segment->held[search->protocol], word);
    case FP_KIND_OWN:
    case FP_KIND_OWN_OLDEST:
    case FP_KIND_GONE:
    case FP_KIND_OWN_RECENT:
    case FP_KIND_IDLE:
        return unmeant & taken;
    default:
        /* All ports: another process may have changed a hint behind this search, and each port is to be tried. */
        return range;
    }
}

/* The ports that are fresh for the other protocol too. */
static uint64_t twins(const struct fp_search *search, unsigned word) {
    return search->twin->ports.words[word] & ~hint_word(search->segment->taken[!search->protocol], word);
}

/* Skips words without a candidate, four at once: in a wide range most may have none. */
static inline uint32_t skip_words(const struct fp_search *search, unsigned kind, uint32_t word, uint32_t last) {
    while (word + 3 <= last && !(candidates(search, kind, word) | candidates(search, kind, word + 1) |
                                 candidates(search, kind, word + 2) | candidates(search, kind, word + 3)))
        word += 4;
    return word;
}

bool fp_search_gone(struct fp_search *search, fp_owner owner) {
    unsigned slot = (unsigned)owner % FP_ASKED; /* processes that were started together have consecutive ids */
    uint32_t bit = UINT32_C(1) << slot;
    if (owner == 0)
        return true;
    if (!(search->asked & bit) || owner != search->asked_owners[slot]) {
        search->asked |= bit;
        search->asked_owners[slot] = owner;
        search->asked_gone = fp_owner_gone_quick(owner) ? search->asked_gone | bit : search->asked_gone & ~bit;
    }
    return search->asked_gone & bit;
}

/* True if the owner is dead; or if it is this process, and the entry is neither a reservation nor a claim. */
static bool left(struct fp_search *search, fp_owner owner, fp_meaning meaning) {
    if (owner == search->self)
        return fp_state(meaning) != FP_RESERVED && fp_state(meaning) != FP_CLAIMED;
    return fp_search_gone(search, owner);
}

/* True if the owner is dead, also by its start time. For entries that no other process may take from a live owner. */
static bool gone_for_good(struct fp_search *search, fp_owner owner) {
    if (search->under_lock || owner == 0)
        return fp_owner_gone_quick(owner);
    if (owner != search->looked_up) {
        search->looked_up = owner;
        search->looked_up_gone = fp_owner_gone(owner);
    }
    return search->looked_up_gone;
}

/* How many searches ago the port was last known to be in use; 0 if that was after this search began. */
static uint32_t age_of(const struct fp_search *search, uint64_t patience) {
    enum { SINCE = 1 << 20 };
    uint32_t age = search->serial + SINCE - fp_patience_serial(patience);
    return age > SINCE ? age - SINCE : 0;
}

/* True if the port was not in use for more than a moment. Before that, a thread may be about to bind it again. */
static bool settled(const struct fp_search *search, uint32_t age) {
    uint32_t moment = search->range->size / MOMENT_SHARE;
    return age > (moment < LONGEST_MOMENT ? moment : LONGEST_MOMENT);
}

static bool long_ago(const struct fp_search *search, uint32_t age) {
    return age >= search->range->size / LONG_SHARE && settled(search, age);
}

/* True if this process owns the entry and may have closed the port. */
static bool own(const struct fp_search *search, fp_owner owner, fp_meaning meaning) {
    return owner == search->self && fp_state(meaning) != FP_RESERVED && fp_state(meaning) != FP_CLAIMED;
}

/* True if another process owns the entry and may have closed the port. */
static bool idle(const struct fp_search *search, fp_owner owner, fp_meaning meaning) {
    return owner != 0 && owner != search->self && fp_state(meaning) != FP_RESERVED && fp_state(meaning) != FP_CLAIMED;
}

/* True if the number is free in the other protocol too, or if the search needs it in one protocol only. */
static bool twin_left(struct fp_search *search, uint16_t port) {
    struct fp_entry *entry = fp_entry_at(search->segment, !search->protocol, port);
    if (!search->twin)
        return true;
    fp_meaning meaning = atomic_load_explicit(&entry->meaning, memory_order_relaxed);
    return fp_portset_has(&search->twin->ports, port) && !fp_is_sentinel(meaning) &&
           left(search, atomic_load_explicit(&entry->owner, memory_order_relaxed), meaning);
}

/* True if a candidate is of that kind. Inlined: `kind` is a constant in each loop. */
static inline __attribute__((always_inline)) bool is_of_kind(struct fp_search *search, unsigned kind, uint16_t port) {
    struct fp_entry *entry = fp_entry_at(search->segment, search->protocol, port);
    uint64_t patience = atomic_load_explicit(&entry->patience, memory_order_relaxed);
    bool refused = patience & FP_REFUSED;
    if (refused && fp_patience_serial(patience) == search->serial)
        return false;
    fp_owner owner = atomic_load_explicit(&entry->owner, memory_order_relaxed);
    fp_meaning meaning = atomic_load_explicit(&entry->meaning, memory_order_relaxed);
    bool sentinel = fp_is_sentinel(meaning);
    search->owner = owner;
    search->meaning = meaning;
    search->age = age_of(search, patience);
    switch (kind) {
    case FP_KIND_PLACE:
        return !sentinel && left(search, owner, meaning) && twin_left(search, port);
    case FP_KIND_FRESH:
        if (owner == 0)
            return true;
        if (!sentinel && left(search, owner, meaning))
            return true;
        /* The hint was wrong: the owner was killed, or has not set the hint yet. */
        fp_hint_set(search->segment->taken[search->protocol], port);
        if (sentinel || fp_state(meaning) == FP_RESERVED)
            fp_hint_set(search->segment->held[search->protocol], port);
        return false;
    case FP_KIND_LEFT:
        if (sentinel || left(search, owner, meaning))
            return !sentinel && (owner != search->self || settled(search, search->age));
        /* A live process's: no search looks at it among the fresh ports again, until the hints are checked. */
        if (owner != search->self || fp_state(meaning) == FP_CLAIMED)
            fp_hint_set(search->segment->held[search->protocol], port);
        return false;
    case FP_KIND_OWN:
        return !sentinel && own(search, owner, meaning) && long_ago(search, search->age);
    case FP_KIND_OWN_OLDEST:
        return !sentinel && own(search, owner, meaning) && !refused && settled(search, search->age);
    case FP_KIND_GONE:
        return !sentinel && owner != search->self && (!refused || (owner != 0 && long_ago(search, search->age))) &&
               left(search, owner, meaning);
    case FP_KIND_OWN_RECENT:
        return !sentinel && own(search, owner, meaning) && !refused;
    case FP_KIND_IDLE:
        return !sentinel && idle(search, owner, meaning) && long_ago(search, search->age);
    case FP_KIND_BUSY:
        return !sentinel &&
               ((fp_state(meaning) != FP_RESERVED && (search->claims || fp_state(meaning) != FP_CLAIMED)) ||
                gone_for_good(search, owner));
    case FP_KIND_SENTINEL_LEFT:
        return sentinel && fp_search_gone(search, owner);
    default:
        /* An exported number stays while the process lives that it was told to. */
        return sentinel && fp_state(meaning) != FP_CLAIMED && fp_state(meaning) != FP_EXPORTED &&
               !fp_search_gone(search, owner);
    }
}

static bool fits(struct fp_search *search, uint16_t port) {
    return is_of_kind(search, search->kind, port);
}

static bool by_age(unsigned kind) {
    return kind == FP_KIND_OWN_OLDEST || kind == FP_KIND_OWN_RECENT || kind == FP_KIND_IDLE || kind == FP_KIND_BUSY;
}

/* True if a port comes behind the gathered ones: it is younger than the last, or as old and farther round. */
static bool after_gathered(const struct fp_search *search, uint16_t port) {
    const struct fp_oldest *oldest = &search->oldest;
    return oldest->rounds == 0 || search->age < oldest->last_age ||
           (search->age == oldest->last_age && how_far(search, port) > how_far(search, oldest->last_port));
}

/* Adds a port in order of age. If there is no room, the youngest is dropped. */
static void gather_one(struct fp_search *search, uint16_t port) {
    struct fp_oldest *oldest = &search->oldest;
    unsigned at = oldest->count;
    if (at == FP_OLDEST) {
        if (oldest->ages[--at] >= search->age)
            return;
    } else {
        oldest->count++;
    }
    for (; at > 0 && oldest->ages[at - 1] < search->age; at--) {
        oldest->ports[at] = oldest->ports[at - 1];
        oldest->ages[at] = oldest->ages[at - 1];
    }
    oldest->ports[at] = port;
    oldest->ages[at] = search->age;
}

/* True if this process owns the entry. Notes whether any entry was of this process, and of another, for in_vain(). */
static inline bool seen_own(struct fp_search *search, uint16_t port) {
    const struct fp_entry *entry = &search->segment->entries[search->protocol][port];
    fp_owner owner = atomic_load_explicit(&entry->owner, memory_order_relaxed);
    bool self = owner == search->self;
    search->own_seen |= self;
    search->else_seen |= !self && owner != 0;
    return self;
}

/*
 * The first port of the kind behind `after`, up to `last` (included); 0 if there is none. With `all`, each is gathered
 * and the result is 0.
 */
static inline __attribute__((always_inline)) uint32_t scan_kind(struct fp_search *search, unsigned kind, bool all,
                                                                uint32_t after, uint32_t last) {
    uint32_t word = (after + 1) / 64;
    uint64_t mask = ~UINT64_C(0) << ((after + 1) % 64);
    while (word <= last / 64) {
        uint64_t bits = candidates(search, kind, word) & mask;
        if (bits && kind == FP_KIND_FRESH && search->twin)
            bits &= twins(search, word);
        for (; bits; bits &= bits - 1) {
            uint32_t port = word * 64 + (uint32_t)__builtin_ctzll(bits);
            if (port > last)
                return 0;
            if ((kind == FP_KIND_OWN && !seen_own(search, (uint16_t)port)) ||
                !is_of_kind(search, kind, (uint16_t)port) || (by_age(kind) && !after_gathered(search, (uint16_t)port)))
                continue;
            if (!all)
                return port;
            gather_one(search, (uint16_t)port);
        }
        word = skip_words(search, kind, word + 1, last / 64);
        mask = ~UINT64_C(0);
    }
    return 0;
}

/* The kinds for which a wide range may be scanned without success have a loop of their own; the others share one. */
static uint32_t scan(struct fp_search *search, uint32_t after, uint32_t last) {
    if (after >= last)
        return 0;
    switch (search->kind) {
    case FP_KIND_FRESH:
        return scan_kind(search, FP_KIND_FRESH, false, after, last);
    case FP_KIND_LEFT:
        return scan_kind(search, FP_KIND_LEFT, false, after, last);
    case FP_KIND_OWN:
        return scan_kind(search, FP_KIND_OWN, false, after, last);
    case FP_KIND_BUSY:
        return scan_kind(search, FP_KIND_BUSY, search->gathering, after, last);
    default:
        return scan_kind(search, search->kind, search->gathering, after, last);
    }
}

/*
 * Checks the ports that the hints hide. A busy port is tried again when its patience is over, and a dead process's port
 * is fresh again. A sentinel's port stays its session's: its hint is set, in case its owner was killed before it could.
 */
static void refresh(struct fp_search *search) {
    struct fp_segment *segment = search->segment;
    unsigned protocol = search->protocol;
    search->refreshed = true;
    atomic_store_explicit(&search->cursor->refreshed[protocol], search->serial, memory_order_relaxed);
    uint32_t turn = atomic_fetch_add_explicit(&segment->header.turn, 1, memory_order_relaxed) + 1;
    for (unsigned word = search->range->first / 64; word <= search->range->last / 64u; word++) {
        uint64_t bits = search->range->ports.words[word] & hint_word(segment->taken[protocol], word);
        for (; bits; bits &= bits - 1) {
            uint16_t port = (uint16_t)(word * 64 + (unsigned)__builtin_ctzll(bits));
            struct fp_entry *entry = fp_entry_at(segment, protocol, port);
            uint64_t patience = atomic_load_explicit(&entry->patience, memory_order_relaxed);
            fp_owner owner = atomic_load_explicit(&entry->owner, memory_order_relaxed);
            fp_meaning meaning = atomic_load_explicit(&entry->meaning, memory_order_relaxed);
            if (fp_is_sentinel(meaning)) {
                if (!fp_hint(segment->held[protocol], port))
                    fp_hint_set(segment->held[protocol], port);
                continue;
            }
            if (!fp_patience_over(patience, turn))
                continue;
            if (owner == search->self) {
                if (left(search, owner,
                         meaning)) /* another process may have set the hint, which found this one alive */
                    fp_hint_clear(segment->held[protocol], port);
            } else if (fp_search_gone(search, owner)) {
                fp_hint_clear(segment->taken[protocol], port);
                fp_hint_clear(segment->held[protocol], port);
            } else {
                atomic_store_explicit(&entry->patience, fp_patience_more(patience, turn, fp_patience_serial(patience)),
                                      memory_order_relaxed);
            }
        }
    }
}

static bool refresh_due(const struct fp_search *search) {
    _Atomic uint32_t *refreshed = &search->cursor->refreshed[search->protocol];
    uint32_t since = search->serial - atomic_load_explicit(refreshed, memory_order_relaxed);
    return !search->refreshed && since >= search->range->size / REFRESH_SHARE;
}

/* One round for the current kind: from behind the last assigned port to the top, then from the bottom up to it. */
static uint16_t next_of_kind(struct fp_search *search) {
    for (;;) {
        const struct fp_range *range = search->range;
        uint32_t last = search->wrapped && search->start < range->last ? search->start : range->last;
        uint32_t before = range->first > 0 ? range->first - 1u : 0;
        uint32_t port = scan(search, search->at > before ? search->at : before, last);
        if (port != 0) {
            search->at = port;
            return (uint16_t)port;
        }
        if (search->wrapped)
            return 0;
        if (search->kind == FP_KIND_FRESH && refresh_due(search)) {
            refresh(search);
            search->at = search->start;
            continue;
        }
        search->wrapped = true;
        search->at = 0;
    }
}

static void begin_round(struct fp_search *search) {
    search->at = search->start;
    search->wrapped = false;
}

/* Gathers the oldest ports of the current kind that come behind those that were gathered before. */
static void gather(struct fp_search *search) {
    struct fp_oldest *oldest = &search->oldest;
    oldest->count = oldest->next = 0;
    search->gathering = true;
    begin_round(search);
    next_of_kind(search);
    search->gathering = false;
    begin_round(search);
    oldest->rounds++;
    if (oldest->count == FP_OLDEST) {
        oldest->last_port = oldest->ports[FP_OLDEST - 1];
        oldest->last_age = oldest->ages[FP_OLDEST - 1];
    }
}

static uint16_t next_by_age(struct fp_search *search) {
    struct fp_oldest *oldest = &search->oldest;
    for (;;) {
        while (oldest->next < oldest->count) {
            uint16_t port = oldest->ports[oldest->next++];
            if (fits(search, port))
                return port;
        }
        if (oldest->rounds > 0 && oldest->count < FP_OLDEST)
            return 0;
        if (oldest->rounds == (search->kind == FP_KIND_BUSY ? MOST_BUSY_ROUNDS : MOST_ROUNDS))
            return next_of_kind(search);
        gather(search);
    }
}

/* The next kind: the first kinds for even ports, then for odd ones, then the other kinds for all ports. */
static unsigned kind_behind(struct fp_search *search) {
    unsigned next = search->kind + 1;
    if (next != FP_KIND_GONE)
        return next;
    bool odd = search->parity == EVEN_PORTS;
    search->parity = odd ? ~EVEN_PORTS : ALL_PORTS;
    return odd ? FP_KIND_FRESH : next;
}

/* True if no port is of the current kind, by what an earlier round has seen. */
static bool in_vain(const struct fp_search *search) {
    switch (search->kind) {
    case FP_KIND_OWN_OLDEST:
    case FP_KIND_OWN_RECENT:
        return !search->own_seen;
    case FP_KIND_GONE:
    case FP_KIND_IDLE:
        return !search->else_seen;
    default:
        return false;
    }
}

static void begin_next_kind(struct fp_search *search) {
    do
        search->kind = kind_behind(search);
    while (in_vain(search));
    search->oldest.rounds = search->oldest.count = search->oldest.next = 0;
    begin_round(search);
}

uint16_t fp_search_next(struct fp_search *search) {
    while (search->kind < FP_KINDS) {
        uint16_t port = by_age(search->kind) ? next_by_age(search) : next_of_kind(search);
        if (port != 0)
            return port;
        if (search->twin && search->kind != FP_KIND_PLACE)
            return 0; /* the caller wants a port that is fresh for both protocols, or none */
        begin_next_kind(search);
    }
    return 0;
}
