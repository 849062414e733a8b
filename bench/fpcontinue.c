/* SPDX-License-Identifier: MIT */
/*
 * fpcontinue COMMAND...: runs the command under the supervisor's own filter, with all that is notified only let go on:
 * what a notification costs by itself.
 */
#include "filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* headers before Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SYS_pidfd_getfd /* before 5.6 */
#define SYS_pidfd_getfd 438
#endif

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

static int die(const char *what) {
    fprintf(stderr, "fpcontinue: %s: %s\n", what, strerror(errno));
    return 1;
}

/* In the command's process: the number of its listener, by a write, which is not notified. */
static int become(struct fp_filter *filter, int told, int taken, char **command) {
    struct sock_fprog program = {.len = filter->length, .filter = filter->program};
    char byte;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
    if (listener < 0)
        return die("seccomp");
    if (write(told, &listener, sizeof listener) != (ssize_t)sizeof listener || read(taken, &byte, 1) != 0)
        return die("the listener");
    close(listener);
    execvp(command[0], command);
    return die(command[0]);
}

static void serve(int listener) {
    for (;;) {
        struct seccomp_notif notice;
        memset(&notice, 0, sizeof notice);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notice) == 0) {
            struct seccomp_notif_resp answer = {.id = notice.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
            ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
        } else {
            struct pollfd look = {.fd = listener, .events = POLLIN};
            if (poll(&look, 1, 0) > 0 && (look.revents & POLLHUP))
                return; /* the command has ended */
        }
    }
}

int main(int argc, char **argv) {
    struct fp_filter filter;
    int told[2], taken[2], number, status;
    if (argc < 2 || fp_filter_build(&filter) != 0 || pipe(told) != 0 || pipe(taken) != 0)
        return die("the filter");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid_t pid = fork();
    if (pid == 0) {
        close(told[0]);
        close(taken[1]);
        return become(&filter, told[1], taken[0], argv + 1);
    }
    close(told[1]);
    close(taken[0]);
    if (pid < 0 || read(told[0], &number, sizeof number) != (ssize_t)sizeof number)
        return die("the command");
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), listener = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    close(taken[1]);
    if (listener < 0)
        return die("pidfd_getfd");
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    serve(listener);
    waitpid(pid, &status, 0);
    return 0;
}
