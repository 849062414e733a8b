/* SPDX-License-Identifier: MIT */
/*
 * What the verbs of freeport(1) share. A verb is a table of options and a function; parsing, --help and the variables
 * that are set all come from the table, so that none of them can disagree with another.
 */
#ifndef FREEPORT_CLI_H
#define FREEPORT_CLI_H

#include "file.h"
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

enum { CLI_PATH_BYTES = 4096 };

struct cli_option {
    const char *name;     /* without its dashes */
    char letter;          /* 0: none */
    const char *argument; /* as the help shows it; NULL: it takes none */
    const char *variable; /* the variable it stands for; NULL: it is the verb's own */
    const char *help;     /* NULL: it shares the next one's */
};

enum { CLI_OPTIONS_MAX = 32 };

struct cli_call;

struct cli_verb {
    const char *name;
    const char *synopsis;              /* what follows the name */
    const char *summary;               /* NULL: it is not for people */
    const struct cli_option *options;  /* up to one without a name */
    const char *const *inherited;      /* variables that count besides those of its options, up to a NULL; NULL: none */
    const char *notes;                 /* the end of the help */
    const char *repeats;               /* the option that, given again, adds to its list; NULL: none */
    bool file_alone;                   /* settings come from options and the file, not from the environment */
    bool command;                      /* the first operand begins a command, whose options are its own */
    int (*run)(struct cli_call *call); /* returns the exit code */
};

/* A command line, taken apart. */
struct cli_call {
    const struct cli_verb *verb;
    const char *values[CLI_OPTIONS_MAX]; /* by place in verb->options; NULL: not given; "1" where it takes none */
    int operands;
    char **operand;   /* ends with a NULL */
    const char *name; /* an operand that is the name; NULL: there is none. Set by the verb */
    bool name_needs_section;
    struct fp_file *project; /* the project's own file, which comes before `file`; NULL: none */
    struct fp_file *file;    /* NULL: none. Filled in by cli_load_file(), and so is the section, which is the name */
    const char *section;
};

/* All verbs, up to a NULL. */
extern const struct cli_verb *const cli_verbs[];
extern const struct cli_verb cli_run, cli_get, cli_port, cli_url, cli_list, cli_stop, cli_serve, cli_release, cli_reset,
    cli_env, cli_learn, cli_doctor, cli_probe;

/* A verb that is none of the user's: `freeport doctor` runs it under the shim. */
#define CLI_PROBE "doctor-probe"

/* Options that several verbs have in common. */
#define CLI_TCP_OPTION                                                                                                 \
    { "tcp", 0, "RANGE", "FREEPORT_TCP", NULL }
#define CLI_UDP_OPTION                                                                                                 \
    { "udp", 0, "RANGE", "FREEPORT_UDP", "ports: FROM-TO or PORT, with commas (both " CLI_DEFAULT_RANGE ")" }
#define CLI_NAME_OPTION                                                                                                \
    { "name", 0, "NAME", "FREEPORT_NAME", "use the sequence of that name (default)" }
#define CLI_CONFIG_OPTION                                                                                              \
    { "config", 0, "FILE", "FREEPORT_CONFIG", "take the rest from that file's section of the name" }
#define CLI_SEGMENT_OPTION                                                                                             \
    { "segment", 0, "/NAME", "FREEPORT_SEGMENT", "use that shared segment, not the user's own" }
#define CLI_HELP_OPTION                                                                                                \
    { "help", 'h', NULL, NULL, NULL }
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

/* As asprintf(3), with memory to be freed. */
__attribute__((format(printf, 1, 2))) char *cli_text(const char *format, ...);

/* A word as a shell takes it: quoted where it has to be. To be freed. */
char *cli_shell_word(const char *word);

/* The text for a terminal: with \xNN for each byte of a control character, or of none. To be freed. */
char *cli_shown(const char *text);

/*
 * Makes up a session, KIND-PID-XXXXXXXX. Unique on this host without asking anybody: when the process id comes round,
 * it is not in the same nanosecond of four seconds. People read it in freeport list, so it is short.
 */
enum { CLI_SESSION_BYTES = 65 };
void cli_new_session(char session[static CLI_SESSION_BYTES], const char *kind, pid_t pid);

