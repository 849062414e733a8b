/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static FILE *open_proc(pid_t pid, const char *file) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    return fopen(path, "re");
}

static size_t read_proc(pid_t pid, const char *file, char *text, size_t size) {
    FILE *stream = open_proc(pid, file);
    size_t length = 0;
    if (stream) {
        length = fread(text, 1, size - 1, stream);
        fclose(stream);
    }
    text[length] = 0;
    return length;
}

pid_t cli_parent_of(pid_t pid) {
    char text[512];
    size_t length = read_proc(pid, "stat", text, sizeof text);
    /* "pid (name) state parent": the name may hold anything, a parenthesis too. */
    const char *name_end = memrchr(text, ')', length);
    int parent = 0;
    return name_end && sscanf(name_end, ") %*c %d", &parent) == 1 ? parent : 0;
}

pid_t cli_process_of(pid_t thread) {
    char text[1024];
    int process;
    read_proc(thread, "status", text, sizeof text);
    const char *line = strstr(text, "\nTgid:");
    return line && sscanf(line, "\nTgid: %d", &process) == 1 ? process : thread;
}

bool cli_descends(pid_t pid, pid_t ancestor) {
    /* Bounded: process ids are used again during the walk, so it could go in a circle. */
    for (int steps = 0; pid > 0 && steps < 4096; steps++) {
        if (pid == ancestor)
            return true;
        pid = cli_parent_of(pid);
    }
    return false;
}

/* True if the process has the parent's program and arguments: it was forked and has not called exec. */
static bool is_subshell(pid_t pid, pid_t parent) {
    char mine[4096], theirs[4096], path[64];
    struct stat program, parents_program;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    if (stat(path, &program) != 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)parent);
    if (stat(path, &parents_program) != 0)
        return false;
    size_t length = read_proc(pid, "cmdline", mine, sizeof mine);
    return program.st_dev == parents_program.st_dev && program.st_ino == parents_program.st_ino && length > 0 &&
           read_proc(parent, "cmdline", theirs, sizeof theirs) == length && memcmp(mine, theirs, length) == 0;
}

pid_t cli_caller(void) {
    pid_t caller = getppid();
    for (int steps = 0; steps < 4096; steps++) {
        pid_t parent = cli_parent_of(caller);
        if (parent <= 0 || !is_subshell(caller, parent))
            break;
        caller = parent;
    }
    return caller;
}

char *cli_command_of(pid_t pid) {
    char text[64];
    size_t length = read_proc(pid, "comm", text, sizeof text);
    if (length > 0 && text[length - 1] == '\n') /* only the last: the name may hold one itself */
        text[length - 1] = 0;
    return cli_need(strdup(text));
}

char *cli_cmdline_of(pid_t pid) {
    char text[4096];
    size_t length = read_proc(pid, "cmdline", text, sizeof text);
    while (length > 0 && text[length - 1] == 0)
        length--;
    for (size_t i = 0; i < length; i++)
        if (text[i] == 0)
            text[i] = ' ';
    return length > 0 ? cli_text("%s", text) : cli_command_of(pid);
}

bool cli_environment_read(pid_t pid, struct cli_environment *environment) {
    char path[64];
    *environment = (struct cli_environment){.text = NULL};
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    FILE *stream = fopen(path, "re");
    if (!stream)
        return false;
    size_t room = 0;
    do {
        room += 16384;
        environment->text = cli_need(realloc(environment->text, room + 1));
        environment->length += fread(environment->text + environment->length, 1, room - environment->length, stream);
    } while (environment->length == room);
    fclose(stream);
    environment->text[environment->length] = 0;
    return true;
}

const char *cli_environment_value(const struct cli_environment *environment, const char *variable) {
    size_t length = strlen(variable);
    for (size_t at = 0; at < environment->length; at += strlen(environment->text + at) + 1)
        if (strncmp(environment->text + at, variable, length) == 0 && environment->text[at + length] == '=')
            return environment->text + at + length + 1;
    return NULL;
}

void cli_environment_free(struct cli_environment *environment) {
    free(environment->text);
    environment->text = NULL;
}

char *cli_directory_of(pid_t pid) {
    char path[64], target[CLI_PATH_BYTES];
    struct cli_environment environment;
    const char *directory = NULL;
    if (cli_environment_read(pid, &environment))
        directory = cli_environment_value(&environment, CLI_DIRECTORY);
    snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
    ssize_t length = directory ? 0 : readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = 0;
    char *text = cli_text("%s", directory ? directory : target);
    cli_environment_free(&environment);
    return text;
}

bool cli_has_shim(pid_t pid, bool *sure) {
    FILE *maps = open_proc(pid, "maps");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    *sure = maps != NULL;
    while (maps && !found && getline(&line, &size, maps) > 0)
        found = strstr(line, "/libfreeport_shim.so") != NULL;
    free(line);
    if (maps)
        fclose(maps);
    return found;
}

bool cli_preloads_shim(pid_t pid, bool *sure) {
    FILE *environment = open_proc(pid, "environ");
    char *entry = NULL;
    size_t size = 0;
    bool found = false;
    *sure = environment != NULL;
    while (environment && !found && getdelim(&entry, &size, 0, environment) > 0)
        found = strncmp(entry, "LD_PRELOAD=", 11) == 0 && strstr(entry, "libfreeport_shim.so");
    free(entry);
    if (environment)
        fclose(environment);
    return found;
}

bool cli_is_secure(pid_t pid) {
    FILE *vector = open_proc(pid, "auxv");
    Elf64_auxv_t entry; /* of a 32-bit process entries are half as long, and none is found */
    bool secure = false;
    while (vector && !secure && fread(&entry, sizeof entry, 1, vector) == 1)
        secure = entry.a_type == AT_SECURE && entry.a_un.a_val != 0;
    if (vector)
        fclose(vector);
    return secure;
}

uid_t cli_user_of(pid_t pid) {
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return stat(path, &st) == 0 ? st.st_uid : (uid_t)-1;
}

bool cli_has_mapped(pid_t pid, dev_t device, ino_t inode) {
    FILE *maps = open_proc(pid, "maps");
    if (!maps)
        return false;
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (!found && getline(&line, &size, maps) > 0) {
        unsigned high, low;
        unsigned long mapped;
        found = sscanf(line, "%*s %*s %*s %x:%x %lu", &high, &low, &mapped) == 3 && mapped == inode &&
                high == major(device) && low == minor(device);
    }
    free(line);
    fclose(maps);
    return found;
}
