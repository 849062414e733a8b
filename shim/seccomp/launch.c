/* SPDX-License-Identifier: MIT */
/*
 * freeport-launch PATH ARGV0 [ARGUMENT...]: puts this process under the filter, hands the listener to the session's
 * supervisor, and executes PATH with ARGV0 and the arguments, and the environment as it is.
 *
 * The variables: FREEPORT_SUPERVISOR is the name of the supervisor's socket. Where FREEPORT_VIA is "seccomp", a program
 * that can't be put under the filter is not started; else it runs without, and one line says so.
 */
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* The exit codes of env(1). */
enum { CANNOT_START = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

#define ANOTHER_WAY "freeport run --export gives it a port all the same"

/* Why the program can't be put under the filter. */
struct obstacle {
    const char *what, *remedy;
    int error; /* a positive errno to be shown; 0: none */
};

static struct obstacle filter_obstacle(int error) {
    switch (error) {
    case EBUSY:
        return (struct obstacle){"another supervisor listens to its system calls already", ANOTHER_WAY, 0};
    case EINVAL:
    case ENOSYS:
        return (struct obstacle){"the kernel has no seccomp user notification", "Linux 5.6 and newer have", 0};
    default:
        return (struct obstacle){"seccomp is refused", "let the sandbox or container allow it, or " ANOTHER_WAY, error};
    }
}

static struct obstacle hello_obstacle(const struct fp_hello *hello) {
    int error = -hello->error;
    switch (hello->step) {
    case FP_STEP_DESCENT:
        return (struct obstacle){"it does not descend from the session's supervisor",
                                 "start it from a program that freeport run has started", 0};
    case FP_STEP_ROOM:
        return (struct obstacle){"the session's supervisor has no descriptor left", "raise RLIMIT_NOFILE (ulimit -n)",
                                 0};
    case FP_STEP_FILTER:
        return (struct obstacle){"libseccomp can't make the filter", ANOTHER_WAY, error};
    case FP_STEP_PIDFD:
    case FP_STEP_GETFD:
        if (error == ENOSYS)
            return (struct obstacle){"the kernel has no pidfd_getfd", "Linux 5.6 and newer have", 0};
        return (struct obstacle){"pidfd_getfd is refused",
                                 "start the container with --cap-add SYS_PTRACE, or " ANOTHER_WAY, error};
    default:
        return (struct obstacle){"process_vm_readv is refused",
                                 "start the container with --cap-add SYS_PTRACE, or " ANOTHER_WAY, error};
    }
}

static int connect_to_supervisor(void) {
    const char *name = getenv("FREEPORT_SUPERVISOR");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = name ? strlen(name) : 0;
    if (length == 0 || length + 1 > sizeof address.sun_path) {
        errno = EINVAL;
        return -1;
    }
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, size) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static bool receive(int fd, void *out, size_t size) {
    ssize_t got;
    do
        got = read(fd, out, size);
    while (got < 0 && errno == EINTR);
    if (got >= 0 && (size_t)got != size)
        errno = EPIPE;
    return got == (ssize_t)size;
}

static int install(const struct sock_fprog *program, unsigned long flags) {
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
}

/*
 * Installs the filter and returns its listener. Without CAP_SYS_ADMIN this needs no_new_privs; with the capability,
 * set-user-ID programs below keep working. Kernels before 5.19 lack WAIT_KILLABLE_RECV: there, a signal makes the
 * kernel notify a call again.
 */
static int listen_to_calls(struct fp_filter *filter) {
    struct sock_fprog program = {.len = filter->length, .filter = filter->program};
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    int listener = install(&program, flags);
    if (listener < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        listener = install(&program, flags);
    if (listener < 0 && errno == EINVAL)
        listener = install(&program, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    return listener;
}

static bool tell(int supervisor, int32_t listener) {
    struct fp_request request = {.listener = listener};
    return write(supervisor, &request, sizeof request) == (ssize_t)sizeof request;
}

/*
 * True if the supervisor serves the program from now on. A filter can't be removed: if the listener could not be handed
 * over, no bind of the program would work, so the program is not started.
 */
static bool hand_over(int supervisor, struct fp_hello *hello, struct obstacle *obstacle) {
    int32_t error = -EPIPE;
    int listener = listen_to_calls(&hello->filter);
    if (listener < 0) {
        *obstacle = filter_obstacle(errno);
        tell(supervisor, -1);
        return false;
    }
    if (!tell(supervisor, listener) || !receive(supervisor, &error, sizeof error) || error != 0) {
        dprintf(STDERR_FILENO, "freeport: the session's supervisor has not taken over: %s\n", strerror(-error));
        _exit(CANNOT_START);
    }
    close(listener);
    return true;
}

static struct obstacle no_supervisor(void) {
    return (struct obstacle){"the session's supervisor can't be reached",
                             "start it from a program that freeport run has started, in the same network namespace",
                             errno};
}

/* *said: another program of the session has said before that it can't be put under the filter. */
static bool be_served(struct obstacle *obstacle, bool *said) {
    static struct fp_hello hello;
    int supervisor = connect_to_supervisor();
    if (supervisor < 0 || !receive(supervisor, &hello, sizeof hello) || hello.version != FP_PROTOCOL_VERSION) {
        *obstacle = no_supervisor();
        return false;
    }
    *said = hello.said != 0;
    bool served;
    if (hello.error != 0) {
        *obstacle = hello_obstacle(&hello);
        served = false;
    } else {
        served = listen(-1, FP_PROBE_BACKLOG) ==
                     hello.id /* true if an ancestor is under the filter of this supervisor already */
                 || hand_over(supervisor, &hello, obstacle);
    }
    close(supervisor);
    return served;
}

static bool equals(const char *variable, const char *value) {
    const char *found = getenv(variable);
    return found && strcmp(found, value) == 0;
}

static void say(const char *program, const struct obstacle *obstacle, bool starts) {
    const char *colon = obstacle->error ? ": " : "", *error = obstacle->error ? strerror(obstacle->error) : "";
    dprintf(STDERR_FILENO, "freeport: %s: %s: %s%s%s; %s\n", program,
            starts ? "not covered" : "can't be put under the filter", obstacle->what, colon, error, obstacle->remedy);
}

/* Closes the descriptor by which fexecve() named the program when the program is executed. */
static void close_with_exec(const char *path) {
    static const char prefix[] = "/proc/self/fd/";
    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return;
    int fd = atoi(path + sizeof prefix - 1);
    fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) | FD_CLOEXEC);
}

/* Executes the program. A file that is no program and has no "#!" is run by the shell, as by execvp(3). */
static void execute(char **argv) {
    static char shell[] = "/bin/sh";
    char *path = argv[1];
    execve(path, argv + 2, environ);
    if (errno != ENOEXEC)
        return;
    argv[1] = shell;
    argv[2] = path;
    execve(shell, argv + 1, environ);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        dprintf(STDERR_FILENO, "freeport-launch: expected PATH ARGV0 [ARGUMENT...]; freeport run starts it\n");
        return CANNOT_START;
    }
    struct obstacle obstacle = {0};
    bool said = false;
    if (!be_served(&obstacle, &said)) {
        bool starts = !equals("FREEPORT_VIA", "seccomp");
        if (!starts || (!said && !equals("FREEPORT_LOG", "quiet")))
            say(argv[1], &obstacle, starts);
        if (!starts)
            return CANNOT_START;
    }
    const char *path = argv[1];
    close_with_exec(path);
    execute(argv);
    int error = errno;
    dprintf(STDERR_FILENO, "freeport: %s: %s\n", path, strerror(error));
    return error == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
}
