/* SPDX-License-Identifier: MIT */
/*
 * What the verbs of freeport(1) share. A verb is a table of options and a function. Parsing, --help and the variables
 * that are set all use the table, so they can't contradict each other.
 */
#ifndef FREEPORT_CLI_H
#define FREEPORT_CLI_H

#include "file.h"
#include "freeport.h"
#include "settings.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit codes, as in freeport(1). */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* any failure without a code of its own */
    CLI_USAGE = 2,
    CLI_NO_PORT = 3,
    CLI_TIMED_OUT = 4,
    CLI_NO_SEGMENT = 5,
    CLI_CANNOT_START = 125, /* these three as of env(1) */
    CLI_NOT_EXECUTABLE = 126,
    CLI_NOT_FOUND = 127,
};

/* The range if none is given. It ends below the kernel's ephemeral ports, which start at 32768. */
#define CLI_DEFAULT_RANGE "20000-32767"

enum { CLI_PATH_BYTES = 4096 };

struct cli_option {
    const char *name;     /* without its dashes */
    char letter;          /* 0: none */
    const char *argument; /* as the help shows it; NULL: it takes none */
    const char *variable; /* the variable it stands for; NULL: it is the verb's own */
    const char *help;     /* NULL: the help of the next option is for both */
};

enum { CLI_OPTIONS_MAX = 32 };

struct cli_call;

struct cli_verb {
    const char *name;
    const char *synopsis;              /* what follows the name */
    const char *summary;               /* NULL: the verb is not listed */
    const struct cli_option *options;  /* ends with an option without a name */
    const char *const *inherited;      /* other variables that the verb reads; ends with NULL; NULL: none */
    const char *notes;                 /* the end of the help */
    const char *repeats;               /* an option that may be given several times; NULL: none */
    bool file_alone;                   /* settings come from options and the file only, not from the environment */
    bool command;                      /* the first operand begins a command: options behind it are the command's */
    int (*run)(struct cli_call *call); /* returns the exit code */
};

/* A parsed command line. */
struct cli_call {
    const struct cli_verb *verb;
    const char *values[CLI_OPTIONS_MAX]; /* by place in verb->options; NULL: not given; "1" where it takes none */
    int operands;
    char **operand;   /* ends with a NULL */
    const char *name; /* the name (FREEPORT_NAME), if an operand gives it; else NULL. Set by the verb */
    bool name_needs_section;
    struct fp_file *project; /* the project's file, which counts before `file`; NULL: none */
    struct fp_file *file;    /* NULL: none. Filled in by cli_load_file(), and so is the section, which is the name */
    const char *section;
};

/* All verbs, up to a NULL. */
extern const struct cli_verb *const cli_verbs[];
extern const struct cli_verb cli_run, cli_get, cli_port, cli_url, cli_list, cli_stop, cli_serve, cli_release, cli_reset,
    cli_env, cli_learn, cli_doctor, cli_probe;

/* An internal verb, which `freeport doctor` runs under the shim. */
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
 * Parses argv, whose first word is the verb. True if the verb has to be run. Else help or an error was printed, and
 * *code is the exit code.
 */
bool cli_parse(const struct cli_verb *verb, int argc, char **argv, struct cli_call *call, int *code);

/* The value of an option; NULL if it was not given. */
const char *cli_value(const struct cli_call *call, const char *option);

/* Sets an option as if the command line had it; NULL removes it. The string must stay valid. */
void cli_set_value(struct cli_call *call, const char *option, const char *value);

/* The given option that stands for a variable, else NULL. */
const struct cli_option *cli_given_for(const struct cli_call *call, const char *variable);

/* message.c */

/* Prints one line to standard error, "freeport: " first. Control characters and malformed text are shown as \xNN. */
__attribute__((format(printf, 1, 2))) void cli_error(const char *format, ...);

/* Prints a usage error. `where`: an option with its dashes, a variable or a verb. Returns CLI_USAGE. */
int cli_bad_value(const char *where, const char *value, const char *expected);

/* As asprintf(3): memory to be freed. */
__attribute__((format(printf, 1, 2))) char *cli_text(const char *format, ...);

/* A word for a shell, quoted if necessary. To be freed. */
char *cli_shell_word(const char *word);

/* A text for a terminal: each byte of a control character, or of malformed text, becomes \xNN. To be freed. */
char *cli_shown(const char *text);

