/* SPDX-License-Identifier: MIT */
/*
 * What the verbs of freeport(1) share. A verb is a table of options and a function; parsing, --help and the variables
 * that are set all come from the table, so that none of them can disagree with another.
 */
#ifndef FREEPORT_CLI_H
#define FREEPORT_CLI_H

#include "freeport.h"
#include "settings.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit codes, as the manual has them. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* whatever has no code of its own */
    CLI_USAGE = 2,
    CLI_NO_PORT = 3,
    CLI_TIMED_OUT = 4,
    CLI_NO_SEGMENT = 5,
    CLI_CANNOT_START = 125, /* these three as env(1) */
    CLI_NOT_EXECUTABLE = 126,
    CLI_NOT_FOUND = 127,
};

/* The range of whoever gives none: below Linux's own ephemeral ports, which start at 32768. */
#define CLI_DEFAULT_RANGE "20000-32767"

struct cli_option {
    const char *name;     /* without its dashes */
    char letter;          /* 0: none */
    const char *argument; /* as the help shows it; NULL: it takes none */
    const char *variable; /* the variable it stands for; NULL: it is the verb's own */
    const char *help;
};

enum { CLI_OPTIONS_MAX = 24 };

struct cli_call;

struct cli_verb {
    const char *name;
    const char *synopsis; /* what follows the name */
    const char *summary;
    const struct cli_option *options;  /* up to one without a name */
    const char *const *inherited;      /* variables that count besides those of its options, up to a NULL; NULL: none */
    const char *notes;                 /* the end of the help */
    bool command;                      /* the first operand begins a command, whose options are its own */
    int (*run)(struct cli_call *call); /* returns the exit code */
};

/* A command line, taken apart. */
struct cli_call {
    const struct cli_verb *verb;
    const char *values[CLI_OPTIONS_MAX]; /* by place in verb->options; NULL: not given; "1" where it takes none */
    int operands;
    char **operand; /* ends with a NULL */
};

extern const struct cli_verb cli_run, cli_get, cli_list, cli_port, cli_release;

/* Options that several verbs have in common. */
#define CLI_TCP_OPTION                                                                                                 \
    { "tcp", 0, "RANGE", "FREEPORT_TCP", "TCP ports to assign: FROM-TO or PORT, with commas" }
#define CLI_UDP_OPTION                                                                                                 \
    { "udp", 0, "RANGE", "FREEPORT_UDP", "UDP ports; with neither range: " CLI_DEFAULT_RANGE " for both" }
#define CLI_NAME_OPTION                                                                                                \
    { "name", 0, "NAME", "FREEPORT_NAME", "use the sequence of that name (default)" }
#define CLI_SEGMENT_OPTION                                                                                             \
    { "segment", 0, "/NAME", "FREEPORT_SEGMENT", "use that shared segment, not the user's own" }
#define CLI_HELP_OPTION                                                                                                \
    { "help", 'h', NULL, NULL, "print this and exit" }
#define CLI_END_OF_OPTIONS                                                                                             \
    { NULL, 0, NULL, NULL, NULL }

/* options.c */

/*
 * Takes argv, whose first word is the verb, apart. True where the verb has to be run; else *code is the exit code, help
 * was printed or the error was.
 */
bool cli_parse(const struct cli_verb *verb, int argc, char **argv, struct cli_call *call, int *code);

/* The value of an option; NULL where it was not given. */
const char *cli_value(const struct cli_call *call, const char *option);

/* Gives an option a value, or takes it away with NULL, as if the command line had. The string has to stay. */
void cli_set_value(struct cli_call *call, const char *option, const char *value);

/* The option that stands for a variable, where it was given; else NULL. */
const struct cli_option *cli_given_for(const struct cli_call *call, const char *variable);

/* message.c */

/* One line to standard error, "freeport: " first; what would break the line or the terminal is written as \xNN. */
__attribute__((format(printf, 1, 2))) void cli_error(const char *format, ...);

