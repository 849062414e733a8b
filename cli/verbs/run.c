/* SPDX-License-Identifier: MIT */
/*
 * freeport run: sets the variables and starts the command, below a supervisor (supervise.c) for the programs that never
 * call libc. Signals, terminal and exit status are the command's own. With --via preload, it becomes the command.
 */
#include "assign.h"
#include "cli.h"
#include "guest.h"
#include "owner.h"
#include "session.h"
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct cli_option options[] = {
    CLI_TCP_OPTION,
    CLI_UDP_OPTION,
    {"sentinels", 0, "PORTS", "FREEPORT_SENTINELS", "hard-coded ports to replace: 80,90-99/tcp; all (all)"},
    CLI_NAME_OPTION,
    {"session", 0, "NAME", "FREEPORT_SESSION", "join it; auto: the worktree's, new: its own (auto)"},
    CLI_CONFIG_OPTION,
    {"export", 0, "VAR=PORT", NULL, "set VAR to the real port behind sentinel PORT[/udp],..."},
    {"quiet", 'q', NULL, NULL, "do not say where servers are to be reached"},
    {"audit", 0, NULL, NULL, "at the end, say who listens past the shim, and why"},
    {"report", 0, "FILE", "FREEPORT_REPORT", "append a line an assignment; -: to standard error"},
    {"report-fd", 0, "FD", "FREEPORT_REPORT_FD", "the same to an open descriptor"},
    {"report-format", 0, "FORMAT", "FREEPORT_REPORT_FORMAT", "text or json (text)"},
    {"sockname", 0, "WHAT", "FREEPORT_SOCKNAME", "programs see the sentinel: virtual, or: real (virtual)"},
    {"connect", 0, "WHERE", "FREEPORT_CONNECT", "session, fallthrough or off (session)"},
    {"follow", 0, "WHETHER", "FREEPORT_FOLLOW", "cleaned environments get it back: yes or no (yes)"},
    {"via", 0, "HOW", "FREEPORT_VIA", "reach programs by preload, seccomp, or: auto (auto)"},
    {"timeout", 0, "MS", "FREEPORT_TIMEOUT", "wait so long at most: report pipe, --export (5000)"},
    CLI_SEGMENT_OPTION,
    {"segment-mode", 0, "MODE", "FREEPORT_SEGMENT_MODE", "octal permissions of a new segment (0600)"},
    {"log", 0, "LEVEL", "FREEPORT_LOG", "quiet, error, warn, info or debug (error)"},
    {"lenient", 0, NULL, "FREEPORT_LENIENT", "take a range that can't be read for 1-65535"},
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_REPORT_ID", "FREEPORT_SEGMENT_OWNER", NULL};

/* The descriptor is above those that scripts use by number. */
enum { REPORT_FD_FIRST = 64, NUMBER_BYTES = 16, PATH_BYTES = 2 * PATH_MAX };

/* Values that are made up here, and last until exec. */
struct made {
    struct cli_session session;
    char report_fd[NUMBER_BYTES];
    char report[PATH_BYTES];
    char config[PATH_BYTES];
    char *sentinels; /* NULL: as they were given */
};

static void set(const char *variable, const char *value) {
    if (setenv(variable, value, 1) != 0)
        cli_need(NULL);
}

/*
 * `--report -`: a descriptor of its own for standard error, handed down. It stays where standard error was even when
 * the command sends its own elsewhere. Processes that close all descriptors they do not know report nothing there
 * (Python's subprocess closes them by default); a file does not have that limit.
 */
static bool report_to_stderr(struct cli_call *call, char number[static NUMBER_BYTES]) {
    bool open = (fcntl(STDERR_FILENO, F_GETFL) & O_ACCMODE) != O_RDONLY; /* else it is main()'s stopgap */
    int fd = open ? fcntl(STDERR_FILENO, F_DUPFD, REPORT_FD_FIRST) : -1;
    if (open && fd < 0 && errno == EINVAL) /* past RLIMIT_NOFILE */
        fd = fcntl(STDERR_FILENO, F_DUPFD, STDERR_FILENO + 1);
    if (fd < 0) {
        cli_error("--report: '-': %s; name a file", open ? strerror(errno) : "standard error is closed");
        return false;
    }
    snprintf(number, NUMBER_BYTES, "%d", fd);
    cli_set_value(call, "report", NULL);
    cli_set_value(call, "report-fd", number);
    return true;
}

/* The command may change its directory before it binds. What is too long is left to the settings to refuse. */
static const char *absolute(const char *path, char whole[static PATH_BYTES]) {
    char directory[PATH_MAX];
    if (path[0] == '/' || !*path || strlen(path) >= PATH_MAX || !getcwd(directory, sizeof directory))
        return path;
    snprintf(whole, PATH_BYTES, "%s/%s", directory, path);
    return whole;
}

/* What is there is not opened: the reader of a FIFO would take that for a writer who came and went. */
static bool writable(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        int fd = errno == ENOENT ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666) : -1;
        if (fd >= 0)
            close(fd);
        return fd >= 0;
    }
    if (S_ISDIR(st.st_mode) || S_ISSOCK(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : ENXIO;
        return false;
    }
    return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

/* Told now rather than at the first bind, by which nobody may look any more. */
static int check_report(const struct cli_call *call, const char *path) {
    if (!*path || writable(path))
        return CLI_OK;
    int error = errno;
    char *where = cli_where(call, "FREEPORT_REPORT");
    cli_error("%s: '%s': %s; expected a file or FIFO that can be written to: name another, or --report - for standard "
              "error",
              where, path, strerror(error));
    free(where);
    return error == EISDIR ? CLI_USAGE : CLI_CANNOT_START;
}

static int prepare_report(struct cli_call *call, struct made *made) {
    const char *path = cli_value(call, "report"), *fd = cli_value(call, "report-fd");
    long descriptor;
    if (path && strcmp(path, "-") == 0) {
        if (fd)
            return cli_bad_value("--report-fd", fd, "none beside --report -, which has one of its own");
        return report_to_stderr(call, made->report_fd) ? CLI_OK : CLI_CANNOT_START;
    }
    if (fd && cli_number(fd, 0, INT_MAX, &descriptor) && fcntl((int)descriptor, F_GETFD) < 0)
        return cli_bad_value("--report-fd", fd, "a descriptor that is open");
    if (path)
        cli_set_value(call, "report", absolute(path, made->report));
    return CLI_OK;
}

/* Where nobody has named any, all ports are sentinels: it works without knowing which the program has written in it. */
static void choose_sentinels(struct cli_call *call) {
    enum cli_origin origin;
    if (!cli_given(call, "FREEPORT_SENTINELS", &origin))
        cli_set_value(call, "sentinels", "all");
}

/* For freeport list, and for another worktree whose session would have the same name. */
static void set_directory(const struct cli_session *session) {
    if (session->directory)
        set(CLI_DIRECTORY, session->directory);
    else if (session->name[0])
        unsetenv(CLI_DIRECTORY);
}

/* Whether a person is to be told, at the terminal, where each server is to be reached. */
static void set_tell(const struct cli_call *call) {
    if (!cli_value(call, "quiet") && isatty(STDERR_FILENO))
        set("FREEPORT_TELL", "1");
    else
        unsetenv("FREEPORT_TELL");
}

/* What options and the file say is the environment of the command. */
static void set_variables(const struct cli_call *call, bool default_range) {
    const char *variable;
    enum cli_origin origin;
    for (size_t i = 0; (variable = fp_settings_variable(i)); i++) {
        const char *value = cli_given(call, variable, &origin);
        if (origin != CLI_OPTION && origin != CLI_FILE)
            continue;
        set(variable, value);
        /* What an outer shim noted about the descriptor and the segment that these replace. */
        if (strcmp(variable, "FREEPORT_REPORT_FD") == 0)
            unsetenv("FREEPORT_REPORT_ID");
        else if (strcmp(variable, "FREEPORT_SEGMENT") == 0)
            unsetenv("FREEPORT_SEGMENT_OWNER");
    }
    if (!cli_given(call, "FREEPORT_FOLLOW", &origin))
        set("FREEPORT_FOLLOW", "yes");
    if (default_range) {
        set("FREEPORT_TCP", CLI_DEFAULT_RANGE);
        set("FREEPORT_UDP", CLI_DEFAULT_RANGE);
    }
    if (cli_value(call, "config"))
        set("FREEPORT_CONFIG", cli_value(call, "config"));
    set_tell(call);
}

/* --export VAR=PORT */

#define EXPECTED_EXPORT "VAR=PORT, VAR=PORT/tcp or VAR=PORT/udp, with commas; not LD_PRELOAD, nor FREEPORT_..."

struct export {
    char variable[64];
    uint16_t sentinel;
    enum freeport_protocol protocol;
};

/* The next one of the list; *list is moved behind it. */
static bool read_export(const char **list, struct export *export) {
    char text[96];
    size_t length = strcspn(*list, ",");
    if (length >= sizeof text)
        return false;
    memcpy(text, *list, length);
    text[length] = 0;
    *list += length;
    size_t name = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    if (name == 0 || name >= sizeof export->variable || (text[0] >= '0' && text[0] <= '9') || text[name] != '=')
        return false;
    memcpy(export->variable, text, name);
    export->variable[name] = 0;
    if (strcmp(export->variable, "LD_PRELOAD") == 0 || strncmp(export->variable, "FREEPORT_", 9) == 0)
        return false;
    export->protocol = FREEPORT_TCP;
    return cli_sentinel(text + name + 1, &export->sentinel, &export->protocol);
}

static bool next_export(const char **list, struct export *export) {
    if (!*list || !**list)
        return false;
    *list += **list == ',';
    return read_export(list, export);
}

/* Each is a sentinel, whether it was said or not: what it is exported for is to be found there. */
static int add_sentinels(struct cli_call *call, struct made *made) {
    const char *list = cli_value(call, "export");
    struct export export;
    enum cli_origin origin;
    if (!list)
        return CLI_OK;
    const char *given = cli_given(call, "FREEPORT_SENTINELS", &origin);
    made->sentinels = cli_need(malloc((given ? strlen(given) : 0) + 2 * strlen(list) + 32));
    char *at = stpcpy(made->sentinels, given ? given : "");
    for (const char *rest = list;;) {
        if (!read_export(&rest, &export))
            return cli_bad_value("--export", list, EXPECTED_EXPORT);
        at += sprintf(at, "%s%u/%s", at == made->sentinels ? "" : ",", export.sentinel,
                      cli_protocol_name(export.protocol));
        if (!*rest++)
            break;
    }
    cli_set_value(call, "sentinels", made->sentinels);
    return CLI_OK;
}

static int export_port(struct freeport *fp, const struct fp_settings *settings, const struct export *export) {
    unsigned index = cli_protocol_index(export->protocol);
    const char *protocol = cli_protocol_name(export->protocol);
    char text[96], number[NUMBER_BYTES];
    uint16_t port;
    snprintf(text, sizeof text, "%s=%u/%s", export->variable, export->sentinel, protocol);
    if (!settings->managed[index])
        return cli_bad_value("--export", text,
                             index == FP_TCP ? "a range for it, in --tcp or FREEPORT_TCP"
                                             : "a range for it, in --udp or FREEPORT_UDP");
    struct fp_bind bind = {.fp = fp,
                           .protocol = index,
                           .sentinel = export->sentinel,
                           .pledge = fp_settings_has_sentinel(settings, !index, export->sentinel),
                           .timeout_ms = settings->timeout_ms};
    for (unsigned i = 0; i < FP_PROTOCOLS; i++)
        bind.named[i] = fp_portset_has(&settings->named[i], export->sentinel);
    int error = fp_pledge(&bind, true, &port);
    if (error != 0)
        return cli_no_port(settings, export->protocol, error);
    snprintf(number, sizeof number, "%u", port);
    set(export->variable, number);
    return CLI_OK;
}

static int export_ports(const struct cli_call *call, struct freeport *fp, const struct fp_settings *settings) {
    const char *list = cli_value(call, "export");
    struct export export;
    int code = CLI_OK;
    while (code == CLI_OK && next_export(&list, &export))
        code = export_port(fp, settings, &export);
    return code;
}

/* The command. */

static void say_not_covered(const struct cli_program *program, const char *exported) {
    char *title = cli_program_title(program);
    if (exported && program->wants_port)
        cli_error("%s: not covered: %s; let it bind the port that --export has set: %s", title, program->obstacle,
                  exported);
    else
        cli_error("%s: not covered: %s; %s", title, program->obstacle, program->remedy);
    free(title);
}

static void set_preload(const char *shim) {
    char *preload = cli_preload(getenv("LD_PRELOAD"), shim);
    if (*preload)
        set("LD_PRELOAD", preload);
    else
        unsetenv("LD_PRELOAD");
    free(preload);
}

/* How the command is to be started. */
struct plan {
    bool supervised; /* below a supervisor, for what it starts; and for itself: */
    bool filtered;   /* put under the filter by the launcher */
    bool preloads;
    char launcher[CLI_SHIM_BYTES];
    struct cli_program program;
};

/* False after an error. Says in one line where the command can't be reached. */
static bool make_plan(const struct cli_call *call, const struct fp_settings *settings, struct plan *plan) {
    bool seccomp = settings->via == FP_VIA_SECCOMP;
    cli_look_at(call->operand[0], &plan->program);
    plan->supervised = settings->via != FP_VIA_PRELOAD && cli_find_launcher(plan->launcher);
    if (seccomp && !plan->supervised) {
        cli_error("--via seccomp: freeport-launch, which belongs to this command, is not installed; install it, or "
                  "--via preload");
        return false;
    }
    plan->filtered =
        plan->supervised && plan->program.path[0] && (seccomp || (plan->program.obstacle && plan->program.filters));
    plan->preloads = !seccomp;
    if (plan->program.obstacle && !plan->filtered && settings->log != FP_LOG_QUIET)
        say_not_covered(&plan->program, cli_value(call, "export"));
    /* With a supervisor, what a launcher starts comes under the filter when it is executed. */
    struct cli_program started;
    if (!plan->supervised && settings->log != FP_LOG_QUIET && cli_look_through(call->operand, &started) &&
        started.obstacle)
        say_not_covered(&started, cli_value(call, "export"));
    return true;
}

/* The launcher, the program, and the words that the program gets. To be freed. */
static char **through_launcher(const struct plan *plan, char **command) {
    size_t count = 0;
    while (command[count])
        count++;
    char **words = cli_need(calloc(count + 3, sizeof *words));
    words[0] = (char *)plan->launcher;
    words[1] = (char *)plan->program.path;
    memcpy(words + 2, command, count * sizeof *words);
    return words;
}

/* The supervisor's name, and the launcher's: for the hooks of exec, in what the command starts. */
static void hand_down(const char *supervisor, const char *launcher) {
    if (supervisor) {
        set("FREEPORT_SUPERVISOR", supervisor);
        set("FREEPORT_LAUNCHER", launcher);
    } else {
        unsetenv("FREEPORT_SUPERVISOR");
        unsetenv("FREEPORT_LAUNCHER");
    }
}

static int start_child(struct cli_child *child, struct freeport *fp, const struct fp_settings *settings,
                       const struct plan *plan, char **command) {
    if (!plan->supervised)
        return cli_child_start(child, command, NULL, NULL);
    fp_guest_adopt(&fp_guest, settings, fp);
    fp_guest.settings.tell = getenv("FREEPORT_TELL") != NULL;
    static struct fp_supervisor *supervisor; /* as long as the process is there */
    supervisor = cli_need(fp_supervisor_new(&fp_guest));
    hand_down(fp_supervisor_name(supervisor), plan->launcher);
    char **words = plan->filtered ? through_launcher(plan, command) : command;
    int code = cli_supervise(child, supervisor, words);
    if (plan->filtered)
        free(words);
    return code;
}

/* Stays beside the command until its end. */
static int accompany(const struct cli_call *call, struct freeport *fp, const struct fp_settings *settings,
                     const struct plan *plan) {
    struct cli_child child;
    struct cli_audit *audit = cli_value(call, "audit") ? cli_audit_begin(fp, settings) : NULL;
    int code = start_child(&child, fp, settings, plan, call->operand);
    if (code != CLI_OK)
        return code;
    if (audit)
        cli_audit_end(audit, &child);
    else
        cli_let_go_of_descriptors();
    while (!child.ended)
        cli_child_wait(&child, -1);
    return cli_child_end(&child);
}

/* PORT=REAL */

/* Whether the session itself has the port, for that sentinel. */
static bool has_pin(struct freeport *fp, const struct fp_pin *pin) {
    uint16_t port;
    return freeport_lookup(fp, pin->protocol == FP_TCP ? FREEPORT_TCP : FREEPORT_UDP, pin->sentinel, &port) == 0 &&
           port == pin->port;
}

/* Who has the port that is asked for; NULL: nobody. To be freed. */
static char *holder_of(struct freeport *fp, struct cli_sockets *sockets, const struct fp_pin *pin) {
    enum freeport_protocol protocol = pin->protocol == FP_TCP ? FREEPORT_TCP : FREEPORT_UDP;
    fp_owner owner = fp_entry_owner(fp->segment, pin->protocol, pin->port);
    size_t count;
    const struct cli_socket *held = cli_sockets_on(sockets, protocol, pin->port, &count);
    pid_t pid = count > 0 ? cli_socket_holder(sockets, held) : 0;
    if (pid == 0 && owner != 0 && !fp_owner_gone(owner))
        pid = fp_owner_pid(owner);
    if (pid == 0)
        return count > 0 ? cli_text("a process of user %u", (unsigned)held->user) : NULL;
    char *command = cli_command_of(pid), *text = cli_text("process %d (%s)", (int)pid, command);
    free(command);
    return text;
}

/* Told now, and by name, rather than at the first bind. */
static int check_pins(const struct cli_call *call, struct freeport *fp, const struct fp_settings *settings) {
    struct cli_sockets *sockets = settings->pins.count > 0 ? cli_sockets_read() : NULL;
    int code = CLI_OK;
    for (unsigned i = 0; i < settings->pins.count && code == CLI_OK; i++) {
        const struct fp_pin *pin = &settings->pins.pin[i];
        char *holder = has_pin(fp, pin) ? NULL : holder_of(fp, sockets, pin);
        if (!holder)
            continue;
        char *where = cli_where(call, "FREEPORT_SENTINELS");
        cli_error("%s: '%u=%u': %s port %u is taken by %s; end it, or ask for another", where, pin->sentinel, pin->port,
                  pin->protocol == FP_TCP ? "tcp" : "udp", pin->port, holder);
        free(where);
        free(holder);
        code = CLI_NO_PORT;
    }
    if (sockets)
        cli_sockets_free(sockets);
    return code;
}

/* With everything decided: what may still go wrong is the world's. */
static int start(const struct cli_call *call, const struct fp_settings *settings, bool default_range) {
    char shim[CLI_SHIM_BYTES];
    struct freeport *fp;
    struct plan plan;
    int code = check_report(call, settings->report);
    if (code == CLI_OK && settings->via != FP_VIA_SECCOMP && !cli_find_shim(shim))
        code = CLI_CANNOT_START;
    if (code == CLI_OK)
        code = cli_open(settings, true, &fp);
    if (code != CLI_OK)
        return code;
    cli_sweep(fp->facts.name);
    set_variables(call, default_range);
    code = check_pins(call, fp, settings);
    if (code == CLI_OK)
        code = export_ports(call, fp, settings);
    if (code == CLI_OK && !make_plan(call, settings, &plan))
        code = CLI_CANNOT_START;
    if (code == CLI_OK) {
        set_preload(plan.preloads ? shim : NULL);
        hand_down(NULL, NULL);
        code = plan.supervised || cli_value(call, "audit") ? accompany(call, fp, settings, &plan)
                                                           : cli_become(call->operand);
    }
    cli_close(fp);
    return code;
}

/* Options that have no variable, out of the file. */
static int take_options(struct cli_call *call) {
    static const char *const names[] = {"export", "audit", "quiet"};
    const struct fp_file *file;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct fp_file_entry *entry = cli_file_entry(call, names[i], &file);
        if (!entry || cli_value(call, names[i]))
            continue;
        bool is_switch = i > 0, on = strcmp(entry->value, "1") == 0;
        if (is_switch && !on && strcmp(entry->value, "0") != 0) {
            char *where = cli_text("%s:%u: %s", file->path, entry->line, names[i]);
            int code = cli_bad_value(where, entry->value, "0 or 1");
            free(where);
            return code;
        }
        if (!is_switch || on)
            cli_set_value(call, names[i], entry->value);
    }
    return CLI_OK;
}

