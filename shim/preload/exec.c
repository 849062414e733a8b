/* SPDX-License-Identifier: MIT */
/*
 * The exec family and posix_spawn. A program in which the preload can't work is started by the launcher, and an
 * environment that was cleaned gets the session back. Everything else goes on as it came.
 *
 * The hooks run in vfork children, which share the parent's memory. They write to nothing but the stack.
 */
#include "exec.h"

#include "follow.h"
#include "log.h"
#include "real.h"
#include "target.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* For functions with __builtin_alloca(): if they were inlined into a loop, the memory would add up. */
#define ON_STACK __attribute__((noinline))

/* Written once, in the constructor. */
static struct {
    int (*execve)(const char *path, char *const argv[], char *const envp[]);
    int (*execv)(const char *path, char *const argv[]);
    int (*execvp)(const char *file, char *const argv[]);
    int (*execvpe)(const char *file, char *const argv[], char *const envp[]);
    int (*fexecve)(int fd, char *const argv[], char *const envp[]);
    int (*execveat)(int directory, const char *path, char *const argv[], char *const envp[], int flags);
    int (*posix_spawn)(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);
    int (*posix_spawnp)(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);
} real;

static void resolve(const char *name, void *where) {
    void *address = dlsym(RTLD_NEXT, name);
    memcpy(where, &address, sizeof address);
}

void fp_exec_resolve(void) {
    resolve("execve", &real.execve);
    resolve("execv", &real.execv);
    resolve("execvp", &real.execvp);
    resolve("execvpe", &real.execvpe);
    resolve("fexecve", &real.fexecve);
    resolve("execveat", &real.execveat);
    resolve("posix_spawn", &real.posix_spawn);
    resolve("posix_spawnp", &real.posix_spawnp);
}

/* True if exec has to be looked at. Every hook asks this first. */
static bool watches(void) {
    return fp_hook_awake() && fp_follow_watches();
}

/* The look at what is executed. */

/* True if the kernel gives the program rights that it would lose under a filter (no_new_privs). */
static bool gains_rights(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && (((st.st_mode & S_ISUID) && st.st_uid != geteuid()) ||
                                    ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getegid()) ||
                                    (geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0));
}

/* True if the launcher has to start the program. False if it can't be executed: the kernel gives the error. */
static bool wants_launcher(const char *path, char *const envp[]) {
    struct fp_target target = fp_target_look(path);
    return !fp_target_covered(&target, fp_follow_preload(envp)) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 &&
           !gains_rights(path);
}

