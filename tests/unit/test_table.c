/* SPDX-License-Identifier: MIT */
/* What stands in the segment: labels, the index of sentinels, entries, patience, hints. No lock, no socket. */
#include "own_segment.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct fp_text text_of(const char *string) {
    struct fp_text text;
    fp_text_set(&text, string);
    return text;
}

static struct fp_text numbered(const char *stem, unsigned number) {
    char string[32];
    snprintf(string, sizeof string, "%s%u", stem, number);
    return text_of(string);
}

static void assert_reads(const struct fp_label *label, const char *expected) {
    char text[FP_LABEL_BYTES + 1];
    memset(text, 0x55, sizeof text);
    fp_label_read(label, text);
    assert_string_equal(text, expected);
}

static int intern(const char *string) {
    struct fp_text text = text_of(string);
    return fp_intern_session(segment, &text, self);
}

/* An entry that refers to a session, so that its slot is in use. */
static void refer(uint16_t port, unsigned name, unsigned session) {
    fp_entry_take(segment, TCP, port, alive, fp_meaning_of(FP_BOUND, 0, name, session));
}

/* Meanings */

static void a_meaning_packs_its_parts_at_these_bits(void **state) {
    (void)state;
    fp_meaning meaning = fp_meaning_of(FP_EXPLICIT, 0xabcd, 0x3ff, 0x3fff);
    assert_true(meaning == UINT64_C(0x00003fff3ff4abcd));
    for (unsigned state_value = FP_FREE; state_value <= FP_BUSY; state_value++) {
        for (unsigned bit = 0; bit < 16; bit++) {
            unsigned requested = 1u << bit, name = 1u << bit % 10, session = 1u << bit % 14;
            meaning = fp_meaning_of((enum fp_state)state_value, (uint16_t)requested, name, session);
            assert_int_equal(fp_state(meaning), state_value);
            assert_int_equal(fp_requested(meaning), requested);
            assert_int_equal(fp_name(meaning), name);
            assert_int_equal(fp_session(meaning), session);
            assert_int_equal(fp_is_sentinel(meaning), state_value == FP_CLAIMED || state_value == FP_BOUND ||
                                                          state_value == FP_PLEDGED || state_value == FP_EXPORTED);
            assert_false(fp_is_sentinel(fp_meaning_of((enum fp_state)state_value, 0, name, session)));
            fp_meaning bound = fp_with_state(meaning, FP_BOUND);
            assert_true(bound == fp_meaning_of(FP_BOUND, (uint16_t)requested, name, session));
        }
    }
}

