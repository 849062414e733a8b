/* SPDX-License-Identifier: MIT */
#include "file.h"

#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPECTED_KEY                                                                                                   \
    "one of tcp, udp, sentinels, session, report, report_fd, report_format, sockname, connect, via, timeout, follow, " \
    "segment, segment_mode, log, lenient, export, audit, quiet; before the first section, also name"

#define EXPECTED_FILE "a configuration file that can be read"

struct reading {
    struct fp_file *file;
    FILE *stream;
    unsigned number; /* of the current line */
    unsigned begun;  /* of the line in which the current value begins */
    bool bad, no_memory;
    fp_file_complaint *complaint;
    void *context;
};

static void complain(struct reading *reading, unsigned line, const char *what, const char *expected) {
    reading->bad = true;
    reading->complaint(reading->file->path, line, what, expected, reading->context);
}

void fp_file_key(const char *variable, char *key, size_t size) {
    size_t i = 0, prefix = strncmp(variable, "FREEPORT_", 9) == 0 ? 9 : 0;
    for (const char *at = variable + prefix; *at && i + 1 < size; at++)
        key[i++] = (char)tolower((unsigned char)*at);
    key[i] = 0;
}

/* Options of `freeport run` for which there is no variable. */
static const char *const options[] = {"export", "audit", "quiet"};

/* FREEPORT_NAME has no key inside of a section, since the section is the name. */
static const char *variable_of(const char *key, const char *section) {
    char known[32];
    const char *variable;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (strcmp(key, options[i]) == 0)
            return options[i];
    for (size_t i = 0; (variable = fp_settings_variable(i)); i++) {
        fp_file_key(variable, known, sizeof known);
        if (strcmp(key, known) == 0 && (!*section || strcmp(key, "name") != 0))
            return variable;
    }
    return NULL;
}

static bool add(struct reading *reading, const char *section, const char *variable, const char *value) {
    struct fp_file *file = reading->file;
    struct fp_file_entry *longer = realloc(file->entries, (file->count + 1) * sizeof *longer);
    if (!longer)
        return false;
    file->entries = longer;
    struct fp_file_entry entry = {strdup(section), variable, strdup(value), reading->number};
    file->entries[file->count++] = entry;
    return entry.section && entry.value;
}

/* Notes an empty section too, of which inih does not tell. */
static void note_section(struct reading *reading, const char *line) {
    const char *end = strchr(line, ']');
    char *section = end ? strndup(line + 1, (size_t)(end - line - 1)) : NULL;
    if (!section)
        return; /* inih complains about the line */
    if (!fp_settings_name_ok(section))
        complain(reading, reading->number, section, "a name in [], 1 to 32 of A-Z a-z 0-9 _ . -");
    else if (!fp_file_has_section(reading->file, section) && !add(reading, section, "", ""))
        reading->no_memory = true;
    free(section);
}

/* Reads one line with its newline, as far as there is room, since a file may have no end. 0 at the end of the file. */
static size_t read_line(FILE *stream, char *line, size_t size) {
    size_t length = 0;
    for (int c; length < size && (c = getc(stream)) != EOF;) {
        line[length++] = (char)c;
        if (c == '\n')
            break;
    }
    return length;
}

/*
 * inih has a fixed line length and no line numbers. It takes each line that begins with a blank as a continuation.
 * Here, only one without KEY = VALUE is a continuation, so keys may be indented below their section.
 */
static char *next_line(char *out, int size, void *context) {
    struct reading *reading = context;
    size_t length = read_line(reading->stream, out, (size_t)size);
    if (length == 0)
        return NULL;
    reading->number++;
    if (length == (size_t)size || memchr(out, 0, length)) {
        char expected[96];
        snprintf(expected, sizeof expected,
                 "a line of text of %d bytes at most; a list may go on in the next line, indented", size - 2);
        complain(reading, reading->number, "", expected);
        return NULL; /* stops: this is no configuration file */
    }
    out[length] = 0;
    bool goes_on = isspace((unsigned char)out[0]) && !strpbrk(out, "=:[");
    if (!goes_on) {
        char *line = out + strspn(out, " \t");
        memmove(out, line, strlen(line) + 1);
        reading->begun = reading->number;
    }
    if (out[0] == '[')
        note_section(reading, out);
    return out;
}

