/* SPDX-License-Identifier: MIT */
/*
 * fpexec CALL clean|keep FILE [ARGUMENT...]: executes a file by that call. With `clean`, the environment is ONLY=1 and
 * PATH alone. Says the error where it fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char **environment;

static int wait_for(pid_t pid) {
    int status;
    waitpid(pid, &status, 0);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}

static int spawned(int error, pid_t pid) {
    if (error == 0)
        return wait_for(pid);
    errno = error;
    return -1;
}

/* The child shares this process's memory: what it leaves in errno is seen here. */
static int by_vfork(const char *file, char **argv) {
    errno = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        execve(file, argv, environment);
        _exit(127);
    }
    if (errno == 0)
        wait_for(pid);
    return -1;
}

static int execute(const char *call, const char *file, char **argv) {
    pid_t pid = 0;
    if (strcmp(call, "execve") == 0)
        return execve(file, argv, environment);
    if (strcmp(call, "execv") == 0)
        return execv(file, argv);
    if (strcmp(call, "execvp") == 0)
        return execvp(file, argv);
    if (strcmp(call, "execvpe") == 0)
        return execvpe(file, argv, environment);
    if (strcmp(call, "execl") == 0)
        return execl(file, argv[0], argv[1], NULL);
    if (strcmp(call, "execle") == 0 && !argv[1])
        return execle(file, argv[0], NULL, environment);
    if (strcmp(call, "execle") == 0)
        return execle(file, argv[0], argv[1], NULL, environment);
    if (strcmp(call, "execlp") == 0)
        return execlp(file, argv[0], argv[1], NULL);
    if (strcmp(call, "fexecve") == 0)
        return fexecve(open(file, O_RDONLY | O_CLOEXEC), argv, environment);
    if (strcmp(call, "posix_spawn") == 0)
        return spawned(posix_spawn(&pid, file, NULL, NULL, argv, environment), pid);
    if (strcmp(call, "posix_spawnp") == 0)
        return spawned(posix_spawnp(&pid, file, NULL, NULL, argv, environment), pid);
    if (strcmp(call, "vfork") == 0)
        return by_vfork(file, argv);
    fprintf(stderr, "fpexec: no such call: %s\n", call);
    exit(2);
}

int main(int argc, char **argv) {
    static char only[] = "ONLY=1";
    if (argc < 4) {
        fprintf(stderr, "usage: fpexec CALL clean|keep FILE [ARGUMENT...]\n");
        return 2;
    }
    char path[4096], *cleaned[] = {only, path, NULL};
    snprintf(path, sizeof path, "PATH=%s", getenv("PATH"));
    if (strcmp(argv[2], "clean") == 0)
        environ = cleaned;
    environment = environ;
    execute(argv[1], argv[3], argv + 3);
    puts(strerror(errno));
    return 1;
}
