/* SPDX-License-Identifier: MIT */
#ifndef FREEPORT_CLI_SESSION_H
#define FREEPORT_CLI_SESSION_H

#include "cli.h"
#include "members.h"

struct cli_session {
    char name[CLI_SESSION_BYTES];
    char *directory; /* the worktree's root where the session is named after it; else NULL. Kept to the end */
};

/*
 * The session of the worktree that the working directory is in. Where another worktree's session of that name runs in
 * `world` (NULL: no segment), a name with a hash. CLI_OK or, after an error, CLI_USAGE.
 */
int cli_worktree_session(struct cli_session *session, const struct cli_world *world);

/*
 * Decides on the session of `freeport run`: option --session gets its name. What processes of that session were started
 * with (ranges, sentinels and such) are the options' values from here on, where the user gave none.
 */
int cli_join(struct cli_call *call, struct cli_session *session);

#endif
