/* SPDX-License-Identifier: MIT */
/*
 * freeport run with a supervisor: three processes.
 *
 *   freeport     waits, and ends as the command does
 *   supervisor   the parent of the command and of all orphans
 *   command
 *
 * All three are in one process group: whether it is orphaned, freeport's parent decides, as without a supervisor; and
 * the scheduler takes a program and the supervisor that answers it for one task (autogroup). The supervisor has all
 * signals blocked. Once the command has ended it has a session of its own, and lives on until the last process that the
 * command has left has ended. Where the supervisor is killed, its children are freeport's own, which goes on waiting.
 */
#include "child.h"
#include "cli.h"
#include "supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the supervisor. */
static struct household {
    struct fp_source waiter;   /* freeport, at the other end of the link */
    struct fp_source children; /* SIGCHLD */
    pid_t command;             /* 0: it has ended */
} household;

/* A word to freeport, with the command's pidfd where it is the first. */
static void tell(int link, enum cli_child_tidings kind, int value, int process) {
    struct cli_child_word word = {.kind = (int32_t)kind, .value = value};
    struct iovec data = {.iov_base = &word, .iov_len = sizeof word};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof process)];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof process), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (process >= 0) {
        memcpy(CMSG_DATA(&control.header), &process, sizeof process);
        message.msg_control = &control;
        message.msg_controllen = sizeof control.room;
    }
    sendmsg(link, &message, MSG_NOSIGNAL);
}

/* freeport is gone: where it was killed, so is the command. */
static void miss_waiter(struct fp_source *source, uint32_t events) {
    (void)events;
    fp_supervisor_forget(source->supervisor, source);
    if (household.command > 0)
        kill(household.command, SIGKILL);
}

/* All that was started below is waited for here, sooner or later; when nothing is left, nor is this process. */
static void reap(struct fp_source *source, uint32_t events) {
    struct signalfd_siginfo info;
    int status;
    pid_t pid;
    (void)events;
    while (read(source->fd, &info, sizeof info) > 0)
        ;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid != household.command)
            continue;
        if (!WIFSTOPPED(status)) {
            household.command = 0;
            setsid(); /* what ends the group from here on is not meant for daemons */
        }
        tell(household.waiter.fd, WIFSTOPPED(status) ? CLI_WORD_STOPPED : CLI_WORD_ENDED, status, -1);
    }
    if (pid < 0 && errno == ECHILD)
        _exit(0);
}

/* Calls `each` with the descriptors that a program would be given by exec, above the standard ones. */
static void inherited(void (*each)(int fd)) {
    DIR *list = opendir("/proc/self/fd");
    for (struct dirent *entry; list && (entry = readdir(list));) {
        int fd = atoi(entry->d_name), flags = fd > STDERR_FILENO ? fcntl(fd, F_GETFD) : -1;
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            each(fd);
    }
    if (list)
        closedir(list);
}

static void close_it(int fd) {
    close(fd);
}

void cli_let_go_of_descriptors(void) {
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    inherited(close_it);
    for (int fd = 0; nothing >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(nothing, fd);
    if (nothing > STDERR_FILENO)
        close(nothing);
}

__attribute__((noreturn)) static void fail(int link, int code) {
    tell(link, CLI_WORD_FAILED, code, -1);
    _exit(code);
}

/* The command, as a child: in the process group and session of freeport. Its process id. */
static pid_t start(char **command, const struct cli_dispositions *before, int link) {
    int ends[2];
    pid_t pid = pipe2(ends, O_CLOEXEC) != 0 ? -1 : fork();
    if (pid < 0) {
        cli_error("%s: %s", command[0], strerror(errno));
        fail(link, CLI_CANNOT_START);
    }
    if (pid == 0)
        cli_child_become(command, before, NULL, NULL, ends[1]);
    close(ends[1]);
    int code = cli_child_wait_for_exec(pid, ends[0]);
    close(ends[0]);
    if (code != CLI_OK)
        fail(link, code);
    return pid;
}

__attribute__((noreturn)) static void be_supervisor(struct fp_supervisor *supervisor, int link, char **command,
                                                    const struct cli_dispositions *before) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_NAME, "freeport"); /* by which lib/holder.c knows it */
    int error = fp_supervisor_open(supervisor);
    if (error != 0) {
        cli_error("%s: no supervisor: %s", command[0], strerror(-error));
        fail(link, CLI_CANNOT_START);
    }
    household.command = start(command, before, link);
    int process = (int)syscall(SYS_pidfd_open, household.command, 0);
    tell(link, CLI_WORD_STARTED, household.command, process);
    if (process >= 0)
        close(process);
    cli_let_go_of_descriptors();
    if (chdir("/") != 0)
        errno = 0; /* the directory is not kept busy for long, then */
    household.waiter = (struct fp_source){.fd = link, .ready = miss_waiter};
    household.children = (struct fp_source){.fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK), .ready = reap};
    fp_supervisor_watch(supervisor, &household.waiter);
    fp_supervisor_watch(supervisor, &household.children);
    reap(&household.children, 0); /* what has ended before */
    fp_supervisor_serve(supervisor);
}

/* The first word. */
static bool hear(int link, struct cli_child_word *word, int *process) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof *process)];
    } control;
    struct iovec data = {.iov_base = word, .iov_len = sizeof *word};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room};
    if (recvmsg(link, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof *word)
        return false;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(process, CMSG_DATA(header), sizeof *process);
    return true;
}

int cli_supervise(struct cli_child *child, struct fp_supervisor *supervisor, char **command) {
    struct cli_dispositions before;
    struct cli_child_word word = {.kind = CLI_WORD_ENDED};
    int ends[2];
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    bool begun = cli_child_begin(child, &before) && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;
    pid_t between = begun ? fork() : -1;
    if (between < 0) {
        cli_error("%s: %s", command[0], strerror(errno));
        return CLI_CANNOT_START;
    }
    if (between == 0) {
        close(ends[0]);
        close(child->signals);
        be_supervisor(supervisor, ends[1], command, &before);
    }
    close(ends[1]);
    child->link = ends[0];
    if (hear(ends[0], &word, &child->process) && word.kind == CLI_WORD_STARTED) {
        child->pid = word.value;
        return CLI_OK;
    }
    close(ends[0]);
    waitpid(between, NULL, 0);
    return word.kind == CLI_WORD_FAILED ? word.value : CLI_CANNOT_START;
}
