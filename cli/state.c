/* SPDX-License-Identifier: MIT */
/* What has become of an assignment: the table says who got the port, the kernel who holds it. */
#include "cli.h"

struct question {
    const struct freeport_assignment *assignment;
    const struct cli_segment_id *segment;
    pid_t *holder; /* the one that was asked about last */
};

/* Whether a process that holds an assigned port does so by freeport's leave. */
static bool belongs(pid_t holder, const void *context) {
    const struct question *question = context;
    *question->holder = holder;
    if (question->assignment->alive && cli_descends(holder, question->assignment->pid))
        return true;
    /*
     * The owner is gone, or the socket was passed on: a daemon's child keeps its parent's port, and nothing in /proc
     * tells whose child it was. Whoever has the segment mapped got the port out of the table (lib/holder.h).
     */
    return question->segment->inode != 0 && cli_has_mapped(holder, question->segment->device, question->segment->inode);
}

/* Where another user's process can't be looked into, a socket of the owner's user counts as the owner's. */
static bool may_belong(struct cli_sockets *sockets, const struct cli_socket *held,
                       const struct freeport_assignment *assignment) {
    return assignment->alive && held->user == cli_user_of(assignment->pid) && !cli_socket_seen(sockets, held);
}

/*
 * sockets.c says what is not seen: on Linux before 6.8 a TCP socket between its bind and its listen is taken for free.
 */
enum cli_state cli_state_of(struct cli_sockets *sockets, const struct cli_segment_id *segment,
                            const struct freeport_assignment *assignment, pid_t *holder) {
    struct question question = {assignment, segment, holder};
    size_t count;
    *holder = 0;
    const struct cli_socket *held = cli_sockets_on(sockets, assignment->protocol, assignment->port, &count);
    for (size_t i = 0; i < count; i++)
        if (cli_socket_held_by(sockets, &held[i], belongs, &question) || may_belong(sockets, &held[i], assignment))
            return CLI_BOUND;
    if (count > 0)
        return CLI_TAKEN; /* *holder: the last stranger that was asked about */
    bool kept = assignment->state == FREEPORT_RESERVED || assignment->state == FREEPORT_PLEDGED;
    return kept && assignment->alive ? CLI_RESERVED : CLI_FREE;
}
