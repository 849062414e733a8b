/* SPDX-License-Identifier: MIT */
/*
 * freeport run --audit: looks at the host's listeners again and again, and notes those that a process of the command
 * has opened without an entry in the table. Nothing stands between the processes and the kernel, so they run as without
 * the audit. A listener that comes and goes between two looks is missed, and the last line says so.
 *
 * This process is a subreaper: orphans become its children, so that every process of the command descends from it.
 */
#include "assign.h"
#include "cli.h"
#include "clock.h"
#include "owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_MS = 50, PAUSE_SHARE = 4 }; /* a pause of 4 times the last look: a fifth of a processor at most */

struct finding {
    enum freeport_protocol protocol;
    uint16_t port;
    pid_t pid;
    char *command;
    char *why;
};

struct cli_audit {
    struct freeport *fp;
    const struct fp_settings *settings;
    uint16_t local_from, local_to; /* the kernel's range for sockets that were never bound */
    ino_t *seen;
    size_t seen_count;
    size_t listeners;
    int64_t longest; /* in milliseconds: a listener that lived longer was seen */
    struct finding *findings;
    size_t finding_count;
};

struct descent {
    pid_t ancestor;
    pid_t *holder;
};

static bool descends(pid_t holder, const void *context) {
    const struct descent *descent = context;
    *descent->holder = holder;
    return holder != descent->ancestor && cli_descends(holder, descent->ancestor);
}

static bool known(const struct cli_audit *audit, ino_t inode) {
    for (size_t i = 0; i < audit->seen_count; i++)
        if (audit->seen[i] == inode)
            return true;
    return false;
}

static void remember(struct cli_audit *audit, ino_t inode) {
    audit->seen = cli_need(reallocarray(audit->seen, audit->seen_count + 1, sizeof *audit->seen));
    audit->seen[audit->seen_count++] = inode;
}

/* True if the port is in the table, and its holder has the segment mapped or descends from the entry's owner. */
static bool managed(const struct cli_audit *audit, const struct cli_socket *socket, pid_t holder) {
    struct freeport *fp = audit->fp;
    unsigned index = cli_protocol_index(socket->protocol);
    fp_owner owner = fp_entry_owner(fp->segment, index, socket->port);
    if (owner == 0 || !fp_is_assignment(fp_entry_meaning(fp->segment, index, socket->port)))
        return false;
    return cli_has_mapped(holder, fp->facts.device, fp->facts.inode) ||
           (!fp_owner_gone(owner) && cli_descends(holder, fp_owner_pid(owner)));
}

static char *why_with_shim(const struct cli_audit *audit, const struct cli_socket *socket) {
    const struct fp_settings *settings = audit->settings;
    unsigned index = cli_protocol_index(socket->protocol);
    const char *protocol = cli_protocol_name(socket->protocol);
    if (!settings->managed[index])
        return cli_text("%s has no range; give it one in --%s", protocol, protocol);
    if (!fp_settings_has_sentinel(settings, index, socket->port) &&
        !fp_portset_has(&settings->ranges[index].ports, socket->port))
        return cli_text("a port that is neither 0 nor a sentinel; add it to --sentinels");
    return cli_text(
        "a sentinel, which the shim in it did not take: hand the FREEPORT_ variables on to it; where it has "
        "them, it bound past libc (io_uring), and freeport get has a port for it");
}

static char *why_without_shim(pid_t holder) {
    bool sure;
    if (cli_is_secure(holder))
        return cli_text("it was started by one whose real and effective user or group differ, where LD_PRELOAD is "
                        "ignored; start it as that user from the beginning (setpriv)");
    if (cli_preloads_shim(holder, &sure))
        return cli_text("the dynamic linker has not loaded the shim; in a chroot or container it has to be there too");
    if (!sure)
        return cli_text("another user's process, which can't be looked into; freeport run --audit as that user");
    return cli_text("LD_PRELOAD is not in its environment any more; let whoever starts it hand that on");
}

