/* SPDX-License-Identifier: MIT */
/*
 * freeport stop: ends what runs in a session. TERM to all at once, launchers above the servers too, or one of them
 * would start its server again; to those that come meanwhile as well; then KILL. Process ids come back, so each process
 * is held by a pidfd before it is looked at.
 */
#include "assign.h"
#include "cli.h"
#include "clock.h"
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"kill-after", 'k', "SECONDS", NULL, "send KILL to what is there after so long (10)"},
    CLI_CONFIG_OPTION,
    CLI_SEGMENT_OPTION,
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_SEGMENT_OWNER", "FREEPORT_SESSION", NULL};

enum { PAUSE_MS = 50, KILL_MS = 2000, LONGEST = 86400 };

struct process {
    pid_t pid;
    int fd;   /* a pidfd; -1: none is to be had */
    int sent; /* the last signal; 0: none */
};

struct stop {
    struct cli_world world;
    struct freeport *fp;
    const char *session;
    struct process *processes;
    size_t count, ended;
    bool refused; /* another user's */
};

static bool is_there(const struct process *process) {
    struct pollfd ended = {.fd = process->fd, .events = POLLIN};
    return process->fd >= 0 ? poll(&ended, 1, 0) == 0 : kill(process->pid, 0) == 0 || errno == EPERM;
}

/* Those that this call comes from are spared: a shell in the session, say. */
static void add(struct stop *stop, pid_t pid) {
    if (pid <= 1 || cli_descends(getpid(), pid))
        return;
    for (size_t i = 0; i < stop->count; i++)
        if (stop->processes[i].pid == pid && is_there(&stop->processes[i]))
            return;
    struct process process = {.pid = pid, .fd = (int)syscall(SYS_pidfd_open, pid, 0)};
    stop->processes = cli_need(reallocarray(stop->processes, stop->count + 1, sizeof process));
    stop->processes[stop->count++] = process;
}

static bool add_member(pid_t pid, const struct cli_environment *environment, void *context) {
    (void)environment;
    add(context, pid);
    return true;
}

/* Whoever has bound something in the session, also a process tree's first one, which made the name up. */
static int add_owner(const struct freeport_assignment *assignment, void *context) {
    struct stop *stop = context;
    if (assignment->alive && strcmp(assignment->session, stop->session) == 0)
        add(stop, assignment->pid);
    return 0;
}

/* A child with another environment. */
static bool add_child(pid_t pid, void *context) {
    struct stop *stop = context;
    for (size_t i = 0; i < stop->count; i++)
        if (is_there(&stop->processes[i]) && pid != stop->processes[i].pid &&
            cli_descends(pid, stop->processes[i].pid)) {
            add(stop, pid);
            break;
        }
    return true;
}

static void find(struct stop *stop) {
    cli_each_member(&stop->world, stop->session, add_member, stop);
    freeport_each(stop->fp, add_owner, stop);
    cli_each_process(add_child, stop);
}

/* How many are there still; they are sent the signal, unless they were. One that is stopped is to go on, and to end. */
static size_t send_all(struct stop *stop, int number) {
    size_t left = 0;
    for (size_t i = 0; i < stop->count; i++) {
        struct process *process = &stop->processes[i];
        if (!is_there(process))
            continue;
        left++;
        if (process->sent == number)
            continue;
        process->sent = number;
        bool sent = process->fd >= 0 ? syscall(SYS_pidfd_send_signal, process->fd, number, NULL, 0) == 0
                                     : kill(process->pid, number) == 0;
        if (!sent && errno == EPERM)
            stop->refused = true;
        else if (sent && process->fd >= 0)
            syscall(SYS_pidfd_send_signal, process->fd, SIGCONT, NULL, 0);
    }
    return left;
}

/* True where none is left. */
static bool end_all(struct stop *stop, int number, int64_t ms) {
    int64_t until = fp_now_ms() + ms;
    for (;;) {
        size_t known = stop->count;
        find(stop);
        /* One that ended may have started another just before: none is left when nothing new is found behind it. */
        if (send_all(stop, number) == 0 && stop->count == known)
            return true;
        if (fp_now_ms() >= until || stop->refused)
            return false;
        poll(NULL, 0, PAUSE_MS);
    }
}

static int stop_session(struct stop *stop, long seconds) {
    if (end_all(stop, SIGTERM, seconds * 1000) || (!stop->refused && end_all(stop, SIGKILL, KILL_MS))) {
        if (stop->count > 0)
            return CLI_OK;
        cli_error("session '%s': nothing runs in it; freeport list shows the sessions", stop->session);
        return CLI_FAILED;
    }
    cli_error("session '%s': %s; end them as their user, or as root", stop->session,
              stop->refused ? "some of its processes are another user's" : "some of its processes do not end");
    return CLI_FAILED;
}

static int stop(struct cli_call *call) {
    struct fp_settings settings;
    struct fp_segment_facts facts;
    struct cli_session session = {.directory = NULL};
    struct stop stop = {.world = {&settings, &facts}};
    const char *after = cli_value(call, "kill-after");
    enum cli_origin origin;
    long seconds = 10;
    if (call->operands > 1)
        return cli_bad_value("stop", call->operand[1], "one SESSION");
    if (after && !cli_number(after, 0, LONGEST, &seconds))
        return cli_bad_value("--kill-after", after, "seconds, 0 to 86400");
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    int code = cli_open_with(&settings, false, &stop.fp, &facts);
    stop.session = call->operand[0] ? call->operand[0] : cli_given(call, "FREEPORT_SESSION", &origin);
    if (code == CLI_OK && (!stop.session || strcmp(stop.session, "auto") == 0)) {
        code = cli_worktree_session(&session, stop.fp ? &stop.world : NULL);
        stop.session = session.name;
    }
    if (code == CLI_OK && !stop.fp) {
        cli_error("session '%s': nothing runs in it; there is no segment %s", stop.session, facts.name);
        code = CLI_FAILED;
    } else if (code == CLI_OK) {
        code = stop_session(&stop, seconds);
    }
    free(stop.processes);
    cli_close(stop.fp);
    return code;
}

const struct cli_verb cli_stop = {
    .name = "stop",
    .synopsis = "[options] [SESSION]",
    .summary = "Ends what runs in a session: TERM, then KILL.",
    .options = options,
    .inherited = inherited,
    .notes = "Servers, and the launchers above them (npm, nodemon). Without SESSION it is the\n"
             "one that this process is in, else the worktree's. Processes that this one comes\n"
             "from are spared.\n"
             "Exit: 0 ended, 1 nothing runs in it, or some could not be ended, 2 usage,\n"
             "5 segment can't be used.\n",
    .run = stop,
};