static void no_word_leads_outside_of_the_tables(void **state) {
    (void)state;
    for (unsigned i = 0; i < 1000000; i++) {
        fp_meaning meaning = (uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random();
        assert_true(fp_name(meaning) < FP_NAMES);
        assert_true(fp_session(meaning) < FP_SESSIONS);
    }
    assert_true(fp_session(UINT64_MAX) < FP_SESSIONS && fp_name(UINT64_MAX) < FP_NAMES);
}

/* Labels */

static void a_label_is_found_again_under_its_text_and_no_other(void **state) {
    (void)state;
    int slot = intern("one");
    assert_in_range(slot, 1, FP_SESSIONS - 1);
    assert_int_equal(intern("one"), slot);
    assert_reads(&segment->sessions[slot], "one");
    int other = intern("two");
    assert_int_not_equal(other, slot);
    assert_int_not_equal(intern("One"), slot);
    assert_int_not_equal(intern("on"), slot);
    assert_int_not_equal(intern("ones"), slot);
    assert_int_equal(intern("one"), slot);
    assert_int_equal(intern("two"), other);
}

static void names_and_sessions_are_worlds_of_their_own(void **state) {
    (void)state;
    struct fp_text text = text_of("both");
    int name = fp_intern_name(segment, &text, self), session = fp_intern_session(segment, &text, self);
    assert_reads(&segment->names[name], "both");
    assert_reads(&segment->sessions[session], "both");
    unsigned labels = 0;
    for (unsigned i = 0; i < FP_NAMES; i++)
        labels += atomic_load(&segment->names[i].sequence) != 0;
    assert_int_equal(labels, 1);
}

static void labels_of_every_length_are_told_apart(void **state) {
    (void)state;
    char string[FP_LABEL_BYTES + 2] = "";
    int slots[FP_LABEL_BYTES + 1];
    for (unsigned length = 1; length <= FP_LABEL_BYTES; length++) {
        string[length - 1] = 'x';
        slots[length] = intern(string);
        assert_reads(&segment->sessions[slots[length]], string);
        for (unsigned other = 1; other < length; other++)
            assert_int_not_equal(slots[other], slots[length]);
    }
    string[FP_LABEL_BYTES] = 'y'; /* what is too long is cut off, and nothing behind it is read */
    assert_int_equal(intern(string), slots[FP_LABEL_BYTES]);
}

static void what_is_not_printable_reads_as_a_question_mark(void **state) {
    (void)state;
    for (unsigned c = 1; c < 256; c++) {
        char string[] = {'a', (char)c, 'b', 0}, expected[] = {'a', c > 0x20 && c < 0x7f ? (char)c : '?', 'b', 0};
        struct fp_text text = text_of(string);
        int slot = fp_intern_name(segment, &text, self);
        assert_reads(&segment->names[slot], expected);
    }
}

static void a_label_that_is_being_written_is_nobodys(void **state) {
    (void)state;
    int slot = intern("torn");
    struct fp_label *label = &segment->sessions[slot];
    struct fp_text text = text_of("torn");
    assert_true(fp_label_is(label, &text));
    atomic_store(&label->sequence, 3);
    assert_false(fp_label_is(label, &text));
    assert_reads(label, "");
    atomic_store(&label->sequence, 0);
    assert_false(fp_label_is(label, &text));
    assert_reads(label, "");
    /* Never used, it does not stand for the empty text. */
    text = text_of("");
    memset(label, 0, sizeof *label);
    assert_false(fp_label_is(label, &text));
}

/* At each step of a write that came to its end. */
static void a_label_whose_writer_died_is_written_over_and_one_who_writes_is_left_alone(void **state) {
    (void)state;
    int slot = intern("mine");
    struct fp_label *label = &segment->sessions[slot];
    static const struct {
        uint32_t sequence;
        bool half;
    } steps[] = {{0, false}, {1, false}, {1, true}, {5, true}, {UINT32_MAX, true}};
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        for (unsigned there = 0; there < 2; there++) {
            memset(segment->sessions, 0, sizeof segment->sessions);
            atomic_store(&label->writer, there ? alive : gone);
            atomic_store(&label->sequence, steps[i].sequence);
            if (steps[i].half)
                atomic_store(&label->text[0], UINT64_C(0x656e696d)); /* "mine", and the rest not written yet */
            int got = intern("mine");
            assert_int_equal(got == slot, !there);
            assert_reads(&segment->sessions[got], "mine");
            assert_int_equal(intern("mine"), got);
            if (there)
                assert_true(atomic_load(&label->writer) == alive);
        }
    }
}

static void the_sequence_never_comes_back_to_unused(void **state) {
    (void)state;
    int slot = intern("mine");
    struct fp_label *label = &segment->sessions[slot];
    atomic_store(&label->writer, gone);
    atomic_store(&label->sequence, UINT32_MAX);
    assert_int_equal(intern("mine"), slot);
    assert_true(atomic_load(&label->sequence) != 0 && atomic_load(&label->sequence) % 2 == 0);
}

