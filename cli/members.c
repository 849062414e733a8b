/* SPDX-License-Identifier: MIT */
/*
 * Finds the processes of a session, by the environment that each was started with. `freeport run` and the shim put the
 * session there, and servers, shells and launchers inherit it, whether they bind a port or not.
 */
#include "members.h"
#include "assign.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool same_network(pid_t pid) {
    char path[64];
    struct stat own, other;
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    return stat("/proc/self/ns/net", &own) == 0 && stat(path, &other) == 0 && own.st_ino == other.st_ino;
}

/* The first process of a session may lack FREEPORT_SEGMENT. It has the segment mapped then, or it is the default one.
 */
static bool same_segment(pid_t pid, const struct cli_environment *environment, const struct cli_world *world) {
    const char *segment = cli_environment_value(environment, "FREEPORT_SEGMENT");
    if (segment)
        return strcmp(segment, world->facts->name) == 0;
    return cli_has_mapped(pid, world->facts->device, world->facts->inode) ||
           (world->settings->segment[0] == 0 && same_network(pid));
}

void cli_each_process(bool (*visit)(pid_t pid, void *context), void *context) {
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc && (entry = readdir(proc)))
        if (isdigit((unsigned char)entry->d_name[0]) && !visit(atoi(entry->d_name), context))
            break;
    if (proc)
        closedir(proc);
}

struct question {
    const struct cli_world *world;
    const char *session;
    cli_member_visit *visit;
    void *context;
};

static bool ask(pid_t pid, void *context) {
    const struct question *question = context;
    struct cli_environment environment;
    bool go_on = true;
    if (pid == getpid() || !cli_environment_read(pid, &environment))
        return true;
    const char *session = cli_environment_value(&environment, "FREEPORT_SESSION");
    if (session && strcmp(session, question->session) == 0 && same_segment(pid, &environment, question->world))
        go_on = question->visit(pid, &environment, question->context);
    cli_environment_free(&environment);
    return go_on;
}

void cli_each_member(const struct cli_world *world, const char *session, cli_member_visit *visit, void *context) {
    struct question question = {world, session, visit, context};
    cli_each_process(ask, &question);
}
