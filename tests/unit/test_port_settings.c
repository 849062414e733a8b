/* SPDX-License-Identifier: MIT */
/* The variables that are sets of ports: the ranges, and the sentinels, which are never within. */
#include "own_environment.h"

/* Ranges. */

static const char *const malformed_ranges[] = {
    "",
    "0",
    "65536",
    "30000-",
    "-30000",
    "31000-30000",
    "30000-31000-32000",
    "30000,",
    ",30000",
    "30000,,31000",
    "30000 ",
    " 30000",
    "30000 - 31000",
    "30000:31000",
    "30000..31000",
    "0-100",
    "1-65536",
    "4294997296",
    "all",
    "http",
    "30000/tcp",
    "+30000",
    "0x7530",
    "30000\n",
};

static void a_malformed_range_is_managed_empty_and_bad(void **state) {
    static const char *const names[FP_PROTOCOLS] = {[FP_TCP] = "FREEPORT_TCP", [FP_UDP] = "FREEPORT_UDP"};

    (void)state;
    for (int protocol = 0; protocol < FP_PROTOCOLS; protocol++) {
        for (size_t i = 0; i < COUNT(malformed_ranges); i++) {
            reset();
            set(names[protocol], malformed_ranges[i]);
            assert_true(read_settings());
            assert_refused(names[protocol], malformed_ranges[i]);
            assert_true(settings.managed[protocol]);
            assert_false(settings.managed[!protocol]);
            assert_string_equal(settings.range[protocol], "");
            assert_true(fp_portset_empty(&settings.ranges[protocol].ports));
        }
    }
}

static void a_malformed_range_leaves_the_other_protocol_its_own(void **state) {
    (void)state;
    reset();
    set("FREEPORT_TCP", "many");
    set("FREEPORT_UDP", "40000");
    assert_true(read_settings());
    assert_refused("FREEPORT_TCP", "many");
    assert_true(settings.managed[FP_TCP] && settings.managed[FP_UDP]);
    assert_string_equal(settings.range[FP_UDP], "40000");
    assert_ports(&settings.ranges[FP_UDP].ports, 40000, 40000, 0, 0);
}

static void a_malformed_range_is_every_port_in_silence_when_lenient(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(malformed_ranges); i++) {
        reset();
        set("FREEPORT_UDP", malformed_ranges[i]);
        set("FREEPORT_LENIENT", "1");
        assert_true(read_settings());
        assert_accepted("FREEPORT_UDP", malformed_ranges[i]);
        assert_true(settings.lenient);
        assert_true(settings.managed[FP_UDP]);
        assert_string_equal(settings.range[FP_UDP], "1-65535");
        assert_ports(&settings.ranges[FP_UDP].ports, 1, LAST, 0, 0);
        assert_false(settings.managed[FP_TCP]);
        assert_string_equal(settings.range[FP_TCP], "");
    }
}

static void lenient_changes_no_good_range_and_nothing_else(void **state) {
    (void)state;
    reset();
    set("FREEPORT_TCP", "30000-31000");
    set("FREEPORT_LENIENT", "1");
    set("FREEPORT_SENTINELS", "http");
    assert_true(read_settings());
    assert_refused("FREEPORT_SENTINELS", "http");
    assert_string_equal(settings.range[FP_TCP], "30000-31000");
}

static void lenient_0_is_strict(void **state) {
    (void)state;
    reset();
    set("FREEPORT_TCP", "many");
    set("FREEPORT_LENIENT", "0");
    assert_true(read_settings());
    assert_refused("FREEPORT_TCP", "many");
    assert_string_equal(settings.range[FP_TCP], "");
}

/* A list of `length` characters that can be read: ports with commas, and zeros before the last one to fill up. */
static const char *range_of_length(size_t length) {
    static char text[4096];
    size_t at = 0;

    while (at + 12 < length)
        at += (size_t)snprintf(text + at, sizeof text - at, "30000,");
    snprintf(text + at, sizeof text - at, "%0*d", (int)(length - at), 30001);
    assert_int_equal(strlen(text), length);
    return text;
}