/* Ports as a range has them: "20000-20010,20020". To be freed. */
char *cli_ports(const struct fp_portset *set);

/* Malformed UTF-8 replaced by U+FFFD. To be freed; NULL without memory. */
char *cli_valid_utf8(const char *text);

/* Without memory there is nothing to be done but to say so and end. Returns what it is given. */
void *cli_need(void *memory);

/* value.c */

/* The index of a protocol in the settings and the table. */
static inline unsigned cli_protocol_index(enum freeport_protocol protocol) {
    return protocol == FREEPORT_TCP ? FP_TCP : FP_UDP;
}

/* A whole decimal number from..to and nothing else. */
bool cli_number(const char *text, long from, long to, long *number);

/* "tcp" or "udp". */
bool cli_protocol(const char *text, enum freeport_protocol *protocol);

/* "SENTINEL", or with "/tcp" or "/udp" behind it; *protocol stays where neither is. */
bool cli_sentinel(const char *text, uint16_t *sentinel, enum freeport_protocol *protocol);

static inline const char *cli_protocol_name(enum freeport_protocol protocol) {
    return protocol == FREEPORT_TCP ? "tcp" : "udp";
}

/* config.c */

/*
 * Reads the configuration file that counts, if any, and finds out which section does. Once; cli_settings() does it too.
 * False after an error.
 */
bool cli_load_file(struct cli_call *call);

/* What the files say of a variable (or of export, audit and quiet): the project's first; *file: which one. */
const struct fp_file_entry *cli_file_entry(const struct cli_call *call, const char *variable,
                                           const struct fp_file **file);

enum cli_origin { CLI_NOWHERE, CLI_OPTION, CLI_ENVIRONMENT, CLI_FILE };

/* What a call has for a variable: option, else environment, else file. Only for variables that the verb knows. */
const char *cli_given(const struct cli_call *call, const char *variable, enum cli_origin *origin);

/* Where that came from, for messages: the option, the line of the file, or the variable. To be freed. */
char *cli_where(const struct cli_call *call, const char *variable);

/*
 * The settings of a call. Where nothing gives a range, both are CLI_DEFAULT_RANGE, which *default_range, where not
 * NULL, tells. False after an error.
 */
bool cli_settings(struct cli_call *call, struct fp_settings *settings, bool *default_range);

/* project.c: the project's file; NULL where there is none that may be followed. False after an error. */
bool cli_find_project(struct fp_file **file, fp_file_complaint *complaint);

/* program.c: whether the shim can work in a program. */

struct cli_program {
    char path[CLI_PATH_BYTES]; /* as it was found along PATH; "" where there is none */
    char what[CLI_PATH_BYTES]; /* what it comes down to: a script's interpreter, else the program itself */
    const char *obstacle;      /* why the shim can't work in it; NULL where it can, or where nothing can be told */
    const char *remedy;
    bool wants_port; /* the remedy is to tell it a port, which --export does */
    bool filters;    /* the filter reaches it: the obstacle is one for LD_PRELOAD alone */
};

/* `command`: a name to look for, or a path, as execvp(3) takes it. */
void cli_look_at(const char *command, struct cli_program *program);

/* launcher.c: the same for what npx, npm run and their like start; false where `command` is none, or it can't be told.
 */
bool cli_look_through(char **command, struct cli_program *program);

/* Whether freeport run reaches it: by the preloaded library, or by the filter, where the launcher is installed. */
bool cli_is_covered(const struct cli_program *program);

/* What it is called in messages: a script with its interpreter. To be freed. */
char *cli_program_title(const struct cli_program *program);

/* process.c: what /proc says. Everything is a moment old, and a process may be gone: then it is 0, false or "". */

pid_t cli_parent_of(pid_t pid);

/* The process that a thread is of; the thread's own id where that can't be told. */
pid_t cli_process_of(pid_t thread);

/* Whether pid is ancestor or has come from it. */
bool cli_descends(pid_t pid, pid_t ancestor);

/*
 * For whom `freeport get` reserves: the parent of this process. Where that is a subshell, which ends with the command
 * substitution or pipeline it was made for, the shell it was made by: a child that is its parent over again.
 */
pid_t cli_caller(void);

