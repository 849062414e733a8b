/* SPDX-License-Identifier: MIT */
/* The search, as a function of what stands in the table: every start, every small range, every fill, and noise. */
#include "own_segment.h"
#include "search.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 7 };

static fp_owner elsewhere; /* of another pid namespace: nobody can tell, so it is there */
static struct fp_range range, twin;

static int setup(void **state) {
    memset(&range, 0, sizeof range);
    memset(&twin, 0, sizeof twin);
    elsewhere = gone ^ (1 << 25);
    return segment_setup(state);
}

static void begin_search(struct fp_search *search, unsigned name, unsigned protocol) {
    range.first = UINT16_MAX;
    range.last = 0;
    range.size = 0;
    for (unsigned word = 0; word < FP_WORDS; word++) {
        uint64_t bits = range.ports.words[word];
        if (bits && range.size == 0)
            range.first = (uint16_t)(word * 64 + (unsigned)__builtin_ctzll(bits));
        if (bits)
            range.last = (uint16_t)(word * 64 + 63 - (unsigned)__builtin_clzll(bits));
        range.size += (unsigned)__builtin_popcountll(bits);
    }
    fp_search_begin(search, segment, name, protocol, &range, self);
}

static struct fp_search begin(unsigned start) {
    struct fp_search search;
    atomic_store(&segment->cursors[NAME].last[TCP], start);
    begin_search(&search, NAME, TCP);
    return search;
}

/* As the allocator does with a busy port. */
static void refuse(struct fp_search *search, uint16_t port) {
    fp_entry_refused(segment, TCP, port, search->serial, 0);
}

static void put(uint16_t port, fp_owner owner, enum fp_state state, uint16_t requested) {
    fp_entry_take(segment, TCP, port, owner, fp_meaning_of(state, requested, NAME, 1));
}

/* Forgets one port. */
static void wipe(uint16_t port) {
    memset((void *)fp_entry_at(segment, TCP, port), 0, sizeof(struct fp_entry));
    fp_hint_clear(segment->taken[TCP], port);
    fp_hint_clear(segment->held[TCP], port);
}

/* Order */

/* The plain way: behind the start to the top, then from the bottom up to it. */
static unsigned round_from(unsigned start, unsigned first, unsigned last, uint16_t out[]) {
    unsigned count = 0;
    for (unsigned port = first; port <= last; port++)
        if (port > start && fp_portset_has(&range.ports, (uint16_t)port))
            out[count++] = (uint16_t)port;
    for (unsigned port = first; port <= last; port++)
        if (port <= start && fp_portset_has(&range.ports, (uint16_t)port))
            out[count++] = (uint16_t)port;
    return count;
}

static void assert_offers(unsigned start, const uint16_t *expected, unsigned count) {
    struct fp_search search = begin(start);
    for (unsigned i = 0; i < count; i++) {
        uint16_t port = fp_search_next(&search);
        if (port != expected[i])
            fail_msg("from %u: %u instead of %u as number %u", start, port, expected[i], i);
        refuse(&search, port);
    }
    assert_int_equal(fp_search_next(&search), 0);
    assert_int_equal(fp_search_next(&search), 0); /* and it stays over */
}

/* Every set of eight neighbours, across a border of words and at both ends of the ports, from every start. */
static void walk_windows(unsigned first) {
    unsigned last = first + 7 <= LAST ? first + 7 : LAST;
    for (unsigned set = 1; set < 256; set++) {
        memset(&range, 0, sizeof range);
        for (unsigned i = 0; i < 8; i++)
            if (set & (1 << i) && first + i <= last)
                fp_portset_add(&range.ports, (uint16_t)(first + i), (uint16_t)(first + i));
        for (unsigned start = 0; start <= LAST; start += start >= first - 1 && start <= last ? 1 : 8191) {
            if (start > 0 && start < first && start + 8191 > first)
                start = first - 1;
            uint16_t expected[8];
            unsigned count = round_from(start, first, last, expected);
            for (unsigned port = first; port <= last; port++)
                wipe((uint16_t)port);
            assert_offers(start, expected, count);
        }
    }
}

static void a_small_range_is_gone_round_in_order_from_every_start(void **state) {
    (void)state;
    walk_windows(1);
    walk_windows(60);
    walk_windows(30000);
    walk_windows(65528);
    walk_windows(65532);
}