static void a_range_as_long_as_its_field_is_kept_and_a_longer_one_refused(void **state) {
    const size_t most = sizeof settings.range[FP_TCP] - 1;
    static const char *const lenient[] = {"0", "1"};

    (void)state;
    for (size_t i = 0; i < COUNT(lenient); i++) {
        for (size_t length = most - 3; length <= most + 3; length++) {
            const char *text = range_of_length(length);

            reset();
            set("FREEPORT_TCP", text);
            set("FREEPORT_LENIENT", lenient[i]);
            assert_true(read_settings());
            assert_true(settings.managed[FP_TCP]);
            if (length <= most) {
                assert_accepted("FREEPORT_TCP", text);
                assert_string_equal(settings.range[FP_TCP], text);
                assert_ports(&settings.ranges[FP_TCP].ports, 30000, 30001, 0, 0);
            } else {
                assert_refused("FREEPORT_TCP", text);
                assert_string_equal(settings.range[FP_TCP], "");
                assert_true(fp_portset_empty(&settings.ranges[FP_TCP].ports));
            }
        }
    }
}

/* Sentinels. Both ranges are set, so that each protocol can show what it got. */

static bool all_of_both(void) {
    return settings.all[FP_TCP] && settings.all[FP_UDP];
}

static void read_sentinels(const char *sentinels) {
    reset();
    set("FREEPORT_TCP", "30000-31000");
    set("FREEPORT_UDP", "40000-41000");
    set("FREEPORT_SENTINELS", sentinels);
    assert_true(read_settings());
}

static void accept_sentinels(const char *sentinels) {
    read_sentinels(sentinels);
    assert_accepted("FREEPORT_SENTINELS", sentinels);
}

static void no_sentinels_are_none_rather_than_malformed(void **state) {
    (void)state;
    accept("FREEPORT_SENTINELS", "");
    assert_same_as_default("FREEPORT_SENTINELS", "");
}

static void a_sentinel_without_a_suffix_is_both_protocols(void **state) {
    (void)state;
    accept_sentinels("8080");
    for (int protocol = 0; protocol < FP_PROTOCOLS; protocol++) {
        assert_ports(sentinels(protocol), 8080, 8080, 0, 0);
        assert_ports(&settings.named[protocol], 8080, 8080, 0, 0);
    }
    assert_false(settings.all[FP_TCP] || settings.all[FP_UDP]);
}

static void a_suffix_picks_one_protocol(void **state) {
    (void)state;
    accept_sentinels("80-90/tcp,53/udp");
    assert_ports(sentinels(FP_TCP), 80, 90, 0, 0);
    assert_ports(&settings.named[FP_TCP], 80, 90, 0, 0);
    assert_ports(sentinels(FP_UDP), 53, 53, 0, 0);
    assert_ports(&settings.named[FP_UDP], 53, 53, 0, 0);

    accept_sentinels("53/udp,53/tcp");
    assert_ports(sentinels(FP_TCP), 53, 53, 0, 0);
    assert_ports(sentinels(FP_UDP), 53, 53, 0, 0);
}

/* A range as a set, and what it says of itself. */
static void assert_range(int protocol, unsigned from, unsigned to, unsigned less_from, unsigned less_to) {
    const struct fp_range *range = &settings.ranges[protocol];

    assert_ports(&range->ports, from, to, less_from, less_to);
    assert_int_equal(range->first, less_from == from ? less_to + 1 : from);
    assert_int_equal(range->last, less_to == to ? less_from - 1 : to);
    assert_int_equal(range->size, to - from + 1 - (less_from ? less_to - less_from + 1 : 0));
}

