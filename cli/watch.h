/* SPDX-License-Identifier: MIT */
/*
 * Being told of the bind and connect calls of a command and all it starts, static and Go programs too, through
 * seccomp's user notification (Linux 5.6). The calls are the kernel's as ever; each waits until it was looked at.
 */
#ifndef FREEPORT_CLI_WATCH_H
#define FREEPORT_CLI_WATCH_H

#include "cli.h"

#include <sys/socket.h>

struct cli_seen {
    bool binds; /* else it connects, or sends a datagram there */
    enum freeport_protocol protocol;
    struct sockaddr_storage address;
    uint16_t port;  /* as it was asked for */
    uint16_t given; /* asked for none: the kernel's choice, where that can be told (Linux 5.19); else 0 */
    pid_t pid;      /* the process, not the thread */
};

struct cli_watch {
    void (*tell)(const struct cli_seen *seen, void *context);
    void *context;
    unsigned unseen;  /* calls that could not be looked at: another user's processes */
    bool knows_given; /* whether `given` is told */
    struct cli_child child;
    int listener;
};

/* Runs the command until it ends. CLI_OK, with watch->child to be ended as; or an exit code after an error. */
int cli_watch(struct cli_watch *watch, char **command);

#endif