static void every_slot_can_be_had_and_those_without_an_entry_are_reclaimed(void **state) {
    (void)state;
    static bool seen[FP_NAMES];
    memset(seen, 0, sizeof seen);
    int kept_slot = 0;
    for (unsigned i = 0; i < FP_NAMES; i++) {
        struct fp_text text = numbered("name-", i);
        int slot = fp_intern_name(segment, &text, self);
        assert_in_range(slot, 0, FP_NAMES - 1);
        assert_false(seen[slot]);
        seen[slot] = true;
        if (i == 500)
            kept_slot = slot;
    }
    refer(700, (unsigned)kept_slot, 0);
    struct fp_text more = text_of("one more"), kept = text_of("name-500");
    int slot = fp_intern_name(segment, &more, self);
    assert_in_range(slot, 0, FP_NAMES - 1);
    assert_int_not_equal(slot, kept_slot);
    assert_true(fp_label_is(&segment->names[kept_slot], &kept));
    unsigned labels = 0;
    for (unsigned i = 0; i < FP_NAMES; i++)
        labels += atomic_load(&segment->names[i].sequence) != 0;
    assert_int_equal(labels, 2);
}

static void a_table_whose_every_slot_is_in_use_says_so_and_harms_nobody(void **state) {
    (void)state;
    for (unsigned i = 1; i < FP_SESSIONS; i++) {
        struct fp_text text = numbered("s", i);
        int slot = fp_intern_session(segment, &text, self);
        assert_in_range(slot, 1, FP_SESSIONS - 1);
        refer((uint16_t)i, 0, (unsigned)slot);
    }
    assert_int_equal(intern("one more"), -ENOSPC);
    for (unsigned i = 1; i < FP_SESSIONS; i++) {
        struct fp_text text = numbered("s", i);
        int slot = fp_intern_session(segment, &text, self);
        assert_int_equal(slot, fp_session(fp_entry_meaning(segment, TCP, (uint16_t)i)));
    }
    assert_int_equal(atomic_load(&segment->sessions[0].sequence), 0); /* "no session" stays empty */
    fp_entry_release(segment, TCP, 9000, alive);
    assert_in_range(intern("one more"), 1, FP_SESSIONS - 1);
}

/* The index */

static void assign(unsigned protocol, const char *session, uint16_t sentinel, uint16_t port) {
    struct fp_text text = text_of(session);
    unsigned slot = (unsigned)fp_intern_session(segment, &text, self);
    fp_entry_take(segment, protocol, port, self, fp_meaning_of(FP_BOUND, sentinel, 0, slot));
    fp_index_add(segment, &text, protocol, sentinel, port);
}

static uint16_t find(unsigned protocol, const char *session, uint16_t sentinel) {
    struct fp_text text = text_of(session);
    fp_meaning meaning = 0;
    uint16_t port = fp_index_find(segment, &text, protocol, sentinel, &meaning);
    if (port)
        assert_true(meaning == fp_entry_meaning(segment, protocol, port));
    return port;
}

static void a_sentinel_is_found_in_its_session_and_protocol_alone(void **state) {
    (void)state;
    assert_int_equal(find(TCP, "a", 8080), 0);
    assign(TCP, "a", 8080, 30000);
    assert_int_equal(find(TCP, "a", 8080), 30000);
    assert_int_equal(find(UDP, "a", 8080), 0);
    assert_int_equal(find(TCP, "b", 8080), 0);
    assert_int_equal(find(TCP, "a", 8081), 0);
    assign(UDP, "a", 8080, 30000);
    assign(TCP, "b", 8080, 30001);
    assert_int_equal(find(TCP, "a", 8080), 30000);
    assert_int_equal(find(UDP, "a", 8080), 30000);
    assert_int_equal(find(TCP, "b", 8080), 30001);
}

