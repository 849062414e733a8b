/* SPDX-License-Identifier: MIT */
/*
 * freeport learn: which ports a suite hard-codes. A port is hard-coded where somebody binds it by a number that the
 * kernel has not given anybody before: "bind 0, close, bind that number" is none.
 */
#include "watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"output", 'o', "FILE", NULL, "write there what was learnt, not to standard error"},
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

enum { NAMES_BYTES = 120 };

/* Names of programs, with commas. */
struct port_use {
    char binders[NAMES_BYTES], clients[NAMES_BYTES];
    bool covered; /* the shim works in one of the binders: as a sentinel it would be replaced */
};

/* A program that the shim can't work in. What it binds is no sentinel: its clients would be refused, it would not. */
struct outsider {
    char name[NAMES_BYTES];
    const char *obstacle, *remedy;
};

struct lesson {
    struct port_use *uses; /* by protocol and port */
    struct fp_portset given[FP_PROTOCOLS];
    uint16_t local_from, local_to;
    const struct cli_watch *watch;
    struct outsider *outsiders;
    size_t outsider_count;
};

static struct port_use *use_of(const struct lesson *lesson, unsigned protocol, unsigned port) {
    return &lesson->uses[protocol * 65536 + port];
}

/* Adds a name that is not there; those for which there is no room are "...". */
static void add_name(char names[static NAMES_BYTES], const char *name) {
    char padded[NAMES_BYTES + 4], wanted[NAMES_BYTES + 4];
    snprintf(padded, sizeof padded, ", %s,", names);
    snprintf(wanted, sizeof wanted, " %.64s,", name);
    size_t length = strlen(names);
    if (strstr(padded, wanted) || strstr(padded, " ...,"))
        return;
    bool fits = length + strlen(name) + sizeof ", , ..." < NAMES_BYTES;
    snprintf(names + length, NAMES_BYTES - length, "%s%s", length ? ", " : "", fits ? name : "...");
}

/* To be freed. */
static char *name_of(pid_t pid) {
    char *command = cli_command_of(pid), *name = cli_shown(*command ? command : "?");
    free(command);
    return name;
}

static void add_outsider(struct lesson *lesson, const char *name, const struct cli_program *program) {
    struct outsider outsider = {.obstacle = program->obstacle, .remedy = program->remedy};
    snprintf(outsider.name, sizeof outsider.name, "%s", name);
    for (size_t i = 0; i < lesson->outsider_count; i++)
        if (strcmp(lesson->outsiders[i].name, outsider.name) == 0 && lesson->outsiders[i].obstacle == outsider.obstacle)
            return;
    lesson->outsiders =
        cli_need(reallocarray(lesson->outsiders, lesson->outsider_count + 1, sizeof *lesson->outsiders));
    lesson->outsiders[lesson->outsider_count++] = outsider;
}

static void add_binder(struct lesson *lesson, struct port_use *use, pid_t pid) {
    struct cli_program program;
    char path[32], *name = name_of(pid);
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    cli_look_at(path, &program);
    if (!cli_is_covered(&program))
        add_outsider(lesson, name, &program);
    else
        use->covered = true;
    add_name(use->binders, name);
    free(name);
}

static void add_client(struct port_use *use, pid_t pid) {
    char *name = name_of(pid);
    add_name(use->clients, name);
    free(name);
}

/* This host, as far as it needs no list of its addresses: a client elsewhere means another port. */
static bool here(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET) {
        uint32_t host = ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
        return host >> 24 == IN_LOOPBACKNET || host == INADDR_ANY;
    }
    const struct in6_addr *host = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(host) || IN6_IS_ADDR_UNSPECIFIED(host) ||
           (IN6_IS_ADDR_V4MAPPED(host) && host->s6_addr[12] == IN_LOOPBACKNET);
}

static bool was_given(const struct lesson *lesson, unsigned protocol, uint16_t port) {
    bool local = port >= lesson->local_from && port <= lesson->local_to;
    return fp_portset_has(&lesson->given[protocol], port) || (!lesson->watch->knows_given && local);
}

static void learn_call(const struct cli_seen *seen, void *context) {
    struct lesson *lesson = context;
    unsigned protocol = cli_protocol_index(seen->protocol);
    if (seen->given != 0)
        fp_portset_add(&lesson->given[protocol], seen->given, seen->given);
    if (seen->port == 0 || was_given(lesson, protocol, seen->port))
        return;
    struct port_use *use = use_of(lesson, protocol, seen->port);
    if (seen->binds)
        add_binder(lesson, use, seen->pid);
    else if (here(&seen->address))
        add_client(use, seen->pid);
}

/* What is told. */

static const char *const protocol_names[] = {[FP_TCP] = "tcp", [FP_UDP] = "udp"};

static bool used(const struct port_use *use) {
    return *use->binders || *use->clients;
}

/*
 * Somebody else's server, at a number that nobody made up on the spot. Before it connects over TCP, libc tries each
 * address over UDP, of which no server knows.
 */
static bool foreign(const struct lesson *lesson, unsigned protocol, unsigned port) {
    const struct port_use *use = use_of(lesson, protocol, port);
    return !*use->binders && *use->clients && (port < lesson->local_from || port > lesson->local_to) &&
           !(protocol == FP_UDP && used(use_of(lesson, FP_TCP, port)));
}

