/* SPDX-License-Identifier: MIT */
/* freeport list: the table of assignments, and what has become of each. */
#include "assign.h"
#include "cli.h"
#include "session.h"

#include <errno.h>
#include <libsmartcols.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"all", 'a', NULL, NULL, "list ports that nothing holds, too"},
    {"session", 0, "NAME", NULL, "list that session alone; auto: the worktree's"},
    {"json", 'J', NULL, NULL, "print JSON; AGE in seconds"},
    {"raw", 'r', NULL, NULL, "print fields with one space between, blanks as \\x20"},
    {"noheadings", 'n', NULL, NULL, "print no column heads"},
    {"follow", 'f', NULL, NULL, "go on with each new assignment as it comes"},
    {"output", 'o', "COLUMNS", NULL, "print these, with commas; +COLUMNS: these as well"},
    CLI_CONFIG_OPTION,
    CLI_SEGMENT_OPTION,
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_SEGMENT_OWNER", NULL};

enum { FOLLOW_WIDTH = 1000 };

enum column {
    PROTO,
    PORT,
    SENTINEL,
    NAME,
    SESSION,
    PID,
    COMMAND,
    STATE,
    AGE,
    ADDRESS,
    DIRECTORY,
    CMDLINE,
    SINCE,
    COLUMNS
};

/* For people, and for programs. */
#define DEFAULT_COLUMNS "SENTINEL,PROTO,PORT,SESSION,PID,STATE,AGE,DIRECTORY,CMDLINE"
#define OLD_COLUMNS "PROTO,PORT,SENTINEL,NAME,SESSION,PID,COMMAND,STATE,AGE,ADDRESS"
#define EXPECTED_COLUMNS "some of " OLD_COLUMNS ",DIRECTORY,CMDLINE,SINCE, with commas"

/*
 * What may be cut off where a terminal is narrower is SCOLS_FL_TRUNC. `width`: where lines are printed as they come,
 * and those before can't be made to fit.
 */
static const struct {
    const char *name;
    int flags;
    int json;
    double width;
} columns[COLUMNS] = {
    [PROTO] = {"PROTO", 0, SCOLS_JSON_STRING, 6},
    [PORT] = {"PORT", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER, 6},
    [SENTINEL] = {"SENTINEL", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER, 9},
    [NAME] = {"NAME", SCOLS_FL_TRUNC, SCOLS_JSON_STRING, 13},
    [SESSION] = {"SESSION", SCOLS_FL_TRUNC, SCOLS_JSON_STRING, 27},
    [PID] = {"PID", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER, 8},
    [COMMAND] = {"COMMAND", SCOLS_FL_TRUNC, SCOLS_JSON_STRING, 16},
    [STATE] = {"STATE", 0, SCOLS_JSON_STRING, 9},
    [AGE] = {"AGE", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER, 4},
    [ADDRESS] = {"ADDRESS", SCOLS_FL_TRUNC, SCOLS_JSON_STRING, 10},
    [DIRECTORY] = {"DIRECTORY", SCOLS_FL_TRUNC, SCOLS_JSON_STRING, 25},
    [CMDLINE] = {"CMDLINE", SCOLS_FL_TRUNC, SCOLS_JSON_STRING, 40},
    [SINCE] = {"SINCE", 0, SCOLS_JSON_STRING, 25},
};

struct listing {
    struct libscols_table *table;
    struct cli_sockets *sockets;
    enum column chosen[64];
    size_t count;
    struct cli_segment_id segment;
    bool json, raw, headings, follow;
    bool all;            /* ports that nothing holds, too */
    const char *session; /* NULL: any */
    int64_t now;
    struct freeport_assignment *rows; /* their strings are copies */
    size_t row_count, lines;
    struct freeport *fp; /* NULL: there is no segment */
    struct told *told;   /* --follow: by protocol and port */
};

static const char *const states[] = {
    [CLI_BOUND] = "bound", [CLI_RESERVED] = "reserved", [CLI_FREE] = "free", [CLI_TAKEN] = "taken"};

static char *age_of(int64_t seconds, bool exact) {
    if (seconds < 0) /* the clock was set back */
        seconds = 0;
    if (exact)
        return cli_text("%lld", (long long)seconds);
    if (seconds < 60)
        return cli_text("%llds", (long long)seconds);
    if (seconds < 60 * 60)
        return cli_text("%lldm", (long long)seconds / 60);
    if (seconds < 24 * 60 * 60)
        return cli_text("%lldh", (long long)seconds / (60 * 60));
    return cli_text("%lldd", (long long)seconds / (24 * 60 * 60));
}

static char *date_of(int64_t since) {
    char text[64] = "";
    struct tm parts;
    time_t seconds = (time_t)since;
    if (localtime_r(&seconds, &parts))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &parts);
    return cli_need(strdup(text));
}