static void of_two_ports_for_one_sentinel_the_first_one_stands(void **state) {
    (void)state;
    struct fp_text a = text_of("a");
    fp_meaning meaning = fp_meaning_of(FP_CLAIMED, 8080, 0, (unsigned)intern("a"));
    fp_entry_take(segment, TCP, 30000, self, meaning);
    fp_entry_take(segment, TCP, 30001, alive, meaning);
    assert_int_equal(fp_index_add(segment, &a, TCP, 8080, 30001), 30001);
    assert_int_equal(fp_index_add(segment, &a, TCP, 8080, 30000), 30001);
    assert_int_equal(fp_index_add(segment, &a, TCP, 8080, 30001), 30001);
    assert_int_equal(find(TCP, "a", 8080), 30001);
    /* Until it stands for the sentinel no more. */
    fp_entry_release(segment, TCP, 30001, alive);
    assert_int_equal(fp_index_add(segment, &a, TCP, 8080, 30000), 30000);
    assert_int_equal(find(TCP, "a", 8080), 30000);
}

static void the_way_back_leads_from_the_port_to_the_sentinel(void **state) {
    (void)state;
    struct fp_text a = text_of("a"), b = text_of("b");
    assign(TCP, "a", 8080, 30000);
    assert_int_equal(fp_sentinel_behind(segment, &a, TCP, 30000), 8080);
    assert_int_equal(fp_sentinel_behind(segment, &b, TCP, 30000), 0);
    assert_int_equal(fp_sentinel_behind(segment, &a, UDP, 30000), 0);
    assert_int_equal(fp_sentinel_behind(segment, &a, TCP, 30001), 0);
    fp_entry_take(segment, TCP, 30001, self, fp_meaning_of(FP_EXPLICIT, 30001, 0, (unsigned)intern("a")));
    assert_int_equal(fp_sentinel_behind(segment, &a, TCP, 30001), 0);
}

/* 40503 is odd: the products run through all ports. */
static uint16_t scattered(unsigned sentinel) {
    return (uint16_t)(sentinel * 40503);
}

static void every_sentinel_of_one_session_leads_to_its_port(void **state) {
    (void)state;
    struct fp_text mine = text_of("mine"), other = text_of("other");
    unsigned slot = (unsigned)fp_intern_session(segment, &mine, self);
    fp_intern_session(segment, &other, self);
    fp_meaning meaning;
    for (unsigned sentinel = 1; sentinel <= LAST; sentinel++) {
        fp_entry_take(segment, TCP, scattered(sentinel), self, fp_meaning_of(FP_BOUND, (uint16_t)sentinel, 0, slot));
        fp_index_add(segment, &mine, TCP, (uint16_t)sentinel, scattered(sentinel));
    }
    for (unsigned sentinel = 1; sentinel <= LAST; sentinel++) {
        assert_int_equal(fp_index_find(segment, &mine, TCP, (uint16_t)sentinel, &meaning), scattered(sentinel));
        assert_int_equal(fp_index_find(segment, &other, TCP, (uint16_t)sentinel, &meaning), 0);
        assert_int_equal(fp_index_find(segment, &mine, UDP, (uint16_t)sentinel, &meaning), 0);
        assert_int_equal(fp_sentinel_behind(segment, &mine, TCP, scattered(sentinel)), sentinel);
    }
    /* The index is half full: nobody is far from home. */
    assert_true(atomic_load(&segment->header.reach) < 200);
}

static void a_slot_whose_entry_went_on_leads_nowhere(void **state) {
    (void)state;
    assign(TCP, "a", 8080, 30000);
    fp_entry_release(segment, TCP, 30000, self);
    assert_int_equal(find(TCP, "a", 8080), 0);
    assign(TCP, "b", 8080, 30000);
    assert_int_equal(find(TCP, "a", 8080), 0);
    assert_int_equal(find(TCP, "b", 8080), 30000);
    assign(TCP, "b", 9090, 30000);
    assert_int_equal(find(TCP, "b", 8080), 0);
    assert_int_equal(find(TCP, "b", 9090), 30000);
    assign(TCP, "a", 8080, 30007);
    assert_int_equal(find(TCP, "a", 8080), 30007);
}