static unsigned print_ports(FILE *out, const struct lesson *lesson, bool bound, const char *title) {
    unsigned count = 0;
    for (unsigned protocol = 0; protocol < FP_PROTOCOLS; protocol++)
        for (unsigned port = 1; port < 65536; port++) {
            const struct port_use *use = use_of(lesson, protocol, port);
            if (bound ? !*use->binders : !foreign(lesson, protocol, port))
                continue;
            if (count++ == 0)
                fprintf(out, "freeport: %s\n", title);
            fprintf(out, "  %s %5u", protocol_names[protocol], port);
            if (bound)
                fprintf(out, "  bound by %s%s", use->binders, use->covered ? "" : " (not covered)");
            if (*use->clients)
                fprintf(out, "%s reached by %s", bound ? "," : " ", use->clients);
            fputc('\n', out);
        }
    return count;
}

/* Which protocols bind it, as bits. */
static unsigned bound_in(const struct lesson *lesson, unsigned port) {
    return (unsigned)(*use_of(lesson, FP_TCP, port)->binders != 0) |
           (unsigned)(*use_of(lesson, FP_UDP, port)->binders != 0) << 1;
}

static void print_run(FILE *out, unsigned from, unsigned to, const char *before, const char *after) {
    fprintf(out, "%s%u", before, from);
    if (to > from)
        fprintf(out, "-%u", to);
    fputs(after, out);
}

/* In which protocols it is to be a sentinel, as bits. */
static unsigned sentinel_in(const struct lesson *lesson, unsigned port) {
    return (unsigned)use_of(lesson, FP_TCP, port)->covered | (unsigned)use_of(lesson, FP_UDP, port)->covered << 1;
}

/* The option, where there are any; as FREEPORT_SENTINELS takes them, neighbours together. */
static void print_sentinels(FILE *out, const struct lesson *lesson) {
    static const char *const suffixes[] = {"", "/tcp", "/udp", ""};
    const char *before = " --sentinels ";
    for (unsigned port = 1; port < 65536; port++) {
        unsigned from = port, protocols = sentinel_in(lesson, port);
        while (protocols && port < 65535 && sentinel_in(lesson, port + 1) == protocols)
            port++;
        if (protocols) {
            print_run(out, from, port, before, suffixes[protocols]);
            before = ",";
        }
    }
}

/*
 * The default range without the ports that are to be sentinels: those of the range itself never are. NULL where it has
 * none of them; else to be freed.
 */
static char *range_around(const struct lesson *lesson) {
    struct fp_portset range = {0};
    bool whole = true;
    fp_portset_parse(&range, CLI_DEFAULT_RANGE);
    for (unsigned port = 1; port < 65536; port++)
        if (bound_in(lesson, port) && fp_portset_has(&range, (uint16_t)port)) {
            range.words[port / 64] &= ~(UINT64_C(1) << (port % 64));
            whole = false;
        }
    return whole ? NULL : cli_ports(&range);
}

static void tell(FILE *out, const struct lesson *lesson, char **command) {
    unsigned bound = print_ports(out, lesson, true, "hard-coded ports:");
    print_ports(out, lesson, false, "ports of this host that nobody here binds; as sentinels they would be refused:");
    for (size_t i = 0; i < lesson->outsider_count; i++)
        fprintf(out, "freeport: %s: not covered: %s; %s\n", lesson->outsiders[i].name, lesson->outsiders[i].obstacle,
                lesson->outsiders[i].remedy);
    if (lesson->watch->unseen > 0)
        fprintf(out, "freeport: %u calls not seen, of processes that user %u may not look into; learn as root\n",
                lesson->watch->unseen, geteuid());
    if (bound == 0)
        fputs("freeport: no port is hard-coded\n", out);
    fputs("freeport run", out);
    char *range = range_around(lesson);
    if (range)
        fprintf(out, " --tcp %s --udp %s", range, range);
    free(range);
    print_sentinels(out, lesson);
    fputs(" --", out);
    for (; *command; command++) {
        char *word = cli_shell_word(*command);
        fprintf(out, " %s", word);
        free(word);
    }
    fputc('\n', out);
}

static int learn_command(FILE *out, char **command) {
    struct cli_watch watch = {.tell = learn_call, .listener = -1};
    struct lesson lesson = {.uses = cli_need(calloc(FP_PROTOCOLS * 65536, sizeof *lesson.uses)), .watch = &watch};
    watch.context = &lesson;
    cli_local_ports(&lesson.local_from, &lesson.local_to);
    int code = cli_watch(&watch, command);
    if (code == CLI_OK && watch.listener >= 0)
        tell(out, &lesson, command);
    free(lesson.outsiders);
    free(lesson.uses);
    return code == CLI_OK ? cli_child_end(&watch.child) : code;
}

static int learn(struct cli_call *call) {
    const char *path = cli_value(call, "output");
    if (call->operands == 0) {
        cli_error("learn: expected a command; see freeport learn --help");
        return CLI_USAGE;
    }
    FILE *out = path ? fopen(path, "we") : stderr;
    if (!out) {
        cli_error("--output: '%s': %s; expected a file that can be written to", path, strerror(errno));
        return CLI_CANNOT_START;
    }
    int code = learn_command(out, call->operand);
    if (path && fclose(out) != 0) {
        cli_error("--output: '%s': %s; expected a file that can be written to", path, strerror(errno));
        if (code == CLI_OK)
            code = CLI_FAILED;
    }
    return code;
}

const struct cli_verb cli_learn = {
    .name = "learn",
    .synopsis = "[options] [--] COMMAND...",
    .summary = "Runs a command as it is, and prints the ports that it hard-codes.",
    .options = options,
    .notes = "At its end: each port that was bound by its number, who bound and who reached\n"
             "it, and as the last line the freeport run that replaces them. Static and Go\n"
             "programs are watched too. Needs Linux 5.6. Unless you are root, set-user-ID\n"
             "programs gain no rights meanwhile.\n"
             "Exit: the command's own; 2 usage, 125 not watched, 126 and 127 as env(1).\n",
    .command = true,
    .run = learn,
};