/*
 * Makes a session's name up: KIND-PID-XXXXXXXX, with the time in nanoseconds, modulo four seconds. It is unique on this
 * host, since a process id does not come again so soon. It is short, since people read it in freeport list.
 */
enum { CLI_SESSION_BYTES = 65 };
void cli_new_session(char session[static CLI_SESSION_BYTES], const char *kind, pid_t pid);

/* A set of ports as text: "20000-20010,20020". To be freed. */
char *cli_ports(const struct fp_portset *set);

/* A copy with malformed UTF-8 replaced by U+FFFD. To be freed; NULL without memory. */
char *cli_valid_utf8(const char *text);

/* Returns its argument. Ends this process, with a message, if that is NULL: there is no memory. */
void *cli_need(void *memory);

/* value.c */

/* The index of a protocol in the settings and the table. */
static inline unsigned cli_protocol_index(enum freeport_protocol protocol) {
    return protocol == FREEPORT_TCP ? FP_TCP : FP_UDP;
}

/* Reads a decimal number in from..to. False for any other text. */
bool cli_number(const char *text, long from, long to, long *number);

/* Reads "tcp" or "udp". */
bool cli_protocol(const char *text, enum freeport_protocol *protocol);

/* Reads "SENTINEL", "SENTINEL/tcp" or "SENTINEL/udp"; without a suffix, *protocol stays as it is. */
bool cli_sentinel(const char *text, uint16_t *sentinel, enum freeport_protocol *protocol);

static inline const char *cli_protocol_name(enum freeport_protocol protocol) {
    return protocol == FREEPORT_TCP ? "tcp" : "udp";
}

/* config.c */

/*
 * Reads the configuration files, if there are any, and chooses the section. Once; cli_settings() calls it too. False
 * after an error.
 */
bool cli_load_file(struct cli_call *call);

/* The files' entry for a variable (or for export, audit, quiet): the project's file first; *file: the one it is in. */
const struct fp_file_entry *cli_file_entry(const struct cli_call *call, const char *variable,
                                           const struct fp_file **file);

enum cli_origin { CLI_NOWHERE, CLI_OPTION, CLI_ENVIRONMENT, CLI_FILE };

/* The value for a variable: of the option, else the environment, else the file. NULL if the verb does not use it. */
const char *cli_given(const struct cli_call *call, const char *variable, enum cli_origin *origin);

/* The place of that value, for messages: the option, the line of the file, or the variable. To be freed. */
char *cli_where(const struct cli_call *call, const char *variable);

/*
 * The settings of a call. Without any range, both are CLI_DEFAULT_RANGE, and *default_range (if not NULL) is true.
 * False after an error.
 */
bool cli_settings(struct cli_call *call, struct fp_settings *settings, bool *default_range);

/* project.c: the project's file; NULL if there is none, or none that can be trusted. False after an error. */
bool cli_find_project(struct fp_file **file, fp_file_complaint *complaint);

/* program.c: whether the shim can work in a program. */

struct cli_program {
    char path[CLI_PATH_BYTES]; /* where it was found along PATH; "" if it was not found */
    char what[CLI_PATH_BYTES]; /* the program that runs: a script's interpreter, else the program itself */
    const char *obstacle;      /* why the shim can't work in it; NULL if it can, or if that is not known */
    const char *remedy;
    bool wants_port; /* the remedy is to tell the program a port, as --export does */
    bool filters;    /* the filter works for it: the obstacle concerns LD_PRELOAD only */
};

/* `command`: a name or a path, as for execvp(3). */
void cli_look_at(const char *command, struct cli_program *program);

/* launcher.c: the same for the program that npx, npm run and such start. False if `command` is not one of them. */
bool cli_look_through(char **command, struct cli_program *program);

/* True if freeport run reaches it: by the preloaded library, or by the filter if the launcher is installed. */
bool cli_is_covered(const struct cli_program *program);

/* Its name in messages: for a script, with the interpreter. To be freed. */
char *cli_program_title(const struct cli_program *program);

/* process.c: what /proc says about a process. If it has ended, the result is 0, false or "". */

pid_t cli_parent_of(pid_t pid);

/* The process of a thread; the thread's own id if that is not known. */
pid_t cli_process_of(pid_t thread);

/* True if pid is `ancestor` or descends from it. */
bool cli_descends(pid_t pid, pid_t ancestor);