static void a_sentinel_that_moves_is_found_at_its_new_port(void **state) {
    (void)state;
    for (uint16_t port = 1000; port < 3000; port++) {
        if (port > 1000)
            fp_entry_release(segment, TCP, (uint16_t)(port - 1), self);
        assign(TCP, "a", 8080, port);
        assert_int_equal(find(TCP, "a", 8080), port);
    }
}

/* More sentinels than the index has slots come and go: those of the dead make room. */
static void the_index_never_fills_up(void **state) {
    (void)state;
    struct fp_text text = text_of("mine");
    unsigned slot = (unsigned)fp_intern_session(segment, &text, self);
    fp_meaning meaning;
    for (unsigned i = 0; i < 3 * FP_INDEX_SLOTS; i++) {
        uint16_t sentinel = (uint16_t)(i % LAST + 1), port = (uint16_t)(i % 100 + 1);
        unsigned protocol = i / LAST % 2;
        if (fp_entry_owner(segment, protocol, port) != 0)
            fp_entry_release(segment, protocol, port, self);
        fp_entry_take(segment, protocol, port, self, fp_meaning_of(FP_BOUND, sentinel, 0, slot));
        fp_index_add(segment, &text, protocol, sentinel, port);
        if (fp_index_find(segment, &text, protocol, sentinel, &meaning) != port)
            fail_msg("sentinel %u is lost after %u", sentinel, i);
    }
    assert_true(atomic_load(&segment->header.reach) < 200);
}

static void a_reach_that_cannot_be_right_is_no_harm(void **state) {
    (void)state;
    assign(TCP, "a", 8080, 30000);
    static const uint32_t reaches[] = {0, 1, FP_INDEX_SLOTS - 1, FP_INDEX_SLOTS, UINT32_MAX};
    for (unsigned i = 0; i < sizeof reaches / sizeof *reaches; i++) {
        atomic_store(&segment->header.reach, reaches[i]);
        assert_int_equal(find(TCP, "a", 8080), 30000);
        assert_int_equal(find(TCP, "a", 1), 0);
    }
}