static const struct fp_file_entry *own_entry(const struct fp_file *file, const char *section, const char *variable) {
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->entries[i].section, section) == 0 && strcmp(file->entries[i].variable, variable) == 0)
            return &file->entries[i];
    return NULL;
}

const struct fp_file_entry *fp_file_find(const struct fp_file *file, const char *section, const char *variable) {
    const struct fp_file_entry *entry = own_entry(file, section, variable);
    return entry ? entry : own_entry(file, "", variable);
}

bool fp_file_has_section(const struct fp_file *file, const char *section) {
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->entries[i].section, section) == 0)
            return true;
    return false;
}

static bool append(struct reading *reading, const char *more) {
    char **value = &reading->file->entries[reading->file->count - 1].value;
    size_t length = strlen(*value);
    bool comma = length > 0 && (*value)[length - 1] != ',';
    char *longer = realloc(*value, length + strlen(more) + 2);
    if (!longer)
        return false;
    *value = longer;
    snprintf(longer + length, strlen(more) + 2, "%s%s", comma ? "," : "", more);
    return true;
}

/* inih calls this for each KEY = VALUE, and again with the same key for each continuation line. */
static int take(void *context, const char *section, const char *key, const char *value) {
    struct reading *reading = context;
    const struct fp_file *file = reading->file;
    const char *variable = variable_of(key, section);
    if (!variable) {
        complain(reading, reading->number, key, EXPECTED_KEY);
        return 1;
    }
    const struct fp_file_entry *before = own_entry(file, section, variable);
    if (reading->begun < reading->number) {
        /* A key that was refused has no entry, so its continuation lines are ignored. */
        if (before && before == &file->entries[file->count - 1] && !append(reading, value))
            reading->no_memory = true;
    } else if (before) {
        char expected[64];
        snprintf(expected, sizeof expected, "it once in a section; it is in line %u too", before->line);
        complain(reading, reading->number, key, expected);
    } else if (!add(reading, section, variable, value)) {
        reading->no_memory = true;
    }
    return 1;
}

static void parse(struct reading *reading) {
    int wrong = ini_parse_stream(next_line, reading, take, reading);
    if (wrong > 0)
        complain(reading, (unsigned)wrong, "", "[NAME], KEY = VALUE, or ; or # and a comment");
    if (reading->no_memory || wrong == -2)
        complain(reading, 0, "", "memory enough for it");
    else if (ferror(reading->stream))
        complain(reading, 0, strerror(errno), EXPECTED_FILE);
}

static bool begin(struct reading *reading, const char *path, struct fp_file **file) {
    *file = reading->file = calloc(1, sizeof **file);
    if (reading->file && (reading->file->path = strdup(path)))
        return true;
    reading->complaint(path, 0, "", "memory enough for it", reading->context);
    return false;
}

bool fp_file_read(const char *path, bool must_exist, struct fp_file **file, fp_file_complaint *complaint,
                  void *context) {
    struct reading reading = {.complaint = complaint, .context = context};
    if (!begin(&reading, path, file))
        return false;
    reading.stream = fopen(path, "re");
    if (!reading.stream) {
        /* EACCES: HOME may be another user's, since setpriv and the like keep the variable. That counts as no file. */
        bool absent = errno == ENOENT || errno == ENOTDIR || errno == EACCES;
        if (must_exist || !absent)
            complain(&reading, 0, strerror(errno), EXPECTED_FILE);
        return !reading.bad;
    }
    parse(&reading);
    fclose(reading.stream);
    return !reading.bad;
}

bool fp_file_read_open(const char *path, int fd, struct fp_file **file, fp_file_complaint *complaint, void *context) {
    struct reading reading = {.complaint = complaint, .context = context, .stream = fdopen(fd, "r")};
    if (!reading.stream) {
        close(fd);
        complaint(path, 0, "", "memory enough for it", context);
        return false;
    }
    if (begin(&reading, path, file))
        parse(&reading);
    else
        reading.bad = true;
    fclose(reading.stream);
    return !reading.bad;
}

void fp_file_free(struct fp_file *file) {
    if (!file)
        return;
    for (size_t i = 0; i < file->count; i++) {
        free(file->entries[i].section);
        free(file->entries[i].value);
    }
    free(file->entries);
    free(file->path);
    free(file);
}