/* A usage error. `where`: an option with its dashes, a variable or a verb. Returns CLI_USAGE. */
int cli_bad_value(const char *where, const char *value, const char *expected);

/* Malformed UTF-8 replaced by U+FFFD. To be freed; NULL without memory. */
char *cli_valid_utf8(const char *text);

/* Without memory there is nothing to be done but to say so and end. Returns what it is given. */
void *cli_need(void *memory);

/* config.c */

/*
 * The settings of a call: option, else environment, else default. Only variables that the verb knows count; where they
 * give no range, both are CLI_DEFAULT_RANGE, which *default_range, where not NULL, tells. False after an error.
 */
bool cli_settings(const struct cli_call *call, struct fp_settings *settings, bool *default_range);

/* The index of a protocol in the settings and the table. */
static inline unsigned cli_protocol_index(enum freeport_protocol protocol) {
    return protocol == FREEPORT_TCP ? FP_TCP : FP_UDP;
}

/* A whole decimal number from..to and nothing else. */
bool cli_number(const char *text, long from, long to, long *number);

/* "tcp" or "udp". */
bool cli_protocol(const char *text, enum freeport_protocol *protocol);

static inline const char *cli_protocol_name(enum freeport_protocol protocol) {
    return protocol == FREEPORT_TCP ? "tcp" : "udp";
}

/* process.c: what /proc says. Everything is a moment old, and a process may be gone: then it is 0, false or "". */

pid_t cli_parent_of(pid_t pid);

/* Whether pid is ancestor or has come from it. */
bool cli_descends(pid_t pid, pid_t ancestor);

/*
 * For whom `freeport get` reserves: the parent of this process. Where that is a subshell, which ends with the command
 * substitution or pipeline it was made for, the shell it was made by: a child that is its parent over again.
 */
pid_t cli_caller(void);

/* The command's name; to be freed. */
char *cli_command_of(pid_t pid);

/* The user whose process it is; (uid_t)-1: unknown. */
uid_t cli_user_of(pid_t pid);

/* Whether it has a file mapped, as far as we may look. */
bool cli_has_mapped(pid_t pid, dev_t device, ino_t inode);

/* sockets.c */

struct cli_socket {
    enum freeport_protocol protocol;
    uint16_t port;
    uid_t user;
    ino_t inode;
};

struct cli_sockets;

/* All sockets of this network namespace that somebody holds. Never NULL. */
struct cli_sockets *cli_sockets_read(void);
void cli_sockets_free(struct cli_sockets *sockets);

/* Those on a port: the first of *count. */
const struct cli_socket *cli_sockets_on(const struct cli_sockets *sockets, enum freeport_protocol protocol,
                                        uint16_t port, size_t *count);

/* Asks about every process that has the socket open, as far as we may look, until one is the one. */
bool cli_socket_held_by(struct cli_sockets *sockets, const struct cli_socket *held,
                        bool (*is_it)(pid_t holder, const void *context), const void *context);

/* Whether anybody was seen who has it open. */
bool cli_socket_seen(struct cli_sockets *sockets, const struct cli_socket *held);

/* open.c */

/*
 * Opens the handle that the settings describe. `create`: whether a segment is made where there is none; without it,
 * *fp is NULL then. Returns CLI_OK or, after an error, an exit code.
 */
int cli_open(const struct fp_settings *settings, bool create, struct freeport **fp);
void cli_close(struct freeport *fp);

/* release.c */

/*
 * freeport_release() for a process that need not be the caller; *holder, where not NULL, receives the owner.
 * -ENOENT, -EPERM.
 */
int cli_give_up(struct freeport *fp, enum freeport_protocol protocol, uint16_t port, pid_t *holder);

/* shim.c */

enum { CLI_SHIM_BYTES = 4096 };

/* The shim's absolute path. False after an error. */
bool cli_find_shim(char path[static CLI_SHIM_BYTES]);

/* LD_PRELOAD with the shim behind what is there already. To be freed. */
char *cli_preload(const char *existing, const char *shim);

#endif
