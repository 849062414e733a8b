/* SPDX-License-Identifier: MIT */
/*
 * A worktree's root has an entry .git: a directory, or in a linked worktree a file that leads to the repository,
 *
 *   gitdir: /home/me/shop/.git/worktrees/fix-ui
 *
 * The last part is git's own name for the worktree. It is unique in its repository, and stays when the worktree moves.
 */
#include "worktree.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH_DIGITS = 6, LONGEST = FP_SESSION_BYTES - 1 - HASH_DIGITS - 1 };

static uint64_t hash_of(const char *text) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash ^ (hash >> 32);
}

/* Appends a hash to the name, which is cut off to make room. */
static void add_hash(char session[static FP_SESSION_BYTES], uint64_t hash) {
    size_t length = strnlen(session, LONGEST);
    if (length > 0)
        session[length++] = '-';
    for (int digit = 0; digit < HASH_DIGITS; digit++, hash >>= 4)
        session[length++] = "0123456789abcdef"[hash & 15];
    session[length] = 0;
}

static bool plain(char character) {
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') || character == '_' || character == '.' || character == '-';
}

/* Makes a valid session name of any text. */
static void make_name(const char *text, char session[static FP_SESSION_BYTES]) {
    bool changed = false;
    size_t length = 0;
    for (const char *at = text; *at; at++) {
        char character = *at;
        if (!plain(character)) {
            character = '-';
            changed = true;
        }
        if (length < LONGEST && (character == *at || (length > 0 && session[length - 1] != '-')))
            session[length++] = character;
        else
            changed |= character == *at;
    }
    while (length > 0 && changed && session[length - 1] == '-')
        length--;
    session[length] = 0;
    if (changed || length == 0)
        add_hash(session, hash_of(text));
}

/* The last component of a path without a slash at its end; "root" for that of the root. */
static const char *last_of(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return *name ? name : "root";
}

/* Drops the last component. */
static void up(char *path) {
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
}

/* Resolves "." and ".." in an absolute path by its text only, since its directories may not exist any more. */
static void normalize(char *path) {
    char *out = path;
    for (const char *at = path; *at;) {
        size_t length = strcspn(at + 1, "/") + 1;
        if (length == 3 && strncmp(at, "/..", 3) == 0) {
            *out = 0;
            up(path);
            out = path + strlen(path);
        } else if (length > 1 && !(length == 2 && at[1] == '.')) {
            memmove(out, at, length);
            out += length;
        }
        at += length;
    }
    *out = 0;
}

/* The path behind "gitdir: " in a file .git, absolute. False where the file is none. */
static bool read_link(const char *file, const char *directory, char path[static PATH_MAX]) {
    static const char prefix[] = "gitdir: ";
    char text[PATH_MAX];
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (length <= (ssize_t)sizeof prefix || memcmp(text, prefix, sizeof prefix - 1) != 0)
        return false;
    text[length] = 0;
    text[strcspn(text, "\n")] = 0;
    const char *target = text + sizeof prefix - 1;
    size_t used = target[0] == '/' ? 0 : strlen(directory);
    if (used + strlen(target) + 2 > PATH_MAX)
        return false;
    stpcpy(stpcpy(stpcpy(path, used > 0 ? directory : ""), "/"), target);
    normalize(path);
    return true;
}

/* A repository's name by its directory: "shop" for /home/me/shop/.git, /home/me/shop/.bare and /srv/shop.git. */
static const char *repository_name(char *path) {
    if (last_of(path)[0] == '.')
        up(path);
    size_t length = strlen(path);
    if (length > 4 && strcmp(path + length - 4, ".git") == 0)
        path[length - 4] = 0;
    return last_of(path);
}

/* Joins "shop" with "fix-ui", or with "shop-fix-ui", to "shop-fix-ui". */
static void join(const char *repository, const char *worktree, char *text, size_t size) {
    size_t length = strlen(repository), all = length + 1 + strlen(worktree) + 1;
    bool said = strncmp(worktree, repository, length) == 0 && worktree[length] == '-';
    text[0] = 0;
    if (!said && all <= size)
        stpcpy(stpcpy(text, repository), "-");
    strncat(text, worktree, size - strlen(text) - 1);
}

/* Names a worktree whose .git is a file. False if it is no linked worktree: a submodule has such a file, too. */
static bool name_linked(const char *file, struct fp_worktree *worktree) {
    static const char place[] = "/worktrees";
    char path[PATH_MAX], name[PATH_MAX + NAME_MAX];
    if (!read_link(file, worktree->directory, path))
        return false;
    char own[NAME_MAX + 1];
    const char *last = last_of(path);
    if (strlen(last) >= sizeof own)
        return false;
    memcpy(own, last, strlen(last) + 1);
    up(path);
    size_t length = strlen(path);
    if (length < sizeof place || strcmp(path + length - (sizeof place - 1), place) != 0)
        return false;
    up(path);
    join(repository_name(path), own, name, sizeof name);
    make_name(name, worktree->session);
    return true;
}

/* True if the directory is a worktree's root. Makes its name. */
static bool is_root(struct fp_worktree *worktree) {
    char git[PATH_MAX + 8];
    struct stat st;
    size_t length = strlen(worktree->directory);
    memcpy(git, worktree->directory, length);
    memcpy(git + length, "/.git", sizeof "/.git");
    if (fstatat(AT_FDCWD, git, &st, 0) != 0 || !(S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)))
        return false;
    if (!S_ISREG(st.st_mode) || !name_linked(git, worktree))
        make_name(last_of(worktree->directory), worktree->session);
    return true;
}

int fp_worktree_find(struct fp_worktree *worktree) {
    char here[PATH_MAX];
    worktree->in_repository = false;
    if (!getcwd(here, sizeof here))
        return -errno;
    memcpy(worktree->directory, here, sizeof here);
    for (;;) {
        if (is_root(worktree)) {
            worktree->in_repository = true;
            break;
        }
        if (!worktree->directory[0] || strcmp(worktree->directory, "/") == 0)
            break;
        up(worktree->directory);
    }
    if (!worktree->in_repository) {
        memcpy(worktree->directory, here, sizeof here);
        make_name(last_of(here), worktree->session);
    } else if (!worktree->directory[0]) {
        worktree->directory[0] = '/';
        worktree->directory[1] = 0;
    }
    return 0;
}

void fp_worktree_rename(struct fp_worktree *worktree) {
    add_hash(worktree->session, hash_of(worktree->directory));
}
