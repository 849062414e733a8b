/* SPDX-License-Identifier: MIT */
/*
 * One table of variables, one strict reader for each kind of value. A reader takes the whole value or nothing: it
 * writes to the settings only when it has seen the end of the text, so that a malformed value leaves the default.
 * Malformed ranges and sentinels leave something else, see read_range() and read_sentinels().
 */
#include "settings.h"

#include <stddef.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct variable;
typedef bool reader(const struct variable *variable, struct fp_settings *settings, const char *value);

struct variable {
    const char *name;
    reader *read;
    const char *initial;  /* the default, in the form of a value; NULL: none */
    const char *expected; /* for the complaint; NULL: freeport itself writes the value, and no complaint is made */

    size_t offset, size;             /* the field that is filled, for kinds that serve several variables */
    const char *words[6];            /* read_word: the words, in the order of the enumeration */
    bool (*accepts)(char character); /* read_text: the characters that are allowed */
    int protocol;                    /* read_range */
};

static void *field(const struct variable *variable, struct fp_settings *settings) {
    return (char *)settings + variable->offset;
}

/* Text functions that several kinds use. */

static bool is_digit(char character) {
    return character >= '0' && character <= '9';
}

/* Not isalnum(), which depends on the program's locale. */
static bool is_name_character(char character) {
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') || is_digit(character) ||
           character == '_' || character == '.' || character == '-';
}

static bool is_printable(char character) {
    return character >= 0x21 && character <= 0x7e;
}

/*
 * skip(), same() and copy() call no function of libc. Each function that is called for the first time costs the start
 * of a program more than the few bytes here, since the dynamic linker has to find it.
 */
static bool skip(const char **text, const char *prefix) {
    const char *at = *text;

    for (; *prefix != '\0'; at++, prefix++)
        if (*at != *prefix)
            return false;
    *text = at;
    return true;
}

static bool same(const char *text, const char *word) {
    return skip(&text, word) && *text == '\0';
}

