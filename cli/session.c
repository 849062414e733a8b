/* SPDX-License-Identifier: MIT */
/* The session of a call, and the settings that a process takes over when it joins one. */
#include "session.h"
#include "cli.h"
#include "members.h"
#include "worktree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)CLI_SESSION_BYTES == (int)FP_SESSION_BYTES, "one size of names");

/* The variables that a joining process takes over from the session's processes. */
static const struct {
    const char *variable, *option;
} shared[] = {
    {"FREEPORT_TCP", "tcp"},           {"FREEPORT_UDP", "udp"},
    {"FREEPORT_NAME", "name"},         {"FREEPORT_SENTINELS", "sentinels"},
    {"FREEPORT_SOCKNAME", "sockname"}, {"FREEPORT_CONNECT", "connect"},
};

enum { SHARED = sizeof shared / sizeof shared[0] };

struct found {
    const char *directory; /* NULL: any */
    bool conflict;         /* a session of that name runs in another worktree */
    char **values;         /* of `shared`; NULL: unset. All NULL: the session has no process */
    bool member;
};

static bool take_member(pid_t pid, const struct cli_environment *environment, void *context) {
    struct found *found = context;
    const char *directory = cli_environment_value(environment, CLI_DIRECTORY);
    (void)pid;
    if (found->directory && directory && strcmp(directory, found->directory) != 0) {
        found->conflict = true;
        return false;
    }
    found->member = true;
    for (size_t i = 0; i < SHARED && found->values; i++) {
        const char *value = cli_environment_value(environment, shared[i].variable);
        found->values[i] = value ? cli_text("%s", value) : NULL;
    }
    return false;
}

/* The settings so far, and the facts about the segment; *there: it exists. An exit code after an error. */
static int find_world(struct cli_call *call, struct fp_settings *settings, struct fp_segment_facts *facts,
                      bool *there) {
    struct freeport *fp;
    if (!cli_settings(call, settings, NULL))
        return CLI_USAGE;
    int code = cli_open_with(settings, false, &fp, facts);
    *there = fp != NULL;
    cli_close(fp);
    return code;
}

int cli_worktree_session(struct cli_session *session, const struct cli_world *world) {
    struct fp_worktree worktree;
    int error = fp_worktree_find(&worktree);
    if (error != 0) {
        cli_error("--session: 'auto': the working directory: %s; name a session, or change to a directory that is "
                  "there",
                  strerror(-error));
        return CLI_USAGE;
    }
    struct found found = {.directory = worktree.directory};
    if (world)
        cli_each_member(world, worktree.session, take_member, &found);
    if (found.conflict)
        fp_worktree_rename(&worktree);
    memcpy(session->name, worktree.session, sizeof session->name);
    session->directory = cli_text("%s", worktree.directory);
    return CLI_OK;
}

/* True if the user has given a value for a shared variable. A given range counts for both. */
static bool is_given(const struct cli_call *call, size_t i) {
    enum cli_origin origin;
    cli_given(call, shared[i].variable, &origin);
    return origin == CLI_OPTION || origin == CLI_ENVIRONMENT;
}

static void take_settings(struct cli_call *call, char **values) {
    bool ranges = is_given(call, 0) || is_given(call, 1);
    for (size_t i = 0; i < SHARED; i++)
        if (values[i] && !is_given(call, i) && !(i < 2 && ranges))
            cli_set_value(call, shared[i].option, values[i]);
}

int cli_join(struct cli_call *call, struct cli_session *session) {
    enum cli_origin origin;
    struct fp_settings settings;
    struct fp_segment_facts facts;
    char *values[SHARED] = {NULL};
    const char *given = cli_given(call, "FREEPORT_SESSION", &origin);
    *session = (struct cli_session){.directory = NULL};
    if (given && strcmp(given, "new") == 0) {
        cli_new_session(session->name, "run", getpid());
        cli_set_value(call, "session", session->name);
        return CLI_OK;
    }
    bool automatic = !given || strcmp(given, "auto") == 0, there;
    int code = find_world(call, &settings, &facts, &there);
    if (code != CLI_OK)
        return code;
    struct cli_world world = {&settings, &facts};
    if (automatic) {
        code = cli_worktree_session(session, there ? &world : NULL);
        if (code != CLI_OK)
            return code;
        cli_set_value(call, "session", session->name);
        given = session->name;
    }
    if (!automatic && origin != CLI_ENVIRONMENT)
        snprintf(session->name, sizeof session->name, "%s", given);
    struct found found = {.values = values};
    if (there && (automatic || origin != CLI_ENVIRONMENT))
        cli_each_member(&world, given, take_member, &found);
    take_settings(call, values);
    return CLI_OK;
}