/* The command's name; to be freed. */
char *cli_command_of(pid_t pid);

/* Its arguments, with blanks between them; the directory of its worktree, else its working one. To be freed. */
char *cli_cmdline_of(pid_t pid);
char *cli_directory_of(pid_t pid);

/* Set by `freeport run` where a session is the worktree's: the worktree's root. */
#define CLI_DIRECTORY "FREEPORT_DIRECTORY"

struct cli_environment {
    char *text; /* NAME=VALUE, each with its zero byte */
    size_t length;
};

/* What a process was started with; false where it is gone, or another user's. To be freed. */
bool cli_environment_read(pid_t pid, struct cli_environment *environment);
const char *cli_environment_value(const struct cli_environment *environment, const char *variable);
void cli_environment_free(struct cli_environment *environment);

/* The user whose process it is; (uid_t)-1: unknown. */
uid_t cli_user_of(pid_t pid);

/* Whether the shim is in it; *sure: whether that can be told. */
bool cli_has_shim(pid_t pid, bool *sure);

/* Whether LD_PRELOAD names the shim in what it was started with; *sure as above. */
bool cli_preloads_shim(pid_t pid, bool *sure);

/* Whether the kernel has told its dynamic linker to trust nobody: that ignores LD_PRELOAD then. */
bool cli_is_secure(pid_t pid);

/* Whether it has a file mapped, as far as we may look. */
bool cli_has_mapped(pid_t pid, dev_t device, ino_t inode);

/* sockets.c */

struct cli_socket {
    enum freeport_protocol protocol;
    uint16_t port;
    uid_t user;
    ino_t inode;
    bool listens;     /* TCP: listens; UDP: is connected to nobody */
    bool unconnected; /* it has the address that it was bound to, and no peer */
    sa_family_t family;
    unsigned char address[16]; /* network order, IPv4 in the first four bytes */
};

struct cli_sockets;

/* All sockets of this network namespace that somebody holds. Never NULL. */
struct cli_sockets *cli_sockets_read(void);
void cli_sockets_free(struct cli_sockets *sockets);

/*
 * Where the port is bound now, with commas: each address once, the sockets of connections left out. "" where nobody has
 * it. To be freed.
 */
char *cli_addresses_on(const struct cli_sockets *sockets, enum freeport_protocol protocol, uint16_t port);

/* In the order of protocols and ports. */
const struct cli_socket *cli_sockets_all(const struct cli_sockets *sockets, size_t *count);

/* Those on a port: the first of *count. */
const struct cli_socket *cli_sockets_on(const struct cli_sockets *sockets, enum freeport_protocol protocol,
                                        uint16_t port, size_t *count);

/* Asks about every process that has the socket open, as far as we may look, until one is the one. */
bool cli_socket_held_by(struct cli_sockets *sockets, const struct cli_socket *held,
                        bool (*is_it)(pid_t holder, const void *context), const void *context);

/* A process that has it open; 0: none was seen. */
pid_t cli_socket_holder(struct cli_sockets *sockets, const struct cli_socket *held);

/* Whether anybody was seen who has it open. */
bool cli_socket_seen(struct cli_sockets *sockets, const struct cli_socket *held);

/* The ports that the kernel takes for whoever asks for none: its ephemeral range. */
void cli_local_ports(uint16_t *from, uint16_t *to);

/* state.c */

/* The truth of the moment. */
enum cli_state {
    CLI_BOUND,    /* somebody who came by it through freeport holds it */
    CLI_RESERVED, /* nobody does, and it is kept for a process that is there */
    CLI_FREE,     /* nobody does */
    CLI_TAKEN,    /* a stranger holds it */
};

/* Which object the segment is: whoever has it mapped is one of ours. All zero: unknown. */
struct cli_segment_id {
    dev_t device;
    ino_t inode;
};

/* *holder: a process that holds it, by freeport's leave or without; 0: none was seen. */
enum cli_state cli_state_of(struct cli_sockets *sockets, const struct cli_segment_id *segment,
                            const struct freeport_assignment *assignment, pid_t *holder);

/* open.c */

/*
 * Opens the handle that the settings describe. `create`: whether a segment is made where there is none; without it,
 * *fp is NULL then. Returns CLI_OK or, after an error, an exit code.
 */