static void the_whole_of_the_ports_is_gone_round_in_order_each_once(void **state) {
    (void)state;
    static const unsigned starts[] = {0,   1,    2,     62,    63,    64,    65,    127,
                                      128, 1023, 32767, 32768, 65471, 65472, 65534, 65535};
    static uint16_t expected[LAST];
    for (unsigned i = 0; i < sizeof starts / sizeof *starts; i++) {
        segment_teardown(NULL);
        setup(NULL);
        fp_portset_add(&range.ports, 1, LAST);
        assert_int_equal(round_from(starts[i], 1, LAST, expected), LAST);
        assert_offers(starts[i], expected, LAST);
    }
}

static void a_start_outside_of_the_range_is_as_good_as_any(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 102);
    fp_portset_add(&range.ports, 300, 301);
    static const struct {
        unsigned start;
        uint16_t first;
    } cases[] = {{0, 100},   {99, 100},   {100, 101},   {102, 300},         {200, 300},       {300, 301},
                 {301, 100}, {9999, 100}, {65535, 100}, {65536 + 200, 300}, {UINT32_MAX, 100}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fp_search search = begin(cases[i].start);
        assert_int_equal(fp_search_next(&search), cases[i].first);
    }
}

static void each_name_and_protocol_has_a_sequence_of_its_own(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 500, 599);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned name = 0; name < 5; name++) {
            for (unsigned protocol = 0; protocol < 2; protocol++) {
                struct fp_search search;
                begin_search(&search, name, protocol);
                uint16_t port = fp_search_next(&search);
                assert_int_equal(port, 500 + round);
                fp_search_advance(&search, port);
            }
        }
    }
}

static void a_step_that_came_to_nothing_is_taken_back_unless_others_went_on(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 500, 599);
    struct fp_search search = begin(520), other;
    fp_search_advance(&search, fp_search_next(&search));
    assert_int_equal(atomic_load(&segment->cursors[NAME].last[TCP]), 521);
    fp_search_withdraw(&search, 521);
    assert_int_equal(atomic_load(&segment->cursors[NAME].last[TCP]), 520);

    fp_search_advance(&search, 521);
    begin_search(&other, NAME, TCP);
    fp_search_advance(&other, fp_search_next(&other));
    fp_search_withdraw(&search, 521);
    assert_int_equal(atomic_load(&segment->cursors[NAME].last[TCP]), 522);
}

/* Without the lock, one search may be told to wait between its choice and its step. */
static void a_late_step_does_not_take_the_sequence_back(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 500, 599);
    const unsigned starts[] = {520, 598, 599, 0, 700};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        struct fp_search late = begin(starts[i]), early = begin(starts[i]);
        uint16_t first = fp_search_next(&late), second = fp_search_next(&early);
        assert_int_equal(first, second);
        second = fp_search_next(&early); /* the other one has claimed the first */
        fp_search_advance(&early, second);
        fp_search_advance(&late, first);
        assert_int_equal(atomic_load(&segment->cursors[NAME].last[TCP]), second);
    }
    /* And once all round the range, back to where it began, is farther than anything. */
    struct fp_search search = begin(520);
    for (uint16_t port = 521; port != 520; port = port == 599 ? 500 : port + 1)
        fp_search_advance(&search, port);
    assert_int_equal(atomic_load(&segment->cursors[NAME].last[TCP]), 519);
    fp_search_advance(&search, 520);
    assert_int_equal(atomic_load(&segment->cursors[NAME].last[TCP]), 520);
}

/* Fills */

/* Every set of eight ports taken by a living process: the free ones first, in order, then those, in order. */
static void the_free_ports_come_before_those_in_use_at_each_fill(void **state) {
    (void)state;
    enum { FIRST = 60, COUNT = 8 };
    fp_portset_add(&range.ports, FIRST, FIRST + COUNT - 1);
    for (unsigned fill = 0; fill < 1 << COUNT; fill++) {
        for (unsigned start = FIRST - 1; start < FIRST + COUNT; start++) {
            uint16_t all[COUNT], expected[COUNT];
            unsigned count = 0;
            for (unsigned i = 0; i < COUNT; i++) {
                wipe((uint16_t)(FIRST + i));
                if (fill & (1 << i))
                    put((uint16_t)(FIRST + i), alive, FP_BOUND, 0);
            }
            round_from(start, FIRST, FIRST + COUNT - 1, all);
            for (unsigned used = 0; used < 2; used++)
                for (unsigned i = 0; i < COUNT; i++)
                    if (((fill >> (all[i] - FIRST)) & 1) == used)
                        expected[count++] = all[i];
            assert_offers(start, expected, COUNT);
        }
    }
}

