/* SPDX-License-Identifier: MIT */
/* freeport reset: drops what a name has assigned, and begins its sequence anew. */
#include "assign.h"
#include "cli.h"
#include "owner.h"

#include <string.h>

static const struct cli_option options[] = {
    {"force", 0, NULL, NULL, "drop what processes that are there have, too"},
    CLI_CONFIG_OPTION,
    CLI_SEGMENT_OPTION,
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_NAME", "FREEPORT_SEGMENT_OWNER", NULL};

struct sweep {
    struct freeport *fp;
    const char *name;
    struct cli_sockets *sockets;
    struct cli_segment_id segment;
    bool force;
    unsigned kept;
};

/* Its owner may still want it: it is there, or a child that holds the port is. */
static bool in_use(const struct sweep *sweep, const struct freeport_assignment *assignment) {
    pid_t holder;
    return assignment->alive || cli_state_of(sweep->sockets, &sweep->segment, assignment, &holder) == CLI_BOUND;
}

static int drop(const struct freeport_assignment *assignment, void *context) {
    struct sweep *sweep = context;
    unsigned index = cli_protocol_index(assignment->protocol);
    if (strcmp(assignment->name, sweep->name) != 0)
        return 0;
    fp_owner owner = fp_entry_owner(sweep->fp->segment, index, assignment->port);
    /* Somebody else's since it was looked at: it was taken anew, and is in use. */
    bool changed = fp_owner_pid(owner) != assignment->pid;
    if (changed || (!sweep->force && in_use(sweep, assignment)))
        sweep->kept++;
    else
        fp_release(sweep->fp, assignment->protocol, owner, assignment->port);
    return 0;
}

static void rewind_name(struct freeport *fp) {
    for (unsigned slot = 0; slot < FP_NAMES; slot++) {
        if (!fp_label_is(&fp->segment->names[slot], &fp->name))
            continue;
        for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++)
            atomic_store(&fp->segment->cursors[slot].last[protocol], 0);
    }
}

static int sweep_name(struct freeport *fp, const struct fp_settings *settings, bool force) {
    struct sweep sweep = {.fp = fp,
                          .name = settings->name,
                          .sockets = cli_sockets_read(),
                          .segment = {fp->facts.device, fp->facts.inode},
                          .force = force};
    freeport_each(fp, drop, &sweep);
    rewind_name(fp);
    cli_sockets_free(sweep.sockets);
    if (sweep.kept == 0)
        return CLI_OK;
    cli_error("reset: %u of name '%s' kept, for processes that are there; end them (freeport list shows which), or say "
              "--force",
              sweep.kept, settings->name);
    return CLI_FAILED;
}

static int reset(struct cli_call *call) {
    struct fp_settings settings;
    struct freeport *fp;
    if (call->operands > 1)
        return cli_bad_value("reset", call->operand[1], "one NAME at most");
    call->name = call->operand[0];
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    struct fp_segment_facts facts;
    int code = cli_open_with(&settings, false, &fp, &facts);
    if (code == CLI_OK && fp)
        code = sweep_name(fp, &settings, cli_value(call, "force") != NULL);
    cli_sweep(facts.name);
    cli_close(fp);
    return code;
}

const struct cli_verb cli_reset = {
    .name = "reset",
    .synopsis = "[options] [NAME]",
    .summary = "Drops a name's assignments, and begins its sequence anew.",
    .options = options,
    .inherited = inherited,
    .notes = "NAME, else FREEPORT_NAME, else default. What a process that is there has, or a\n"
             "child of one that is gone has bound, stays unless --force is said.\n"
             "Exit: 0 all dropped, 1 some stayed, 2 usage, 5 segment can't be used.\n",
    .run = reset,
};