/* The table is read before the sockets: what is bound in between is not listed, and never as one that nobody holds. */
static int add_row(const struct freeport_assignment *assignment, void *context) {
    struct listing *listing = context;
    if (listing->session && strcmp(assignment->session, listing->session) != 0)
        return 0;
    struct freeport_assignment row = *assignment;
    row.address = cli_text("%s", assignment->address);
    row.name = cli_text("%s", assignment->name);
    row.session = cli_text("%s", assignment->session);
    listing->rows = cli_need(reallocarray(listing->rows, listing->row_count + 1, sizeof *listing->rows));
    listing->rows[listing->row_count++] = row;
    return 0;
}

static void drop_rows(struct listing *listing) {
    for (size_t i = 0; i < listing->row_count; i++) {
        free((char *)listing->rows[i].address);
        free((char *)listing->rows[i].name);
        free((char *)listing->rows[i].session);
    }
    free(listing->rows);
    listing->rows = NULL;
    listing->row_count = 0;
}

/* The table knows where the port was bound first. The kernel knows where it is bound now. */
static char *address_of(const struct listing *listing, const struct freeport_assignment *assignment,
                        enum cli_state state) {
    char *now = state == CLI_BOUND ? cli_addresses_on(listing->sockets, assignment->protocol, assignment->port) : NULL;
    if (now && *now)
        return now;
    free(now);
    return cli_text("%s", assignment->address);
}

/*
 * A cell's text, to be freed; "" where there is nothing to say, which is null in JSON. `there`: the process that is
 * there of those that the assignment is about; 0: none.
 */
static char *cell(const struct listing *listing, const struct freeport_assignment *assignment, enum cli_state state,
                  pid_t there, enum column column) {
    switch (column) {
    case PROTO:
        return cli_text("%s", cli_protocol_name(assignment->protocol));
    case PORT:
        return cli_text("%u", assignment->port);
    case SENTINEL: /* one that was asked for by its number stands for nothing else */
        if (assignment->requested == 0 || assignment->state == FREEPORT_EXPLICIT)
            return cli_text("%s", "");
        return cli_text("%u", assignment->requested);
    case NAME:
        return cli_text("%s", assignment->name);
    case SESSION:
        return cli_text("%s", assignment->session);
    case PID:
        return cli_text("%d", (int)(there ? there : assignment->pid));
    case COMMAND:
        return there ? cli_command_of(there) : cli_text("%s", "");
    case STATE:
        return cli_text("%s", states[state]);
    case AGE:
        return age_of(listing->now - assignment->since, listing->json);
    case ADDRESS:
        return address_of(listing, assignment, state);
    case DIRECTORY:
        return there ? cli_directory_of(there) : cli_text("%s", "");
    case CMDLINE:
        return there ? cli_cmdline_of(there) : cli_text("%s", "");
    case SINCE:
        return date_of(assignment->since);
    case COLUMNS:
        break;
    }
    return cli_text("%s", "");
}

/* Closed, or kept for a server that has not come: the other protocol's half of a sentinel, say. */
static bool idle(const struct freeport_assignment *assignment, enum cli_state state) {
    return state == CLI_FREE || (state == CLI_RESERVED && assignment->requested != 0);
}

static void add_line(struct listing *listing, const struct freeport_assignment *assignment) {
    pid_t holder;
    enum cli_state state = cli_state_of(listing->sockets, &listing->segment, assignment, &holder);
    if (!listing->all && idle(assignment, state))
        return;
    /* A daemon's parent is gone: who goes on with its port is what people want to know. */
    pid_t there = assignment->alive ? assignment->pid : holder;
    struct libscols_line *line = cli_need(scols_table_new_line(listing->table, NULL));
    for (size_t i = 0; i < listing->count; i++) {
        char *text = cell(listing, assignment, state, there, listing->chosen[i]);
        /*
         * A process gives itself any name it likes. In the table, and raw, libsmartcols writes what is not printable as
         * \xNN; in JSON it escapes quotes and control characters but hands on bytes that are no UTF-8.
         */
        char *valid = cli_need(cli_valid_utf8(text));
        if (scols_line_set_data(line, i, listing->json ? valid : text) != 0)
            cli_need(NULL);
        free(valid);
        free(text);
    }
    listing->lines++;
}

static bool choose(struct listing *listing, const char *name, size_t length) {
    for (size_t i = 0; i < COLUMNS; i++) {
        if (strlen(columns[i].name) == length && strncasecmp(columns[i].name, name, length) == 0) {
            if (listing->count == sizeof listing->chosen / sizeof listing->chosen[0])
                return false;
            listing->chosen[listing->count++] = (enum column)i;
            return true;
        }
    }
    return false;
}

