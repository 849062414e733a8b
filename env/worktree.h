/* SPDX-License-Identifier: MIT */
/*
 * Finds the checkout that the working directory is in, and the name of a session there (FREEPORT_SESSION=auto). No
 * malloc, no stdio: the shim uses it, too.
 */
#ifndef FREEPORT_ENV_WORKTREE_H
#define FREEPORT_ENV_WORKTREE_H

#include <limits.h>
#include <stdbool.h>

enum { FP_SESSION_BYTES = 65 };

struct fp_worktree {
    char directory[PATH_MAX];       /* the worktree's root; outside of a repository, the working directory */
    char session[FP_SESSION_BYTES]; /* REPOSITORY, REPOSITORY-WORKTREE for a linked one, or the directory's name */
    bool in_repository;
};

/*
 * Fills *worktree. Characters that a session's name can't have become '-'. A name that was changed so, or cut off, ends
 * with a hash of the whole. 0 or a negative errno of getcwd(3): -ENOENT if the working directory was removed.
 */
int fp_worktree_find(struct fp_worktree *worktree);

/* Appends a hash of the directory to the name. For a worktree whose name another directory's session has already. */
void fp_worktree_rename(struct fp_worktree *worktree);

#endif
