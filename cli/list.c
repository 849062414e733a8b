/* SPDX-License-Identifier: MIT */
/* freeport list: the table of assignments, and what has become of each. */
#include "assign.h"
#include "cli.h"

#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

static const struct cli_option options[] = {
    {"json", 'J', NULL, NULL, "print JSON; AGE in seconds"},
    {"raw", 'r', NULL, NULL, "print fields with one space between, blanks as \\x20"},
    {"noheadings", 'n', NULL, NULL, "print no column heads"},
    {"output", 'o', "COLUMNS", NULL, "print these, with commas; +COLUMNS: these as well"},
    CLI_SEGMENT_OPTION,
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_SEGMENT_OWNER", NULL};

enum column { PROTO, PORT, SENTINEL, NAME, SESSION, PID, COMMAND, STATE, AGE, ADDRESS, SINCE, COLUMNS };

#define DEFAULT_COLUMNS "PROTO,PORT,SENTINEL,NAME,SESSION,PID,COMMAND,STATE,AGE,ADDRESS"
#define EXPECTED_COLUMNS "some of " DEFAULT_COLUMNS ",SINCE, with commas"

static const struct {
    const char *name;
    int flags;
    int json;
} columns[COLUMNS] = {
    [PROTO] = {"PROTO", 0, SCOLS_JSON_STRING},
    [PORT] = {"PORT", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER},
    [SENTINEL] = {"SENTINEL", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER},
    [NAME] = {"NAME", 0, SCOLS_JSON_STRING},
    [SESSION] = {"SESSION", 0, SCOLS_JSON_STRING},
    [PID] = {"PID", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER},
    [COMMAND] = {"COMMAND", 0, SCOLS_JSON_STRING},
    [STATE] = {"STATE", 0, SCOLS_JSON_STRING},
    [AGE] = {"AGE", SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER},
    [ADDRESS] = {"ADDRESS", 0, SCOLS_JSON_STRING},
    [SINCE] = {"SINCE", 0, SCOLS_JSON_STRING},
};

struct listing {
    struct libscols_table *table;
    struct cli_sockets *sockets;
    enum column chosen[64];
    size_t count;
    struct stat segment; /* zeroed where there is none */
    bool json;
    int64_t now;
};

/* An assignment, and what tells the processes that share its segment. */
struct question {
    const struct freeport_assignment *assignment;
    dev_t device;
    ino_t inode;
};

/* Whether a process that holds an assigned port does so by freeport's leave. */
static bool belongs(pid_t holder, const void *context) {
    const struct question *question = context;
    if (question->assignment->alive && cli_descends(holder, question->assignment->pid))
        return true;
    /*
     * The owner is gone, or the socket was passed on: a daemon's child keeps its parent's port, and nothing in /proc
     * tells whose child it was. Whoever has the segment mapped got the port out of the table (lib/holder.h).
     */
    return question->inode != 0 && cli_has_mapped(holder, question->device, question->inode);
}

/* Where another user's process can't be looked into, a socket of the owner's user counts as the owner's. */
static bool may_belong(struct cli_sockets *sockets, const struct cli_socket *held,
                       const struct freeport_assignment *assignment) {
    return assignment->alive && held->user == cli_user_of(assignment->pid) && !cli_socket_seen(sockets, held);
}

/*
 * The truth of the moment:
 *   bound     somebody who came by it through freeport holds it
 *   stranger  somebody else does
 *   reserved  nobody does, and it is kept for a process that is there
 *   free      nobody does. sockets.c says what is not seen: on Linux before 6.8 a TCP socket between its bind and its
 *             listen is shown as free too
 */
static const char *state_of(const struct listing *listing, const struct freeport_assignment *assignment) {
    struct cli_sockets *sockets = listing->sockets;
    struct question question = {assignment, listing->segment.st_dev, listing->segment.st_ino};
    size_t count;
    const struct cli_socket *held = cli_sockets_on(sockets, assignment->protocol, assignment->port, &count);
    for (size_t i = 0; i < count; i++)
        if (cli_socket_held_by(sockets, &held[i], belongs, &question) || may_belong(sockets, &held[i], assignment))
            return "bound";
    if (count > 0)
        return "stranger";
    bool kept = assignment->state == FREEPORT_RESERVED || assignment->state == FREEPORT_PLEDGED;
    return kept && assignment->alive ? "reserved" : "free";
}

__attribute__((format(printf, 1, 2))) static char *formatted(const char *format, ...) {
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return cli_need(text);
}

static char *age_of(int64_t seconds, bool exact) {
    if (seconds < 0) /* the clock was set back */
        seconds = 0;
    if (exact)
        return formatted("%lld", (long long)seconds);
    if (seconds < 60)
        return formatted("%llds", (long long)seconds);
    if (seconds < 60 * 60)
        return formatted("%lldm", (long long)seconds / 60);
    if (seconds < 24 * 60 * 60)
        return formatted("%lldh", (long long)seconds / (60 * 60));
    return formatted("%lldd", (long long)seconds / (24 * 60 * 60));
}

static char *date_of(int64_t since) {
    char text[64] = "";
    struct tm parts;
    time_t seconds = (time_t)since;
    if (localtime_r(&seconds, &parts))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &parts);
    return cli_need(strdup(text));
}