/* A range of a thousand, filled one by one in a scattered order: the next free one is found at each fill. */
static void the_next_free_port_is_found_however_full_the_range_is(void **state) {
    (void)state;
    enum { FIRST = 20000, COUNT = 1021 };
    fp_portset_add(&range.ports, FIRST, FIRST + COUNT - 1);
    bool used[COUNT] = {false};
    for (unsigned fill = 0; fill < COUNT; fill++) {
        unsigned start = fill * 389 % COUNT, next = (start + 1) % COUNT;
        while (used[next])
            next = (next + 1) % COUNT;
        struct fp_search search = begin(FIRST + start);
        assert_int_equal(fp_search_next(&search), FIRST + next);
        unsigned victim = fill * 577 % COUNT;
        used[victim] = true;
        put((uint16_t)(FIRST + victim), alive, FP_BOUND, 0);
    }
}

/* Kinds */

static void refuse_as_others_did(uint16_t port) {
    fp_entry_refused(segment, TCP, port, 4711, 0); /* at some other search */
}

/* As if its process had gone, and another one had come to its id. */
static fp_owner earlier(fp_owner owner) {
    return owner - (UINT64_C(1) << 32);
}

static void what_a_process_kept_is_to_be_had_when_its_id_came_back(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 103);
    put(100, earlier(alive), FP_RESERVED, 0);
    put(101, alive, FP_RESERVED, 0);
    put(102, earlier(alive), FP_CLAIMED, 0);
    put(103, alive, FP_CLAIMED, 0);
    assert_offers(103, (const uint16_t[]){100, 102}, 2);

    /* Under the lock nobody looks into /proc: there it counts as there. */
    struct fp_search search = begin(103);
    search.under_lock = true;
    assert_int_equal(fp_search_next(&search), 0);
}

static void the_best_kind_of_port_comes_first(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 119);
    atomic_store(&segment->header.turn, 1000);
    atomic_store(&segment->cursors[NAME].refreshed[TCP], 1000); /* nothing is looked over in this one */
    atomic_store(&segment->header.search, 1000);

    put(100, alive, FP_BOUND, 8080);     /* a session's that is there: last */
    put(101, gone, FP_BOUND, 8080);      /* a session's whose process is gone */
    put(102, elsewhere, FP_PLEDGED, 80); /* last */
    put(103, 0, FP_BUSY, 0);
    refuse_as_others_did(103);
    put(104, alive, FP_BOUND, 0);    /* idle, maybe */
    put(105, self, FP_BOUND, 0);     /* ours, from before */
    put(106, gone, FP_BOUND, 0);     /* left */
    put(107, alive, FP_RESERVED, 0); /* never */
    put(108, self, FP_RESERVED, 0);  /* never */
    put(109, alive, FP_CLAIMED, 0);  /* never: somebody is about to bind it */
    put(110, alive, FP_EXPLICIT, 110);
    put(111, gone, FP_CLAIMED, 8080); /* killed in the middle of it */
    put(112, alive, FP_BOUND, 0);
    refuse_as_others_did(112); /* busy */
    put(113, gone, FP_CLAIMED, 0);
    put(114, gone, FP_EXPLICIT, 114);
    put(115, elsewhere, FP_BOUND, 0);
    put(119, gone, FP_BOUND, 0);
    fp_hint_set(segment->held[TCP], 119); /* by a search that found its process there */

    static const uint16_t expected[] = {
        117, 118, 116,      /* fresh */
        105, 106, 113, 114, /* left */
        119,                /* left, and looked past */
        104, 110, 115,      /* idle */
        103, 112,           /* busy */
        101, 111,           /* a sentinel's, left */
        100, 102,           /* a sentinel's */
    };
    struct fp_search search = begin(116);
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++) {
        uint16_t port = fp_search_next(&search);
        assert_int_equal(port, expected[i]);
        refuse(&search, port);
    }
    assert_int_equal(fp_search_next(&search), 0);
}

/* A thousand ports of one process that is there: not asked for at each search, and its own again when it looks. */
static void those_of_a_process_that_is_there_are_looked_past_until_the_hints_are_looked_over(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 199);
    for (uint16_t port = 100; port < 200; port++)
        put(port, port % 10 == 0 ? self : alive, FP_BOUND, 0);
    atomic_store(&segment->cursors[NAME].refreshed[TCP], 1000); /* nothing is looked over at first */
    atomic_store(&segment->header.search, 1000);
    struct fp_search search = begin(199);
    for (uint16_t port = 100; port < 200; port += 10)
        assert_int_equal(fp_search_next(&search), port);
    for (uint16_t port = 100; port < 200; port++)
        assert_int_equal(fp_hint(segment->held[TCP], port), port < 190 && port % 10 != 0);

    /* The other process looks over the hints, and goes round what is its own. */
    atomic_store(&segment->header.search, 2000);
    fp_owner ours = self;
    self = alive;
    search = begin(199);
    self = ours;
    assert_int_equal(fp_search_next(&search), 101);
    assert_false(fp_hint(segment->held[TCP], 102));
}