static void an_index_full_of_noise_misleads_nobody(void **state) {
    (void)state;
    assign(TCP, "a", 8080, 30000);
    uint64_t *words = (uint64_t *)(void *)segment->index;
    for (unsigned i = 0; i < FP_INDEX_SLOTS; i++)
        words[i] = (uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random() ^ 1;
    atomic_store(&segment->header.reach, UINT32_MAX);
    for (uint16_t sentinel = 8000; sentinel < 8200; sentinel++)
        assert_int_equal(find(TCP, "a", sentinel), 0);
    assign(TCP, "a", 8080, 30000); /* whatever the slots say, their entries don't bear it out */
    assert_int_equal(find(TCP, "a", 8080), 30000);
}

/* Entries */

static void assert_entry(uint16_t port, fp_owner owner, fp_meaning meaning) {
    assert_true(fp_entry_owner(segment, TCP, port) == owner);
    assert_true(fp_entry_meaning(segment, TCP, port) == meaning);
}

static void assert_hints(uint16_t port, bool taken, bool held) {
    assert_int_equal(fp_hint(segment->taken[TCP], port), taken);
    assert_int_equal(fp_hint(segment->held[TCP], port), held);
}

static void a_claim_succeeds_only_for_the_owner_that_was_seen(void **state) {
    (void)state;
    fp_meaning first = fp_meaning_of(FP_CLAIMED, 0, 1, 2), second = fp_meaning_of(FP_RESERVED, 0, 3, 4);
    assert_true(fp_entry_claim(segment, TCP, 5000, 0, gone, first));
    assert_entry(5000, gone, first);
    assert_hints(5000, true, false);
    assert_false(fp_entry_claim(segment, TCP, 5000, 0, self, second));
    assert_false(fp_entry_claim(segment, TCP, 5000, alive, self, second));
    assert_entry(5000, gone, first);
    assert_true(fp_entry_claim(segment, TCP, 5000, gone, self, second));
    assert_entry(5000, self, second);
    assert_hints(5000, true, true);
    assert_true(fp_entry_owner(segment, UDP, 5000) == 0);
}

static void what_is_held_back_is_hinted_so(void **state) {
    (void)state;
    static const struct {
        enum fp_state state;
        uint16_t requested;
        bool held;
    } cases[] = {
        {FP_CLAIMED, 0, false}, {FP_CLAIMED, 8080, true}, {FP_BOUND, 0, false},     {FP_BOUND, 8080, true},
        {FP_RESERVED, 0, true}, {FP_EXPLICIT, 70, false}, {FP_PLEDGED, 8080, true},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        fp_meaning meaning = fp_meaning_of(cases[i].state, cases[i].requested, 0, 1);
        for (unsigned way = 0; way < 3; way++) {
            uint16_t port = (uint16_t)(1000 + i);
            fp_hint_set(segment->held[TCP], port);
            if (way == 0) {
                atomic_store(&fp_entry_at(segment, TCP, port)->owner, 0);
                fp_entry_claim(segment, TCP, port, 0, self, meaning);
            } else if (way == 1) {
                fp_entry_take(segment, TCP, port, self, meaning);
            } else {
                fp_entry_record(segment, TCP, port, meaning, NULL);
            }
            assert_hints(port, true, cases[i].held);
        }
    }
}

static void a_record_has_the_address_and_the_time(void **state) {
    (void)state;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f000002)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    inet_pton(AF_INET6, "2001:db8::1:2", &v6.sin6_addr);
    struct fp_entry *entry = fp_entry_at(segment, TCP, 6000);
    fp_meaning meaning = fp_meaning_of(FP_BOUND, 0, 1, 2);
    time_t before = time(NULL);
    atomic_store(&entry->patience, 12345);

    fp_entry_record(segment, TCP, 6000, meaning, (struct sockaddr *)&v6);
    assert_int_equal(atomic_load(&entry->family), AF_INET6);
    assert_memory_equal((void *)entry->address, &v6.sin6_addr, 16);
    assert_in_range(atomic_load(&entry->since), before, time(NULL));
    assert_int_equal(atomic_load(&entry->patience), 0);
    assert_true(fp_entry_meaning(segment, TCP, 6000) == meaning);

    static const unsigned char loopback[16] = {127, 0, 0, 2};
    fp_entry_record(segment, TCP, 6000, meaning, (struct sockaddr *)&v4);
    assert_int_equal(atomic_load(&entry->family), AF_INET);
    assert_memory_equal((void *)entry->address, loopback, 16);

    v4.sin_family = AF_UNSPEC; /* the kernel takes it for IPv4 */
    fp_entry_record(segment, TCP, 6000, meaning, (struct sockaddr *)&v4);
    assert_int_equal(atomic_load(&entry->family), AF_INET);

    fp_entry_record(segment, TCP, 6000, meaning, NULL);
    assert_int_equal(atomic_load(&entry->family), 0);
    assert_int_equal(atomic_load(&entry->address[0]) | atomic_load(&entry->address[1]), 0);
}

static void only_the_owner_gives_an_entry_up(void **state) {
    (void)state;
    fp_meaning meaning = fp_meaning_of(FP_RESERVED, 0, 1, 0);
    fp_entry_take(segment, TCP, 7000, self, meaning);
    fp_entry_release(segment, TCP, 7000, alive);
    fp_entry_release(segment, TCP, 7000, 0);
    assert_entry(7000, self, meaning);
    fp_entry_release(segment, TCP, 7000, self);
    assert_entry(7000, 0, 0);
    assert_hints(7000, false, false);
}

