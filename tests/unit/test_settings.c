/* SPDX-License-Identifier: MIT */
/* The environment's variables: what each one takes, what it refuses, and what is said then. Ports: test_port_settings.c
 */
#include "own_environment.h"

/* Whether there is anything to do. */

static void without_a_range_nothing_is_read_and_nothing_said(void **state) {
    static const struct fp_settings zero;

    (void)state;
    reset();
    set("FREEPORT_LOG", "loud");
    set("FREEPORT_NAME", "");
    set("FREEPORT_SENTINELS", "http");
    set("FREEPORT_LENIENT", "1");
    assert_false(read_settings());
    assert_int_equal(heard.asked_beyond_ranges, 0);
    assert_int_equal(heard.complaints, 0);
    assert_memory_equal(&settings, &zero, sizeof zero);
}

static void one_range_manages_its_protocol_alone(void **state) {
    static const char *const names[FP_PROTOCOLS] = {[FP_TCP] = "FREEPORT_TCP", [FP_UDP] = "FREEPORT_UDP"};

    (void)state;
    for (int protocol = 0; protocol < FP_PROTOCOLS; protocol++) {
        reset();
        set(names[protocol], "30000-31000");
        assert_true(read_settings());
        assert_accepted(names[protocol], "30000-31000");
        assert_true(settings.managed[protocol]);
        assert_false(settings.managed[!protocol]);
        assert_string_equal(settings.range[protocol], "30000-31000");
        assert_string_equal(settings.range[!protocol], "");
        assert_ports(&settings.ranges[protocol].ports, 30000, 31000, 0, 0);
        assert_true(fp_portset_empty(&settings.ranges[!protocol].ports));
    }
}

static void two_ranges_are_kept_apart(void **state) {
    (void)state;
    reset();
    set("FREEPORT_TCP", "1");
    set("FREEPORT_UDP", "2-3,5");
    assert_true(read_settings());
    assert_int_equal(heard.complaints, 0);
    assert_string_equal(settings.range[FP_TCP], "1");
    assert_string_equal(settings.range[FP_UDP], "2-3,5");
    assert_ports(&settings.ranges[FP_TCP].ports, 1, 1, 0, 0);
    assert_ports(&settings.ranges[FP_UDP].ports, 2, 5, 4, 4);
}

static void a_range_alone_leaves_every_default(void **state) {
    (void)state;
    read_one(NULL, NULL);
    assert_accepted("FREEPORT_TCP", "30000-31000");
    for (int protocol = 0; protocol < FP_PROTOCOLS; protocol++) {
        assert_true(fp_portset_empty(sentinels(protocol)));
        assert_true(fp_portset_empty(&settings.named[protocol]));
    }
    assert_string_equal(settings.name, "default");
    assert_string_equal(settings.session, "");
    assert_int_equal(settings.report_fd, -1);
    assert_true(settings.report_device == 0 && settings.report_inode == 0);
    assert_string_equal(settings.report, "");
    assert_false(settings.has_report);
    assert_int_equal(settings.report_format, FP_REPORT_TEXT);
    assert_int_equal(settings.sockname, FP_SOCKNAME_VIRTUAL);
    assert_int_equal(settings.connect, FP_CONNECT_SESSION);
    assert_int_equal(settings.timeout_ms, 5000);
    assert_string_equal(settings.segment, "");
    assert_int_equal(settings.segment_mode, 0600);
    assert_true(settings.segment_owner == (uid_t)-1);
    assert_int_equal(settings.log, FP_LOG_ERROR);
    assert_false(settings.lenient);
}

/* Malformed values. */