enum { SERIAL = 70000 }; /* of the searches below: the next one is SERIAL + 1 */

/* Assigned so many searches ago. */
static void put_aged(uint16_t port, fp_owner owner, uint32_t age) {
    put(port, owner, FP_BOUND, 0);
    atomic_store(&fp_entry_at(segment, TCP, port)->patience, (uint64_t)(SERIAL + 1 - age) << 32);
}

/* Refused so many searches ago, and assigned long before. */
static void put_refused(uint16_t port, fp_owner owner, uint32_t age) {
    put(port, owner, FP_BOUND, 0);
    fp_entry_refused(segment, TCP, port, SERIAL + 1 - age, 0);
}

static struct fp_search begin_aged(unsigned start) {
    atomic_store(&segment->header.search, SERIAL);
    atomic_store(&segment->cursors[NAME].refreshed[TCP], SERIAL + 1); /* nothing is looked over */
    return begin(start);
}

static void assert_offers_aged(unsigned start, const uint16_t *expected, unsigned count) {
    struct fp_search search = begin_aged(start);
    for (unsigned i = 0; i < count; i++) {
        uint16_t port = fp_search_next(&search);
        if (port != expected[i])
            fail_msg("%u instead of %u as number %u", port, expected[i], i);
        refuse(&search, port);
    }
    assert_int_equal(fp_search_next(&search), 0);
}

/* In any order round the range, and more of them than are gathered at once. */
static void of_what_living_processes_had_the_one_that_is_out_of_use_for_longest_comes_first(void **state) {
    (void)state;
    enum { FIRST = 100, COUNT = 120 };
    uint16_t expected[COUNT];
    fp_portset_add(&range.ports, FIRST, FIRST + COUNT - 1);
    for (unsigned i = 0; i < COUNT; i++) {
        uint16_t port = (uint16_t)(FIRST + i * 77 % COUNT);
        expected[i] = port;
        /* Whether it was assigned then, or found busy then: it was in use. */
        (i % 3 == 0 ? put_refused : put_aged)(port, i % 2 ? alive : elsewhere, 2 * (COUNT - i));
    }
    assert_offers_aged(FIRST + 50, expected, COUNT);
}

static void a_process_that_has_idle_ports_of_its_own_is_offered_no_other_before(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 119);
    for (uint16_t port = 100; port <= 119; port++) {
        put_aged(port, alive, 1000u + port);
        fp_hint_set(segment->held[TCP], port);
    }
    put_aged(103, self, 50);
    put_aged(106, self, 1); /* a moment ago */
    put_aged(109, self, 3);
    put_refused(112, self, 40); /* long ago: it may have come free */
    put_refused(115, self, 1);
    put(118, gone, FP_BOUND, 0);
    for (uint16_t port = 100; port <= 119; port++)
        fp_hint_set(segment->held[TCP], port);
    struct fp_search search = begin_aged(105);
    static const uint16_t expected[] = {112, 103, 109, 118, 106, 119, 117};
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++) {
        uint16_t port = fp_search_next(&search);
        assert_int_equal(port, expected[i]);
        refuse(&search, port);
    }
}

/* What was found busy once is found free again, too, where its owner has ended since. */
static void a_dead_process_s_port_comes_before_a_living_one_s_though_it_was_refused(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 107);
    for (uint16_t port = 100; port <= 107; port++)
        put_aged(port, alive, 500);
    put_refused(104, gone, 100);
    struct fp_search search = begin_aged(100);
    assert_int_equal(fp_search_next(&search), 104);
}

static void the_serial_of_searches_may_run_over_between_two_ages(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 103);
    atomic_store(&segment->header.search, 9);
    atomic_store(&segment->cursors[NAME].refreshed[TCP], 9);
    for (uint16_t port = 100; port <= 103; port++) {
        put(port, alive, FP_BOUND, 0);
        uint32_t serial = 10 - 100 * (port - 99u); /* of the searches before the run over */
        atomic_store(&fp_entry_at(segment, TCP, port)->patience, (uint64_t)serial << 32);
    }
    struct fp_search search = begin(100);
    for (uint16_t port = 103; port >= 100; port--) {
        assert_int_equal(fp_search_next(&search), port);
        refuse(&search, port);
    }
}

