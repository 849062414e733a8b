/* SPDX-License-Identifier: MIT */
/* The steps of starting a command as a child, for child.c and supervise.c. */
#ifndef FREEPORT_CLI_CHILD_H
#define FREEPORT_CLI_CHILD_H

#include "cli.h"

#include <signal.h>

/* The signal settings that this process was started with, which the command gets. */
struct cli_dispositions {
    sigset_t mask;
    struct sigaction child;
};

/* The messages of the supervisor to the freeport process that waits. */
enum cli_child_tidings {
    CLI_WORD_STARTED, /* value: the command's process id; its pidfd comes with it, where there is one */
    CLI_WORD_FAILED,  /* value: the exit code */
    CLI_WORD_STOPPED,
    CLI_WORD_ENDED, /* value: as of waitpid(2) */
};

struct cli_child_word {
    int32_t kind, value;
};

/* Blocks all signals; child->signals reads them. False, with errno, on failure. */
bool cli_child_begin(struct cli_child *child, struct cli_dispositions *before);

/*
 * Executes the command in the child. `failed` is a pipe that a successful exec closes; on failure, the exit code is
 * written to it.
 */
__attribute__((noreturn)) void cli_child_become(char **command, const struct cli_dispositions *before,
                                                cli_child_prepare *prepare, void *context, int failed);

/* Waits until the command has been executed: CLI_OK, or the exit code on failure. Signals are blocked meanwhile. */
int cli_child_wait_for_exec(pid_t pid, int failed);

#endif
