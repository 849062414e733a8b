/* SPDX-License-Identifier: MIT */
/* The processes of a session, and their environments. */
#ifndef FREEPORT_CLI_MEMBERS_H
#define FREEPORT_CLI_MEMBERS_H

#include "cli.h"
#include "segment.h"
#include "settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The segment whose sessions are meant. */
struct cli_world {
    const struct fp_settings *settings;
    const struct fp_segment_facts *facts;
};

/* Visits all processes of the host, until `visit` returns false. */
void cli_each_process(bool (*visit)(pid_t pid, void *context), void *context);

/* Visits the processes of the session that this user may look into, until `visit` returns false. */
typedef bool cli_member_visit(pid_t pid, const struct cli_environment *environment, void *context);
void cli_each_member(const struct cli_world *world, const char *session, cli_member_visit *visit, void *context);

#endif