/* Even ports */

static void assert_offers_even_first(unsigned start, const uint16_t *expected, unsigned count) {
    struct fp_search search = begin_aged(start);
    fp_search_even_first(&search);
    for (unsigned i = 0; i < count; i++) {
        uint16_t port = fp_search_next(&search);
        if (port != expected[i])
            fail_msg("%u instead of %u as number %u", port, expected[i], i);
        refuse(&search, port);
    }
    assert_int_equal(fp_search_next(&search), 0);
}

static void the_even_ports_come_before_the_odd_ones_each_in_order(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 61, 68);
    assert_offers_even_first(0, (const uint16_t[]){62, 64, 66, 68, 61, 63, 65, 67}, 8);
}

static void an_even_port_of_this_process_s_own_comes_before_a_fresh_odd_one(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 107);
    put_aged(100, self, 20);
    put_aged(102, self, 1); /* a moment ago */
    put_aged(104, alive, 90);
    put(106, gone, FP_BOUND, 0);
    assert_offers_even_first(107, (const uint16_t[]){100, 106, 101, 103, 105, 107, 102, 104}, 8);
}

static void a_range_of_odd_ports_alone_is_gone_round_in_order(void **state) {
    (void)state;
    for (uint16_t port = 101; port <= 109; port += 2)
        fp_portset_add(&range.ports, port, port);
    assert_offers_even_first(103, (const uint16_t[]){105, 107, 109, 101, 103}, 5);
}

/*
 * Another search looks over the hints and makes fresh what this one has seen is not: when it is about to look for this
 * kind or the next, whether it has looked over them itself before or not.
 */
static void hints_that_changed_behind_a_search_hide_no_port(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 131);
    for (unsigned kind = FP_KIND_FRESH; kind <= FP_KIND_BUSY; kind++) {
        for (unsigned refreshed = 0; refreshed < 2; refreshed++) {
            for (uint16_t port = 100; port <= 131; port++) {
                put(port, gone, FP_BOUND, 0);
                refuse_as_others_did(port);
            }
            struct fp_search search = begin(100);
            search.kind = kind;
            search.refreshed = refreshed;
            atomic_store(&segment->cursors[NAME].refreshed[TCP], search.serial); /* not due for this one */
            for (uint16_t port = 100; port <= 131; port++) {
                fp_hint_clear(segment->taken[TCP], port);
                fp_hint_clear(segment->held[TCP], port);
            }
            assert_int_equal(fp_search_next(&search), 101);
        }
    }
}

/* A process that is there looks over the hints, in the middle of the last kind of which another one is left. */
static void hints_that_others_cleared_in_the_middle_of_a_round_hide_no_port(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 100, 131);
    for (uint16_t port = 100; port <= 131; port++) {
        put(port, alive, FP_BOUND, 0);
        refuse_as_others_did(port);
    }
    struct fp_search search = begin(131);
    for (uint16_t port = 100; port <= 131; port++) {
        assert_int_equal(fp_search_next(&search), port);
        refuse(&search, port);
        for (unsigned other = 100; other <= 131; other++)
            fp_hint_clear(segment->held[TCP], (uint16_t)other);
    }
    assert_int_equal(fp_search_next(&search), 0);
}

static void what_it_saw_when_it_found_a_port_fit_stays_known(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 200, 202);
    put(201, gone, FP_BOUND, 0);
    struct fp_search search = begin(200);
    assert_int_equal(fp_search_next(&search), 202);
    put(202, alive, FP_BOUND, 0); /* somebody was faster */
    assert_true(search.owner == 0 && search.meaning == 0);
    refuse(&search, 202);
    assert_int_equal(fp_search_next(&search), 201); /* fresh again, now that the range was looked over */
    assert_true(search.owner == gone && search.meaning == fp_meaning_of(FP_BOUND, 0, NAME, 1));
}