static bool choose_all(struct listing *listing, const char *list) {
    for (;;) {
        size_t length = strcspn(list, ",");
        if (!choose(listing, list, length))
            return false;
        list += length;
        if (*list++ == 0)
            return true;
    }
}

static bool choose_columns(struct listing *listing, const char *list) {
    if (list && *list != '+')
        return choose_all(listing, list);
    choose_all(listing, listing->json || listing->raw ? OLD_COLUMNS ",DIRECTORY,CMDLINE" : DEFAULT_COLUMNS);
    return !list || choose_all(listing, list + 1);
}

/* A session's name is there to be typed: it is cut off only where one of them is very long. */
static int flags_of(const struct listing *listing, enum column column) {
    enum { LONG_NAME = 32 };
    bool cut = column != SESSION;
    for (size_t i = 0; i < listing->row_count && !cut; i++)
        cut = strlen(listing->rows[i].session) > LONG_NAME;
    return cut ? columns[column].flags : 0;
}

static void make_table(struct listing *listing) {
    listing->table = cli_need(scols_new_table());
    if (scols_table_set_name(listing->table, "assignments") != 0)
        cli_need(NULL);
    scols_table_enable_json(listing->table, listing->json);
    scols_table_enable_raw(listing->table, listing->raw);
    if (listing->follow) { /* one line must not be fitted to another width than the next */
        scols_table_set_termforce(listing->table, SCOLS_TERMFORCE_ALWAYS);
        scols_table_set_termwidth(listing->table, FOLLOW_WIDTH);
    }
    scols_table_enable_noheadings(listing->table, !listing->headings);
    for (size_t i = 0; i < listing->count; i++) {
        enum column column = listing->chosen[i];
        int flags = flags_of(listing, column) | (listing->follow ? SCOLS_FL_STRICTWIDTH : 0);
        struct libscols_column *made = cli_need(scols_table_new_column(
            listing->table, columns[column].name, listing->follow ? columns[column].width : 0, flags));
        scols_column_set_json_type(made, columns[column].json);
    }
}

/* One table, of whatever `add` takes. */
static void print_table(struct listing *listing, struct freeport *fp,
                        int (*add)(const struct freeport_assignment *, void *)) {
    listing->now = time(NULL);
    listing->lines = 0;
    if (fp) {
        listing->segment = (struct cli_segment_id){fp->facts.device, fp->facts.inode};
        freeport_each(fp, add, listing);
    }
    make_table(listing);
    listing->sockets = cli_sockets_read();
    for (size_t i = 0; i < listing->row_count; i++)
        add_line(listing, &listing->rows[i]);
    drop_rows(listing);
    if (!listing->follow || listing->lines > 0)
        scols_print_table(listing->table);
    if (listing->lines > 0)
        listing->headings = false; /* those that follow need none */
    cli_sockets_free(listing->sockets);
    scols_unref_table(listing->table);
}

/* --follow: a look at memory, ten times a second; what has changed is printed. */

enum { FOLLOW_PAUSE_MS = 100 };

/* An entry as it was when it was told. */
struct told {
    fp_owner owner;
    fp_meaning meaning;
    uint32_t since;
};

static struct told entry_now(struct freeport *fp, unsigned protocol, unsigned port) {
    const struct fp_entry *entry = fp_entry_at(fp->segment, protocol, (uint16_t)port);
    return (struct told){.owner = atomic_load_explicit(&entry->owner, memory_order_relaxed),
                         .meaning = atomic_load_explicit(&entry->meaning, memory_order_relaxed),
                         .since = atomic_load_explicit(&entry->since, memory_order_relaxed)};
}

static bool same(const struct told *a, const struct told *b) {
    return a->owner == b->owner && a->meaning == b->meaning && a->since == b->since;
}

static int add_news(const struct freeport_assignment *assignment, void *context) {
    struct listing *listing = context;
    unsigned index = cli_protocol_index(assignment->protocol);
    struct told *before = &listing->told[index * FP_PORTS + assignment->port];
    struct told now = entry_now(listing->fp, index, assignment->port);
    if (same(before, &now))
        return 0;
    *before = now;
    return add_row(assignment, context);
}

/* Whether there is a new assignment. What has become free is no news. */
static bool news(struct listing *listing) {
    bool any = false;
    for (unsigned i = 0; i < FP_PROTOCOL_COUNT * FP_PORTS; i++) {
        struct told now = entry_now(listing->fp, i / FP_PORTS, i % FP_PORTS);
        if (same(&now, &listing->told[i]))
            continue;
        if (now.owner != 0 && fp_is_assignment(now.meaning))
            any = true;
        else
            listing->told[i] = now;
    }
    return any;
}

