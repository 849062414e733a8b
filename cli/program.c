/* SPDX-License-Identifier: MIT */
/*
 * Looks at a program's file before it is started, to tell whether LD_PRELOAD works for it. A script counts as its
 * interpreter. A file that can't be read or understood is left to the kernel, and counts as covered.
 */
#include "cli.h"
#include "target.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ANOTHER_WAY                                                                                                    \
    "let it take its port from the environment (freeport run --export PORT=8080) or as an argument (freeport get)"

enum { MOST_INTERPRETERS = 5, HEAD_BYTES = 256 };

/* Along PATH. */

static bool executable(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

static bool find(const char *command, char path[static CLI_PATH_BYTES]) {
    path[0] = 0;
    if (strchr(command, '/'))
        return executable(command) && snprintf(path, CLI_PATH_BYTES, "%s", command) < CLI_PATH_BYTES;
    const char *places = getenv("PATH");
    for (places = places ? places : "/bin:/usr/bin"; *command; places++) {
        size_t length = strcspn(places, ":");
        char candidate[CLI_PATH_BYTES];
        int written =
            snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)length, places, length ? "/" : "", command);
        if (written < CLI_PATH_BYTES && executable(candidate)) {
            memcpy(path, candidate, (size_t)written + 1);
            return true;
        }
        places += length;
        if (!*places)
            break;
    }
    return false;
}

/* Scripts. */

/* Cuts off the next word; NULL without one. */
static char *word(char **text) {
    char *begin = *text + strspn(*text, " \t");
    char *end = begin + strcspn(begin, " \t\n");
    if (end == begin)
        return NULL;
    *text = *end ? end + 1 : end;
    *end = 0;
    return begin;
}

/* The interpreter in the line behind "#!". For env(1), the program that env starts. */
static bool interpreter_of(char *line, char path[static CLI_PATH_BYTES]) {
    line[strcspn(line, "\n")] = 0;
    char *interpreter = word(&line);
    if (!interpreter || !find(interpreter, path))
        return false;
    const char *name = strrchr(interpreter, '/');
    if (strcmp(name ? name + 1 : interpreter, "env") != 0)
        return true;
    const char *next;
    while ((next = word(&line)))
        if (next[0] != '-' && !strchr(next, '='))
            return find(next, path);
    return true;
}

/* Programs. */

/* The supervisor's filter has rules for this build's processor, and for the 32-bit programs that run on it. */
static bool filter_knows(const struct fp_target *target) {
#if defined(__x86_64__)
    return target->machine == EM_X86_64 || target->machine == EM_386;
#elif defined(__aarch64__)
    return target->machine == EM_AARCH64 || target->machine == EM_ARM;
#else
    return target->elf_class == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);
#endif
}

static void look_at_image(struct cli_program *program) {
    struct fp_target target = fp_target_look(program->what);
    program->remedy = ANOTHER_WAY;
    program->wants_port = true;
    program->filters = filter_knows(&target);
    if (target.kind == FP_TARGET_GO)
        program->obstacle = "a Go program, which calls the kernel itself and not libc";
    else if (target.kind == FP_TARGET_STATIC)
        program->obstacle = "a static program, into which nothing can be loaded";
    else if (target.kind == FP_TARGET_DYNAMIC && !cli_shim_serves(target.elf_class, target.machine, target.musl))
        program->obstacle = target.elf_class == ELFCLASS32 ? "a 32-bit program, for which there is no shim"
                                                           : "a 64-bit program, for which there is no shim";
}

/* Rights. */

static bool gains_rights(const char *path, const struct stat *st) {
    struct statvfs fs;
    bool set_id = ((st->st_mode & S_ISUID) && st->st_uid != getuid()) ||
                  ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP) && st->st_gid != getgid());
    if (!set_id && (getuid() == 0 || getxattr(path, "security.capability", NULL, 0) <= 0))
        return false;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 && statvfs(path, &fs) == 0 && !(fs.f_flag & ST_NOSUID);
}

static void look_at_rights(struct cli_program *program) {
    struct stat st;
    if (stat(program->what, &st) != 0 || !gains_rights(program->what, &st))
        return;
    if (st.st_mode & (S_ISUID | S_ISGID))
        program->obstacle = "a set-user-ID or set-group-ID program, for which LD_PRELOAD is ignored";
    else
        program->obstacle = "a program with file capabilities, for which LD_PRELOAD is ignored";
    program->remedy = "run it as the user that it becomes, or run a copy, which has no such rights";
    program->wants_port = program->filters = false;
}

/* One step: true for a script, whose interpreter has to be looked at next. */
static bool look_once(struct cli_program *program) {
    char head[HEAD_BYTES] = "";
    bool script = false;
    int fd = open(program->what, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? pread(fd, head, sizeof head - 1, 0) : -1;
    if (length > 2 && memcmp(head, "#!", 2) == 0)
        script = interpreter_of(head + 2, program->what);
    else if (length > EI_CLASS && memcmp(head, ELFMAG, SELFMAG) == 0)
        look_at_image(program);
    if (fd >= 0)
        close(fd);
    return script;
}

void cli_look_at(const char *command, struct cli_program *program) {
    program->obstacle = program->remedy = NULL;
    program->wants_port = program->filters = false;
    program->what[0] = 0;
    if (!find(command, program->path))
        return;
    memcpy(program->what, program->path, sizeof program->what);
    for (int i = 0; i < MOST_INTERPRETERS && look_once(program); i++)
        ;
    if (!program->obstacle)
        look_at_rights(program);
}

bool cli_is_covered(const struct cli_program *program) {
    char launcher[CLI_SHIM_BYTES];
    return !program->obstacle || (program->filters && cli_find_launcher(launcher));
}

char *cli_program_title(const struct cli_program *program) {
    if (strcmp(program->path, program->what) == 0)
        return cli_text("%s", program->path);
    return cli_text("%s, run by %s", program->path, program->what);
}