static size_t count_of(char *const list[]) {
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

/* freeport-launch PATH ARGV0 [ARGUMENT...]. `into` has room for two more than argv, one at least, and the NULL. */
static void launch_arguments(char **into, const char *launcher, const char *path, char *const argv[]) {
    static char no_name[] = "";
    memcpy(into++, &launcher,
           sizeof launcher); /* exec's lists are of char *, although exec does not write to the strings */
    memcpy(into++, &path, sizeof path);
    if (!argv || !argv[0])
        *into++ = no_name;
    for (char *const *at = argv; at && *at;)
        *into++ = *at++;
    *into = NULL;
}

/* The call of exec or posix_spawn that is made in the end. */
typedef int action(const char *path, char *const argv[], char *const envp[], void *context);

/* Makes that call, through the launcher where that is needed. `look`: the file that `path` leads to. */
ON_STACK static int launch_or(const char *look, const char *path, char *const argv[], char *const envp[], action *then,
                              void *context) {
    const char *launcher = fp_follow_launcher(envp);
    if (!launcher || !wants_launcher(look, envp))
        return then(path, argv, envp, context);
    char **arguments = __builtin_alloca((count_of(argv) + 4) * sizeof *arguments);
    launch_arguments(arguments, launcher, look, argv);
    return then(launcher, arguments, envp, context);
}

ON_STACK static int with_session(const char *look, const char *path, char *const argv[], char *const envp[],
                                 action *then, void *context) {
    int saved = errno;
    struct fp_follow_size size = fp_follow_size(envp);
    char *const *environment = envp;
    if (size.list > 0) {
        char **list = __builtin_alloca(size.list * sizeof *list);
        fp_follow_environment(envp, list, __builtin_alloca(size.text + 1));
        environment = list;
    }
    errno = saved;
    return launch_or(look, path, argv, environment, then, context);
}

/* exec */

static int call_execve(const char *path, char *const argv[], char *const envp[], void *context) {
    (void)context;
    return real.execve(path, argv, envp);
}

static int execute(const char *path, char *const argv[], char *const envp[]) {
    if (!watches() || !fp_readable(path) || (envp && !fp_readable(envp)))
        return real.execve(path, argv, envp);
    return with_session(path, path, argv, envp, call_execve, NULL);
}

FP_EXPORT int execve(const char *path, char *const argv[], char *const envp[]) {
    return execute(path, argv, envp);
}

FP_EXPORT int execv(const char *path, char *const argv[]) {
    if (!watches())
        return real.execv(path, argv);
    return execute(path, argv, environ);
}

/* A text file without "#!" is run by the shell: POSIX says so for the calls that search PATH. */
ON_STACK static int execute_script(const char *path, char *const argv[], char *const envp[]) {
    static char shell[] = "/bin/sh";
    size_t count = count_of(argv);
    char **arguments = __builtin_alloca((count + 3) * sizeof *arguments);
    arguments[0] = shell;
    memcpy(&arguments[1], &path, sizeof path);
    for (size_t i = 1; i < count; i++)
        arguments[i + 1] = argv[i];
    arguments[count > 0 ? count + 1 : 2] = NULL;
    return execute(shell, arguments, envp);
}

static int execute_or_script(const char *path, char *const argv[], char *const envp[]) {
    execute(path, argv, envp);
    return errno == ENOEXEC ? execute_script(path, argv, envp) : -1;
}

/* Errors that say that a file is not there, and after which the next directory of PATH is tried. */
static bool is_elsewhere(int error) {
    return error == EACCES || error == ENOENT || error == ESTALE || error == ENOTDIR || error == ENODEV ||
           error == ETIMEDOUT;
}

/* PATH as execvp(3) reads it. */
static const char *search_path(void) {
    for (char **at = environ; at && *at; at++)
        if (strncmp(*at, "PATH=", 5) == 0)
            return *at + 5;
    return "/bin:/usr/bin";
}

/* Joins the next directory of PATH and the file; false if that is too long. *path is moved to the directory behind. */
static bool candidate_of(const char **path, const char *file, size_t length, char out[static PATH_MAX]) {
    size_t directory = strcspn(*path, ":");
    bool fits = directory + length + 2 <= PATH_MAX;
    if (fits) {
        memcpy(out, *path, directory);
        out[directory] = '/';
        memcpy(out + directory + (directory > 0), file, length + 1);
    }
    *path += directory;
    return fits;
}

static int search_and_execute(const char *file, char *const argv[], char *const envp[]) {
    size_t length = strnlen(file, NAME_MAX + 1);
    char candidate[PATH_MAX];
    bool refused = false;
    errno = length == 0 ? ENOENT : ENAMETOOLONG;
    if (length == 0 || length > NAME_MAX)
        return -1;
    errno = ENOENT;
    for (const char *path = search_path();; path++) {
        if (candidate_of(&path, file, length, candidate)) {
            execute_or_script(candidate, argv, envp);
            refused |= errno == EACCES;
            if (!is_elsewhere(errno))
                return -1;
        }
        if (!*path)
            break;
    }
    if (refused)
        errno = EACCES;
    return -1;
}

static int execute_found(const char *file, char *const argv[], char *const envp[]) {
    return strchr(file, '/') ? execute_or_script(file, argv, envp) : search_and_execute(file, argv, envp);
}

FP_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[]) {
    if (!watches())
        return real.execvpe(file, argv, envp);
    return execute_found(file, argv, envp);
}

FP_EXPORT int execvp(const char *file, char *const argv[]) {
    if (!watches())
        return real.execvp(file, argv);
    return execute_found(file, argv, environ);
}

/* The arguments of an execl function behind its first, and the NULL. */
static size_t count_arguments(const char *first, va_list *list) {
    size_t count = 1;
    while (first && va_arg(*list, const char *))
        count++;
    return count;
}

/* Collects the arguments in a list, which has room for one more than were counted. */
static void collect_arguments(char **into, const char *first, va_list *list) {
    memcpy(into, &first, sizeof first);
    while (*into)
        *++into = va_arg(*list, char *);
}

FP_EXPORT int execl(const char *path, const char *first, ...) {
    va_list list;
    va_start(list, first);
    char **arguments = __builtin_alloca((count_arguments(first, &list) + 1) * sizeof *arguments);
    va_end(list);
    va_start(list, first);
    collect_arguments(arguments, first, &list);
    va_end(list);
    return execv(path, arguments);
}

FP_EXPORT int execle(const char *path, const char *first, ...) {
    va_list list;
    va_start(list, first);
    char **arguments = __builtin_alloca((count_arguments(first, &list) + 1) * sizeof *arguments);
    va_end(list);
    va_start(list, first);
    collect_arguments(arguments, first, &list);
    char *const *envp = va_arg(list, char *const *);
    va_end(list);
    return execute(path, arguments, envp);
}