/* The segment that has the name now: there may be none yet, and a damaged one is replaced. */
static int follow_segment(struct listing *listing, const struct fp_settings *settings) {
    struct freeport *fp;
    struct stat st;
    char path[sizeof "/dev/shm" + sizeof listing->fp->facts.name];
    if (listing->fp) {
        snprintf(path, sizeof path, "/dev/shm%s", listing->fp->facts.name);
        if (stat(path, &st) == 0 && st.st_dev == listing->fp->facts.device && st.st_ino == listing->fp->facts.inode)
            return CLI_OK;
    }
    int code = cli_open(settings, false, &fp);
    if (code != CLI_OK || !fp)
        return code;
    cli_close(listing->fp);
    listing->fp = fp;
    memset(listing->told, 0, FP_PROTOCOL_COUNT * FP_PORTS * sizeof *listing->told);
    return CLI_OK;
}

/* Waits for the next look. Where nobody reads any more it ends as if it had printed: the next news may be far. */
static bool still_read(void) {
    struct pollfd out = {.fd = STDOUT_FILENO};
    if (poll(&out, 1, FOLLOW_PAUSE_MS) <= 0 || !(out.revents & (POLLERR | POLLHUP | POLLNVAL)))
        return true;
    raise(SIGPIPE);
    cli_error("standard output: %s", strerror(EPIPE)); /* SIGPIPE is ignored */
    return false;
}

/* Until a signal ends it, or nobody reads any more. What has ended is no news at the start, and is later on. */
static int follow(struct listing *listing, const struct fp_settings *settings) {
    listing->told = cli_need(calloc(FP_PROTOCOL_COUNT * FP_PORTS, sizeof *listing->told));
    do {
        int code = follow_segment(listing, settings);
        if (code != CLI_OK)
            return code;
        if (listing->fp && news(listing)) {
            print_table(listing, listing->fp, add_news);
            if (fflush(stdout) != 0)
                return CLI_FAILED;
        }
        listing->all = true;
    } while (still_read());
    return CLI_FAILED;
}

/* The session to list; "" for all. */
static int choose_session(struct cli_call *call, const struct fp_settings *settings, struct cli_session *session) {
    struct fp_segment_facts facts;
    struct freeport *fp;
    const char *given = cli_value(call, "session");
    if (!given)
        return CLI_OK;
    if (strcmp(given, "auto") != 0) {
        snprintf(session->name, sizeof session->name, "%s", given);
        return CLI_OK;
    }
    int code = cli_open_with(settings, false, &fp, &facts);
    if (code != CLI_OK)
        return code;
    struct cli_world world = {settings, &facts};
    code = cli_worktree_session(session, fp ? &world : NULL);
    cli_close(fp);
    return code;
}

static int list(struct cli_call *call) {
    struct listing listing = {.json = cli_value(call, "json") != NULL,
                              .raw = cli_value(call, "raw") != NULL,
                              .all = cli_value(call, "all") != NULL,
                              .headings = cli_value(call, "noheadings") == NULL,
                              .follow = cli_value(call, "follow") != NULL};
    struct fp_settings settings;
    struct cli_session session = {.directory = NULL};
    if (call->operands > 0)
        return cli_bad_value("list", call->operand[0], "no operand; see freeport list --help");
    if (listing.json && listing.raw)
        return cli_bad_value("list", "--json --raw", "one of them");
    if (!choose_columns(&listing, cli_value(call, "output")))
        return cli_bad_value("--output", cli_value(call, "output"), EXPECTED_COLUMNS);
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    int code = choose_session(call, &settings, &session);
    listing.session = session.name[0] ? session.name : NULL;
    if (code != CLI_OK)
        return code;
    if (listing.follow)
        code = follow(&listing, &settings);
    else if ((code = cli_open(&settings, false, &listing.fp)) == CLI_OK)
        print_table(&listing, listing.fp, add_row);
    cli_close(listing.fp);
    free(listing.told);
    return code;
}

const struct cli_verb cli_list = {
    .name = "list",
    .synopsis = "[options]",
    .summary = "Lists the servers, a line each, of every session.",
    .options = options,
    .inherited = inherited,
    .notes = "Columns: PROTO PORT SENTINEL NAME SESSION PID COMMAND STATE AGE ADDRESS\n"
             "DIRECTORY CMDLINE, and SINCE with -o. STATE as it is now:\n"
             "  bound     held by its owner or somebody who came by it through freeport\n"
             "  reserved  kept for its owner, nobody holds it\n"
             "  free      nobody holds it\n"
             "  taken     held by a program that knows nothing of freeport\n"
             "Exit: 0 done (an empty list too), 2 usage, 5 segment can't be used.\n",
    .run = list,
};
