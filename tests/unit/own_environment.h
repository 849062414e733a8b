/* SPDX-License-Identifier: MIT */
/* For tests of the settings: an environment of their own, and what was heard of it. */
#ifndef FREEPORT_TESTS_OWN_ENVIRONMENT_H
#define FREEPORT_TESTS_OWN_ENVIRONMENT_H

#include "settings.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { VARIABLES_AT_MOST = 32, LAST = UINT16_MAX };

/* An environment, and what was heard of it. Nothing here outlives reset(). */
static struct {
    const char *names[VARIABLES_AT_MOST], *values[VARIABLES_AT_MOST];
    unsigned count;
    unsigned asked, asked_beyond_ranges; /* calls of the source; those for other variables than the two ranges */
    unsigned complaints;
    char variable[64], value[8192], expected[256]; /* the last complaint's */
    unsigned complaints_about[VARIABLES_AT_MOST];
    enum fp_log_level log; /* at the last complaint */
} heard;

static struct fp_settings settings, defaults;

static inline void reset(void) {
    memset(&heard, 0, sizeof heard);
}

static inline void set(const char *name, const char *value) {
    assert_in_range(heard.count, 0, VARIABLES_AT_MOST - 1);
    heard.names[heard.count] = name;
    heard.values[heard.count++] = value;
}

/* What it hands out is overwritten at the next call, so that nothing can hold on to it. */
static inline const char *source(const char *variable, void *context) {
    static char scratch[8192];

    assert_ptr_equal(context, &heard);
    heard.asked++;
    if (strcmp(variable, "FREEPORT_TCP") != 0 && strcmp(variable, "FREEPORT_UDP") != 0)
        heard.asked_beyond_ranges++;

    memset(scratch, '!', sizeof scratch - 1);
    for (unsigned i = 0; i < heard.count; i++) {
        if (strcmp(heard.names[i], variable) == 0) {
            assert_in_range(strlen(heard.values[i]), 0, sizeof scratch - 1);
            return strcpy(scratch, heard.values[i]);
        }
    }
    return NULL;
}

static inline void complaint(const struct fp_settings *at, const char *variable, const char *value,
                             const char *expected, void *context) {
    assert_ptr_equal(context, &heard);
    assert_ptr_equal(at, &settings);
    heard.complaints++;
    heard.log = at->log;
    snprintf(heard.variable, sizeof heard.variable, "%s", variable);
    snprintf(heard.value, sizeof heard.value, "%s", value);
    snprintf(heard.expected, sizeof heard.expected, "%s", expected);
    for (unsigned i = 0; i < heard.count; i++)
        if (strcmp(heard.names[i], variable) == 0)
            heard.complaints_about[i]++;
}

static inline bool read_settings(void) {
    memset(&settings, 0, sizeof settings);
    return fp_settings_read(&settings, source, complaint, &heard);
}

/* One variable beside a good range; `value` NULL: the range alone. */
static inline void read_one(const char *variable, const char *value) {
    reset();
    set("FREEPORT_TCP", "30000-31000");
    if (value)
        set(variable, value);
    assert_true(read_settings());
}

static inline void assert_accepted(const char *variable, const char *value) {
    if (heard.complaints != 0 || settings.bad)
        fail_msg("%s=%s was refused", variable, value);
}

/* The whole of what a malformed value may do: one complaint with everything in it, and `bad`. */
static inline void assert_refused(const char *variable, const char *value) {
    if (heard.complaints != 1 || !settings.bad)
        fail_msg("%s='%s': %u complaints, bad is %d", variable, value, heard.complaints, settings.bad);
    assert_string_equal(heard.variable, variable);
    assert_string_equal(heard.value, value);
    assert_string_not_equal(heard.expected, "");
}

static inline void assert_same_as_default(const char *variable, const char *value) {
    settings.bad = false;
    if (memcmp(&settings, &defaults, sizeof settings) != 0)
        fail_msg("%s='%s' changed the settings", variable, value);
}

static inline void accept(const char *variable, const char *value) {
    read_one(variable, value);
    assert_accepted(variable, value);
}

static inline void refuse(const char *variable, const char *value) {
    read_one(variable, value);
    assert_refused(variable, value);
    assert_same_as_default(variable, value);
}

static inline int read_defaults(void **state) {
    (void)state;
    read_one(NULL, NULL);
    memcpy(&defaults, &settings, sizeof defaults); /* the padding, too: they are compared as bytes */
    return 0;
}

/* Each port of which the settings say that it is one. */
static inline const struct fp_portset *sentinels(int protocol) {
    static struct fp_portset set;

    memset(&set, 0, sizeof set);
    for (unsigned port = 0; port <= LAST; port++)
        if (fp_settings_has_sentinel(&settings, (unsigned)protocol, (uint16_t)port))
            set.words[port / 64] |= UINT64_C(1) << port % 64;
    return &set;
}

/* True where the set is from..to less the ports less_from..less_to. */
static inline void assert_ports(const struct fp_portset *ports, unsigned from, unsigned to, unsigned less_from,
                                unsigned less_to) {
    for (unsigned port = 0; port <= LAST; port++) {
        bool wanted = port >= from && port <= to && (port < less_from || port > less_to);

        if (fp_portset_has(ports, (uint16_t)port) != wanted)
            fail_msg("port %u is%s in the set", port, wanted ? " not" : "");
    }
}

static inline void assert_every_port(const struct fp_portset *ports) {
    assert_ports(ports, 1, LAST, 0, 0);
}

static inline const char *of_length(size_t length) {
    static char text[8192];

    assert_in_range(length, 0, sizeof text - 1);
    memset(text, 'x', length);
    text[length] = '\0';
    return text;
}

#endif
