/* SPDX-License-Identifier: MIT */
/* freeport doctor: looks over the host, the range and a program, and says for each trouble what to do. */
#include "assign.h"
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct cli_option options[] = {
    CLI_TCP_OPTION,
    CLI_UDP_OPTION,
    {"sentinels", 0, "PORTS", "FREEPORT_SENTINELS", "hard-coded ports that are to be replaced"},
    CLI_NAME_OPTION,
    CLI_CONFIG_OPTION,
    CLI_SEGMENT_OPTION,
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_LENIENT", "FREEPORT_SEGMENT_MODE", "FREEPORT_SEGMENT_OWNER", NULL};

struct checkup {
    const struct fp_settings *settings;
    struct freeport *fp; /* NULL: there is no segment, or none that can be used */
    bool trouble;
};

/* Output. */

enum verdict { FINE, NOTE, MEND };

__attribute__((format(printf, 4, 5))) static void say(struct checkup *checkup, enum verdict verdict, const char *what,
                                                      const char *format, ...) {
    static const char *const words[] = {[FINE] = "ok", [NOTE] = "note", [MEND] = "mend"};
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        cli_need(NULL);
    va_end(arguments);
    checkup->trouble |= verdict == MEND;
    char *shown = cli_shown(text); /* names of programs and files may hold anything */
    printf("%-5s %-10s %s\n", words[verdict], what, shown);
    free(shown);
    free(text);
}

static const char *const protocol_names[] = {[FP_TCP] = "tcp", [FP_UDP] = "udp"};

static struct fp_portset common(const struct fp_portset *a, const struct fp_portset *b) {
    struct fp_portset both;
    for (unsigned word = 0; word < FP_WORDS; word++)
        both.words[word] = a->words[word] & b->words[word];
    return both;
}

static unsigned size_of(const struct fp_portset *set) {
    unsigned count = 0;
    for (unsigned word = 0; word < FP_WORDS; word++)
        count += (unsigned)__builtin_popcountll(set->words[word]);
    return count;
}

/* The configuration file. */

/* What a file says that counts here: KEY = VALUE, with commas. To be freed. */
static char *effect_of(const struct cli_call *call, const struct fp_file *file) {
    char *text = NULL;
    size_t size;
    FILE *out = cli_need(open_memstream(&text, &size));
    for (size_t i = 0; i < file->count; i++) {
        const struct fp_file_entry *entry = &file->entries[i];
        const struct fp_file *counts;
        char key[32];
        if (!*entry->variable || cli_file_entry(call, entry->variable, &counts) != entry)
            continue;
        fp_file_key(entry->variable, key, sizeof key);
        const char *set = secure_getenv(entry->variable);
        fprintf(out, "%s%s = %s%s", ftell(out) > 0 ? ", " : ": ", key, entry->value,
                set ? " (the environment says otherwise)" : "");
    }
    fclose(out);
    return cli_need(text);
}

static void check_file(struct checkup *checkup, const struct cli_call *call, const struct fp_file *file) {
    char *effect = effect_of(call, file);
    bool section = fp_file_has_section(file, call->section);
    say(checkup, FINE, "config", "%s%s%s%s%s", file->path, section ? " [" : ", which has no section [", call->section,
        "]", effect);
    free(effect);
}

static void check_config(struct checkup *checkup, const struct cli_call *call) {
    bool user = call->file && call->file->count > 0;
    if (call->project)
        check_file(checkup, call, call->project);
    if (user)
        check_file(checkup, call, call->file);
    if (!user && !call->project)
        say(checkup, FINE, "config", "none");
}

/* The shim: a program under it binds port 0, and gets one of the range. */

/* What the probe runs with: nothing of it is anybody else's. */
struct trial {
    const char *shim;
    char segment[48];           /* of its own, gone when the probe has it mapped */
    char *ranges[FP_PROTOCOLS]; /* NULL: the protocol has none */
};

static void become_probe(const struct trial *trial, int out) {
    static const char *const variables[] = {"FREEPORT_TCP", "FREEPORT_UDP"};
    setenv("LD_PRELOAD", cli_preload(getenv("LD_PRELOAD"), trial->shim), 1);
    for (unsigned i = 0; i < FP_PROTOCOLS; i++) {
        if (trial->ranges[i])
            setenv(variables[i], trial->ranges[i], 1);
        else
            unsetenv(variables[i]);
    }
    setenv("FREEPORT_SEGMENT", trial->segment, 1);
    unsetenv("FREEPORT_SEGMENT_OWNER");
    unsetenv("FREEPORT_REPORT"); /* nobody's business but ours */
    unsetenv("FREEPORT_REPORT_FD");
    unsetenv("FREEPORT_SENTINELS");
    setenv("FREEPORT_CONFIG", "", 1);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execl("/proc/self/exe", "freeport", CLI_PROBE, (char *)NULL);
    _exit(2);
}

/* Runs it, and takes what it and the dynamic linker say, up to the first line's end. The exit code; -1: a signal. */
static int run_probe(const struct trial *trial, char *said, size_t size) {
    int pipe_ends[2], status = -1;
    if (pipe2(pipe_ends, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become_probe(trial, pipe_ends[1]);
    close(pipe_ends[1]);
    FILE *in = fdopen(pipe_ends[0], "r");
    if (pid < 0 || !in || !fgets(said, (int)size, in))
        said[0] = 0;
    said[strcspn(said, "\n")] = 0;
    while (in && fgetc(in) != EOF)
        ;
    if (in)
        fclose(in);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * The range without what is assigned: for the moment in which the probe binds a port, nobody is to miss it. As much of
 * that as a variable holds; all of it where nothing else is left. To be freed.
 */
static char *range_for_probe(const struct checkup *checkup, unsigned protocol) {
    const struct fp_settings *settings = checkup->settings;
    struct fp_portset left = settings->ranges[protocol].ports;
    for (unsigned port = 1; checkup->fp && port < 65536; port++)
        if (fp_entry_owner(checkup->fp->segment, protocol, (uint16_t)port) != 0)
            left.words[port / 64] &= ~(UINT64_C(1) << (port % 64));
    if (fp_portset_empty(&left))
        return cli_text("%s", settings->range[protocol]);
    char *text = cli_ports(&left);
    if (strlen(text) >= sizeof settings->range[protocol]) {
        text[sizeof settings->range[protocol] - 1] = 0;
        *strrchr(text, ',') = 0;
    }
    return text;
}

static int try_shim(const struct checkup *checkup, const char *shim, char *said, size_t size) {
    struct trial trial = {.shim = shim};
    snprintf(trial.segment, sizeof trial.segment, "/freeport-doctor-%d", (int)getpid());
    for (unsigned i = 0; i < FP_PROTOCOLS; i++)
        trial.ranges[i] = checkup->settings->managed[i] ? range_for_probe(checkup, i) : NULL;
    int code = run_probe(&trial, said, size);
    shm_unlink(trial.segment); /* where the probe has not come so far */
    for (unsigned i = 0; i < FP_PROTOCOLS; i++)
        free(trial.ranges[i]);
    return code;
}

static void check_shim(struct checkup *checkup) {
    char shim[CLI_SHIM_BYTES], said[512] = "";
    if (!cli_find_shim(shim)) { /* which has said why */
        say(checkup, MEND, "shim", "libfreeport_shim.so can't be used; see above");
        return;
    }
    int code = try_shim(checkup, shim, said, sizeof said);
    if (code == CLI_OK)
        say(checkup, FINE, "shim", "%s: a bind to port 0 under it got %s", shim, said);
    else if (code == 2)
        say(checkup, MEND, "shim", "%s does not load: %s; install it for this libc, or name another in FREEPORT_SHIM",
            shim, *said ? said : "LD_PRELOAD is ignored");
    else
        say(checkup, MEND, "shim", "%s: a bind to port 0 under it failed: %s; see the lines below", shim, said);
}

/* The filter, for static and Go programs. */

static void check_filter(struct checkup *checkup) {
    char *obstacle = cli_filter_obstacle();
    if (obstacle)
        say(checkup, NOTE, "filter", "static and Go programs are not covered: %s", obstacle);
    else
        say(checkup, FINE, "filter", "static and Go programs are covered by a filter of their system calls");
    free(obstacle);
}

/* The segment. */

static int check_segment(struct checkup *checkup) {
    struct fp_segment_facts facts;
    int code = cli_open_with(checkup->settings, false, &checkup->fp, &facts);
    if (code != CLI_OK) /* which was said */
        say(checkup, MEND, "segment", "%s can't be used; see above", facts.name);
    else if (facts.replaced)
        say(checkup, NOTE, "segment", "%s: it was damaged, and is removed; the first program makes a new one",
            facts.name);
    else if (!checkup->fp)
        say(checkup, FINE, "segment", "%s: not there yet; the first program makes it", facts.name);
    else
        say(checkup, FINE, "segment", "%s, of user %u, mode %04o", facts.name, (unsigned)facts.owner,
            (unsigned)facts.mode & 07777);
    return code;
}

/* The range. */

static bool read_line(const char *path, char *text, int size) {
    FILE *file = fopen(path, "re");
    bool read = file && fgets(text, size, file);
    if (file)
        fclose(file);
    text[read ? strcspn(text, "\n") : 0] = 0;
    return read;
}

/* An outgoing connection may take any port of the kernel's own range that is not reserved. */
static void check_local_range(struct checkup *checkup) {
    const struct fp_settings *settings = checkup->settings;
    struct fp_portset local = {0}, reserved = {0}, ours = settings->ranges[FP_TCP].ports;
    char reserved_text[4096];
    uint16_t from, to;
    cli_local_ports(&from, &to);
    fp_portset_add(&local, from, to);
    if (read_line("/proc/sys/net/ipv4/ip_local_reserved_ports", reserved_text, sizeof reserved_text) && *reserved_text)
        fp_portset_parse(&reserved, reserved_text);
    for (unsigned word = 0; word < FP_WORDS; word++) {
        ours.words[word] |= settings->ranges[FP_UDP].ports.words[word];
        local.words[word] &= ~reserved.words[word];
    }
    struct fp_portset both = common(&ours, &local);
    char *range = cli_ports(&ours);
    if (fp_portset_empty(&both)) {
        say(checkup, FINE, "range", "%s: clear of the kernel's own ports, %u-%u", range, from, to);
    } else {
        char *overlap = cli_ports(&both);
        say(checkup, MEND, "range",
            "%s: an outgoing connection may take %s, of the kernel's own ports %u-%u; stay below %u, or: sysctl -w "
            "net.ipv4.ip_local_reserved_ports=%s%s%s",
            range, overlap, from, to, from, reserved_text, *reserved_text ? "," : "", overlap);
        free(overlap);
    }
    free(range);
}

static bool may_bind_privileged(void) {
    unsigned long long effective = 0;
    char line[128];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "CapEff: %llx", &effective) == 1)
            break;
    if (file)
        fclose(file);
    return (effective >> 10) & 1; /* CAP_NET_BIND_SERVICE */
}

static void check_privileged(struct checkup *checkup) {
    unsigned first = 1024;
    char text[32];
    struct fp_portset low = {0};
    if (read_line("/proc/sys/net/ipv4/ip_unprivileged_port_start", text, sizeof text))
        first = (unsigned)strtoul(text, NULL, 10);
    if (first > 1)
        fp_portset_add(&low, 1, (uint16_t)(first - 1));
    for (unsigned i = 0; i < FP_PROTOCOLS; i++) {
        struct fp_portset hit = common(&low, &checkup->settings->ranges[i].ports);
        if (fp_portset_empty(&hit) || may_bind_privileged())
            continue;
        unsigned lowest = 1;
        while (!fp_portset_has(&hit, (uint16_t)lowest))
            lowest++;
        say(checkup, MEND, "privileged",
            "%s %s begins below port %u, which only root binds; begin there, or: sysctl -w "
            "net.ipv4.ip_unprivileged_port_start=%u",
            protocol_names[i], checkup->settings->range[i], first, lowest);
    }
}

/* Who is there already. */

enum { MOST_EXAMPLES = 3 };

/* Whether somebody has the port whom the table does not know. */
static bool is_taken(const struct checkup *checkup, const struct cli_socket *socket) {
    unsigned index = cli_protocol_index(socket->protocol);
    return fp_portset_has(&checkup->settings->ranges[index].ports, socket->port) &&
           (!checkup->fp || fp_entry_owner(checkup->fp->segment, index, socket->port) == 0);
}

static void check_busy(struct checkup *checkup, struct cli_sockets *sockets, enum freeport_protocol protocol) {
    const struct fp_portset *range = &checkup->settings->ranges[cli_protocol_index(protocol)].ports;
    struct fp_portset taken = {0};
    char examples[256] = "";
    size_t count;
    const struct cli_socket *all = cli_sockets_all(sockets, &count);
    for (size_t i = 0; i < count; i++) {
        if (all[i].protocol != protocol || !is_taken(checkup, &all[i]) || fp_portset_has(&taken, all[i].port))
            continue;
        fp_portset_add(&taken, all[i].port, all[i].port);
        if (size_of(&taken) > MOST_EXAMPLES)
            continue;
        pid_t holder = cli_socket_holder(sockets, &all[i]);
        char *command = holder ? cli_command_of(holder) : NULL;
        size_t length = strlen(examples);
        snprintf(examples + length, sizeof examples - length, "%s%u (%s)", length ? ", " : "", all[i].port,
                 command ? command : "another user's");
        free(command);
    }
    unsigned busy = size_of(&taken), size = size_of(range);
    const char *name = cli_protocol_name(protocol), *text = checkup->settings->range[cli_protocol_index(protocol)];
    if (size == 0)
        return;
    if (busy == 0)
        say(checkup, FINE, "busy", "%s %s: no port is in use by a stranger", name, text);
    else
        say(checkup, busy == size ? MEND : NOTE, "busy", "%s %s: %u of %u ports are in use by strangers: %s%s; %s",
            name, text, busy, size, examples, busy > MOST_EXAMPLES ? ", ..." : "",
            busy == size ? "choose another range" : "they are passed over");
}

/* The program. */

/* `title`: what it is called, to be freed. Which way the program would be taken, or why none is there. */
static void say_way(struct checkup *checkup, const struct cli_program *program, char *title) {
    if (!cli_is_covered(program))
        say(checkup, MEND, "program", "%s: %s; %s", title, program->obstacle, program->remedy);
    else if (program->obstacle)
        say(checkup, FINE, "program", "%s: by the filter: %s", title, program->obstacle);
    else
        say(checkup, FINE, "program", "%s: by the preloaded library", title);
    free(title);
}

/* What npx, npm run and their like start. */
static void check_started(struct checkup *checkup, char **command) {
    struct cli_program program;
    if (!cli_look_through(command, &program))
        return;
    char *title = cli_program_title(&program);
    say_way(checkup, &program, cli_text("%s, which %s starts", title, command[0]));
    free(title);
}

static void check_program(struct checkup *checkup, char **words) {
    struct cli_program program;
    cli_look_at(words[0], &program);
    if (program.path[0])
        say_way(checkup, &program, cli_program_title(&program));
    else
        say(checkup, MEND, "program", "%s: there is none that can be run; name it by its path, or see PATH", words[0]);
    check_started(checkup, words);
}

static int check(struct cli_call *call, struct checkup *checkup) {
    struct cli_sockets *sockets = cli_sockets_read();
    check_config(checkup, call);
    int code = check_segment(checkup);
    check_shim(checkup);
    check_filter(checkup);
    check_local_range(checkup);
    check_privileged(checkup);
    check_busy(checkup, sockets, FREEPORT_TCP);
    check_busy(checkup, sockets, FREEPORT_UDP);
    if (call->operands > 0)
        check_program(checkup, call->operand);
    cli_sockets_free(sockets);
    return code != CLI_OK ? code : checkup->trouble ? CLI_FAILED : CLI_OK;
}

static int doctor(struct cli_call *call) {
    struct fp_settings settings;
    struct checkup checkup = {.settings = &settings};
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    int code = check(call, &checkup);
    cli_close(checkup.fp);
    return code;
}

const struct cli_verb cli_doctor = {
    .name = "doctor",
    .synopsis = "[options] [--] [COMMAND...]",
    .summary = "Looks over the host, the range and a program, and says what to do.",
    .options = options,
    .inherited = inherited,
    .notes = "A line a finding: ok; note, which is good to know; mend, with what mends it.\n"
             "COMMAND is looked at, not run, whatever its arguments. No port is used up, no\n"
             "segment made.\n"
             "Exit: 0 nothing to mend, 1 something, 2 usage, 5 segment can't be used.\n",
    .command = true,
    .run = doctor,
};
