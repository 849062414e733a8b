/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* As this process was started, for the command to be started so too. */
struct dispositions {
    sigset_t mask;
    struct sigaction child;
};

/* `failed`: closed by a successful exec; else it is told the exit code, which is freeport's and not the command's. */
__attribute__((noreturn)) static void become(char **command, const struct dispositions *before, pid_t parent,
                                             cli_child_prepare *prepare, void *context, int failed) {
    sigaction(SIGCHLD, &before->child, NULL);
    sigprocmask(SIG_SETMASK, &before->mask, NULL);
    /* Nobody is to outlive a freeport that is killed: without it, a command that was killed would be gone. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        raise(SIGKILL);
    unsigned char code = !prepare || prepare(context) ? (unsigned char)cli_become(command) : CLI_CANNOT_START;
    _exit(write(failed, &code, 1) == 1 ? code : CLI_CANNOT_START);
}

/* CLI_OK once the command has begun. Signals wait meanwhile, so only the child's end can come in between. */
static int wait_for_exec(pid_t pid, int failed) {
    unsigned char code = CLI_OK;
    if (read(failed, &code, 1) == 1)
        waitpid(pid, NULL, 0);
    return code;
}

int cli_child_start(struct cli_child *child, char **command, cli_child_prepare *prepare, void *context) {
    struct dispositions before;
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t all;
    sigfillset(&all);
    *child = (struct cli_child){.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK)};
    sigaction(SIGCHLD, &plain, &before.child); /* who ignores it has no children to wait for */
    sigprocmask(SIG_SETMASK, &all, &before.mask);
    pid_t self = getpid();
    int ends[2];
    child->pid = child->signals < 0 || pipe2(ends, O_CLOEXEC) != 0 ? -1 : fork();
    if (child->pid < 0) {
        cli_error("%s: %s", command[0], strerror(errno));
        return CLI_CANNOT_START;
    }
    if (child->pid == 0)
        become(command, &before, self, prepare, context, ends[1]);
    close(ends[1]);
    int code = wait_for_exec(child->pid, ends[0]);
    close(ends[0]);
    return code;
}

/* Whoever has come to us (a subreaper) is waited for too. */
static void reap(struct cli_child *child) {
    pid_t pid;
    int status;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid != child->pid)
            continue;
        if (!WIFSTOPPED(status)) {
            child->ended = true;
            child->status = status;
            continue;
        }
        /* The shell that waits for us is to see it; when it lets us go on, so does the command. */
        raise(SIGSTOP);
        kill(child->pid, SIGCONT);
    }
}

void cli_child_look(struct cli_child *child) {
    struct signalfd_siginfo info;
    while (!child->ended && read(child->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            reap(child);
        else if (info.ssi_signo != SIGCONT &&
                 info.ssi_code <= 0) /* what the terminal sends, it sends the command too */
            kill(child->pid, (int)info.ssi_signo);
    }
}

int cli_child_end(const struct cli_child *child) {
    if (!WIFSIGNALED(child->status))
        return WEXITSTATUS(child->status);
    int number = WTERMSIG(child->status);
    sigset_t set;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* it has dumped its own */
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return 128 + number;
}