/* One port, in every state that an entry can be in, under every hint, right or wrong. */
static void what_one_port_is_offered_as_is_right_under_every_hint(void **state) {
    (void)state;
    const fp_owner owners[] = {0, self, alive, gone, elsewhere};
    fp_portset_add(&range.ports, 200, 200);
    for (unsigned o = 0; o < 5; o++) {
        for (unsigned value = FP_FREE; value < 16; value++) {
            for (unsigned bits = 0; bits < 16; bits++) {
                uint16_t requested = bits & 1 ? 8080 : 0;
                bool there = owners[o] == self || owners[o] == alive || owners[o] == elsewhere;
                fp_meaning meaning = fp_meaning_of((enum fp_state)value, requested, NAME, 1);
                wipe(200);
                atomic_store(&fp_entry_at(segment, TCP, 200)->owner, owners[o]);
                atomic_store(&fp_entry_at(segment, TCP, 200)->meaning, meaning);
                if (bits & 2)
                    fp_hint_set(segment->taken[TCP], 200);
                if (bits & 4)
                    fp_hint_set(segment->held[TCP], 200);
                /* With and without a look over the range in this search. */
                atomic_store(&segment->cursors[NAME].refreshed[TCP], 0);
                struct fp_search search = begin(bits & 8 ? 0 : 200);
                unsigned offered = 0;
                unsigned kinds = 0;
                while (fp_search_next(&search) == 200 && offered < 10) {
                    offered++;
                    assert_false(kinds & (1u << search.kind));
                    kinds |= 1u << search.kind;
                    if (there && fp_is_sentinel(meaning))
                        assert_int_equal(search.kind, FP_KIND_SENTINEL);
                    if (owners[o] == gone && fp_is_sentinel(meaning))
                        assert_int_equal(search.kind, FP_KIND_SENTINEL_LEFT);
                    refuse(&search, 200);
                }
                assert_true(offered <= 1);
                bool kept = there && (value == FP_RESERVED || value == FP_CLAIMED ||
                                      (value == FP_EXPORTED && fp_is_sentinel(meaning)));
                if (kept && offered)
                    fail_msg("owner %u, state %u, bits %#x: offered as kind %#x", o, value, bits, kinds);
                /* A wrong hint costs time, never a port. */
                if (!kept && !offered)
                    fail_msg("owner %u, state %u, bits %#x: never offered", o, value, bits);
            }
        }
    }
}

static void a_reservation_of_one_who_is_there_is_never_offered_and_of_one_who_is_gone_it_is(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 200, 210);
    for (uint16_t port = 200; port <= 210; port++)
        put(port, port % 2 ? alive : gone, FP_RESERVED, 0);
    for (unsigned turn = 0; turn < 50; turn++) {
        struct fp_search search = begin(200 + turn % 11);
        unsigned offered = 0;
        for (uint16_t port; (port = fp_search_next(&search)) != 0; offered++) {
            assert_int_equal(port % 2, 0);
            refuse(&search, port);
        }
        assert_int_equal(offered, 6);
    }
}

/* Twins */

static void with_a_twin_only_ports_are_offered_that_are_fresh_in_both_ranges(void **state) {
    (void)state;
    enum { FIRST = 60, COUNT = 8 };
    fp_portset_add(&range.ports, FIRST, FIRST + 5);
    fp_portset_add(&twin.ports, FIRST + 2, FIRST + COUNT - 1);
    for (unsigned fill = 0; fill < 1 << COUNT; fill++) {
        for (unsigned i = 0; i < COUNT; i++) {
            uint16_t port = (uint16_t)(FIRST + i);
            wipe(port);
            fp_hint_clear(segment->taken[UDP], port);
            if (!(fill & (1 << i)))
                continue;
            if (i % 2) /* half of them are taken in this protocol, half in the other */
                fp_entry_take(segment, UDP, port, alive, fp_meaning_of(FP_BOUND, 0, NAME, 1));
            else
                put(port, alive, FP_BOUND, 0);
        }
        struct fp_search search = begin(FIRST + 2);
        search.twin = &twin;
        static const unsigned order[] = {3, 4, 5, 2};
        for (unsigned i = 0; i < 4; i++) {
            if (fill & (1 << order[i]))
                continue;
            assert_int_equal(fp_search_next(&search), FIRST + order[i]);
            refuse(&search, (uint16_t)(FIRST + order[i]));
        }
        assert_int_equal(fp_search_next(&search), 0);
    }
}

/* Time */

static void a_port_that_was_busy_is_not_tried_at_every_turn_and_not_given_up_either(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 300, 399);
    unsigned tries = 0;
    uint16_t last = 0;
    for (unsigned turn = 0; turn < 20000; turn++) { /* 200 rounds of the range */
        struct fp_search search;
        begin_search(&search, NAME, TCP);
        uint16_t port = fp_search_next(&search);
        while (port == 350) {
            tries++;
            refuse(&search, port);
            port = fp_search_next(&search);
        }
        assert_true(port != 0);
        fp_search_advance(&search, port);
        if (last)
            assert_int_equal(port, last == 399 ? 300 : last == 349 ? 351 : last + 1);
        last = port;
    }
    /* Once in 256 looks at most, and a look comes once in an eighth of the range. */
    assert_in_range(tries, 5, 40);
}