static void every_port_can_be_a_sentinel_and_is_none_of_the_range_then(void **state) {
    char text[16];

    (void)state;
    for (unsigned port = 1; port <= LAST; port++) {
        bool inside = port >= 30000 && port <= 31000;

        snprintf(text, sizeof text, "%u/tcp", port);
        accept_sentinels(text);
        if (!fp_settings_has_sentinel(&settings, FP_TCP, (uint16_t)port) ||
            !fp_portset_has(&settings.named[FP_TCP], (uint16_t)port))
            fail_msg("%s", text);
        if (inside)
            assert_range(FP_TCP, 30000, 31000, port, port);
        else
            assert_int_equal(settings.ranges[FP_TCP].size, 1001);
        settings.named[FP_TCP].words[port / 64] &= ~(UINT64_C(1) << port % 64);
        assert_true(fp_portset_empty(&settings.named[FP_TCP]));
        assert_true(fp_portset_empty(&settings.named[FP_UDP]));
        assert_int_equal(settings.ranges[FP_UDP].size, 1001);
        assert_false(settings.all[FP_TCP] || settings.all[FP_UDP]);
    }
}

static void sentinels_that_are_named_are_taken_out_of_each_protocols_range(void **state) {
    (void)state;
    accept_sentinels("29999-30100,40500");
    assert_range(FP_TCP, 30000, 31000, 30000, 30100);
    assert_range(FP_UDP, 40000, 41000, 40500, 40500);
    accept_sentinels("30900-40010");
    assert_range(FP_TCP, 30000, 31000, 30900, 31000);
    assert_range(FP_UDP, 40000, 41000, 40000, 40010);
    accept_sentinels("30500-30700/tcp,40500/tcp");
    assert_range(FP_TCP, 30000, 31000, 30500, 30700);
    assert_range(FP_UDP, 40000, 41000, 0, 0);
    assert_ports(&settings.named[FP_UDP], 1, 0, 0, 0);
    for (unsigned from = 30000; from <= 30200; from++) {
        char text[32];
        snprintf(text, sizeof text, "%u-%u", from, from + 64);
        accept_sentinels(text);
        assert_range(FP_TCP, 30000, 31000, from, from + 64);
    }
}

static void sentinels_that_leave_a_range_no_port_are_refused(void **state) {
    static const char *const texts[] = {"30000-31000", "1-65535/tcp", "30000-30500,30501-31000", "all,30000-31000",
                                        "29999-31001,40000"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        read_sentinels(texts[i]);
        assert_refused("FREEPORT_SENTINELS", texts[i]);
        assert_non_null(strstr(heard.expected, "FREEPORT_TCP"));
        assert_int_equal(settings.ranges[FP_TCP].size, 0);
        assert_true(settings.ranges[FP_UDP].size >= 1000);
    }
    read_sentinels("40000-41000");
    assert_refused("FREEPORT_SENTINELS", "40000-41000");
    assert_non_null(strstr(heard.expected, "FREEPORT_UDP"));
}

static void all_is_every_port_and_names_none_and_the_range_keeps_its_own(void **state) {
    (void)state;
    accept_sentinels("all");
    assert_true(all_of_both());
    assert_range(FP_TCP, 30000, 31000, 0, 0);
    assert_range(FP_UDP, 40000, 41000, 0, 0);
    assert_every_port(sentinels(FP_TCP));
    assert_every_port(sentinels(FP_UDP));
    assert_true(fp_portset_empty(&settings.named[FP_TCP]));
    assert_true(fp_portset_empty(&settings.named[FP_UDP]));
}

static void all_stands_beside_ports_that_are_named(void **state) {
    static const char *const texts[] = {"all,5432", "5432,all", "5432,all,all", "all/tcp,5432,all/udp"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        accept_sentinels(texts[i]);
        assert_true(all_of_both());
        for (int protocol = 0; protocol < FP_PROTOCOLS; protocol++)
            assert_ports(&settings.named[protocol], 5432, 5432, 0, 0);
        assert_every_port(sentinels(FP_TCP));
        assert_every_port(sentinels(FP_UDP));
    }
}

static void all_takes_a_suffix(void **state) {
    (void)state;
    accept_sentinels("all/tcp,53/udp");
    assert_true(settings.all[FP_TCP] && !settings.all[FP_UDP]);
    assert_every_port(sentinels(FP_TCP));
    assert_true(fp_portset_empty(&settings.named[FP_TCP]));
    assert_ports(sentinels(FP_UDP), 53, 53, 0, 0);
    assert_ports(&settings.named[FP_UDP], 53, 53, 0, 0);
}

