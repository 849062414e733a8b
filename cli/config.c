/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The configuration file. */

static void complain_of_file(const char *path, unsigned line, const char *what, const char *expected, void *context) {
    (void)context;
    char where[PATH_MAX + 16];
    snprintf(where, sizeof where, line ? "%s:%u" : "%s", path, line);
    if (*what)
        cli_bad_value(where, what, expected);
    else
        cli_error("%s: expected %s", where, expected);
}

/* The user's file, which is read if no other is named. False if there is no home directory. */
static bool usual_path(char path[static PATH_MAX]) {
    const char *directory = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");
    if (directory && directory[0] == '/') /* the XDG specification says to ignore a relative path */
        return snprintf(path, PATH_MAX, "%s/freeport.ini", directory) < PATH_MAX;
    return home && *home && snprintf(path, PATH_MAX, "%s/.config/freeport.ini", home) < PATH_MAX;
}

static const char *option_for(const struct cli_call *call, const char *variable) {
    const struct cli_option *option = cli_given_for(call, variable);
    return option ? call->values[option - call->verb->options] : NULL;
}

/* The name, whose section counts; *asked: true if the call or the environment gives it. */
static const char *section_of(const struct cli_call *call, bool *asked) {
    const char *name = call->name ? call->name : option_for(call, "FREEPORT_NAME");
    if (!name)
        name = secure_getenv("FREEPORT_NAME");
    *asked = name != NULL;
    return name ? name : "default";
}

const struct fp_file_entry *cli_file_entry(const struct cli_call *call, const char *variable,
                                           const struct fp_file **file) {
    const struct fp_file *const files[] = {call->project, call->file};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const struct fp_file_entry *entry = files[i] ? fp_file_find(files[i], call->section, variable) : NULL;
        *file = files[i];
        if (entry)
            return entry;
    }
    return NULL;
}

static bool has_common_keys(const struct fp_file *file) {
    return file->count > 0 && !file->entries[0].section[0];
}

static bool need_section(const struct cli_call *call, bool asked) {
    const struct fp_file *file = call->file;
    char names[256] = "";
    if (fp_file_has_section(file, call->section) || (!asked && has_common_keys(file)))
        return true;
    for (size_t i = 0; i < file->count; i++) {
        size_t length = strlen(names);
        if (!*file->entries[i].variable) /* the beginning of a section */
            snprintf(names + length, sizeof names - length, "%s[%s]", length ? ", " : "", file->entries[i].section);
    }
    cli_error("%s: expected a section [%s]; it has %s", file->path, call->section, *names ? names : "none");
    return false;
}

/* Takes the name from a file, if neither the call nor the environment gives it. */
static void name_section(struct cli_call *call, bool asked) {
    const struct fp_file *file;
    const struct fp_file_entry *entry = asked ? NULL : cli_file_entry(call, "FREEPORT_NAME", &file);
    if (entry)
        call->section = entry->value;
}

/*
 * A file that was named has to exist. The section has to be in it if the file or the name was given for this call.
 * Otherwise it may be missing, since any name may be used without a section.
 */
bool cli_load_file(struct cli_call *call) {
    char usual[PATH_MAX];
    bool asked;
    const char *option = option_for(call, "FREEPORT_CONFIG");
    const char *named = option ? option : secure_getenv("FREEPORT_CONFIG");
    const char *path = named ? named : usual_path(usual) ? usual : "";
    if (call->section)
        return true; /* done already */
    call->section = section_of(call, &asked);
    if (!named && !cli_find_project(&call->project, complain_of_file))
        return false;
    if (option && !*option) {
        cli_bad_value("--config", option, "the path of a file");
        return false;
    }
    if (*path && !fp_file_read(path, named != NULL, &call->file, complain_of_file, NULL))
        return false;
    name_section(call, asked);
    if (call->name && !fp_settings_name_ok(call->name)) {
        cli_bad_value(call->verb->name, call->name, "1 to 32 of A-Z a-z 0-9 _ . -");
        return false;
    }
    if (call->project && call->name_needs_section && fp_file_has_section(call->project, call->section))
        return true;
    if ((!call->file || (!named && call->file->count == 0)) && call->name_needs_section) {
        cli_error("[%s]: expected a configuration file with that section, in --config, FREEPORT_CONFIG or "
                  "~/.config/freeport.ini",
                  call->section);
        return false;
    }
    return !call->file || (!option && !call->name_needs_section) || need_section(call, asked);
}