/*
 * The process that `freeport get` reserves for: the parent of this process. If that is a subshell, which ends with its
 * command substitution or pipeline, it is the shell that forked it. A subshell has its parent's program and arguments.
 */
pid_t cli_caller(void);

/* The command's name; to be freed. */
char *cli_command_of(pid_t pid);

/* Its arguments, with blanks between them; and its session's worktree, else its working directory. To be freed. */
char *cli_cmdline_of(pid_t pid);
char *cli_directory_of(pid_t pid);

/* `freeport run` sets it to the worktree's root if the session is named after the worktree. */
#define CLI_DIRECTORY "FREEPORT_DIRECTORY"

struct cli_environment {
    char *text; /* NAME=VALUE, each with its zero byte */
    size_t length;
};

/* The environment that a process was started with. False if it has ended, or is another user's. To be freed. */
bool cli_environment_read(pid_t pid, struct cli_environment *environment);
const char *cli_environment_value(const struct cli_environment *environment, const char *variable);
void cli_environment_free(struct cli_environment *environment);

/* The process's user; (uid_t)-1: unknown. */
uid_t cli_user_of(pid_t pid);

/* True if the process has the shim loaded; *sure is false if that is not known. */
bool cli_has_shim(pid_t pid, bool *sure);

/* True if LD_PRELOAD in its environment names the shim; *sure as above. */
bool cli_preloads_shim(pid_t pid, bool *sure);

/* True if it was started with AT_SECURE, as set-user-ID programs are: the dynamic linker ignores LD_PRELOAD then. */
bool cli_is_secure(pid_t pid);

/* True if it has the file mapped, and this user may see that. */
bool cli_has_mapped(pid_t pid, dev_t device, ino_t inode);

/* sockets.c */

struct cli_socket {
    enum freeport_protocol protocol;
    uint16_t port;
    uid_t user;
    ino_t inode;
    bool listens;     /* TCP: it listens; UDP: it is not connected */
    bool unconnected; /* it is bound and has no peer */
    sa_family_t family;
    unsigned char address[16]; /* network order, IPv4 in the first four bytes */
};

struct cli_sockets;

/* All sockets of this network namespace that a process has open. Never NULL. */
struct cli_sockets *cli_sockets_read(void);
void cli_sockets_free(struct cli_sockets *sockets);

/*
 * The addresses on which the port is bound now, with commas, each once, without connections. "" if it is not bound. To
 * be freed.
 */
char *cli_addresses_on(const struct cli_sockets *sockets, enum freeport_protocol protocol, uint16_t port);

/* All of them, sorted by protocol and port. */
const struct cli_socket *cli_sockets_all(const struct cli_sockets *sockets, size_t *count);

/* The sockets on a port: the first of *count. */
const struct cli_socket *cli_sockets_on(const struct cli_sockets *sockets, enum freeport_protocol protocol,
                                        uint16_t port, size_t *count);

/* True if is_it() is true for a process that has the socket open. Processes that this user may not see are left out. */
bool cli_socket_held_by(struct cli_sockets *sockets, const struct cli_socket *held,
                        bool (*is_it)(pid_t holder, const void *context), const void *context);

/* A process that has it open; 0: none was seen. */
pid_t cli_socket_holder(struct cli_sockets *sockets, const struct cli_socket *held);

/* True if a process was seen that has it open. */
bool cli_socket_seen(struct cli_sockets *sockets, const struct cli_socket *held);

/* The kernel's ephemeral range. */
void cli_local_ports(uint16_t *from, uint16_t *to);

/* state.c */

/* The state of a port at this moment. */
enum cli_state {
    CLI_BOUND,    /* a process that got it through freeport holds it */
    CLI_RESERVED, /* no socket is bound to it, and it is kept for a live process */
    CLI_FREE,     /* no socket is bound to it */
    CLI_TAKEN,    /* a foreign process holds it */
};

/* The segment's identity: a process that has it mapped is no foreign one. All zero: unknown. */
struct cli_segment_id {
    dev_t device;
    ino_t inode;
};

/* *holder: a process that holds the port, foreign or not; 0: none was seen. */
enum cli_state cli_state_of(struct cli_sockets *sockets, const struct cli_segment_id *segment,
                            const struct freeport_assignment *assignment, pid_t *holder);

/* open.c */

