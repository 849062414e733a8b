/* SPDX-License-Identifier: MIT */
#include "follow.h"

#include "log.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRELOAD "LD_PRELOAD="
#define PREFIX "FREEPORT_"
#define LAUNCHER "FREEPORT_LAUNCHER="
#define FOLLOW_NO "FREEPORT_FOLLOW=no"
#define SHIM "libfreeport_shim.so"

enum { PRELOAD_LENGTH = sizeof PRELOAD - 1 };

/* Written once, before the program's first instruction, then only read. */
static struct {
    bool watches; /* exec has to be looked at: FREEPORT_FOLLOW=yes, or there is a launcher */
    bool follows;
    char *preload;    /* "LD_PRELOAD=...", or NULL without one */
    const char *shim; /* the shim's own entry in it, and its length; NULL where the shim is loaded by other means */
    size_t shim_length;
    char *const *kept; /* the FREEPORT_ variables */
    size_t count;
} saved;

static bool begins(const char *text, const char *prefix) {
    while (*prefix && *text == *prefix) {
        text++;
        prefix++;
    }
    return !*prefix;
}

/* The length of "NAME=" in an entry. */
static size_t name_length(const char *entry) {
    size_t length = strcspn(entry, "=");
    return entry[length] ? length + 1 : length;
}

/* The shim's entry in a value of LD_PRELOAD, found by its file name; NULL without one. */
static const char *find_shim(const char *list, size_t *length) {
    for (const char *at = list; *at; at += *length) {
        at += strspn(at, ": ");
        *length = strcspn(at, ": ");
        if (*length >= sizeof SHIM - 1 && memcmp(at + *length - (sizeof SHIM - 1), SHIM, sizeof SHIM - 1) == 0 &&
            (*length == sizeof SHIM - 1 || at[*length - sizeof SHIM] == '/'))
            return at;
    }
    return NULL;
}

static bool is_kept(const char *entry) {
    return begins(entry, PREFIX) || begins(entry, PRELOAD);
}

/* Copies the list of variables and their text into new pages, since programs overwrite theirs. */
static char **copy_variables(size_t count, size_t bytes) {
    size_t list_bytes = (count + 1) * sizeof(char *);
    void *memory =
        mmap(NULL, list_bytes + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    char **list = memory, *text = (char *)memory + list_bytes;
    for (char **at = environ; *at; at++) {
        if (!is_kept(*at))
            continue;
        size_t size = strlen(*at) + 1;
        *list++ = memcpy(text, *at, size);
        text += size;
    }
    return memory;
}

/* Puts a copied entry in its place: LD_PRELOAD is kept apart from the list. */
static void note(char *entry, char **list) {
    if (!begins(entry, PRELOAD)) {
        list[saved.count++] = entry;
        return;
    }
    saved.preload = entry;
    saved.shim = find_shim(entry + PRELOAD_LENGTH, &saved.shim_length);
}

/* The entry that begins with "NAME=" in an environment; NULL without one. */
static char *find(char *const environment[], const char *name) {
    for (char *const *at = environment; at && *at; at++)
        if (begins(*at, name))
            return *at;
    return NULL;
}

static void say_no_memory(const struct fp_settings *settings) {
    struct fp_line line;
    if (!fp_log_begin(&line, settings, FP_LOG_ERROR))
        return;
    fp_line_text(&line, "FREEPORT_FOLLOW=yes: no memory for a copy of the environment; a program that is executed with "
                        "a cleaned environment leaves the session");
    fp_log_end(&fp_own_caller, &line);
}

/* Copies the variables and sorts them. */
static bool save(void) {
    size_t count = 0, bytes = 0;
    for (char **at = environ; *at; at++) {
        if (is_kept(*at)) {
            count++;
            bytes += strlen(*at) + 1;
        }
    }
    char **list = copy_variables(count, bytes);
    if (!list)
        return false;
    for (size_t i = 0; i < count; i++)
        note(list[i], list);
    saved.kept = list;
    return true;
}

void fp_follow_start(const struct fp_settings *settings) {
    if (!environ)
        return;
    if (settings->follow == FP_FOLLOW_YES) {
        saved.follows = save();
        if (!saved.follows)
            say_no_memory(settings);
    }
    saved.watches = saved.follows || find(environ, LAUNCHER);
}

bool fp_follow_watches(void) {
    return saved.watches;
}

const char *fp_follow_launcher(char *const environment[]) {
    const char *entry = find(environment, LAUNCHER);
    return entry && entry[sizeof LAUNCHER - 1] ? entry + sizeof LAUNCHER - 1 : NULL;
}

const char *fp_follow_preload(char *const environment[]) {
    const char *entry = find(environment, PRELOAD);
    return entry ? entry + PRELOAD_LENGTH : NULL;
}

static bool has(char *const environment[], const char *entry) {
    size_t length = name_length(entry);
    for (char *const *at = environment; at && *at; at++)
        if (strncmp(*at, entry, length) == 0)
            return true;
    return false;
}

/* True if that LD_PRELOAD lacks the shim. */
static bool lacks_shim(const char *entry) {
    size_t length;
    return saved.shim && entry && !find_shim(entry + PRELOAD_LENGTH, &length);
}

static bool cleaned(char *const environment[]) {
    return !find(environment, "FREEPORT_TCP=") && !find(environment, "FREEPORT_UDP=");
}

static bool restores(char *const environment[], size_t kept) {
    return cleaned(environment) && !has(environment, saved.kept[kept]);
}

struct fp_follow_size fp_follow_size(char *const environment[]) {
    struct fp_follow_size size = {0, 0};
    const char *follow = find(environment, "FREEPORT_FOLLOW=");
    if (!saved.follows || (follow && strcmp(follow, FOLLOW_NO) == 0))
        return size;
    const char *preload = find(environment, PRELOAD);
    size_t missing = saved.shim && !preload, present = 0;
    for (size_t i = 0; i < saved.count; i++)
        missing += restores(environment, i);
    if (lacks_shim(preload))
        size.text = strlen(preload) + saved.shim_length + 2;
    if (missing == 0 && size.text == 0)
        return size;
    while (environment && environment[present])
        present++;
    size.list = present + missing + 1;
    return size;
}

/* The shim goes behind what the program preloads, as freeport run has it. */
static char *with_shim(const char *preload, char *text) {
    size_t length = strlen(preload);
    memcpy(text, preload, length);
    text[length] = ':';
    memcpy(text + length + (length > PRELOAD_LENGTH), saved.shim, saved.shim_length);
    text[length + (length > PRELOAD_LENGTH) + saved.shim_length] = 0;
    return text;
}

void fp_follow_environment(char *const environment[], char **list, char *text) {
    const char *preload = find(environment, PRELOAD);
    for (char *const *at = environment; at && *at; at++)
        *list++ = *at == preload && lacks_shim(preload) ? with_shim(preload, text) : *at;
    if (saved.shim && !preload)
        *list++ = saved.preload;
    for (size_t i = 0; i < saved.count; i++)
        if (restores(environment, i))
            *list++ = saved.kept[i];
    *list = NULL;
}