static void a_port_whose_owner_is_gone_is_fresh_again_in_the_next_round(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 400, 479);
    atomic_store(&segment->cursors[NAME].last[TCP], 400);
    put(401, gone, FP_BOUND, 0);
    put(402, alive, FP_BOUND, 0);
    for (unsigned i = 0; i < 77 + 2 + 77; i++) {
        struct fp_search search;
        begin_search(&search, NAME, TCP);
        uint16_t port = fp_search_next(&search);
        static const uint16_t second_round[] = {400, 401, 403};
        assert_int_equal(port, i < 77 ? 403 + i : i < 80 ? second_round[i - 77] : 403 + i - 79);
        fp_search_advance(&search, port);
    }
}

static void the_serial_of_searches_may_run_over(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 500, 509);
    atomic_store(&segment->header.search, UINT32_MAX - 20);
    for (unsigned i = 0; i < 40; i++) {
        struct fp_search search;
        begin_search(&search, NAME, TCP);
        assert_int_equal(fp_search_next(&search), 500 + i % 10);
        fp_search_advance(&search, (uint16_t)(500 + i % 10));
    }
}

/* Noise */

static void fill_with_noise(unsigned seed, bool own_namespace) {
    uint64_t *words = (uint64_t *)(void *)segment, x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 0; i < sizeof *segment / sizeof *words; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        words[i] = x;
    }
    /* Owners of our own pid namespace are asked after: process ids that are there, and that are not. */
    for (unsigned port = 0; own_namespace && port <= LAST; port++) {
        struct fp_entry *entry = fp_entry_at(segment, TCP, (uint16_t)port);
        fp_owner owner = atomic_load(&entry->owner);
        atomic_store(&entry->owner, port % 3 == 0 ? 0 : (owner & ~UINT64_C(0xffffffff)) | (self & 0xffc00000) | port);
    }
}

static void noise_costs_a_bounded_number_of_steps_and_offers_no_port_twice_as_one_kind(void **state) {
    (void)state;
    static uint8_t kinds[LAST + 1];
    for (unsigned seed = 1; seed <= 12; seed++) {
        bool refusing = seed % 4 < 2;
        fill_with_noise(seed, seed % 2);
        memset(&range, 0, sizeof range);
        if (seed % 3)
            fp_portset_add(&range.ports, 1, LAST);
        else
            fp_portset_add(&range.ports, (uint16_t)(seed * 1000), (uint16_t)(seed * 1000 + 500));
        memset(kinds, 0, sizeof kinds);
        struct fp_search search;
        begin_search(&search, seed * 4099, TCP);
        unsigned steps = 0;
        for (uint16_t port; (port = fp_search_next(&search)) != 0; steps++) {
            assert_true(fp_portset_has(&range.ports, port));
            /* One that is fresh and not refused is offered again when the range was looked over. */
            bool again = search.kind == FP_KIND_FRESH && !refusing && search.refreshed;
            if ((kinds[port] & (1 << search.kind)) && !again)
                fail_msg("seed %u: port %u twice as kind %u", seed, port, search.kind);
            kinds[port] |= (uint8_t)(1 << search.kind);
            if (refusing)
                refuse(&search, port);
        }
        assert_true(steps <= (refusing ? 1 : FP_KINDS + 1) * range.size);
    }
}

static void ones_everywhere_are_noise_too(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 1, LAST);
    memset((void *)segment, 0xff, sizeof *segment);
    struct fp_search search;
    begin_search(&search, UINT32_MAX, TCP);
    unsigned steps = 0;
    for (uint16_t port; (port = fp_search_next(&search)) != 0; steps++)
        refuse(&search, port);
    assert_true(steps <= LAST);
}

/* A sentinel's place */

