/* SPDX-License-Identifier: MIT */
/*
 * Every reader of the environment. An input is an environment as env(1) prints it, a variable a line, so that the
 * corpus can be read and written by hand.
 *
 * Whatever it says: no access beyond a field, one complaint for each value that can't be read, and settings that hold
 * what the rest of freeport takes for granted.
 */
#include "assign.h"
#include "segment.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>

struct environment {
    char *lines; /* newlines turned into the ends of strings */
    size_t size;
    char *last; /* the value handed out last: it need not outlive the next one */
    unsigned complaints;
};

static const char *value_of(struct environment *environment, const char *variable) {
    size_t length = strlen(variable);
    const char *end = environment->lines + environment->size;
    for (const char *line = environment->lines; line < end; line += strlen(line) + 1)
        if (strncmp(line, variable, length) == 0 && line[length] == '=')
            return line + length + 1;
    return NULL;
}

/* A copy of its own size, so that ASan sees a reader that goes too far. */
static const char *source(const char *variable, void *context) {
    struct environment *environment = context;
    const char *value = value_of(environment, variable);
    free(environment->last);
    environment->last = value ? strdup(value) : NULL;
    return environment->last;
}

static void complain(const struct fp_settings *settings, const char *variable, const char *value, const char *expected,
                     void *context) {
    struct environment *environment = context;
    if (!variable[0] || !expected[0] || strcmp(value, value_of(environment, variable)) != 0 ||
        settings->log > FP_LOG_DEBUG)
        abort();
    environment->complaints++;
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

#define ENDS(text) (memchr(text, 0, sizeof(text)) != NULL)

static void check_strings(const struct fp_settings *settings) {
    CHECK(ENDS(settings->range[0]) && ENDS(settings->range[1]) && ENDS(settings->name) && ENDS(settings->session));
    CHECK(ENDS(settings->report) && ENDS(settings->segment));
    CHECK(settings->name[0]);
    CHECK(!settings->segment[0] || fp_segment_name_ok(settings->segment));
}

static void check_numbers(const struct fp_settings *settings) {
    CHECK(settings->report_fd >= -1 && settings->timeout_ms >= 0);
    CHECK((settings->segment_mode & 0600) == 0600 && (settings->segment_mode & ~0666u) == 0);
    CHECK(settings->report_format <= FP_REPORT_JSON && settings->sockname <= FP_SOCKNAME_REAL);
    CHECK(settings->connect <= FP_CONNECT_OFF && settings->log <= FP_LOG_DEBUG);
}

/* No port 0, no named sentinel inside the range, nothing of a protocol that nobody asked for. */
static void check_sets(const struct fp_settings *settings) {
    for (unsigned protocol = 0; protocol < FP_PROTOCOLS; protocol++) {
        CHECK(!fp_portset_has(&settings->ranges[protocol].ports, 0) &&
              !fp_settings_has_sentinel(settings, protocol, 0));
        CHECK(settings->managed[protocol] || !settings->all[protocol]);
        for (unsigned word = 0; word < FP_WORDS; word++) {
            CHECK((settings->ranges[protocol].ports.words[word] & settings->named[protocol].words[word]) == 0);
            CHECK(settings->managed[protocol] ||
                  (settings->ranges[protocol].ports.words[word] | settings->named[protocol].words[word]) == 0);
        }
    }
}

/* What was read without a complaint, the library takes; and it reads the same ports in it, and the named sentinels. */
static void check_library(const struct fp_settings *settings) {
    static struct fp_whole_handle whole;
    memset(&whole, 0, sizeof whole);
    struct freeport_config config = {
        .name = settings->name,
        .tcp = settings->range[FP_TCP][0] ? settings->range[FP_TCP] : NULL,
        .udp = settings->range[FP_UDP][0] ? settings->range[FP_UDP] : NULL,
        .session = settings->session[0] ? settings->session : NULL,
    };
    CHECK(fp_configure(&whole, &config) == 0);
    for (unsigned protocol = 0; protocol < FP_PROTOCOLS; protocol++)
        for (unsigned port = 0; port < FP_PORTS; port++)
            CHECK(fp_portset_has(&whole.ranges[protocol].ports, (uint16_t)port) ==
                  (fp_portset_has(&settings->ranges[protocol].ports, (uint16_t)port) ||
                   (fp_portset_has(&settings->named[protocol], (uint16_t)port) &&
                    fp_portset_has(&whole.ranges[protocol].ports, (uint16_t)port))));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct fp_settings settings;
    struct environment environment = {.lines = malloc(size + 1), .size = size + 1};
    CHECK(environment.lines);
    memcpy(environment.lines, bytes, size);
    environment.lines[size] = 0;
    for (size_t i = 0; i < size; i++)
        if (environment.lines[i] == '\n')
            environment.lines[i] = 0;

    memset(&settings, 0, sizeof settings);
    if (fp_settings_read(&settings, source, complain, &environment)) {
        CHECK(settings.managed[FP_TCP] || settings.managed[FP_UDP]);
        CHECK(settings.bad == (environment.complaints > 0));
        check_strings(&settings);
        check_numbers(&settings);
        check_sets(&settings);
        if (!settings.bad)
            check_library(&settings);
    } else {
        CHECK(!value_of(&environment, "FREEPORT_TCP") && !value_of(&environment, "FREEPORT_UDP"));
    }
    free(environment.last);
    free(environment.lines);
    return 0;
}
