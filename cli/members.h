/* SPDX-License-Identifier: MIT */
/* The processes of a session, and what they were started with. For verbs that are about sessions. */
#ifndef FREEPORT_CLI_MEMBERS_H
#define FREEPORT_CLI_MEMBERS_H

#include "cli.h"
#include "segment.h"
#include "settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The segment that sessions are looked for in. */
struct cli_world {
    const struct fp_settings *settings;
    const struct fp_segment_facts *facts;
};

/* All processes of the host but this one, until `visit` says false. */
void cli_each_process(bool (*visit)(pid_t pid, void *context), void *context);

/* Those that were started in the session, as far as they can be looked into; until `visit` says false. */
typedef bool cli_member_visit(pid_t pid, const struct cli_environment *environment, void *context);
void cli_each_member(const struct cli_world *world, const char *session, cli_member_visit *visit, void *context);

#endif
