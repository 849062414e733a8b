/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include "follow.h"
#include "hand_down.h"
#include "log.h"
#include "report.h"
#include "worktree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct fp_guest fp_guest;
static struct fp_usage own_usage;
const struct fp_caller fp_own_caller = {
    .guest = &fp_guest, .process = -1, .standard_error = &fp_log_standard_error, .usage = &own_usage};

#define PREFIX "FREEPORT_"
enum { PREFIX_LENGTH = sizeof PREFIX - 1 };

/* Calls no function of libc: the dynamic linker would have to find it first, which takes longer than the whole loop. */
static bool begins(const char *text, const char *prefix) {
    while (*prefix && *text == *prefix) {
        text++;
        prefix++;
    }
    return !*prefix;
}

/*
 * The environment's FREEPORT_ variables, found in one pass: most programs never bind, and may have hundreds of other
 * variables. If there is no room for all, the rest is looked up one by one.
 */
struct variables {
    unsigned count;
    const char *found[64];
    char **rest; /* where the pass ended */
};

/* True if the environment has a range. In a set-user-ID program secure_getenv() finds none, so it is left alone. */
static bool ranges_named(void) {
    return secure_getenv("FREEPORT_TCP") || secure_getenv("FREEPORT_UDP");
}

static void find_variables(struct variables *variables) {
    variables->count = 0;
    for (variables->rest = environ; *variables->rest; variables->rest++) {
        if (!begins(*variables->rest, PREFIX))
            continue;
        if (variables->count == sizeof variables->found / sizeof variables->found[0])
            return;
        variables->found[variables->count++] = *variables->rest;
    }
}

/* The value in an entry that is of that variable, else NULL. Both begin with PREFIX. */
static const char *value_in(const char *entry, const char *variable) {
    const char *name = variable + PREFIX_LENGTH, *at = entry + PREFIX_LENGTH;
    while (*name && *name == *at) {
        name++;
        at++;
    }
    return !*name && *at == '=' ? at + 1 : NULL;
}

static const char *from_environment(const char *variable, void *context) {
    const struct variables *variables = context;
    const char *value;
    for (unsigned i = 0; i < variables->count; i++)
        if ((value = value_in(variables->found[i], variable)))
            return value;
    for (char **at = variables->rest; *at; at++)
        if (begins(*at, PREFIX) && (value = value_in(*at, variable)))
            return value;
    return NULL;
}

static void complain(const struct fp_settings *settings, const char *variable, const char *value, const char *expected,
                     void *context) {
    (void)context;
    struct fp_line line;
    if (!fp_log_begin(&line, settings, FP_LOG_ERROR))
        return;
    fp_line_text(&line, variable);
    fp_line_text(&line, "=");
    fp_line_value(&line, value);
    fp_line_text(&line, ": expected ");
    fp_line_text(&line, expected);
    fp_line_text(&line, "; until it is mended, managed binds fail with EINVAL");
    fp_log_end(&fp_own_caller, &line);
}

static void hand_down(const char *variable, struct fp_line *value) {
    value->text[value->length] = 0;
    fp_hand_down(variable, value->text);
}

static bool is(const char *text, const char *word) {
    return begins(text, word) && begins(word, text);
}

/* FREEPORT_SESSION=auto: the worktree's name. Without a working directory, a name is made up. */
static void name_session(struct fp_settings *settings) {
    struct fp_worktree worktree;
    if (fp_worktree_find(&worktree) != 0) {
        settings->session[0] = 0;
        return;
    }
    memcpy(settings->session, worktree.session, sizeof worktree.session);
    fp_hand_down("FREEPORT_SESSION", settings->session);
}

