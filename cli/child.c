/* SPDX-License-Identifier: MIT */
#include "child.h"

#include "cli.h"
#include "compat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int cli_become(char **command) {
    execvp(command[0], command);
    int error = errno;
    cli_error("%s: %s", command[0], strerror(error));
    return error == ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
}

void cli_child_become(char **command, const struct cli_dispositions *before, cli_child_prepare *prepare, void *context,
                      int failed) {
    sigaction(SIGCHLD, &before->child, NULL);
    sigprocmask(SIG_SETMASK, &before->mask, NULL);
    unsigned char code = !prepare || prepare(context) ? (unsigned char)cli_become(command) : CLI_CANNOT_START;
    _exit(write(failed, &code, 1) == 1 ? code : CLI_CANNOT_START);
}

/* Kills this process when its parent, freeport, is killed: killing freeport has to kill the command. */
static void die_with(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        raise(SIGKILL);
}

int cli_child_wait_for_exec(pid_t pid, int failed) {
    unsigned char code = CLI_OK;
    if (read(failed, &code, 1) == 1)
        waitpid(pid, NULL, 0);
    return code;
}

bool cli_child_begin(struct cli_child *child, struct cli_dispositions *before) {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t all;
    sigfillset(&all);
    *child = (struct cli_child){.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK), .process = -1, .link = -1};
    sigaction(SIGCHLD, &plain, &before->child); /* with SIGCHLD ignored, waitpid(2) would report no child */
    sigprocmask(SIG_SETMASK, &all, &before->mask);
    return child->signals >= 0;
}

int cli_child_start(struct cli_child *child, char **command, cli_child_prepare *prepare, void *context) {
    struct cli_dispositions before;
    pid_t self = getpid();
    int ends[2];
    child->pid = !cli_child_begin(child, &before) || pipe2(ends, O_CLOEXEC) != 0 ? -1 : fork();
    if (child->pid < 0) {
        cli_error("%s: %s", command[0], strerror(errno));
        return CLI_CANNOT_START;
    }
    if (child->pid == 0) {
        die_with(self);
        cli_child_become(command, &before, prepare, context, ends[1]);
    }
    close(ends[1]);
    int code = cli_child_wait_for_exec(child->pid, ends[0]);
    close(ends[0]);
    return code;
}

/* Stops this process as the command has stopped, for the shell that waits. When it is continued, so is the command. */
static void stop_with(struct cli_child *child) {
    raise(SIGSTOP);
    cli_child_signal(child, SIGCONT);
}

/* Waits for all children that have ended: orphans become children of this process (a subreaper). */
static void reap(struct cli_child *child) {
    pid_t pid;
    int status;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid == child->pid && WIFSTOPPED(status)) {
            stop_with(child);
        } else if (pid == child->pid) {
            child->ended = true;
            child->status = status;
        }
    }
}

void cli_child_signal(const struct cli_child *child, int number) {
    if (child->process < 0 || syscall(SYS_pidfd_send_signal, child->process, number, NULL, 0) != 0)
        kill(child->pid, number);
}

/* Written to the command's standard error, since this process has closed its own. */
static void say_orphaned(const struct cli_child *child) {
    static const char line[] =
        "freeport: the supervisor of this run was killed: in programs that are under its filter, bind, "
        "listen and connect fail with ENOSYS from now on; start them anew\n";
    const char *log = getenv("FREEPORT_LOG");
    int fd = (int)syscall(SYS_pidfd_getfd, child->process, STDERR_FILENO, 0);
    if (fd >= 0 && !(log && strcmp(log, "quiet") == 0) && write(fd, line, sizeof line - 1) < 0)
        errno = 0; /* there is no other place to write it */
    if (fd >= 0)
        close(fd);
}

static void take_word(struct cli_child *child) {
    struct cli_child_word word;
    ssize_t got = recv(child->link, &word, sizeof word, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got != (ssize_t)sizeof word) { /* the supervisor was killed, and the command is this process's child now */
        close(child->link);
        child->link = -1;
        say_orphaned(child);
        reap(child);
    } else if (word.kind == CLI_WORD_STOPPED) {
        stop_with(child);
    } else if (word.kind == CLI_WORD_ENDED) {
        child->ended = true;
        child->status = word.value;
    }
}

void cli_child_look(struct cli_child *child) {
    struct signalfd_siginfo info;
    while (!child->ended && read(child->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD && child->link < 0)
            reap(child);
        else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGCONT &&
                 info.ssi_code <= 0) /* the terminal sends its signals to the command too */
            cli_child_signal(child, (int)info.ssi_signo);
    }
    if (!child->ended && child->link >= 0)
        take_word(child);
}

void cli_child_wait(struct cli_child *child, int timeout_ms) {
    struct pollfd wait[] = {{.fd = child->signals, .events = POLLIN}, {.fd = child->link, .events = POLLIN}};
    poll(wait, 2, timeout_ms);
    cli_child_look(child);
}

int cli_child_end(const struct cli_child *child) {
    if (!WIFSIGNALED(child->status))
        return WEXITSTATUS(child->status);
    int number = WTERMSIG(child->status);
    sigset_t set;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* the command has dumped its core */
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return 128 + number;
}