/*
 * Opens the handle that the settings describe. `create`: makes the segment if there is none; otherwise *fp is NULL
 * then. Returns CLI_OK or, after an error, an exit code.
 */
int cli_open(const struct fp_settings *settings, bool create, struct freeport **fp);

/* The same, with the facts about the segment, which are filled in without a handle, too. */
struct fp_segment_facts;
int cli_open_with(const struct fp_settings *settings, bool create, struct freeport **fp,
                  struct fp_segment_facts *facts);

void cli_close(struct freeport *fp);

/* Prints the error line for a failed allocation. Returns the exit code. */
int cli_no_port(const struct fp_settings *settings, enum freeport_protocol protocol, int error);

/* child.c */

/*
 * A command in a child process. This process passes signals on to it, stops when it stops, and ends as it ends. Both
 * are in one process group, so the terminal's signals reach the command directly.
 */
struct cli_child {
    pid_t pid;
    int process; /* its pidfd; -1: none */
    int link;    /* socket to the supervisor; -1: the command is a child of this process */
    int signals; /* to be polled, with `link`: cli_child_look() has work when one is readable */
    bool ended;
    int status; /* as of waitpid(2), when it has ended */
};

/* Runs in the child before exec. False: the command is not executed, and the exit code is 125. */
typedef bool cli_child_prepare(void *context);

/* CLI_OK when the command runs, or an exit code after an error, also 126 and 127 as of env(1). */
int cli_child_start(struct cli_child *child, char **command, cli_child_prepare *prepare, void *context);

/* Reads the pending signals, and passes them on. */
void cli_child_look(struct cli_child *child);

/* Waits for a signal, for timeout_ms at most (-1: no bound), then does the same. */
void cli_child_wait(struct cli_child *child, int timeout_ms);

void cli_child_signal(const struct cli_child *child, int number);

/* Replaces this process by the command. Returns only if that fails: the exit code that env(1) has for it. */
int cli_become(char **command);

/* The command's exit code. If a signal has ended it, this process ends by the same signal. */
int cli_child_end(const struct cli_child *child);

/* filter.c */

/* Why programs can't be put under the filter on this host, with a remedy; NULL if they can. To be freed. */
char *cli_filter_obstacle(void);

/* supervise.c */

struct fp_supervisor;

/*
 * Starts the command below a supervisor, which serves programs that never call libc, and waits for it as
 * cli_child_start() does.
 */
int cli_supervise(struct cli_child *child, struct fp_supervisor *supervisor, char **command);

/* Closes the descriptors that the command has inherited, so that a reader of a pipe does not wait for this process. */
void cli_let_go_of_descriptors(void);

/* audit.c: reports, at the end of the command, the listeners that went past the shim. */

struct cli_audit;

/* To be called before the command is started: listeners of that moment are not the command's. */
struct cli_audit *cli_audit_begin(struct freeport *fp, const struct fp_settings *settings);

/* Watches until the command has ended, and prints the report. Frees the audit. */
void cli_audit_end(struct cli_audit *audit, struct cli_child *child);

/* reservation.c */

/*
 * freeport_release() for a port of this process or of an ancestor. *holder, if not NULL, receives the owner. 0, -ENOENT
 * or -EPERM.
 */
int cli_give_up(struct freeport *fp, enum freeport_protocol protocol, uint16_t port, pid_t *holder);

/* sweep.c */

/*
 * Removes this user's default segments that are out of use, such as those of network namespaces that no longer exist.
 * `own` is the name of one that stays, '/' first.
 */
void cli_sweep(const char *own);

/* shim.c */

enum { CLI_SHIM_BYTES = 4096 };

/*
 * The path for LD_PRELOAD, absolute. If shims for several kinds of programs are installed, it is one by which each
 * program's loader finds its own. False after an error.
 */
bool cli_find_shim(char path[static CLI_SHIM_BYTES]);

/*
 * True if the path of cli_find_shim() serves a dynamic program: the class and machine of its ELF header, and whether
 * its C library is musl. Prints no error if there is no shim.
 */
bool cli_shim_serves(unsigned char elf_class, uint16_t machine, bool musl);

/* The path of the launcher, which puts programs under the filter; false if it is not installed. */
bool cli_find_launcher(char path[static CLI_SHIM_BYTES]);

/* LD_PRELOAD with the shim behind the existing entries; without a shim if it is NULL. To be freed. */
char *cli_preload(const char *existing, const char *shim);

#endif