/* Without FREEPORT_SESSION a session is a process tree: its first process makes a name up. */
static void start_session(struct fp_settings *settings) {
    if (is(settings->session, "auto"))
        name_session(settings);
    if (settings->session[0] && !is(settings->session, "new"))
        return;
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    struct fp_line name = {.length = 0};
    fp_line_number(&name, (uint64_t)getpid());
    fp_line_text(&name, "-");
    fp_line_hex(&name, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    memcpy(settings->session, name.text, name.length);
    settings->session[name.length] = 0;
    hand_down("FREEPORT_SESSION", &name);
}

static const char *way_out(int error) {
    switch (error) {
    case -EACCES:
        return "; it is for users that its mode lets in: create it with FREEPORT_SEGMENT_MODE=0660 and a group that "
               "they "
               "share, or name another in FREEPORT_SEGMENT";
    case -EPERM:
        return "; a segment is trusted if it is this user's, root's or handed down by the parent: name another in "
               "FREEPORT_SEGMENT";
    case -EPROTO:
        return "; end its processes and remove it from /dev/shm, or name another in FREEPORT_SEGMENT";
    case -ENOSPC:
    case -ENOENT:
    case -EROFS:
        return "; /dev/shm has to be a writable tmpfs with 9 MB to spare";
    default:
        return "";
    }
}

static void begin_segment_line(const struct fp_caller *caller, struct fp_line *line) {
    const struct fp_segment_facts *facts = &caller->guest->handle.facts;
    fp_line_text(line, "FREEPORT_SEGMENT ");
    fp_line_value(line, facts->name);
    if (facts->owner != (uid_t)-1) {
        fp_line_text(line, " (of user ");
        fp_line_number(line, facts->owner);
        fp_line_text(line, ")");
    }
    fp_line_text(line, ": ");
}

static void explain_refusal(const struct fp_caller *caller, int error) {
    struct fp_line line;
    if (!fp_log_begin(&line, &caller->guest->settings, FP_LOG_ERROR))
        return;
    begin_segment_line(caller, &line);
    fp_line_text(&line, error == -EPERM ? "it belongs to a user who is not trusted" : freeport_strerror(error));
    fp_line_text(&line, way_out(error));
    fp_line_text(&line, "; until then, managed binds fail with EINVAL");
    fp_log_end(caller, &line);
}

static void explain_change(const struct fp_caller *caller) {
    struct fp_line line;
    if (!fp_log_begin(&line, &caller->guest->settings, FP_LOG_ERROR))
        return;
    begin_segment_line(caller, &line);
    fp_line_text(&line, "not the segment that this session began with: that was removed (by hand, or by logind's "
                        "RemoveIPC when its user logged out), or /dev/shm is another; what was bound before is not "
                        "known here: start the session anew");
    fp_log_end(caller, &line);
}

/*
 * Called at the first call that depends on the segment, not at the start: else each program under the shim, a compiler
 * say, would print the line.
 */
void fp_guest_explain(const struct fp_caller *caller) {
    if (atomic_load_explicit(&caller->guest->segment_error, memory_order_relaxed) != 0) {
        int error = atomic_exchange(&caller->guest->segment_error, 0);
        if (error != 0)
            explain_refusal(caller, error);
    }
    if (atomic_load_explicit(&caller->guest->segment_changed, memory_order_relaxed) &&
        atomic_exchange(&caller->guest->segment_changed, false))
        explain_change(caller);
}

/*
 * Hands the segment's identity down to children. An identity from the parent is compared with the segment and kept:
 * this process may be a shell, which never says that the segment is another one.
 */
static void hand_down_identity(struct fp_guest *guest) {
    const struct fp_settings *settings = &guest->settings;
    const struct fp_segment_facts *facts = &guest->handle.facts;
    if (settings->segment_device != 0 || settings->segment_inode != 0) {
        guest->segment_changed =
            settings->segment_device != (uint64_t)facts->device || settings->segment_inode != (uint64_t)facts->inode;
        return;
    }
    struct fp_line line = {.length = 0};
    fp_line_number(&line, (uint64_t)facts->device);
    fp_line_text(&line, ":");
    fp_line_number(&line, (uint64_t)facts->inode);
    fp_line_text(&line, ":");
    fp_line_text(&line, facts->name);
    hand_down("FREEPORT_SEGMENT_ID", &line);
}

static bool start_segment(struct fp_guest *guest) {
    struct fp_settings *settings = &guest->settings;
    struct fp_segment_request request = {
        .name = settings->segment,
        .mode = settings->segment_mode,
        .trusted_owner = settings->segment_owner,
    };
    int error = fp_segment_open(&request, &guest->handle.segment, &guest->handle.facts);
    if (error != 0) {
        guest->segment_error = error;
        return false;
    }
    struct fp_line line = {.length = 0};
    if (!settings->segment[0]) {
        fp_line_text(&line, guest->handle.facts.name);
        hand_down("FREEPORT_SEGMENT", &line);
        line.length = 0;
    }
    if (settings->segment_owner == (uid_t)-1) {
        fp_line_number(&line, guest->handle.facts.owner);
        hand_down("FREEPORT_SEGMENT_OWNER", &line);
    }
    hand_down_identity(guest);
    if (guest->handle.facts.replaced && fp_log_begin(&line, settings, FP_LOG_WARN)) {
        fp_line_text(&line, "segment ");
        fp_line_value(&line, guest->handle.facts.name);
        fp_line_text(&line, " was damaged, and has been replaced by a fresh one");
        fp_log_end(&fp_own_caller, &line);
    }
    return true;
}

static enum fp_phase start(struct fp_guest *guest, const struct fp_calls *calls) {
    struct fp_settings *settings = &guest->settings;
    struct variables variables;
    if (!ranges_named())
        return FP_PHASE_INERT;
    find_variables(&variables);
    fp_log_start();
    if (!fp_settings_read(settings, from_environment, complain, &variables))
        settings->bad = settings->managed[FP_TCP] = settings->managed[FP_UDP] =
            true; /* a bind without its range must not reach the kernel */
    start_session(settings);
    fp_report_start(settings);
    guest->handle.calls = *calls;
    guest->redirects = settings->connect != FP_CONNECT_OFF;
    if (settings->bad)
        return FP_PHASE_REFUSING;
    for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++)
        guest->handle.ranges[protocol] = &settings->ranges[protocol];
    fp_text_set(&guest->handle.name, settings->name);
    fp_text_set(&guest->handle.session, settings->session);
    guest->handle.has_session = true;
    guest->handle.pins = &settings->pins;
    guest->handle.named = !fp_session_made_up(settings->session);
    if (!start_segment(guest))
        return FP_PHASE_REFUSING;
    guest->renames = settings->sockname == FP_SOCKNAME_VIRTUAL;
    return FP_PHASE_ACTIVE;
}