static void a_protocol_without_a_range_has_no_sentinels(void **state) {
    static const char *const texts[] = {"8080", "8080/udp", "all", "all/udp", "8080,all", "http"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        read_one("FREEPORT_SENTINELS", texts[i]);
        assert_true(fp_portset_empty(sentinels(FP_UDP)));
        assert_true(fp_portset_empty(&settings.named[FP_UDP]));
    }
}

static void a_malformed_range_still_has_its_sentinels(void **state) {
    (void)state;
    reset();
    set("FREEPORT_TCP", "many");
    set("FREEPORT_SENTINELS", "8080");
    assert_true(read_settings());
    assert_refused("FREEPORT_TCP", "many");
    assert_ports(sentinels(FP_TCP), 8080, 8080, 0, 0);
}

static void malformed_sentinels_are_every_port_and_leave_the_range_its_own(void **state) {
    static const char *const texts[] = {
        ",",          "8080,",     ",8080",      "8080,,9090",   " 8080",        "8080 ",
        "8080, 9090", "0",         "65536",      "9-8",          "8080-",        "-8080",
        "8080/",      "8080/sctp", "8080/TCP",   "8080/tcpx",    "8080/tcp/udp", "8080/tcp-9090",
        "8080/6",     "8080 tcp",  "tcp/8080",   "http",         "ALL",          "al",
        "alll",       "all8080",   "all-8080",   "all/",         "all/sctp",     "all,",
        ",all",       "all,,all",  "all 8080",   "all;8080",     "8080;9090",    "8080:9090",
        "8080,0",     "8080,http", "*",          "none",         "/tcp",         "8080/tcp,/udp",
        "8080\n",     "8080,all/", "30500,http", "30000-31000,0"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        read_sentinels(texts[i]);
        assert_refused("FREEPORT_SENTINELS", texts[i]);
        assert_every_port(sentinels(FP_TCP));
        assert_every_port(sentinels(FP_UDP));
        assert_true(fp_portset_empty(&settings.named[FP_TCP]));
        assert_true(fp_portset_empty(&settings.named[FP_UDP]));
        assert_true(all_of_both());
        assert_range(FP_TCP, 30000, 31000, 0, 0);
        assert_range(FP_UDP, 40000, 41000, 0, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_malformed_range_is_managed_empty_and_bad),
        cmocka_unit_test(a_malformed_range_leaves_the_other_protocol_its_own),
        cmocka_unit_test(a_malformed_range_is_every_port_in_silence_when_lenient),
        cmocka_unit_test(lenient_changes_no_good_range_and_nothing_else),
        cmocka_unit_test(lenient_0_is_strict),
        cmocka_unit_test(a_range_as_long_as_its_field_is_kept_and_a_longer_one_refused),
        cmocka_unit_test(no_sentinels_are_none_rather_than_malformed),
        cmocka_unit_test(a_sentinel_without_a_suffix_is_both_protocols),
        cmocka_unit_test(a_suffix_picks_one_protocol),
        cmocka_unit_test(every_port_can_be_a_sentinel_and_is_none_of_the_range_then),
        cmocka_unit_test(sentinels_that_are_named_are_taken_out_of_each_protocols_range),
        cmocka_unit_test(sentinels_that_leave_a_range_no_port_are_refused),
        cmocka_unit_test(all_is_every_port_and_names_none_and_the_range_keeps_its_own),
        cmocka_unit_test(all_stands_beside_ports_that_are_named),
        cmocka_unit_test(all_takes_a_suffix),
        cmocka_unit_test(a_protocol_without_a_range_has_no_sentinels),
        cmocka_unit_test(a_malformed_range_still_has_its_sentinels),
        cmocka_unit_test(malformed_sentinels_are_every_port_and_leave_the_range_its_own),
    };

    return cmocka_run_group_tests(tests, read_defaults, NULL);
}