static char *why(const struct cli_audit *audit, const struct cli_socket *socket, pid_t holder) {
    char path[64];
    struct cli_program program;
    bool sure;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)holder);
    cli_look_at(path, &program);
    bool filtered = audit->settings->via != FP_VIA_PRELOAD && cli_is_covered(&program);
    if (program.obstacle && !filtered)
        return cli_text("%s; %s", program.obstacle, program.remedy);
    if (program.obstacle)
        return cli_text("%s, and it is not under the filter: it was started by a program without the shim, or before "
                        "this run; --via seccomp reaches all",
                        program.obstacle);
    return cli_has_shim(holder, &sure) ? why_with_shim(audit, socket) : why_without_shim(holder);
}

static void note(struct cli_audit *audit, const struct cli_socket *socket, pid_t holder) {
    struct finding finding = {socket->protocol, socket->port, holder, cli_command_of(holder),
                              why(audit, socket, holder)};
    audit->findings = cli_need(reallocarray(audit->findings, audit->finding_count + 1, sizeof *audit->findings));
    audit->findings[audit->finding_count++] = finding;
}

/* False for a UDP socket that only sends: its port is of the kernel's range, and no program has bound it. */
static bool listener(const struct cli_audit *audit, const struct cli_socket *socket) {
    return socket->listens &&
           (socket->protocol == FREEPORT_TCP || socket->port < audit->local_from || socket->port > audit->local_to);
}

/* `first`: the look before the command starts, whose listeners are not the command's. */
static void look(struct cli_audit *audit, bool first) {
    struct cli_sockets *sockets = cli_sockets_read();
    size_t count;
    const struct cli_socket *all = cli_sockets_all(sockets, &count);
    for (size_t i = 0; i < count; i++) {
        pid_t holder = 0;
        struct descent descent = {getpid(), &holder};
        if (!listener(audit, &all[i]) || known(audit, all[i].inode))
            continue;
        remember(audit, all[i].inode);
        if (first || !cli_socket_held_by(sockets, &all[i], descends, &descent))
            continue;
        audit->listeners++;
        if (!managed(audit, &all[i], holder))
            note(audit, &all[i], holder);
    }
    cli_sockets_free(sockets);
}

/* The processor time of this process. */
static int64_t spent_ms(void) {
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (int64_t)spent.tv_sec * 1000 + spent.tv_nsec / 1000000;
}

static void watch(struct cli_audit *audit, struct cli_child *child) {
    int64_t pause = PAUSE_MS, last = fp_now_ms();
    while (!child->ended) {
        cli_child_wait(child, (int)pause);
        int64_t begin = spent_ms(), now = fp_now_ms();
        look(audit, false);
        /* Measured to the end of the look: listeners are read at its beginning, and their processes after that. */
        if (fp_now_ms() - last > audit->longest)
            audit->longest = fp_now_ms() - last;
        last = now;
        pause = PAUSE_SHARE * (spent_ms() - begin);
        if (pause < PAUSE_MS)
            pause = PAUSE_MS;
    }
}

static void tell(struct cli_audit *audit) {
    for (size_t i = 0; i < audit->finding_count; i++) {
        struct finding *finding = &audit->findings[i];
        cli_error("audit: %s %u of %s (%d) went past the shim: %s", cli_protocol_name(finding->protocol), finding->port,
                  finding->command, (int)finding->pid, finding->why);
        free(finding->command);
        free(finding->why);
    }
    cli_error(
        "audit: %zu listener%s seen, %zu went past the shim; one that was there for less than %lld ms may not have "
        "been seen",
        audit->listeners, audit->listeners == 1 ? "" : "s", audit->finding_count, (long long)audit->longest + 1);
    free(audit->findings);
    free(audit->seen);
}

struct cli_audit *cli_audit_begin(struct freeport *fp, const struct fp_settings *settings) {
    struct cli_audit *audit = cli_need(calloc(1, sizeof *audit));
    audit->fp = fp;
    audit->settings = settings;
    cli_local_ports(&audit->local_from, &audit->local_to);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    look(audit, true);
    return audit;
}

void cli_audit_end(struct cli_audit *audit, struct cli_child *child) {
    watch(audit, child);
    tell(audit);
    free(audit);
}
