/* SPDX-License-Identifier: MIT */
/*
 * The configuration file: INI, a section for each name, keys as the variables in lower case without FREEPORT_. Keys
 * before the first section hold for every name. For the command alone: it allocates, and stands on libinih.
 */
#ifndef FREEPORT_ENV_FILE_H
#define FREEPORT_ENV_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct fp_file_entry {
    char *section;        /* "" before the first one */
    const char *variable; /* FREEPORT_TCP; or export, audit or quiet, which are options alone */
    char *value;
    unsigned line; /* where it begins */
};

struct fp_file {
    char *path;
    struct fp_file_entry *entries;
    size_t count;
};

/* `line` 0: the file itself. `what`: the key, section or line, or "". Strings are valid during the call. */
typedef void fp_file_complaint(const char *path, unsigned line, const char *what, const char *expected, void *context);

/*
 * *file is freed with fp_file_free(). False after complaints; *file holds what could be read. fp_settings_read() checks
 * the values. Without `must_exist`, a file that does not exist counts as empty.
 */
bool fp_file_read(const char *path, bool must_exist, struct fp_file **file, fp_file_complaint *complaint,
                  void *context);

/* The same for a file that is open; `fd` is closed. */
bool fp_file_read_open(const char *path, int fd, struct fp_file **file, fp_file_complaint *complaint, void *context);
void fp_file_free(struct fp_file *file);

/* The section's entry for a variable, else the one before the first section; NULL without either. */
const struct fp_file_entry *fp_file_find(const struct fp_file *file, const char *section, const char *variable);

bool fp_file_has_section(const struct fp_file *file, const char *section);

/* FREEPORT_TCP -> tcp; an option without a variable stays as it is. For a variable of freeport's. */
void fp_file_key(const char *variable, char *key, size_t size);

#endif
