/* SPDX-License-Identifier: MIT */
/*
 * Where libfreeport_shim.so is, which programs it serves, and how it gets into LD_PRELOAD.
 *
 * One shim serves all programs of its word size and machine, be their C library glibc or musl. Where one for 32-bit
 * programs is installed, too, LD_PRELOAD names a path with $PLATFORM in it: glibc's loader replaces that by x86_64 or
 * i686, say, and musl's loader takes it as it stands; there is a folder for each (see shim/platform.cmake).
 */
#include "cli.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SHIM "libfreeport_shim.so"

/* Below the folder of the shim. */
#define SHIM_OF_EACH "freeport/$PLATFORM/" SHIM
#define SHIM_32 "freeport/i686/" SHIM

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

/* The plain path of the shim, as it is named in FREEPORT_SHIM or found beside the executable. */
enum found { FOUND, FOUND_NONE, BAD_NAME, NO_EXECUTABLE };

static enum found find(char path[static CLI_SHIM_BYTES], char executable[static PATH_MAX]) {
    char candidate[2 * PATH_MAX];
    const char *name = secure_getenv("FREEPORT_SHIM");
    if (name)
        return absolute(name, path) ? FOUND : BAD_NAME;
    if (!realpath("/proc/self/exe", executable))
        return NO_EXECUTABLE;
    *strrchr(executable, '/') = 0;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(candidate, sizeof candidate, "%s/%s", executable, places[i]);
        if (absolute(candidate, path))
            return FOUND;
    }
    return absolute(FREEPORT_FULL_LIBDIR "/" SHIM, path) ? FOUND : FOUND_NONE;
}

static bool find_or_say(char path[static CLI_SHIM_BYTES]) {
    char executable[PATH_MAX];
    switch (find(path, executable)) {
    case FOUND:
        return true;
    case BAD_NAME:
        cli_error("FREEPORT_SHIM: '%s': expected the path of " SHIM, secure_getenv("FREEPORT_SHIM"));
        return false;
    case NO_EXECUTABLE:
        cli_error("/proc/self/exe: %s; name " SHIM " in FREEPORT_SHIM", strerror(errno));
        return false;
    default:
        cli_error(SHIM " not found in %s/../{" FREEPORT_LIBDIR ",lib64,lib,shim} nor in " FREEPORT_FULL_LIBDIR
                       "; name its path in FREEPORT_SHIM",
                  executable);
        return false;
    }
}

/* A path below the folder of the shim; false where there is no such file. */
static bool beside(const char *shim, const char *what, char path[static CLI_SHIM_BYTES]) {
    int folder = (int)(strrchr(shim, '/') - shim);
    return snprintf(path, CLI_SHIM_BYTES, "%.*s/%s", folder, shim, what) < CLI_SHIM_BYTES && is_file(path);
}

bool cli_find_shim(char path[static CLI_SHIM_BYTES]) {
    char each[CLI_SHIM_BYTES];
    if (!find_or_say(path) || !loadable(path))
        return false;
    if (!secure_getenv("FREEPORT_SHIM") && beside(path, SHIM_OF_EACH, each))
        memcpy(path, each, sizeof each);
    return true;
}

#if __SIZEOF_POINTER__ == 8
enum { OWN_CLASS = ELFCLASS64 };
#else
enum { OWN_CLASS = ELFCLASS32 };
#endif

/* The machine that this is built for. */
static uint16_t own_machine(void) {
    static uint16_t machine;
    Elf32_Ehdr header; /* e_machine stands at the same place in both word sizes */
    FILE *self = machine == 0 ? fopen("/proc/self/exe", "re") : NULL;
    if (self) {
        if (fread(&header, sizeof header, 1, self) == 1)
            machine = header.e_machine;
        fclose(self);
    }
    return machine;
}

/* 32-bit shims of glibc have 64-bit times by names of glibc's. */
static bool own_serves(bool musl) {
#ifdef __GLIBC__
    return OWN_CLASS == ELFCLASS64 || !musl;
#else
    return OWN_CLASS == ELFCLASS64 || musl;
#endif
}

bool cli_shim_serves(unsigned char elf_class, uint16_t machine, bool musl) {
    char executable[PATH_MAX], shim[CLI_SHIM_BYTES], shim_32[CLI_SHIM_BYTES];
    uint16_t own = own_machine();
    if (own == 0)
        return elf_class == OWN_CLASS;
    if (elf_class == OWN_CLASS && machine == own)
        return own_serves(musl);
    return own == EM_X86_64 && elf_class == ELFCLASS32 && machine == EM_386 && !musl &&
           !secure_getenv("FREEPORT_SHIM") && find(shim, executable) == FOUND && beside(shim, SHIM_32, shim_32);
}

#define LAUNCHER "freeport-launch"

static const char *const launcher_places[] = {"../" FREEPORT_LIBEXECDIR "/freeport/" LAUNCHER,
                                              "../libexec/freeport/" LAUNCHER, "../shim/" LAUNCHER};

bool cli_find_launcher(char path[static CLI_SHIM_BYTES]) {
    char executable[PATH_MAX], candidate[2 * PATH_MAX];
    if (realpath("/proc/self/exe", executable)) {
        *strrchr(executable, '/') = 0;
        for (size_t i = 0; i < sizeof launcher_places / sizeof launcher_places[0]; i++) {
            snprintf(candidate, sizeof candidate, "%s/%s", executable, launcher_places[i]);
            if (absolute(candidate, path))
                return true;
        }
    }
    return absolute(FREEPORT_FULL_LIBEXECDIR "/freeport/" LAUNCHER, path);
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
