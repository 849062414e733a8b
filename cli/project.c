/* SPDX-License-Identifier: MIT */
/*
 * A project's file, freeport.ini: in the working directory, or above it up to the repository's root. Another user may
 * have put a file into a directory above. So it is read only if it belongs to this user or root, and if no other user
 * may write to it, as git does it with repositories.
 */
#include "cli.h"
#include "worktree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "freeport.ini"

/* Under sudo, the user who called sudo is trusted too. */
static bool is_trusted(uid_t user) {
    const char *sudo = geteuid() == 0 ? getenv("SUDO_UID") : NULL;
    long number;
    return user == geteuid() || user == 0 ||
           (sudo && cli_number(sudo, 0, 0x7fffffffL, &number) && user == (uid_t)number);
}

/* Finds the nearest file; false without one. */
static bool find(char path[static CLI_PATH_BYTES], struct stat *st) {
    struct fp_worktree worktree;
    char directory[PATH_MAX];
    if (fp_worktree_find(&worktree) != 0 || !getcwd(directory, sizeof directory))
        return false;
    for (;;) {
        const char *parent = strcmp(directory, "/") == 0 ? "" : directory;
        if (snprintf(path, CLI_PATH_BYTES, "%s/" NAME, parent) < CLI_PATH_BYTES && lstat(path, st) == 0)
            return true;
        if (!worktree.in_repository || strcmp(directory, worktree.directory) == 0 || !*parent)
            return false;
        char *slash = strrchr(directory, '/');
        slash[slash == directory] = 0;
    }
}

static bool untrusted(const char *path, const struct stat *st) {
    if (is_trusted(st->st_uid) && (S_ISLNK(st->st_mode) || !(st->st_mode & S_IWOTH)))
        return false;
    if (!is_trusted(st->st_uid))
        cli_error("%s: not followed: it belongs to user %u, who is not this one (%u); --config %s follows it", path,
                  (unsigned)st->st_uid, (unsigned)geteuid(), path);
    else
        cli_error("%s: not followed: every user may write to it (mode %04o); chmod o-w %s, or --config %s follows it",
                  path, (unsigned)st->st_mode & 07777, path, path);
    return true;
}

bool cli_find_project(struct fp_file **file, fp_file_complaint *complaint) {
    char path[CLI_PATH_BYTES];
    struct stat st;
    *file = NULL;
    if (!find(path, &st) || untrusted(path, &st))
        return true;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        cli_error("%s: %s; expected a file that can be read: mend it, or name another in --config (FREEPORT_CONFIG=: "
                  "none)",
                  path, strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        cli_error("%s: expected a regular file; remove it, or name another in --config (FREEPORT_CONFIG=: none)", path);
        return false;
    }
    if (untrusted(path, &st)) {
        close(fd);
        return true;
    }
    return fp_file_read_open(path, fd, file, complaint, NULL);
}
