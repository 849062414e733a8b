/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    const struct cli_call *call;
    bool default_range;
    bool complained;
};

static bool known(const struct cli_verb *verb, const char *variable) {
    for (const struct cli_option *option = verb->options; option->name; option++)
        if (option->variable && strcmp(option->variable, variable) == 0)
            return true;
    for (const char *const *name = verb->inherited; name && *name; name++)
        if (strcmp(*name, variable) == 0)
            return true;
    return false;
}

/* Option, else environment. A variable that the verb does not use can't be wrong there either. */
static const char *given(const struct cli_call *call, const char *variable) {
    if (!known(call->verb, variable))
        return NULL;
    const struct cli_option *option = cli_given_for(call, variable);
    return option ? call->values[option - call->verb->options] : secure_getenv(variable);
}

static const char *source(const char *variable, void *context) {
    const struct reading *reading = context;
    if (reading->default_range && (strcmp(variable, "FREEPORT_TCP") == 0 || strcmp(variable, "FREEPORT_UDP") == 0))
        return CLI_DEFAULT_RANGE;
    return given(reading->call, variable);
}

static void complain(const struct fp_settings *settings, const char *variable, const char *value, const char *expected,
                     void *context) {
    (void)settings;
    struct reading *reading = context;
    const struct cli_option *option = cli_given_for(reading->call, variable);
    char where[64] = "--";
    if (option)
        strncat(where, option->name, sizeof where - 3);
    cli_bad_value(option ? where : variable, value, expected);
    reading->complained = true;
}

bool cli_settings(const struct cli_call *call, struct fp_settings *settings, bool *default_range) {
    struct reading reading = {.call = call};
    reading.default_range = !given(call, "FREEPORT_TCP") && !given(call, "FREEPORT_UDP");
    if (default_range)
        *default_range = reading.default_range;
    memset(settings, 0, sizeof *settings);
    fp_settings_read(settings, source, complain, &reading);
    return !reading.complained;
}

bool cli_number(const char *text, long from, long to, long *number) {
    if (*text < '0' || *text > '9') /* strtol takes spaces and signs */
        return false;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || *end || value < from || value > to)
        return false;
    *number = value;
    return true;
}

bool cli_protocol(const char *text, enum freeport_protocol *protocol) {
    if (strcmp(text, "tcp") == 0)
        *protocol = FREEPORT_TCP;
    else if (strcmp(text, "udp") == 0)
        *protocol = FREEPORT_UDP;
    else
        return false;
    return true;
}
