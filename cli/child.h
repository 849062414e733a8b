/* SPDX-License-Identifier: MIT */
/* Starting a command as a child: what child.c and supervise.c have in common. */
#ifndef FREEPORT_CLI_CHILD_H
#define FREEPORT_CLI_CHILD_H

#include "cli.h"

#include <signal.h>

/* As this process was started, for the command to be started so too. */
struct cli_dispositions {
    sigset_t mask;
    struct sigaction child;
};

/* What a supervisor tells the process that waits. */
enum cli_child_tidings {
    CLI_WORD_STARTED, /* value: the command's process id; its pidfd comes with it, where there is one */
    CLI_WORD_FAILED,  /* value: the exit code */
    CLI_WORD_STOPPED,
    CLI_WORD_ENDED, /* value: as of waitpid(2) */
};

struct cli_child_word {
    int32_t kind, value;
};

/* Blocks all signals, and has them read from child->signals. False, with errno, where that fails. */
bool cli_child_begin(struct cli_child *child, struct cli_dispositions *before);

/*
 * Becomes the command. `failed`: closed by a successful exec; else it is told the exit code, which is freeport's and
 * not the command's.
 */
__attribute__((noreturn)) void cli_child_become(char **command, const struct cli_dispositions *before,
                                                cli_child_prepare *prepare, void *context, int failed);

/* CLI_OK once the command has begun. Signals wait meanwhile, so only the child's end can come in between. */
int cli_child_wait_for_exec(pid_t pid, int failed);

#endif
