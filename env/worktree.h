/* SPDX-License-Identifier: MIT */
/*
 * Which checkout of a project the working directory is in, and what a session there is called (FREEPORT_SESSION=auto).
 * No malloc, no stdio: the shim asks, too.
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
 * Fills *worktree. What a session's name can't hold becomes '-'; a name that was changed so, or cut off, ends with a
 * hash of what it was. 0 or a negative errno of getcwd(3): -ENOENT where the working directory was removed.
 */
int fp_worktree_find(struct fp_worktree *worktree);

/* Another name for the same worktree, where a second directory has the first one: with a hash of the directory. */
void fp_worktree_rename(struct fp_worktree *worktree);

#endif
