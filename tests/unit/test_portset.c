/* SPDX-License-Identifier: MIT */
/* Port sets: every port, every byte, every pair of ends round the words' boundaries. */
#include "portset.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { LAST = UINT16_MAX };

/* 8 KiB each, and compared by the million: static, not on the stack. */
static struct fp_portset set, wanted;

static void clear(struct fp_portset *to_clear) {
    memset(to_clear, 0, sizeof *to_clear);
}

/* The plain way, bit by bit, that fp_portset_add() is held against. */
static void add_one(struct fp_portset *to, unsigned port) {
    to->words[port / 64] |= UINT64_C(1) << (port % 64);
}

static void assert_wanted(const char *what, unsigned from, unsigned to) {
    if (memcmp(&set, &wanted, sizeof set) != 0)
        fail_msg("%s: wrong ports for %u-%u", what, from, to);
}

static void assert_parses(const char *text) {
    clear(&set);
    if (!fp_portset_parse(&set, text))
        fail_msg("'%s' was refused", text);
}

static void assert_refused(const char *text) {
    memset(&set, 0xff, sizeof set);
    if (fp_portset_parse(&set, text))
        fail_msg("'%s' was accepted", text);
    if (!fp_portset_empty(&set))
        fail_msg("'%s' left ports behind", text);
}

static void has_is_true_of_the_ports_in_it_and_of_no_other(void **state) {
    (void)state;
    clear(&set);
    for (unsigned port = 0; port <= LAST; port += 3)
        add_one(&set, port);
    for (unsigned port = 0; port <= LAST; port++)
        if (fp_portset_has(&set, (uint16_t)port) != (port % 3 == 0))
            fail_msg("wrong for %u", port);
}

static void empty_is_true_of_no_port_and_false_of_each_single_one(void **state) {
    (void)state;
    clear(&set);
    assert_true(fp_portset_empty(&set));
    for (unsigned port = 0; port <= LAST; port++) {
        add_one(&set, port);
        if (fp_portset_empty(&set))
            fail_msg("empty with %u in it", port);
        set.words[port / 64] = 0;
    }
}

/* For every `from` in the stretch, `to` walks on from there, and `wanted` grows by one port a step. */
static void walk_pairs(unsigned first, unsigned last) {
    for (unsigned from = first; from <= last; from++) {
        clear(&wanted);
        for (unsigned to = from; to <= last; to++) {
            add_one(&wanted, to);
            clear(&set);
            fp_portset_add(&set, (uint16_t)from, (uint16_t)to);
            assert_wanted("add", from, to);
        }
    }
}

static void add_takes_both_ends_in_every_pair_of_the_first_and_the_last_words(void **state) {
    (void)state;
    walk_pairs(0, 200);
    walk_pairs(LAST - 200, LAST);
}

static void add_takes_both_ends_round_every_word_boundary(void **state) {
    (void)state;
    for (unsigned boundary = 64; boundary <= LAST; boundary += 64)
        walk_pairs(boundary - 2, boundary + 2);
}

static void add_takes_long_ranges_from_and_to_every_boundary(void **state) {
    (void)state;
    clear(&wanted);
    for (unsigned to = 0; to <= LAST; to++) {
        add_one(&wanted, to);
        if ((to + 2) % 64 > 4)
            continue;
        clear(&set);
        fp_portset_add(&set, 0, (uint16_t)to);
        assert_wanted("add", 0, to);
    }
    for (unsigned from = 0; from <= LAST; from++) {
        if ((from + 2) % 64 <= 4) {
            clear(&set);
            fp_portset_add(&set, (uint16_t)from, LAST);
            assert_wanted("add", from, LAST);
        }
        wanted.words[from / 64] &= ~(UINT64_C(1) << (from % 64));
    }
}