static int run(struct cli_call *call) {
    struct made made = {.sentinels = NULL, .session = {.name = ""}};
    struct fp_settings settings;
    bool default_range;
    if (call->operands == 0) {
        cli_error("run: expected a command; see freeport run --help");
        return CLI_USAGE;
    }
    if (cli_value(call, "config"))
        cli_set_value(call, "config", absolute(cli_value(call, "config"), made.config));
    if (!cli_load_file(call))
        return CLI_USAGE;
    int code = take_options(call);
    if (code == CLI_OK)
        code = cli_join(call, &made.session);
    if (code != CLI_OK)
        return code;
    choose_sentinels(call);
    set_directory(&made.session);
    if (code == CLI_OK)
        code = prepare_report(call, &made);
    if (code == CLI_OK)
        code = add_sentinels(call, &made);
    if (code == CLI_OK)
        code = cli_settings(call, &settings, &default_range) ? start(call, &settings, default_range) : CLI_USAGE;
    free(made.sentinels);
    return code;
}

const struct cli_verb cli_run = {
    .name = "run",
    .synopsis = "[options] [--] COMMAND...",
    .summary = "Runs a command in the worktree's session, with ports of its own.",
    .options = options,
    .inherited = inherited,
    .repeats = "export",
    .notes = "Without an option its variable counts (--tcp: FREEPORT_TCP), then the file.\n"
             "Exit: COMMAND's; 2 usage, 3 no port, 4 timed out, 5 segment, 125-127 as env(1).\n",
    .command = true,
    .run = run,
};