static void a_place_is_where_its_hash_says_and_the_round_goes_on_from_there(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 1000, 1009);
    fp_portset_add(&range.ports, 1100, 1104);
    put(1001, gone, FP_BOUND, 0);      /* a dead process had it: as good as a fresh one */
    put(1002, elsewhere, FP_BOUND, 0); /* a live one has it */
    put(1003, gone, FP_BOUND, 8080);   /* another session's sentinel */
    static const uint16_t order[] = {1000, 1001, 1004, 1005, 1006, 1007, 1008, 1009, 1100, 1101, 1102, 1103, 1104};
    enum { ALL = sizeof order / sizeof order[0] };
    for (unsigned hash = 0; hash < 45; hash++) {
        struct fp_search search = begin(1005);
        fp_search_place(&search, hash);
        unsigned rank = hash % 15, first = rank == 0 ? 0 : rank == 1 ? 1 : rank <= 4 ? 2 : rank - 2;
        for (unsigned i = 0; i < ALL; i++) {
            uint16_t port = fp_search_next(&search);
            assert_int_equal(port, order[(first + i) % ALL]);
            fp_search_advance(&search, port);
            fp_search_withdraw(&search, port);
            refuse(&search, port);
        }
        assert_int_equal(atomic_load(&segment->cursors[NAME].last[TCP]), 1005); /* the name's sequence stays */
    }
}

static void a_place_for_both_protocols_is_to_be_had_in_both(void **state) {
    (void)state;
    fp_portset_add(&range.ports, 1000, 1009);
    fp_range_parse(&twin, "1002-1009");
    fp_entry_take(segment, UDP, 1003, elsewhere, fp_meaning_of(FP_BOUND, 0, NAME, 1));
    fp_entry_take(segment, UDP, 1004, gone, fp_meaning_of(FP_BOUND, 0, NAME, 1));
    struct fp_search search = begin(1005);
    search.twin = &twin;
    fp_search_place(&search, 1);
    assert_int_equal(fp_search_next(&search), 1002);
    assert_int_equal(fp_search_next(&search), 1004);
}

int main(void) {
    alarm(50); /* an endless search is a failure, too */
               /* clang-format off */
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, segment_teardown)
    /* clang-format on */
    const struct CMUnitTest tests[] = {
        TEST(a_small_range_is_gone_round_in_order_from_every_start),
        TEST(the_whole_of_the_ports_is_gone_round_in_order_each_once),
        TEST(a_start_outside_of_the_range_is_as_good_as_any),
        TEST(each_name_and_protocol_has_a_sequence_of_its_own),
        TEST(a_step_that_came_to_nothing_is_taken_back_unless_others_went_on),
        TEST(a_late_step_does_not_take_the_sequence_back),
        TEST(the_free_ports_come_before_those_in_use_at_each_fill),
        TEST(the_next_free_port_is_found_however_full_the_range_is),
        TEST(what_a_process_kept_is_to_be_had_when_its_id_came_back),
        TEST(the_best_kind_of_port_comes_first),
        TEST(those_of_a_process_that_is_there_are_looked_past_until_the_hints_are_looked_over),
        TEST(of_what_living_processes_had_the_one_that_is_out_of_use_for_longest_comes_first),
        TEST(a_process_that_has_idle_ports_of_its_own_is_offered_no_other_before),
        TEST(a_dead_process_s_port_comes_before_a_living_one_s_though_it_was_refused),
        TEST(the_serial_of_searches_may_run_over_between_two_ages),
        TEST(the_even_ports_come_before_the_odd_ones_each_in_order),
        TEST(an_even_port_of_this_process_s_own_comes_before_a_fresh_odd_one),
        TEST(a_range_of_odd_ports_alone_is_gone_round_in_order),
        TEST(hints_that_changed_behind_a_search_hide_no_port),
        TEST(hints_that_others_cleared_in_the_middle_of_a_round_hide_no_port),
        TEST(what_it_saw_when_it_found_a_port_fit_stays_known),
        TEST(what_one_port_is_offered_as_is_right_under_every_hint),
        TEST(a_reservation_of_one_who_is_there_is_never_offered_and_of_one_who_is_gone_it_is),
        TEST(with_a_twin_only_ports_are_offered_that_are_fresh_in_both_ranges),
        TEST(a_port_that_was_busy_is_not_tried_at_every_turn_and_not_given_up_either),
        TEST(a_port_whose_owner_is_gone_is_fresh_again_in_the_next_round),
        TEST(the_serial_of_searches_may_run_over),
        TEST(noise_costs_a_bounded_number_of_steps_and_offers_no_port_twice_as_one_kind),
        TEST(ones_everywhere_are_noise_too),
        TEST(a_place_is_where_its_hash_says_and_the_round_goes_on_from_there),
        TEST(a_place_for_both_protocols_is_to_be_had_in_both),
    };
    return cmocka_run_group_tests_name("search", tests, know_owners, NULL);
}
