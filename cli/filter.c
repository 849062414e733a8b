/* SPDX-License-Identifier: MIT */
/* Tells whether this host allows a supervisor's system calls. They are tried on a child of this process. */
#include "cli.h"
#include "compat.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYS_PTRACE "; a container has it with --cap-add SYS_PTRACE"

static bool has_notification(void) {
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* Makes calls that must fail: a kernel that allows them answers EBADF and EFAULT. */
static char *try_on(pid_t pid) {
    char byte;
    struct iovec local = {.iov_base = &byte, .iov_len = 1}, remote = {.iov_base = NULL, .iov_len = 1};
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return cli_text("pidfd_open: %s; Linux 5.6 has it", strerror(errno));
    int error = syscall(SYS_pidfd_getfd, pidfd, -1, 0) < 0 ? errno : 0;
    close(pidfd);
    if (error != EBADF)
        return error == ENOSYS ? cli_text("pidfd_getfd: %s; Linux 5.6 has it", strerror(error))
                               : cli_text("pidfd_getfd: %s" SYS_PTRACE, strerror(error));
    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT)
        return cli_text("process_vm_readv: %s" SYS_PTRACE, strerror(errno));
    return NULL;
}

char *cli_filter_obstacle(void) {
    char launcher[CLI_SHIM_BYTES];
    if (!cli_find_launcher(launcher))
        return cli_text("freeport-launch, which belongs to this command, is not installed");
    if (!has_notification())
        return cli_text(
            "seccomp's user notification: not to be had; Linux 5.6 has it, and the sandbox or container has "
            "to allow it");
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    char *obstacle = pid > 0 ? try_on(pid) : cli_text("fork: %s", strerror(errno));
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return obstacle;
}