static void a_refused_claim_becomes_busy_and_is_left_to_whoever_took_it_meanwhile(void **state) {
    (void)state;
    fp_meaning claimed = fp_meaning_of(FP_CLAIMED, 8080, 1, 1), theirs = fp_meaning_of(FP_BOUND, 0, 2, 2);
    fp_entry_claim(segment, TCP, 8000, 0, self, claimed);
    fp_entry_refused(segment, TCP, 8000, 41, self);
    assert_entry(8000, 0, fp_meaning_of(FP_BUSY, 0, 0, 0));
    assert_hints(8000, true, true);
    uint64_t patience = atomic_load(&fp_entry_at(segment, TCP, 8000)->patience);
    assert_int_equal(fp_patience_serial(patience), 41);

    fp_entry_claim(segment, TCP, 8001, 0, self, claimed);
    fp_entry_take(segment, TCP, 8001, alive, theirs);
    fp_entry_refused(segment, TCP, 8001, 42, self);
    assert_entry(8001, alive, theirs);

    fp_entry_take(segment, TCP, 8002, alive, theirs); /* tried without a claim */
    fp_entry_refused(segment, TCP, 8002, 43, 0);
    assert_entry(8002, alive, theirs);
    assert_int_equal(fp_patience_serial(atomic_load(&fp_entry_at(segment, TCP, 8002)->patience)), 43);
}

static void each_hint_is_one_bit(void **state) {
    (void)state;
    for (unsigned port = 0; port <= LAST; port++) {
        fp_hint_set(segment->taken[TCP], (uint16_t)port);
        assert_true(fp_hint(segment->taken[TCP], (uint16_t)port));
        assert_true(segment->taken[TCP][port / 64] == UINT64_C(1) << (port % 64));
        fp_hint_clear(segment->taken[TCP], (uint16_t)port);
        assert_true(segment->taken[TCP][port / 64] == 0);
    }
}

/* Patience */

static uint64_t patience_of(unsigned exponent, uint32_t due) {
    return exponent | ((uint64_t)(due & 0xffffff) << 8);
}

/* At every place of the turn where a counter could run over. */
static const uint32_t turns[] = {0,          1,          255,        256,        257,       0xfffe00,
                                 0xffff00,   0xfffffe,   0xffffff,   0x1000000,  0x1000001, 0x7fffffff,
                                 0x80000000, 0xfffffeff, 0xffffff00, 0xfffffffe, 0xffffffff};

static void disappointments_make_it_wait_4_8_16_up_to_256_turns(void **state) {
    (void)state;
    for (unsigned i = 0; i < sizeof turns / sizeof *turns; i++) {
        uint64_t patience = 0;
        uint32_t turn = turns[i];
        for (unsigned n = 0; n < 20; n++) {
            uint32_t wait = n < 6 ? 4u << n : 256;
            patience = fp_patience_more(patience, turn, n + 100);
            assert_int_equal(fp_patience_serial(patience), n + 100);
            for (uint32_t after = 0; after < wait; after++)
                if (fp_patience_over(patience, turn + after))
                    fail_msg("disappointment %u at turn %u is over after %u", n, turn, after);
            assert_true(fp_patience_over(patience, turn + wait));
            turn += wait;
        }
    }
}

static void patience_that_cannot_be_right_is_over(void **state) {
    (void)state;
    for (unsigned exponent = 0; exponent < 256; exponent++) {
        for (unsigned i = 0; i < sizeof turns / sizeof *turns; i++) {
            for (uint32_t ahead = 0; ahead < 0x1000000; ahead += ahead < 600 ? 1 : 9973)
                if (fp_patience_over(patience_of(exponent, turns[i] + ahead), turns[i]) != (ahead == 0 || ahead > 256))
                    fail_msg("exponent %u, %u turns ahead of %u", exponent, ahead, turns[i]);
            /* And what comes of it is right again. */
            uint64_t more = fp_patience_more(patience_of(exponent, 77), turns[i], 1);
            assert_in_range(more & (FP_REFUSED - 1), 3, 8);
            assert_false(fp_patience_over(more, turns[i]));
            assert_true(fp_patience_over(more, turns[i] + 256));
        }
    }
}