FP_EXPORT int execlp(const char *file, const char *first, ...) {
    va_list list;
    va_start(list, first);
    char **arguments = __builtin_alloca((count_arguments(first, &list) + 1) * sizeof *arguments);
    va_end(list);
    va_start(list, first);
    collect_arguments(arguments, first, &list);
    va_end(list);
    return execvp(file, arguments);
}

/* By a descriptor */

enum { DESCRIPTOR_PATH = 32 };

static char *number_text(char *at, unsigned number) {
    char digits[12];
    int n = 0;
    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (n > 0)
        *at++ = digits[--n];
    *at = 0;
    return at;
}

struct by_descriptor {
    int fd;
    const char *path;
};

/* The launcher opens the file by its descriptor, so the descriptor must not be closed on exec. */
static int call_fexecve(const char *path, char *const argv[], char *const envp[], void *context) {
    const struct by_descriptor *by = context;
    if (path == by->path)
        return real.fexecve(by->fd, argv, envp);
    int flags = fcntl(by->fd, F_GETFD);
    if (flags >= 0)
        fcntl(by->fd, F_SETFD, flags & ~FD_CLOEXEC);
    real.execve(path, argv, envp);
    int error = errno;
    if (flags >= 0)
        fcntl(by->fd, F_SETFD, flags);
    errno = error;
    return -1;
}

FP_EXPORT int fexecve(int fd, char *const argv[], char *const envp[]) {
    char path[DESCRIPTOR_PATH] = "/proc/self/fd/";
    if (!watches() || fd < 0)
        return real.fexecve(fd, argv, envp);
    number_text(path + strlen(path), (unsigned)fd);
    struct by_descriptor by = {.fd = fd, .path = path};
    return with_session(path, path, argv, envp, call_fexecve, &by);
}

/* glibc has it from 2.34 on; a program that was built with an older one does not call it. */
static int real_execveat(int directory, const char *path, char *const argv[], char *const envp[], int flags) {
    if (real.execveat)
        return real.execveat(directory, path, argv, envp, flags);
    return (int)fp_real_syscall(SYS_execveat, directory, path, argv, envp, flags);
}

/* Not every C library declares it. */
FP_EXPORT int execveat(int directory, const char *path, char *const argv[], char *const envp[], int flags);

FP_EXPORT int execveat(int directory, const char *path, char *const argv[], char *const envp[], int flags) {
    if (!watches() || !fp_readable(path))
        return real_execveat(directory, path, argv, envp, flags);
    if (!*path && (flags & AT_EMPTY_PATH))
        return fexecve(directory, argv, envp);
    if ((directory == AT_FDCWD || *path == '/') && !(flags & AT_SYMLINK_NOFOLLOW))
        return execute(path, argv, envp);
    return real_execveat(directory, path, argv, envp, flags);
}

/* posix_spawn */

struct spawn {
    pid_t *pid;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
    const char *file; /* of posix_spawnp: searched for in PATH by the C library */
};

static int call_spawn(const char *path, char *const argv[], char *const envp[], void *context) {
    const struct spawn *spawn = context;
    if (path == spawn->file)
        return real.posix_spawnp(spawn->pid, path, spawn->actions, spawn->attributes, argv, envp);
    return real.posix_spawn(spawn->pid, path, spawn->actions, spawn->attributes, argv, envp);
}

FP_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) {
    struct spawn spawn = {.pid = pid, .actions = actions, .attributes = attributes};
    if (!watches() || !fp_readable(path))
        return real.posix_spawn(pid, path, actions, attributes, argv, envp);
    return with_session(path, path, argv, envp, call_spawn, &spawn);
}

/* The path at which posix_spawnp will find the file; the name itself if it will not. */
static const char *found_in_path(const char *file, char candidate[static PATH_MAX]) {
    size_t length = strnlen(file, NAME_MAX + 1);
    if (strchr(file, '/') || length == 0 || length > NAME_MAX)
        return file;
    for (const char *path = search_path();; path++) {
        struct stat st;
        if (candidate_of(&path, file, length, candidate) && stat(candidate, &st) == 0 && S_ISREG(st.st_mode) &&
            faccessat(AT_FDCWD, candidate, X_OK, AT_EACCESS) == 0)
            return candidate;
        if (!*path)
            return file;
    }
}

FP_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) {
    char candidate[PATH_MAX];
    struct spawn spawn = {.pid = pid, .actions = actions, .attributes = attributes, .file = file};
    if (!watches() || !fp_readable(file))
        return real.posix_spawnp(pid, file, actions, attributes, argv, envp);
    return with_session(found_in_path(file, candidate), file, argv, envp, call_spawn, &spawn);
}