/* Reads a number of digits only, at least one, up to `most`; *text is moved behind it. */
static bool read_decimal(const char **text, uint64_t most, uint64_t *number) {
    const char *at = *text;
    uint64_t sum = 0;

    for (; is_digit(*at); at++) {
        unsigned digit = (unsigned)(*at - '0');

        if (sum > most / 10 || sum * 10 > most - digit)
            return false;
        sum = sum * 10 + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    *number = sum;
    return true;
}

/* False if the value does not fit. It is never cut off, since half a path is another path. */
static bool copy(char *to, size_t size, const char *value) {
    size_t length = 0;

    while (length < size && value[length] != '\0')
        length++;
    if (length == size)
        return false;
    for (size_t i = 0; i <= length; i++)
        to[i] = value[i];
    return true;
}

/* The kinds. */

/* Every enumeration is written through this one type. */
_Static_assert(sizeof(enum fp_log_level) == sizeof(unsigned) && sizeof(enum fp_report_format) == sizeof(unsigned) &&
                   sizeof(enum fp_sockname) == sizeof(unsigned) && sizeof(enum fp_connect) == sizeof(unsigned) &&
                   sizeof(enum fp_follow) == sizeof(unsigned),
               "read_word() stores an unsigned");

static bool read_word(const struct variable *variable, struct fp_settings *settings, const char *value) {
    for (unsigned word = 0; word < COUNT(variable->words) && variable->words[word]; word++) {
        if (same(value, variable->words[word])) {
            *(unsigned *)field(variable, settings) = word;
            return true;
        }
    }
    return false;
}

static bool read_switch(const struct variable *variable, struct fp_settings *settings, const char *value) {
    if ((value[0] != '0' && value[0] != '1') || value[1] != '\0')
        return false;
    *(bool *)field(variable, settings) = value[0] == '1';
    return true;
}

static bool read_number(const struct variable *variable, struct fp_settings *settings, const char *value) {
    uint64_t number;

    if (!read_decimal(&value, INT_MAX, &number) || *value != '\0')
        return false;
    *(int *)field(variable, settings) = (int)number;
    return true;
}

static bool read_text(const struct variable *variable, struct fp_settings *settings, const char *value) {
    if (*value == '\0')
        return false;
    for (const char *at = value; *at != '\0'; at++)
        if (!variable->accepts(*at))
            return false;
    return copy(field(variable, settings), variable->size, value);
}

static bool read_report(const struct variable *variable, struct fp_settings *settings, const char *value) {
    settings->has_report = *value != '\0' && copy(field(variable, settings), variable->size, value);
    return settings->has_report;
}

/* A name that every shm_open() takes: one '/', and a file name. */
static bool read_segment(const struct variable *variable, struct fp_settings *settings, const char *value) {
    const char *file = value;

    if (!skip(&file, "/") || *file == '\0' || same(file, ".") || same(file, ".."))
        return false;
    for (const char *at = file; *at != '\0'; at++)
        if (*at == '/')
            return false;
    return copy(field(variable, settings), variable->size, value);
}

/* The owner has to read and write. Bits to execute it, set-user-ID and the like make no sense. */
static bool read_mode(const struct variable *variable, struct fp_settings *settings, const char *value) {
    enum { needed = 0600, allowed = 0666, digits = 4 };
    const char *at = value;
    unsigned mode = 0;

    for (; *at >= '0' && *at <= '7' && at - value < digits; at++)
        mode = mode * 8 + (unsigned)(*at - '0');
    if (*at != '\0' || (mode & needed) != needed || (mode & ~(unsigned)allowed) != 0)
        return false;
    *(mode_t *)field(variable, settings) = mode;
    return true;
}

/*
 * FREEPORT_LENIENT is for a value that is no range. One that is a range but too long is an error all the same: the user
 * meant certain ports.
 */
static bool read_range(const struct variable *variable, struct fp_settings *settings, const char *value) {
    static const char every_port[] = "1-65535";
    int protocol = variable->protocol;
    struct fp_range *range = &settings->ranges[protocol];

    settings->managed[protocol] = true;
    if (!fp_range_parse(range, value)) {
        if (!settings->lenient)
            return false;
        value = every_port;
        fp_range_parse(range, value);
    }
    if (copy(settings->range[protocol], sizeof settings->range[protocol], value))
        return true;
    memset(range, 0, sizeof *range);
    return false;
}

/* Adds PORT=REAL. REAL has to be in the range, and belongs to one sentinel only. */
static bool add_pin(struct fp_settings *settings, unsigned protocol, uint16_t sentinel, uint16_t port) {
    struct fp_pins *pins = &settings->pins;

    for (unsigned i = 0; i < pins->count; i++)
        if (pins->pin[i].protocol == protocol && (pins->pin[i].sentinel == sentinel || pins->pin[i].port == port))
            return false;
    if (pins->count == FP_PINS)
        return false;
    pins->pin[pins->count++] = (struct fp_pin){.sentinel = sentinel, .port = port, .protocol = protocol};
    return true;
}

/* Reads "=REAL" behind a sentinel; *real is 0 without it. */
static bool read_real(const char **text, uint16_t from, uint16_t to, uint16_t *real) {
    uint16_t last;

    *real = 0;
    if (!skip(text, "="))
        return true;
    return from == to && fp_portset_read_range(text, real, &last) && *real == last;
}

/* Reads one element of the list. A protocol without a range gets no sentinels. */
static bool read_sentinel(struct fp_settings *settings, const char **text) {
    bool all = skip(text, "all"), tcp, udp;
    bool chosen[FP_PROTOCOLS];
    bool placed = false;
    uint16_t from = 0, to = 0, real = 0;

    if (!all && (!fp_portset_read_range(text, &from, &to) || !read_real(text, from, to, &real)))
        return false;
    tcp = skip(text, "/tcp");
    udp = !tcp && skip(text, "/udp");
    chosen[FP_TCP] = !udp;
    chosen[FP_UDP] = !tcp;

    for (int protocol = 0; protocol < FP_PROTOCOLS; protocol++) {
        if (!chosen[protocol] || !settings->managed[protocol])
            continue;
        if (all) {
            settings->all[protocol] = true;
            continue;
        }
        fp_portset_add(&settings->named[protocol], from, to);
        fp_range_take_out(&settings->ranges[protocol], from, to);
        if (real != 0 && fp_portset_has(&settings->ranges[protocol].ports, real)) {
            placed = true;
            if (!add_pin(settings, (unsigned)protocol, from, real))
                return false;
        }
    }
    return real == 0 || placed || !(settings->managed[FP_TCP] || settings->managed[FP_UDP]);
}

static bool read_sentinel_list(struct fp_settings *settings, const char *text) {
    if (*text == '\0')
        return true;
    while (read_sentinel(settings, &text)) {
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            break;
    }
    return false;
}

/* Reads the ranges again, without the sentinels removed. */
static void restore_ranges(struct fp_settings *settings) {
    for (int protocol = 0; protocol < FP_PROTOCOLS; protocol++) {
        if (settings->range[protocol][0] == '\0')
            continue;
        memset(&settings->ranges[protocol], 0, sizeof settings->ranges[protocol]);
        fp_range_parse(&settings->ranges[protocol], settings->range[protocol]);
    }
}

/*
 * A list that can't be read counts as "all", with no sentinel named: a bind to each port is managed, and fails; clients
 * connect as without freeport. The ranges have to be read before.
 */
static bool read_sentinels(const struct variable *variable, struct fp_settings *settings, const char *value) {
    bool readable = read_sentinel_list(settings, value);

    (void)variable;
    settings->sentinels_any = *value != '\0';
    if (!readable) {
        memset(settings->named, 0, sizeof settings->named);
        settings->pins.count = 0;
        restore_ranges(settings);
        read_sentinel_list(settings, "all");
    }
    return readable;
}

/* DESCRIPTOR:DEVICE:INODE. Ignored for another descriptor than FREEPORT_REPORT_FD, which is read before. */
static bool read_identity(const struct variable *variable, struct fp_settings *settings, const char *value) {
    uint64_t descriptor, device, inode;

    (void)variable;
    if (!read_decimal(&value, INT_MAX, &descriptor) || !skip(&value, ":") ||
        !read_decimal(&value, UINT64_MAX, &device) || !skip(&value, ":") || !read_decimal(&value, UINT64_MAX, &inode) ||
        *value != '\0')
        return false;
    if (settings->report_fd >= 0 && descriptor == (uint64_t)settings->report_fd) {
        settings->report_device = device;
        settings->report_inode = inode;
    }
    return true;
}

/* DEVICE:INODE:NAME. Ignored for another segment than FREEPORT_SEGMENT, which is read before. */
static bool read_segment_identity(const struct variable *variable, struct fp_settings *settings, const char *value) {
    uint64_t device, inode;

    (void)variable;
    if (!read_decimal(&value, UINT64_MAX, &device) || !skip(&value, ":") || !read_decimal(&value, UINT64_MAX, &inode) ||
        !skip(&value, ":"))
        return false;
    if (strcmp(value, settings->segment) == 0) {
        settings->segment_device = device;
        settings->segment_inode = inode;
    }
    return true;
}

static bool read_user(const struct variable *variable, struct fp_settings *settings, const char *value) {
    uint64_t user;

    if (!read_decimal(&value, (uid_t)-1, &user) || *value != '\0')
        return false;
    *(uid_t *)field(variable, settings) = (uid_t)user;
    return true;
}

/* The variables. */

#define FIELD(member)                                                                                                  \
    .offset = offsetof(struct fp_settings, member), .size = sizeof(((struct fp_settings *)NULL)->member)

#define EXPECTED_REST(variable) "sentinels that leave a port of " variable "; name fewer, or widen " variable

#define EXPECTED_RANGE "FROM-TO or PORT, several with commas, 1 to 65535, 1023 characters at most"

/*
 * In the order in which they are read: the log level before any complaint, FREEPORT_LENIENT before the ranges, and the
 * ranges before the sentinels, which are removed from them.
 */
static const struct variable variables[] = {
    {
        .name = "FREEPORT_LOG",
        .read = read_word,
        .initial = "error",
        .expected = "quiet, error, warn, info or debug",
        .words = {[FP_LOG_QUIET] = "quiet",
                  [FP_LOG_ERROR] = "error",
                  [FP_LOG_WARN] = "warn",
                  [FP_LOG_INFO] = "info",
                  [FP_LOG_DEBUG] = "debug"},
        FIELD(log),
    },
    {
        .name = "FREEPORT_LENIENT",
        .read = read_switch,
        .initial = "0",
        .expected = "0 or 1",
        FIELD(lenient),
    },
    {
        .name = "FREEPORT_TCP",
        .read = read_range,
        .expected = EXPECTED_RANGE,
        .protocol = FP_TCP,
    },
    {
        .name = "FREEPORT_UDP",
        .read = read_range,
        .expected = EXPECTED_RANGE,
        .protocol = FP_UDP,
    },
    {
        .name = "FREEPORT_SENTINELS",
        .read = read_sentinels,
        .expected =
            "PORT, FROM-TO, PORT=REAL or all, each with /tcp or /udp or neither, several with commas, 1 to 65535; "
            "REAL in the range, and once",
    },
    {
        .name = "FREEPORT_NAME",
        .read = read_text,
        .initial = "default",
        .expected = "1 to 32 of A-Z a-z 0-9 _ . -",
        .accepts = is_name_character,
        FIELD(name),
    },
    {
        .name = "FREEPORT_SESSION",
        .read = read_text,
        .expected = "1 to 64 printable ASCII characters, no space; auto: named after the worktree; new: one of "
                    "its own",
        .accepts = is_printable,
        FIELD(session),
    },
    {
        .name = "FREEPORT_REPORT_FD",
        .read = read_number,
        .expected = "a descriptor number, 0 to 2147483647",
        FIELD(report_fd),
    },
    {
        .name = "FREEPORT_REPORT_ID",
        .read = read_identity,
    },
    {
        .name = "FREEPORT_REPORT",
        .read = read_report,
        .expected = "a path of 1 to 4095 bytes",
        FIELD(report),
    },
    {
        .name = "FREEPORT_REPORT_FORMAT",
        .read = read_word,
        .initial = "text",
        .expected = "text or json",
        .words = {[FP_REPORT_TEXT] = "text", [FP_REPORT_JSON] = "json"},
        FIELD(report_format),
    },
    {
        .name = "FREEPORT_SOCKNAME",
        .read = read_word,
        .initial = "virtual",
        .expected = "virtual or real",
        .words = {[FP_SOCKNAME_VIRTUAL] = "virtual", [FP_SOCKNAME_REAL] = "real"},
        FIELD(sockname),
    },
    {
        .name = "FREEPORT_CONNECT",
        .read = read_word,
        .initial = "session",
        .expected = "session, fallthrough or off",
        .words = {[FP_CONNECT_SESSION] = "session", [FP_CONNECT_FALLTHROUGH] = "fallthrough", [FP_CONNECT_OFF] = "off"},
        FIELD(connect),
    },
    {
        .name = "FREEPORT_VIA",
        .read = read_word,
        .initial = "auto",
        .expected = "auto, preload or seccomp",
        .words = {[FP_VIA_AUTO] = "auto", [FP_VIA_PRELOAD] = "preload", [FP_VIA_SECCOMP] = "seccomp"},
        FIELD(via),
    },
    {
        .name = "FREEPORT_TIMEOUT",
        .read = read_number,
        .initial = "5000",
        .expected = "milliseconds, 0 to 2147483647",
        FIELD(timeout_ms),
    },
    {
        .name = "FREEPORT_FOLLOW",
        .read = read_word,
        .initial = "no",
        .expected = "yes or no",
        .words = {[FP_FOLLOW_NO] = "no", [FP_FOLLOW_YES] = "yes"},
        FIELD(follow),
    },
    {
        .name = "FREEPORT_SEGMENT",
        .read = read_segment,
        .expected = "/ and a name of 1 to 254 bytes without another /, not . or ..",
        FIELD(segment),
    },
    {
        .name = "FREEPORT_SEGMENT_MODE",
        .read = read_mode,
        .initial = "0600",
        .expected = "octal permissions from 0600 to 0666, with 0600 in them",
        FIELD(segment_mode),
    },
    {
        .name = "FREEPORT_SEGMENT_OWNER",
        .read = read_user,
        FIELD(segment_owner),
    },
    {
        .name = "FREEPORT_SEGMENT_ID",
        .read = read_segment_identity,
    },
    {
        .name = "FREEPORT_TELL",
        .read = read_switch,
        FIELD(tell),
    },
};

/* The phrases above name these sizes. */
_Static_assert(sizeof(((struct fp_settings *)NULL)->range[0]) == 1024, "EXPECTED_RANGE");
_Static_assert(sizeof(((struct fp_settings *)NULL)->name) == 32 + 1, "FREEPORT_NAME");
_Static_assert(sizeof(((struct fp_settings *)NULL)->session) == 64 + 1, "FREEPORT_SESSION");
_Static_assert(PATH_MAX == 4096, "FREEPORT_REPORT");
_Static_assert(NAME_MAX == 255, "FREEPORT_SEGMENT");
_Static_assert(INT_MAX == 2147483647, "FREEPORT_REPORT_FD, FREEPORT_TIMEOUT");

static void set_defaults(struct fp_settings *settings) {
    settings->report_fd = -1;
    settings->segment_owner = (uid_t)-1;
    for (size_t i = 0; i < COUNT(variables); i++)
        if (variables[i].initial)
            variables[i].read(&variables[i], settings, variables[i].initial);
}

/* Complains if the sentinels have left a range no port. A range that can't be read had none before. */
static void check_rest(struct fp_settings *settings, fp_settings_source *source, fp_settings_complaint *complaint,
                       void *context) {
    static const char *const expected[FP_PROTOCOLS] = {EXPECTED_REST("FREEPORT_TCP"), EXPECTED_REST("FREEPORT_UDP")};

    for (int protocol = 0; protocol < FP_PROTOCOLS; protocol++) {
        if (settings->range[protocol][0] == '\0' || settings->ranges[protocol].size > 0)
            continue;
        settings->bad = true;
        complaint(settings, "FREEPORT_SENTINELS", source("FREEPORT_SENTINELS", context), expected[protocol], context);
    }
}

bool fp_settings_read(struct fp_settings *settings, fp_settings_source *source, fp_settings_complaint *complaint,
                      void *context) {
    if (!source("FREEPORT_TCP", context) && !source("FREEPORT_UDP", context))
        return false;

    set_defaults(settings);
    for (size_t i = 0; i < COUNT(variables); i++) {
        const struct variable *variable = &variables[i];
        const char *value = source(variable->name, context);

        if (!value || variable->read(variable, settings, value) || !variable->expected)
            continue;
        settings->bad = true;
        complaint(settings, variable->name, value, variable->expected, context);
    }
    check_rest(settings, source, complaint, context);
    return true;
}

const char *fp_settings_variable(size_t number) {
    for (size_t i = 0; i < COUNT(variables); i++)
        if (variables[i].expected && number-- == 0)
            return variables[i].name;
    return NULL;
}

bool fp_settings_name_ok(const char *name) {
    size_t length = 0;

    for (; name[length] != '\0'; length++)
        if (!is_name_character(name[length]))
            return false;
    return length >= 1 && length < sizeof(((struct fp_settings *)NULL)->name);
}
