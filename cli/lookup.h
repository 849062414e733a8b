/* SPDX-License-Identifier: MIT */
/* The real port behind a sentinel of a session, for the verbs port and url. */
#ifndef FREEPORT_CLI_LOOKUP_H
#define FREEPORT_CLI_LOOKUP_H

#include "cli.h"

enum { CLI_MOST_NAMES = 8 };

/* What is asked for, and what the table has for it. */
struct cli_lookup {
    enum freeport_protocol protocol;
    uint16_t sentinel;
    const char *given;                 /* the session that was named; NULL: none */
    char worktrees[CLI_SESSION_BYTES]; /* the worktree's session; "": none */
    uint16_t port;                     /* 0: there is none */
    char session[CLI_SESSION_BYTES];   /* the session that the port belongs to */
    bool worktree;                     /* the worktree's session has it */
    unsigned sessions;                 /* how many sessions have it with a live server */
    char names[CLI_MOST_NAMES * CLI_SESSION_BYTES];
};

/* Options of both verbs, inherited variables, and the end of the help. */
extern const struct cli_option cli_lookup_options[];
extern const char *const cli_lookup_inherited[];
#define CLI_LOOKUP_NOTES                                                                                               \
    "Without a session it is the one that this process is in, else the worktree's,\n"                                  \
    "else the only one that has the sentinel.\n"                                                                       \
    "Exit: 0 printed, 1 there is none, 2 usage, or several sessions have it, 4 --wait\n"                               \
    "timed out, 5 segment can't be used.\n"

/* Looks the call's sentinel up, and with --wait, waits for a server. CLI_OK, or an exit code after an error. */
int cli_look_up(struct cli_call *call, struct cli_lookup *search);

#endif
