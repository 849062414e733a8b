/* SPDX-License-Identifier: MIT */
#ifndef FREEPORT_CLI_SESSION_H
#define FREEPORT_CLI_SESSION_H

#include "cli.h"
#include "members.h"

struct cli_session {
    char name[CLI_SESSION_BYTES];
    char *directory; /* the worktree's root if the session is named after it, else NULL. Never freed */
};

/*
 * The session of the working directory's worktree. If another worktree's session of that name runs in `world` (NULL: no
 * segment), a hash is appended. CLI_OK or, after an error, CLI_USAGE.
 */
int cli_worktree_session(struct cli_session *session, const struct cli_world *world);

/*
 * Chooses the session of `freeport run` and sets the option --session to its name. Where the user gave none, options
 * get the values that the session's processes were started with (ranges, sentinels and such).
 */
int cli_join(struct cli_call *call, struct cli_session *session);

#endif