int cli_open(const struct fp_settings *settings, bool create, struct freeport **fp);

/* The same, and what was found, be there a handle or none. */
struct fp_segment_facts;
int cli_open_with(const struct fp_settings *settings, bool create, struct freeport **fp,
                  struct fp_segment_facts *facts);

void cli_close(struct freeport *fp);

/* The line and the exit code for a port that could not be had. */
int cli_no_port(const struct fp_settings *settings, enum freeport_protocol protocol, int error);

/* child.c */

/*
 * A command in a process of its own, for which this one stands: signals go on to it, with it this one stops, and its
 * end is this one's. It stays in the process group, so what the terminal sends it gets itself.
 */
struct cli_child {
    pid_t pid;
    int process; /* its pidfd; -1: none */
    int link;    /* to the supervisor between; -1: the command is a child of this process */
    int signals; /* to be polled, as `link` is: readable when cli_child_look() has something to do */
    bool ended;
    int status; /* as of waitpid(2), when it has ended */
};

/* Runs in the child before the command; false: the command is not started, with exit code 125. */
typedef bool cli_child_prepare(void *context);

/* CLI_OK once the command runs, or an exit code after an error: 126 and 127 where there is nothing to run, too. */
int cli_child_start(struct cli_child *child, char **command, cli_child_prepare *prepare, void *context);

/* Reads the signals that have come, and hands them on. */
void cli_child_look(struct cli_child *child);

/* The same, once there is something to do, or after timeout_ms (-1: no bound). */
void cli_child_wait(struct cli_child *child, int timeout_ms);

void cli_child_signal(const struct cli_child *child, int number);

/* Replaces this process by the command. Returns only if that fails: the exit code that env(1) has for it. */
int cli_become(char **command);

/* Ends as it has ended: the exit code, or no return where a signal ended it. */
int cli_child_end(const struct cli_child *child);

/* filter.c */

/* Why programs can't be put under the filter here, with the way out, to be freed; NULL where they can. */
char *cli_filter_obstacle(void);

/* supervise.c */

struct fp_supervisor;

/*
 * Starts the command below a supervisor, which serves programs that never call libc, and waits for it as
 * cli_child_start() does.
 */
int cli_supervise(struct cli_child *child, struct fp_supervisor *supervisor, char **command);

/* Lets go of the descriptors that the command was given: who waits for their end is not to wait for this process. */
void cli_let_go_of_descriptors(void);

/* audit.c: says, at the end of the command, what went past the shim. */

struct cli_audit;

/* Before the command is started: what listens then is not its own. */
struct cli_audit *cli_audit_begin(struct freeport *fp, const struct fp_settings *settings);

/* Watches until the command has ended, and tells. Frees the audit. */
void cli_audit_end(struct cli_audit *audit, struct cli_child *child);

/* reservation.c */

/*
 * freeport_release() for a process that need not be the caller; *holder, where not NULL, receives the owner.
 * -ENOENT, -EPERM.
 */
int cli_give_up(struct freeport *fp, enum freeport_protocol protocol, uint16_t port, pid_t *holder);

/* sweep.c */

/*
 * Removes this user's default segments that are out of use, those of network namespaces that are gone among them. `own`
 * is the name of one that is not considered, '/' first.
 */
void cli_sweep(const char *own);

/* shim.c */

enum { CLI_SHIM_BYTES = 4096 };

/*
 * What LD_PRELOAD is to name, an absolute path: where shims for several kinds of programs are installed, one by which
 * each program's loader finds its own. False after an error.
 */
bool cli_find_shim(char path[static CLI_SHIM_BYTES]);

/*
 * Whether a shim is there for a dynamic program: the class and the machine of its ELF header, and whether its C library
 * is musl. What cli_find_shim() finds is meant; nothing is said where it finds none.
 */
bool cli_shim_serves(unsigned char elf_class, uint16_t machine, bool musl);

/* The launcher's, which puts programs under the filter; false where there is none. */
bool cli_find_launcher(char path[static CLI_SHIM_BYTES]);

/* LD_PRELOAD with the shim, or none where it is NULL, behind what is there already. To be freed. */
char *cli_preload(const char *existing, const char *shim);

#endif
