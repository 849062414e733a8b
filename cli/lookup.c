/* SPDX-License-Identifier: MIT */
#include "lookup.h"
#include "assign.h"
#include "clock.h"
#include "session.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_OPTION                                                                                                 \
    { "session", 0, "NAME", "FREEPORT_SESSION", "whose sentinel it is; auto: the worktree's" }
#define WAIT_OPTION                                                                                                    \
    { "wait", 0, "SECONDS", NULL, "wait so long at most until a server has bound it" }

const struct cli_option cli_lookup_options[] = {SESSION_OPTION,     WAIT_OPTION,     CLI_CONFIG_OPTION,
                                                CLI_SEGMENT_OPTION, CLI_HELP_OPTION, CLI_END_OF_OPTIONS};

const char *const cli_lookup_inherited[] = {"FREEPORT_SEGMENT_OWNER", NULL};

enum { PAUSE_MS = 50, LONGEST_WAIT = 86400 };

/* Notes a session that has a live server for the sentinel. */
static int add_session(const struct freeport_assignment *assignment, void *context) {
    struct cli_lookup *search = context;
    if (assignment->protocol != search->protocol || assignment->requested != search->sentinel ||
        assignment->state == FREEPORT_EXPLICIT || !assignment->alive)
        return 0;
    bool own = strcmp(assignment->session, search->worktrees) == 0;
    if (search->worktree || (search->sessions > 0 && strcmp(assignment->session, search->session) == 0))
        return 0;
    search->worktree = own;
    search->sessions++;
    search->port = assignment->port;
    snprintf(search->session, sizeof search->session, "%s", assignment->session);
    size_t length = strlen(search->names);
    snprintf(search->names + length, sizeof search->names - length, "%s%s", length ? ", " : "", assignment->session);
    return 0;
}

/* Looks in the named session; without one in the worktree's, else in the only session that has the sentinel. */
static void look(struct freeport *fp, struct cli_lookup *search) {
    search->port = 0;
    search->sessions = 0;
    search->worktree = false;
    search->names[0] = 0;
    if (!fp)
        return;
    if (search->given) {
        fp_text_set(&fp->session, search->given);
        fp->has_session = true;
        snprintf(search->session, sizeof search->session, "%s", search->given);
        if (freeport_lookup(fp, search->protocol, search->sentinel, &search->port) != 0)
            search->port = 0;
        return;
    }
    freeport_each(fp, add_session, search);
    if (!search->worktree && search->sessions > 1)
        search->port = 0;
}

/* True if a server holds the port: a TCP listener, or an unconnected UDP socket. */
static bool served(const struct cli_lookup *search) {
    struct cli_sockets *sockets = cli_sockets_read();
    size_t count;
    bool found = false;
    const struct cli_socket *held = cli_sockets_on(sockets, search->protocol, search->port, &count);
    for (size_t i = 0; i < count; i++)
        found |= held[i].listens;
    cli_sockets_free(sockets);
    return found;
}

static int complain(const struct cli_lookup *search, const char *verb) {
    const char *protocol = cli_protocol_name(search->protocol);
    if (search->sessions > 1) {
        cli_error("%s: %u/%s: %u sessions have it: %s; name one in --session", verb, search->sentinel, protocol,
                  search->sessions, search->names);
        return CLI_USAGE;
    }
    if (search->given)
        cli_error("session '%s' has no port for %u/%s; freeport list shows what there is", search->given,
                  search->sentinel, protocol);
    else
        cli_error("no session has a server for %u/%s; freeport list shows what there is, --wait SECONDS waits for it",
                  search->sentinel, protocol);
    return CLI_FAILED;
}

/* Looks for the port; with --wait, until a server has bound it or the time is over. */
static int find(const struct fp_settings *settings, struct cli_lookup *search, const char *verb, long wait) {
    int64_t until = fp_now_ms() + wait * 1000;
    for (;;) {
        struct freeport *fp;
        int code = cli_open(settings, false, &fp);
        if (code != CLI_OK)
            return code;
        look(fp, search);
        cli_close(fp);
        if (search->port != 0 && (wait < 0 || served(search)))
            return CLI_OK;
        if (wait < 0 || (search->sessions > 1 && !search->worktree))
            return complain(search, verb);
        if (fp_now_ms() >= until) {
            cli_error("%s: --wait %ld: nothing has bound %u/%s%s%s in that time; freeport list shows what there is",
                      verb, wait, search->sentinel, cli_protocol_name(search->protocol),
                      search->given ? " in session " : "", search->given ? search->given : "");
            return CLI_TIMED_OUT;
        }
        poll(NULL, 0, PAUSE_MS);
    }
}

/* Finds the session that option, environment or file name; without one, the worktree's. */
static int name_sessions(struct cli_call *call, const struct fp_settings *settings, struct cli_lookup *search) {
    enum cli_origin origin;
    struct cli_session session;
    struct freeport *fp;
    struct fp_segment_facts facts;
    const char *given = cli_given(call, "FREEPORT_SESSION", &origin);
    bool automatic = given && strcmp(given, "auto") == 0;
    search->given = automatic ? NULL : given;
    if (search->given)
        return CLI_OK;
    int code = cli_open_with(settings, false, &fp, &facts);
    if (code != CLI_OK)
        return code;
    struct cli_world world = {settings, &facts};
    code = cli_worktree_session(&session, fp ? &world : NULL);
    cli_close(fp);
    if (code == CLI_OK)
        memcpy(search->worktrees, session.name, sizeof session.name);
    if (automatic)
        search->given = search->worktrees;
    return code;
}

int cli_look_up(struct cli_call *call, struct cli_lookup *search) {
    const char *verb = call->verb->name, *wait = cli_value(call, "wait");
    struct fp_settings settings;
    long seconds = -1;
    search->protocol = FREEPORT_TCP;
    if (call->operands != 1) {
        cli_error("%s: expected one SENTINEL[/tcp|/udp]; see freeport %s --help", verb, verb);
        return CLI_USAGE;
    }
    if (!cli_sentinel(call->operand[0], &search->sentinel, &search->protocol))
        return cli_bad_value(verb, call->operand[0], "SENTINEL[/tcp|/udp], 1 to 65535");
    if (wait && !cli_number(wait, 0, LONGEST_WAIT, &seconds))
        return cli_bad_value("--wait", wait, "seconds, 0 to 86400");
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    int code = name_sessions(call, &settings, search);
    return code == CLI_OK ? find(&settings, search, verb, seconds) : code;
}