void fp_guest_start(const struct fp_calls *calls,
                    int (*connect)(int fd, const struct sockaddr *address, socklen_t length),
                    int (*getpeername)(int fd, struct sockaddr *address, socklen_t *length)) {
    int unstarted = FP_PHASE_UNSTARTED;
    if (!atomic_compare_exchange_strong(&fp_guest.phase, &unstarted, FP_PHASE_STARTING))
        return;
    int saved = errno;
    fp_guest.connect = connect;
    fp_guest.getpeername = getpeername;
    enum fp_phase phase = start(&fp_guest, calls);
    if (phase != FP_PHASE_INERT)
        fp_follow_start(&fp_guest.settings);
    atomic_store_explicit(&fp_guest.phase, phase, memory_order_release);
    errno = saved;
}

void fp_guest_adopt(struct fp_guest *guest, const struct fp_settings *settings, const struct freeport *handle) {
    guest->settings = *settings;
    fp_report_start(&guest->settings);
    guest->handle = *handle;
    guest->connect = connect;
    guest->getpeername = getpeername;
    guest->redirects = settings->connect != FP_CONNECT_OFF;
    guest->renames = settings->sockname == FP_SOCKNAME_VIRTUAL;
    atomic_store_explicit(&guest->phase, FP_PHASE_ACTIVE, memory_order_release);
}