static void made_up_sessions_are_told_from_given_ones(void **state) {
    (void)state;
    static const char *const made_up[] = {"4711-0123456789abcdef", "run-4711-0123abcd", "env-1-00000000"};
    static const char *const given[] = {"",
                                        "shop",
                                        "run",
                                        "run-",
                                        "run-4711",
                                        "run-4711-",
                                        "run-4711-1",
                                        "4711-0123abcd",
                                        "run-x-0123abcd",
                                        "run-4711-0123abcg",
                                        "run-4711-0123abcd5",
                                        "-0123456789abcdef",
                                        "4711-0123456789abcdef0",
                                        "4711-0123456789ABCDEF",
                                        "fix-12-0123abcd"};
    for (unsigned i = 0; i < sizeof made_up / sizeof made_up[0]; i++)
        assert_true(fp_session_made_up(made_up[i]));
    for (unsigned i = 0; i < sizeof given / sizeof given[0]; i++)
        assert_false(fp_session_made_up(given[i]));
}

static void a_sentinels_place_is_the_same_on_every_host(void **state) {
    (void)state;
    struct fp_text shop, other;
    fp_text_set(&shop, "shop");
    fp_text_set(&other, "shop-fix-ui");
    assert_true(fp_text_place(&shop, 3000) == UINT64_C(0x1c887182e08d03d4));
    assert_true(fp_text_place(&shop, 3000) != fp_text_place(&shop, 3001));
    assert_true(fp_text_place(&shop, 3000) != fp_text_place(&other, 3000));
}

int main(void) {
    /* clang-format off */
#define TEST(name) cmocka_unit_test_setup_teardown(name, segment_setup, segment_teardown)
    /* clang-format on */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_meaning_packs_its_parts_at_these_bits),
        cmocka_unit_test(no_word_leads_outside_of_the_tables),
        TEST(a_label_is_found_again_under_its_text_and_no_other),
        TEST(names_and_sessions_are_worlds_of_their_own),
        TEST(labels_of_every_length_are_told_apart),
        TEST(what_is_not_printable_reads_as_a_question_mark),
        TEST(a_label_that_is_being_written_is_nobodys),
        TEST(a_label_whose_writer_died_is_written_over_and_one_who_writes_is_left_alone),
        TEST(the_sequence_never_comes_back_to_unused),
        TEST(every_slot_can_be_had_and_those_without_an_entry_are_reclaimed),
        TEST(a_table_whose_every_slot_is_in_use_says_so_and_harms_nobody),
        TEST(a_sentinel_is_found_in_its_session_and_protocol_alone),
        TEST(of_two_ports_for_one_sentinel_the_first_one_stands),
        TEST(the_way_back_leads_from_the_port_to_the_sentinel),
        TEST(every_sentinel_of_one_session_leads_to_its_port),
        TEST(a_slot_whose_entry_went_on_leads_nowhere),
        TEST(a_sentinel_that_moves_is_found_at_its_new_port),
        TEST(the_index_never_fills_up),
        TEST(a_reach_that_cannot_be_right_is_no_harm),
        TEST(an_index_full_of_noise_misleads_nobody),
        TEST(a_claim_succeeds_only_for_the_owner_that_was_seen),
        TEST(what_is_held_back_is_hinted_so),
        TEST(a_record_has_the_address_and_the_time),
        TEST(only_the_owner_gives_an_entry_up),
        TEST(a_refused_claim_becomes_busy_and_is_left_to_whoever_took_it_meanwhile),
        TEST(each_hint_is_one_bit),
        cmocka_unit_test(disappointments_make_it_wait_4_8_16_up_to_256_turns),
        cmocka_unit_test(patience_that_cannot_be_right_is_over),
        cmocka_unit_test(made_up_sessions_are_told_from_given_ones),
        cmocka_unit_test(a_sentinels_place_is_the_same_on_every_host),
    };
    return cmocka_run_group_tests_name("table", tests, know_owners, NULL);
}