/* Where a value comes from. */

static bool known(const struct cli_verb *verb, const char *variable) {
    for (const struct cli_option *option = verb->options; option->name; option++)
        if (option->variable && strcmp(option->variable, variable) == 0)
            return true;
    for (const char *const *name = verb->inherited; name && *name; name++)
        if (strcmp(*name, variable) == 0)
            return true;
    return false;
}

/* A variable that the verb does not use is not read, so it can't be wrong. */
const char *cli_given(const struct cli_call *call, const char *variable, enum cli_origin *origin) {
    *origin = CLI_NOWHERE;
    if (!known(call->verb, variable))
        return NULL;
    const struct fp_file *file;
    const struct fp_file_entry *entry = cli_file_entry(call, variable, &file);
    const char *option = option_for(call, variable);
    /* With file_alone, the environment may only choose the section. */
    bool looked_for = !call->verb->file_alone || strcmp(variable, "FREEPORT_NAME") == 0;
    const char *inherited = looked_for ? secure_getenv(variable) : NULL;
    *origin = option ? CLI_OPTION : inherited ? CLI_ENVIRONMENT : entry ? CLI_FILE : CLI_NOWHERE;
    return option ? option : inherited ? inherited : entry ? entry->value : NULL;
}

struct reading {
    const struct cli_call *call;
    bool default_range;
    bool complained;
};

static const char *source(const char *variable, void *context) {
    const struct reading *reading = context;
    enum cli_origin origin;
    if (reading->default_range && (strcmp(variable, "FREEPORT_TCP") == 0 || strcmp(variable, "FREEPORT_UDP") == 0))
        return CLI_DEFAULT_RANGE;
    if (reading->call->name && strcmp(variable, "FREEPORT_NAME") == 0)
        return reading->call->name;
    return cli_given(reading->call, variable, &origin);
}

char *cli_where(const struct cli_call *call, const char *variable) {
    enum cli_origin origin;
    char key[32];
    cli_given(call, variable, &origin);
    if (call->name && strcmp(variable, "FREEPORT_NAME") == 0)
        return cli_text("%s", call->verb->name);
    if (origin == CLI_OPTION)
        return cli_text("--%s", cli_given_for(call, variable)->name);
    if (origin != CLI_FILE)
        return cli_text("%s", variable);
    const struct fp_file *file;
    const struct fp_file_entry *entry = cli_file_entry(call, variable, &file);
    fp_file_key(variable, key, sizeof key);
    return cli_text("%s:%u: %s", file->path, entry->line, key);
}

static void complain(const struct fp_settings *settings, const char *variable, const char *value, const char *expected,
                     void *context) {
    (void)settings;
    struct reading *reading = context;
    char *where = cli_where(reading->call, variable);
    cli_bad_value(where, value, expected);
    free(where);
    reading->complained = true;
}

bool cli_settings(struct cli_call *call, struct fp_settings *settings, bool *default_range) {
    struct reading reading = {.call = call};
    enum cli_origin origin;
    if (!cli_load_file(call))
        return false;
    reading.default_range = !cli_given(call, "FREEPORT_TCP", &origin) && !cli_given(call, "FREEPORT_UDP", &origin);
    if (default_range)
        *default_range = reading.default_range;
    memset(settings, 0, sizeof *settings);
    fp_settings_read(settings, source, complain, &reading);
    return !reading.complained;
}