static void add_keeps_what_was_there(void **state) {
    (void)state;
    clear(&set);
    clear(&wanted);
    fp_portset_add(&set, 1, 1);
    fp_portset_add(&set, 210, 210);
    fp_portset_add(&set, 65, 200); /* ends in the word of 210 */
    fp_portset_add(&set, 60, 70);
    fp_portset_add(&set, 62, 62);
    for (unsigned port = 60; port <= 200; port++)
        add_one(&wanted, port);
    add_one(&wanted, 1);
    add_one(&wanted, 210);
    assert_wanted("add, overlapping", 60, 200);
}

static void every_single_port_parses_back(void **state) {
    char text[16];

    (void)state;
    clear(&wanted);
    for (unsigned port = 1; port <= LAST; port++) {
        snprintf(text, sizeof text, "%u", port);
        add_one(&wanted, port);
        assert_parses(text);
        assert_wanted("parse", port, port);
        wanted.words[port / 64] = 0;
    }
}

static void every_number_beyond_the_ports_is_refused(void **state) {
    static const char *const wraps[] = {
        "2147491728",           /* 2^31 + 8080 */
        "4294975376",           /* 2^32 + 8080 */
        "9223372036854783888",  /* 2^63 + 8080 */
        "18446744073709559696", /* 2^64 + 8080 */
        "99999999999999999999999999999999999999999999999999999999",
    };
    char text[32];

    (void)state;
    assert_refused("0");
    assert_refused("0000000000000000000000");
    for (unsigned number = LAST + 1; number <= 4 * LAST; number++) {
        snprintf(text, sizeof text, "%u", number);
        assert_refused(text);
    }
    for (size_t i = 0; i < sizeof wraps / sizeof *wraps; i++)
        assert_refused(wraps[i]);
}

static void every_pair_round_the_word_boundaries_parses_as_it_is_ordered(void **state) {
    static uint16_t ends[3 * FP_WORDS];
    unsigned count = 0;
    char text[16];

    (void)state;
    for (unsigned word = 1; word < FP_WORDS; word += word < 4 || word > FP_WORDS - 4 ? 1 : 41)
        for (unsigned port = word * 64 - 1; port <= word * 64 + 1; port++)
            ends[count++] = (uint16_t)port;
    ends[count++] = 1;
    ends[count++] = LAST;

    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < count; j++) {
            snprintf(text, sizeof text, "%u-%u", (unsigned)ends[i], (unsigned)ends[j]);
            if (ends[i] > ends[j]) {
                assert_refused(text);
                continue;
            }
            assert_parses(text);
            clear(&wanted);
            fp_portset_add(&wanted, ends[i], ends[j]);
            assert_wanted("parse", ends[i], ends[j]);
        }
    }
}

static void a_list_is_all_its_elements_in_any_order(void **state) {
    (void)state;
    clear(&wanted);
    for (unsigned port = 100; port <= 200; port++)
        add_one(&wanted, port);
    add_one(&wanted, 1);
    add_one(&wanted, LAST);

    assert_parses("65535,100-150,1,140-200,150");
    assert_wanted("a list", 1, LAST);
    assert_parses("1-1,100-200,65535-65535");
    assert_wanted("a list of ranges", 1, LAST);
    assert_parses("1,1,1,100-200,100-200,65535");
    assert_wanted("a list with repetitions", 1, LAST);
}

static void parsing_forgets_what_was_there(void **state) {
    (void)state;
    memset(&set, 0xff, sizeof set);
    clear(&wanted);
    add_one(&wanted, 8080);
    assert_parses("8080");
    assert_wanted("parse", 8080, 8080);
}

static void leading_zeros_mean_nothing(void **state) {
    (void)state;
    clear(&wanted);
    add_one(&wanted, 80);
    assert_parses("0080");
    assert_wanted("parse", 80, 80);
    assert_parses("00000000000000000000000000000000000080-080");
    assert_wanted("parse", 80, 80);
}