/* A cell's text, to be freed; "" where there is nothing to say, which is null in JSON. */
static char *cell(const struct listing *listing, const struct freeport_assignment *assignment, enum column column) {
    switch (column) {
    case PROTO:
        return formatted("%s", cli_protocol_name(assignment->protocol));
    case PORT:
        return formatted("%u", assignment->port);
    case SENTINEL: /* one that was asked for by its number stands for nothing else */
        if (assignment->requested == 0 || assignment->state == FREEPORT_EXPLICIT)
            return formatted("%s", "");
        return formatted("%u", assignment->requested);
    case NAME:
        return formatted("%s", assignment->name);
    case SESSION:
        return formatted("%s", assignment->session);
    case PID:
        return formatted("%d", (int)assignment->pid);
    case COMMAND:
        return assignment->alive ? cli_command_of(assignment->pid) : formatted("%s", "");
    case STATE:
        return formatted("%s", state_of(listing, assignment));
    case AGE:
        return age_of(listing->now - assignment->since, listing->json);
    case ADDRESS:
        return formatted("%s", assignment->address);
    case SINCE:
        return date_of(assignment->since);
    case COLUMNS:
        break;
    }
    return formatted("%s", "");
}

static int add_line(const struct freeport_assignment *assignment, void *context) {
    const struct listing *listing = context;
    struct libscols_line *line = cli_need(scols_table_new_line(listing->table, NULL));
    for (size_t i = 0; i < listing->count; i++) {
        char *text = cell(listing, assignment, listing->chosen[i]);
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
    return 0;
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
    choose_all(listing, DEFAULT_COLUMNS);
    return !list || choose_all(listing, list + 1);
}

static void make_table(struct listing *listing, const struct cli_call *call) {
    listing->table = cli_need(scols_new_table());
    if (scols_table_set_name(listing->table, "assignments") != 0)
        cli_need(NULL);
    scols_table_enable_json(listing->table, listing->json);
    scols_table_enable_raw(listing->table, cli_value(call, "raw") != NULL);
    scols_table_enable_noheadings(listing->table, cli_value(call, "noheadings") != NULL);
    for (size_t i = 0; i < listing->count; i++) {
        enum column column = listing->chosen[i];
        struct libscols_column *made =
            cli_need(scols_table_new_column(listing->table, columns[column].name, 0, columns[column].flags));
        scols_column_set_json_type(made, columns[column].json);
    }
}

static void find_segment(const struct freeport *fp, struct stat *st) {
    char path[sizeof "/dev/shm" + sizeof fp->facts.name];
    snprintf(path, sizeof path, "/dev/shm%s", fp->facts.name);
    if (stat(path, st) != 0)
        *st = (struct stat){0};
}

static int list(struct cli_call *call) {
    struct listing listing = {.json = cli_value(call, "json") != NULL, .now = time(NULL)};
    struct fp_settings settings;
    struct freeport *fp;
    if (call->operands > 0)
        return cli_bad_value("list", call->operand[0], "no operand; see freeport list --help");
    if (listing.json && cli_value(call, "raw"))
        return cli_bad_value("list", "--json --raw", "one of them");
    if (!choose_columns(&listing, cli_value(call, "output")))
        return cli_bad_value("--output", cli_value(call, "output"), EXPECTED_COLUMNS);
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    int code = cli_open(&settings, false, &fp);
    if (code != CLI_OK)
        return code;

    make_table(&listing, call);
    listing.sockets = cli_sockets_read();
    if (fp) {
        find_segment(fp, &listing.segment);
        freeport_each(fp, add_line, &listing);
    }
    scols_print_table(listing.table);

    cli_sockets_free(listing.sockets);
    scols_unref_table(listing.table);
    cli_close(fp);
    return CLI_OK;
}

const struct cli_verb cli_list = {
    .name = "list",
    .synopsis = "[options]",
    .summary = "Lists every assignment of the segment, whatever its name and session.",
    .options = options,
    .inherited = inherited,
    .notes = "Columns: PROTO PORT SENTINEL NAME SESSION PID COMMAND STATE AGE ADDRESS, and\n"
             "SINCE with -o. STATE as it is now:\n"
             "  bound     held by its owner or somebody who came by it through freeport\n"
             "  reserved  kept for its owner, nobody holds it\n"
             "  free      nobody holds it\n"
             "  stranger  held by a program that knows nothing of freeport\n"
             "Exit: 0 done (an empty list too), 2 usage, 5 segment can't be used.\n",
    .run = list,
};
