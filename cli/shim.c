/* SPDX-License-Identifier: MIT */
/* Where libfreeport_shim.so is, and how it gets into LD_PRELOAD. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SHIM "libfreeport_shim.so"

_Static_assert(CLI_SHIM_BYTES >= PATH_MAX, "realpath() fills PATH_MAX");

/* Beside the executable: as it is installed, then as it lies in a build folder. */
static const char *const places[] = {"../" FREEPORT_LIBDIR "/" SHIM, "../lib64/" SHIM, "../lib/" SHIM, "../shim/" SHIM};

/* The dynamic loader has no way to quote: it takes these for the end of a path. */
static bool loadable(const char *path) {
    for (const char *p = path; *p; p++) {
        if (isspace((unsigned char)*p) || *p == ':') {
            cli_error("'%s': expected a path of the shim without spaces and colons, which LD_PRELOAD can't hold; "
                      "install it elsewhere, or name a link to it in FREEPORT_SHIM",
                      path);
            return false;
        }
    }
    return true;
}

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* realpath() of a directory and the name kept, so that a link to a path with a space helps. */
static bool absolute(const char *path, char out[static CLI_SHIM_BYTES]) {
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!is_file(path))
        return false;
    snprintf(directory, sizeof directory, "%.*s/", slash ? (int)(slash - path) : 1, slash ? path : ".");
    char resolved[PATH_MAX];
    if (path[0] == '/' && !strstr(path, "/../"))
        return snprintf(out, CLI_SHIM_BYTES, "%s", path) < CLI_SHIM_BYTES;
    if (!realpath(directory, resolved))
        return false;
    return snprintf(out, CLI_SHIM_BYTES, "%s/%s", resolved, slash ? slash + 1 : path) < CLI_SHIM_BYTES;
}

static bool named(const char *name, char path[static CLI_SHIM_BYTES]) {
    if (absolute(name, path))
        return loadable(path);
    cli_error("FREEPORT_SHIM: '%s': expected the path of " SHIM, name);
    return false;
}

bool cli_find_shim(char path[static CLI_SHIM_BYTES]) {
    char executable[PATH_MAX], candidate[2 * PATH_MAX];
    const char *name = secure_getenv("FREEPORT_SHIM");
    if (name)
        return named(name, path);
    if (!realpath("/proc/self/exe", executable)) {
        cli_error("/proc/self/exe: %s; name " SHIM " in FREEPORT_SHIM", strerror(errno));
        return false;
    }
    *strrchr(executable, '/') = 0;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(candidate, sizeof candidate, "%s/%s", executable, places[i]);
        if (absolute(candidate, path))
            return loadable(path);
    }
    if (absolute(FREEPORT_FULL_LIBDIR "/" SHIM, path))
        return loadable(path);
    cli_error(SHIM " not found in %s/../{" FREEPORT_LIBDIR ",lib64,lib,shim} nor in " FREEPORT_FULL_LIBDIR
                   "; name its path in FREEPORT_SHIM",
              executable);
    return false;
}

/* Two shims in one process would each rewrite what the other has rewritten. */
static bool is_shim(const char *entry, size_t length) {
    const char *name = entry;
    for (size_t i = 0; i < length; i++)
        if (entry[i] == '/')
            name = entry + i + 1;
    return (size_t)(entry + length - name) == strlen(SHIM) && strncmp(name, SHIM, strlen(SHIM)) == 0;
}

char *cli_preload(const char *existing, const char *shim) {
    if (!existing)
        existing = "";
    char *list = cli_need(malloc(strlen(existing) + (shim ? strlen(shim) : 0) + 2));
    char *at = list;
    while (*existing) {
        size_t length = strcspn(existing, ": ");
        if (length > 0 && !is_shim(existing, length)) {
            memcpy(at, existing, length);
            at += length;
            *at++ = ':';
        }
        existing += length;
        if (*existing)
            existing++;
    }
    if (!shim && at > list)
        at--; /* the last colon */
    memcpy(at, shim ? shim : "", shim ? strlen(shim) + 1 : 1);
    return list;
}