static void what_is_no_range_is_refused_and_leaves_no_port(void **state) {
    static const char *const texts[] = {
        "",
        ",",
        "-",
        "80-",
        "-80",
        "80,",
        ",80",
        "80,,81",
        "80-81-82",
        "80--81",
        "81-80",
        "65535-1",
        "0-80",
        "80-0",
        "0-0",
        "80-65536",
        "65536",
        "80 ",
        " 80",
        "80 -81",
        "80- 81",
        "80, 81",
        "80\n",
        "+80",
        "80-+81",
        "0x50",
        "80.0",
        "8e1",
        "80;81",
        "80:81",
        "80/tcp",
        "all",
        "http",
        "1-65535,",
        "80,0",
        "80,81-",
        "80-81,",
        "80,65536",
        "80-81,82-81",
        "80\xc2\xa0",
        "\xd9\xa8\xd9\xa0",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(texts[i]);
}

static void every_byte_but_a_digit_is_refused_before_in_and_behind_a_port(void **state) {
    (void)state;
    for (unsigned byte = 1; byte <= UINT8_MAX; byte++) {
        char before[] = {(char)byte, '8', '0', '\0'};
        char within[] = {'8', (char)byte, '0', '\0'};
        char behind[] = {'8', '0', (char)byte, '\0'};

        if (byte >= '0' && byte <= '9') {
            assert_parses(before);
            assert_parses(within);
            assert_parses(behind);
            continue;
        }
        assert_refused(before);
        assert_refused(behind);
        assert_refused(within); /* "8,0" and "8-0", too: 0 is no port */
    }
}

static void a_range_is_read_up_to_what_follows_it(void **state) {
    static const struct {
        const char *text, *rest;
        uint16_t from, to;
    } cases[] = {{"80", "", 80, 80},
                 {"80-81", "", 80, 81},
                 {"80/tcp", "/tcp", 80, 80},
                 {"80-81/udp", "/udp", 80, 81},
                 {"80,90-91", ",90-91", 80, 80},
                 {"80-81-82", "-82", 80, 81},
                 {"1-65535x", "x", 1, LAST},
                 {"80 ", " ", 80, 80}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        uint16_t from = 0, to = 0;

        assert_true(fp_portset_read_range(&text, &from, &to));
        assert_string_equal(text, cases[i].rest);
        assert_int_equal(from, cases[i].from);
        assert_int_equal(to, cases[i].to);
    }
}

static void what_is_no_range_is_not_read(void **state) {
    static const char *const texts[] = {
        "", "-", "x80", "/tcp", ",", "0", "65536", "80-", "80-x", "81-80", "80-0", "80-65536",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = texts[i];
        uint16_t from, to;

        if (fp_portset_read_range(&text, &from, &to))
            fail_msg("'%s' was read", texts[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_is_true_of_the_ports_in_it_and_of_no_other),
        cmocka_unit_test(empty_is_true_of_no_port_and_false_of_each_single_one),
        cmocka_unit_test(add_takes_both_ends_in_every_pair_of_the_first_and_the_last_words),
        cmocka_unit_test(add_takes_both_ends_round_every_word_boundary),
        cmocka_unit_test(add_takes_long_ranges_from_and_to_every_boundary),
        cmocka_unit_test(add_keeps_what_was_there),
        cmocka_unit_test(every_single_port_parses_back),
        cmocka_unit_test(every_number_beyond_the_ports_is_refused),
        cmocka_unit_test(every_pair_round_the_word_boundaries_parses_as_it_is_ordered),
        cmocka_unit_test(a_list_is_all_its_elements_in_any_order),
        cmocka_unit_test(parsing_forgets_what_was_there),
        cmocka_unit_test(leading_zeros_mean_nothing),
        cmocka_unit_test(what_is_no_range_is_refused_and_leaves_no_port),
        cmocka_unit_test(every_byte_but_a_digit_is_refused_before_in_and_behind_a_port),
        cmocka_unit_test(a_range_is_read_up_to_what_follows_it),
        cmocka_unit_test(what_is_no_range_is_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