static void every_malformed_value_is_complained_about_once_and_keeps_the_default(void **state) {
    static const struct {
        const char *variable, *values[40];
    } malformed[] = {
        {"FREEPORT_NAME", {"", " ", "a b", "a/b", "a,b", "name\n", "\tname", "na\xc3\xafve", "a:b", "a=b", "~", "*"}},
        {"FREEPORT_SESSION", {"", " ", "a b", "a\tb", "session\n", "\x7f", "s\xc3\xa9", "\x01"}},
        {"FREEPORT_REPORT_FD",
         {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "1,2", "stdout", "2147483648", "4294967297", "18446744073709551617",
          "99999999999999999999999999999", "1\n"}},
        {"FREEPORT_REPORT", {""}},
        {"FREEPORT_REPORT_FORMAT", {"", "TEXT", "Json", "xml", "text ", " text", "tex", "textjson", "text,json", "0"}},
        {"FREEPORT_SOCKNAME", {"", "VIRTUAL", "virtua", "virtuals", "real ", "1", "0", "off"}},
        {"FREEPORT_CONNECT", {"", "Session", "sessions", "fall-through", "on", "0", "1", "off ", "no"}},
        {"FREEPORT_TIMEOUT",
         {"", "-1", "+5", "5s", "5000ms", " 5000", "5000 ", "1e3", "0x10", "1.5", "inf", "2147483648", "4294972296",
          "18446744073709556616"}},
        {"FREEPORT_SEGMENT",
         {"", "/", "name", "name/", "//", "//name", "/a/b", "/name/", "./name", "/.", "/..", " /name"}},
        {"FREEPORT_SEGMENT_MODE",
         {"",      "0",    "0400", "0200",  "0000",  "600 ",   " 600", "00600", "0777",        "0700",
          "01600", "1600", "4600", "02660", "0o600", "rw",     "u=rw", "0680",  "0x180",       "384",
          "-600",  "+600", "6000", "060",   "066",   "666666", "0661", "00000", "40000000600", "200000000600"}},
        {"FREEPORT_LOG", {"", "ERROR", "verbose", "warning", "debug ", "0", "1", "info,warn", "errors", "quie"}},
        {"FREEPORT_LENIENT", {"", "2", "yes", "true", "on", "01", "1 ", " 1", "10", "-1", "00", "11"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(malformed); i++)
        for (size_t j = 0; j < COUNT(malformed[i].values) && malformed[i].values[j]; j++)
            refuse(malformed[i].variable, malformed[i].values[j]);
}

static void a_complaint_says_every_word_that_would_have_been_taken(void **state) {
    static const struct {
        const char *variable, *words[5];
    } cases[] = {
        {"FREEPORT_REPORT_FORMAT", {"text", "json"}},
        {"FREEPORT_SOCKNAME", {"virtual", "real"}},
        {"FREEPORT_CONNECT", {"session", "fallthrough", "off"}},
        {"FREEPORT_LOG", {"quiet", "error", "warn", "info", "debug"}},
        {"FREEPORT_LENIENT", {"0", "1"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t j = 0; j < COUNT(cases[i].words) && cases[i].words[j]; j++) {
            accept(cases[i].variable, cases[i].words[j]);
            refuse(cases[i].variable, "?");
            if (!strstr(heard.expected, cases[i].words[j]))
                fail_msg("%s: '%s' does not tell of '%s'", cases[i].variable, heard.expected, cases[i].words[j]);
        }
    }
}

static void every_malformed_variable_is_complained_about_at_once(void **state) {
    static const char *const variables[] = {
        "FREEPORT_TCP",       "FREEPORT_UDP",           "FREEPORT_SENTINELS", "FREEPORT_NAME",    "FREEPORT_SESSION",
        "FREEPORT_REPORT_FD", "FREEPORT_REPORT_FORMAT", "FREEPORT_SOCKNAME",  "FREEPORT_CONNECT", "FREEPORT_TIMEOUT",
        "FREEPORT_SEGMENT",   "FREEPORT_SEGMENT_MODE",  "FREEPORT_LOG",       "FREEPORT_LENIENT"};

    (void)state;
    reset();
    for (size_t i = 0; i < COUNT(variables); i++)
        set(variables[i], " ");
    set("FREEPORT_REPORT", ""); /* a blank is a path */
    assert_true(read_settings());
    for (unsigned i = 0; i < heard.count; i++)
        if (heard.complaints_about[i] != 1)
            fail_msg("%u complaints about %s", heard.complaints_about[i], heard.names[i]);
    assert_int_equal(heard.complaints, heard.count);
    assert_true(settings.bad);
}

static void a_good_value_is_kept_beside_a_bad_one(void **state) {
    (void)state;
    reset();
    set("FREEPORT_TIMEOUT", "soon");
    set("FREEPORT_NAME", "suite");
    set("FREEPORT_UDP", "40000");
    assert_true(read_settings());
    assert_refused("FREEPORT_TIMEOUT", "soon");
    assert_string_equal(settings.name, "suite");
    assert_int_equal(settings.timeout_ms, 5000);
    assert_string_equal(settings.range[FP_UDP], "40000");
}

static void the_log_level_is_known_to_every_complaint(void **state) {
    static const char *const words[] = {"quiet", "error", "warn", "info", "debug"};
    static const char *const variables[] = {"FREEPORT_TCP", "FREEPORT_LENIENT", "FREEPORT_NAME"};

    (void)state;
    for (size_t i = 0; i < COUNT(words); i++) {
        for (size_t j = 0; j < COUNT(variables); j++) {
            reset();
            set(variables[j], "");
            set("FREEPORT_UDP", "40000");
            set("FREEPORT_LOG", words[i]);
            assert_true(read_settings());
            assert_refused(variables[j], "");
            assert_int_equal(heard.log, i);
            assert_int_equal(settings.log, i);
        }
    }
    read_one("FREEPORT_LOG", "loud");
    assert_int_equal(heard.log, FP_LOG_ERROR);
}

/* Text. */

static bool is_name_byte(unsigned byte) {
    return byte != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", (int)byte);
}

static bool is_session_byte(unsigned byte) {
    return byte > ' ' && byte < 0x7f;
}

/* Every byte, alone, first, within and last. */
static void walk_bytes(const char *variable, const char *kept, bool (*allowed)(unsigned byte)) {
    for (unsigned byte = 1; byte <= UINT8_MAX; byte++) {
        char texts[][4] = {{(char)byte}, {(char)byte, 'b', 'c'}, {'a', (char)byte, 'c'}, {'a', 'b', (char)byte}};

        for (size_t i = 0; i < COUNT(texts); i++) {
            if (!allowed(byte)) {
                refuse(variable, texts[i]);
                continue;
            }
            accept(variable, texts[i]);
            assert_string_equal(kept, texts[i]);
        }
    }
}

static void walk_lengths(const char *variable, const char *kept, size_t most) {
    for (size_t length = 1; length <= most + 20; length++) {
        const char *text = of_length(length);

        if (length > most) {
            refuse(variable, text);
            continue;
        }
        accept(variable, text);
        assert_string_equal(kept, text);
    }
}

static void a_name_takes_exactly_its_characters(void **state) {
    (void)state;
    walk_bytes("FREEPORT_NAME", settings.name, is_name_byte);
}

static void a_name_takes_1_to_32_characters(void **state) {
    (void)state;
    walk_lengths("FREEPORT_NAME", settings.name, 32);
}

static void a_session_takes_exactly_its_characters(void **state) {
    (void)state;
    walk_bytes("FREEPORT_SESSION", settings.session, is_session_byte);
}

static void a_session_takes_1_to_64_characters(void **state) {
    (void)state;
    walk_lengths("FREEPORT_SESSION", settings.session, 64);
}

static void a_report_takes_any_path_shorter_than_path_max(void **state) {
    (void)state;
    accept("FREEPORT_REPORT", "/tmp/a report, with \"blanks\"\n\xff");
    assert_string_equal(settings.report, "/tmp/a report, with \"blanks\"\n\xff");
    for (size_t length = PATH_MAX - 3; length <= PATH_MAX + 3; length++) {
        const char *text = of_length(length);

        if (length >= PATH_MAX) {
            refuse("FREEPORT_REPORT", text);
            continue;
        }
        accept("FREEPORT_REPORT", text);
        assert_string_equal(settings.report, text);
    }
}

static void a_segment_is_one_slash_and_any_file_name(void **state) {
    static const char *const names[] = {"/a", "/...", "/..a", "/.a", "/a.", "/freeport-1000", "/a b", "/\xff"};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        accept("FREEPORT_SEGMENT", names[i]);
        assert_string_equal(settings.segment, names[i]);
    }
    for (unsigned byte = 1; byte <= UINT8_MAX; byte++) {
        char text[] = {'/', 'a', (char)byte, 'b', '\0'};

        if (byte == '/') {
            refuse("FREEPORT_SEGMENT", text);
            continue;
        }
        accept("FREEPORT_SEGMENT", text);
        assert_string_equal(settings.segment, text);
    }
}

static void a_segments_name_takes_1_to_254_bytes_behind_the_slash(void **state) {
    char text[NAME_MAX + 32] = "/";

    (void)state;
    for (size_t length = 1; length <= NAME_MAX + 20; length++) {
        strcpy(text + 1, of_length(length));
        if (length > NAME_MAX - 1) {
            refuse("FREEPORT_SEGMENT", text);
            continue;
        }
        accept("FREEPORT_SEGMENT", text);
        assert_string_equal(settings.segment, text);
    }
}

/* Numbers. */

static void numbers_are_read_to_the_end_of_an_int(void **state) {
    static const struct {
        const char *text;
        int number;
    } cases[] = {{"0", 0},
                 {"1", 1},
                 {"9", 9},
                 {"10", 10},
                 {"0010", 10},
                 {"65536", 65536},
                 {"2147483639", 2147483639},
                 {"2147483647", INT_MAX},
                 {"0000000000000000000000002147483647", INT_MAX}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        accept("FREEPORT_REPORT_FD", cases[i].text);
        assert_int_equal(settings.report_fd, cases[i].number);
        accept("FREEPORT_TIMEOUT", cases[i].text);
        assert_int_equal(settings.timeout_ms, cases[i].number);
    }
}

static void a_mode_takes_what_lets_its_owner_in_and_runs_nothing(void **state) {
    char text[8];

    (void)state;
    for (unsigned mode = 0; mode <= 07777; mode++) {
        for (int width = 1; width <= 5; width++) {
            int length = snprintf(text, sizeof text, "%0*o", width, mode);

            if ((mode & 0600) != 0600 || (mode & ~0666u) != 0 || length > 4) {
                refuse("FREEPORT_SEGMENT_MODE", text);
                continue;
            }
            accept("FREEPORT_SEGMENT_MODE", text);
            assert_int_equal(settings.segment_mode, mode);
        }
    }
}

/* Some would come out right if a digit beyond 7 counted: 0580 is 0600 then. */
static void a_mode_takes_octal_digits_alone(void **state) {
    char text[8];

    (void)state;
    for (unsigned number = 0; number <= 9999; number++) {
        snprintf(text, sizeof text, "%04u", number);
        if (strpbrk(text, "89"))
            refuse("FREEPORT_SEGMENT_MODE", text);
    }
}

/* Words. */

static void every_word_means_its_own_setting(void **state) {
    (void)state;
    accept("FREEPORT_REPORT_FORMAT", "text");
    assert_int_equal(settings.report_format, FP_REPORT_TEXT);
    accept("FREEPORT_REPORT_FORMAT", "json");
    assert_int_equal(settings.report_format, FP_REPORT_JSON);

    accept("FREEPORT_SOCKNAME", "virtual");
    assert_int_equal(settings.sockname, FP_SOCKNAME_VIRTUAL);
    accept("FREEPORT_SOCKNAME", "real");
    assert_int_equal(settings.sockname, FP_SOCKNAME_REAL);

    accept("FREEPORT_CONNECT", "session");
    assert_int_equal(settings.connect, FP_CONNECT_SESSION);
    accept("FREEPORT_CONNECT", "fallthrough");
    assert_int_equal(settings.connect, FP_CONNECT_FALLTHROUGH);
    accept("FREEPORT_CONNECT", "off");
    assert_int_equal(settings.connect, FP_CONNECT_OFF);

    accept("FREEPORT_LOG", "quiet");
    assert_int_equal(settings.log, FP_LOG_QUIET);
    accept("FREEPORT_LOG", "error");
    assert_int_equal(settings.log, FP_LOG_ERROR);
    accept("FREEPORT_LOG", "warn");
    assert_int_equal(settings.log, FP_LOG_WARN);
    accept("FREEPORT_LOG", "info");
    assert_int_equal(settings.log, FP_LOG_INFO);
    accept("FREEPORT_LOG", "debug");
    assert_int_equal(settings.log, FP_LOG_DEBUG);

    accept("FREEPORT_LENIENT", "1");
    assert_true(settings.lenient);
    accept("FREEPORT_LENIENT", "0");
    assert_false(settings.lenient);
}

/* What is handed down. */

static void read_identity_for(const char *descriptor, const char *identity) {
    reset();
    set("FREEPORT_TCP", "30000-31000");
    set("FREEPORT_REPORT_FD", descriptor);
    set("FREEPORT_REPORT_ID", identity);
    assert_true(read_settings());
    assert_accepted("FREEPORT_REPORT_ID", identity);
}

static void an_identity_that_is_handed_down_is_read(void **state) {
    (void)state;
    read_identity_for("7", "7:2049:131072");
    assert_true(settings.report_device == 2049 && settings.report_inode == 131072);
    read_identity_for("7", "7:18446744073709551615:18446744073709551615");
    assert_true(settings.report_device == UINT64_MAX && settings.report_inode == UINT64_MAX);
    read_identity_for("0", "0:0:1");
    assert_true(settings.report_device == 0 && settings.report_inode == 1);
}

static void an_identity_of_another_descriptor_is_nobody_s(void **state) {
    (void)state;
    read_identity_for("8", "7:2049:131072");
    assert_true(settings.report_device == 0 && settings.report_inode == 0);
    accept("FREEPORT_REPORT_ID", "7:2049:131072"); /* and there is no descriptor */
    assert_true(settings.report_device == 0 && settings.report_inode == 0);
}

static void an_owner_that_is_handed_down_is_read(void **state) {
    (void)state;
    accept("FREEPORT_SEGMENT_OWNER", "0");
    assert_true(settings.segment_owner == 0);
    accept("FREEPORT_SEGMENT_OWNER", "1000");
    assert_true(settings.segment_owner == 1000);
    accept("FREEPORT_SEGMENT_OWNER", "4294967294");
    assert_true(settings.segment_owner == 4294967294u);
}

static void read_identity_of(const char *segment, const char *identity) {
    reset();
    set("FREEPORT_TCP", "30000-31000");
    set("FREEPORT_SEGMENT", segment);
    set("FREEPORT_SEGMENT_ID", identity);
    assert_true(read_settings());
    assert_accepted("FREEPORT_SEGMENT_ID", identity);
}

static void a_segments_identity_that_is_handed_down_is_read(void **state) {
    (void)state;
    read_identity_of("/a:b", "24:17:/a:b");
    assert_true(settings.segment_device == 24 && settings.segment_inode == 17);
}

static void an_identity_of_another_segment_is_nobodys(void **state) {
    (void)state;
    read_identity_of("/b", "24:17:/a");
    assert_true(settings.segment_device == 0 && settings.segment_inode == 0);
}

static void what_is_handed_down_malformed_is_ignored_in_silence(void **state) {
    static const struct {
        const char *variable, *values[20];
    } cases[] = {
        {"FREEPORT_REPORT_ID",
         {"",
          ":",
          "1",
          "1:",
          "1:2",
          "1:2:",
          ":1:2",
          "1:2:3:4",
          "1:2:3 ",
          " 1:2:3",
          "1 :2:3",
          "-1:2:3",
          "1:-2:3",
          "0x1:2:3",
          "1,2,3",
          "1:2:3,",
          "2147483648:1:1",
          "1:18446744073709551616:1",
          "1:1:18446744073709551616",
          "1:1:99999999999999999999999"}},
        {"FREEPORT_SEGMENT_ID",
         {"", ":", "1", "1:", "1:2", ":1:/a", "1::/a", "-1:2:/a", "1:2/a", "18446744073709551616:1:"}},
        {"FREEPORT_SEGMENT_OWNER",
         {"", "-1", "+1", "root", " 0", "0 ", "0x0", "1.0", "4294967296", "4294967296000", "18446744073709551616"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t j = 0; j < COUNT(cases[i].values) && cases[i].values[j]; j++) {
            accept(cases[i].variable, cases[i].values[j]);
            assert_same_as_default(cases[i].variable, cases[i].values[j]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_range_nothing_is_read_and_nothing_said),
        cmocka_unit_test(one_range_manages_its_protocol_alone),
        cmocka_unit_test(two_ranges_are_kept_apart),
        cmocka_unit_test(a_range_alone_leaves_every_default),
        cmocka_unit_test(every_malformed_value_is_complained_about_once_and_keeps_the_default),
        cmocka_unit_test(a_complaint_says_every_word_that_would_have_been_taken),
        cmocka_unit_test(every_malformed_variable_is_complained_about_at_once),
        cmocka_unit_test(a_good_value_is_kept_beside_a_bad_one),
        cmocka_unit_test(the_log_level_is_known_to_every_complaint),
        cmocka_unit_test(a_name_takes_exactly_its_characters),
        cmocka_unit_test(a_name_takes_1_to_32_characters),
        cmocka_unit_test(a_session_takes_exactly_its_characters),
        cmocka_unit_test(a_session_takes_1_to_64_characters),
        cmocka_unit_test(a_report_takes_any_path_shorter_than_path_max),
        cmocka_unit_test(a_segment_is_one_slash_and_any_file_name),
        cmocka_unit_test(a_segments_name_takes_1_to_254_bytes_behind_the_slash),
        cmocka_unit_test(numbers_are_read_to_the_end_of_an_int),
        cmocka_unit_test(a_mode_takes_what_lets_its_owner_in_and_runs_nothing),
        cmocka_unit_test(a_mode_takes_octal_digits_alone),
        cmocka_unit_test(every_word_means_its_own_setting),
        cmocka_unit_test(an_identity_that_is_handed_down_is_read),
        cmocka_unit_test(an_identity_of_another_descriptor_is_nobody_s),
        cmocka_unit_test(an_owner_that_is_handed_down_is_read),
        cmocka_unit_test(a_segments_identity_that_is_handed_down_is_read),
        cmocka_unit_test(an_identity_of_another_segment_is_nobodys),
        cmocka_unit_test(what_is_handed_down_malformed_is_ignored_in_silence),
    };

    return cmocka_run_group_tests(tests, read_defaults, NULL);
}
