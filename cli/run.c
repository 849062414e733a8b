/* SPDX-License-Identifier: MIT */
/*
 * freeport run: sets the variables and becomes the command. Nothing stays between the caller and the command, so
 * signals, terminal and exit status are the command's own.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct cli_option options[] = {
    CLI_TCP_OPTION,
    CLI_UDP_OPTION,
    {"sentinels", 0, "PORTS", "FREEPORT_SENTINELS", "hard-coded ports to replace: 80,5000-5009/tcp,...; all"},
    CLI_NAME_OPTION,
    {"session", 0, "NAME", "FREEPORT_SESSION", "join a session (a new one of its own)"},
    {"report", 0, "FILE", "FREEPORT_REPORT", "append a line an assignment; -: to standard error"},
    {"report-fd", 0, "FD", "FREEPORT_REPORT_FD", "the same to an open descriptor"},
    {"report-format", 0, "FORMAT", "FREEPORT_REPORT_FORMAT", "text or json (text)"},
    {"sockname", 0, "WHAT", "FREEPORT_SOCKNAME", "programs see the sentinel: virtual, or: real (virtual)"},
    {"connect", 0, "WHERE", "FREEPORT_CONNECT", "session, fallthrough or off (session)"},
    {"timeout", 0, "MS", "FREEPORT_TIMEOUT", "wait so long at most for a full report pipe (5000)"},
    CLI_SEGMENT_OPTION,
    {"segment-mode", 0, "MODE", "FREEPORT_SEGMENT_MODE", "octal permissions of a new segment (0600)"},
    {"log", 0, "LEVEL", "FREEPORT_LOG", "quiet, error, warn, info or debug (error)"},
    {"lenient", 0, NULL, "FREEPORT_LENIENT", "take a range that can't be read for 1-65535"},
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_REPORT_ID", "FREEPORT_SEGMENT_OWNER", NULL};

/* The descriptor is above those that scripts use by number. */
enum { REPORT_FD_FIRST = 64, SESSION_BYTES = 65, NUMBER_BYTES = 16, PATH_BYTES = 2 * PATH_MAX };

/* Values that are made up here, and last until exec. */
struct made {
    char session[SESSION_BYTES];
    char report_fd[NUMBER_BYTES];
    char report[PATH_BYTES];
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
    int fd = fcntl(STDERR_FILENO, F_DUPFD, REPORT_FD_FIRST);
    if (fd < 0 && errno == EINVAL) /* past RLIMIT_NOFILE */
        fd = fcntl(STDERR_FILENO, F_DUPFD, STDERR_FILENO + 1);
    if (fd < 0) {
        cli_error("--report: '-': %s", strerror(errno));
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

/*
 * Told now rather than at the first bind. What is there is not opened: the reader of a FIFO would take that for a
 * writer who came and went.
 */
static bool writable(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    return errno == EEXIST && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
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

/* Unique on this host without asking anybody: the process id is ours, and it has not come round in a nanosecond. */
static void new_session(char session[static SESSION_BYTES]) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(session, SESSION_BYTES, "run-%d-%llx", (int)getpid(),
             (unsigned long long)now.tv_sec * 1000000000 + (unsigned long long)now.tv_nsec);
}

static void set_variables(const struct cli_call *call, bool default_range) {
    for (size_t i = 0; options[i].name; i++)
        if (options[i].variable && call->values[i])
            set(options[i].variable, call->values[i]);
    if (default_range) {
        set("FREEPORT_TCP", CLI_DEFAULT_RANGE);
        set("FREEPORT_UDP", CLI_DEFAULT_RANGE);
    }
    /* What an outer shim noted about the descriptor and the segment that these options replace. */
    if (cli_value(call, "report-fd"))
        unsetenv("FREEPORT_REPORT_ID");
    if (cli_value(call, "segment"))
        unsetenv("FREEPORT_SEGMENT_OWNER");
}

static int become(char **command) {
    execvp(command[0], command);
    int error = errno;
    cli_error("%s: %s", command[0], strerror(error));
    return error == ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
}

static int run(struct cli_call *call) {
    char shim[CLI_SHIM_BYTES];
    struct made made;
    struct fp_settings settings;
    bool default_range;
    if (call->operands == 0) {
        cli_error("run: expected a command; see freeport run --help");
        return CLI_USAGE;
    }
    if (!cli_value(call, "session")) {
        new_session(made.session);
        cli_set_value(call, "session", made.session);
    }
    int code = prepare_report(call, &made);
    if (code != CLI_OK)
        return code;
    if (!cli_settings(call, &settings, &default_range))
        return CLI_USAGE;
    const char *report = cli_value(call, "report");
    if (report && !writable(report)) {
        cli_error("--report: '%s': %s", report, strerror(errno));
        return CLI_CANNOT_START;
    }
    if (!cli_find_shim(shim))
        return CLI_CANNOT_START;
    set_variables(call, default_range);
    char *preload = cli_preload(getenv("LD_PRELOAD"), shim);
    set("LD_PRELOAD", preload);
    free(preload);
    return become(call->operand);
}

const struct cli_verb cli_run = {
    .name = "run",
    .synopsis = "[options] [--] COMMAND...",
    .summary = "Runs a command in a session of its own, with ports of its own.",
    .options = options,
    .inherited = inherited,
    .notes = "An option sets the variable of its name, --tcp FREEPORT_TCP; without it the\n"
             "variable counts, but for the session.\n"
             "Exit: the command's own; 2 usage, 125 not started, 126 and 127 as env(1).\n",
    .command = true,
    .run = run,
};
