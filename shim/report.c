/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "errors.h"
#include "guest.h"
#include "hand_down.h"
#include "line.h"
#include "log.h"
#include "uncancelled.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* An identity that no object has. It stands for a descriptor that was closed at the start. */
enum { NOBODY_DEVICE = 0, NOBODY_INODE = 1 };

/* The pause between two tries to open a FIFO without a reader. */
enum { READER_PAUSE_MS = 5 };

/*
 * A place that reports go to. `slow` is set when its reader has let one call wait for the whole FREEPORT_TIMEOUT, and
 * until it takes a line again: no call waits for it meanwhile. Any thread may write it; a child inherits it.
 */
struct place {
    const char *variable;
    atomic_bool slow;
};

static struct place descriptor_place = {.variable = "FREEPORT_REPORT_FD"}, file_place = {.variable = "FREEPORT_REPORT"};

static int patience_ms(const struct fp_settings *settings, const struct place *place) {
    return atomic_load_explicit(&place->slow, memory_order_relaxed) ? 0 : settings->timeout_ms;
}

/* `error`: the result of writing a line, 0 if it was taken. */
static void note_reader(struct place *place, int error) {
    atomic_store_explicit(&place->slow, error == EAGAIN || error == ENXIO, memory_order_relaxed);
}

static void start_descriptor(struct fp_settings *settings) {
    if (settings->report_fd < 0 || settings->report_device != 0 || settings->report_inode != 0)
        return;
    struct stat st;
    if (fstat(settings->report_fd, &st) == 0) {
        settings->report_device = (uint64_t)st.st_dev;
        settings->report_inode = (uint64_t)st.st_ino;
    } else {
        settings->report_device = NOBODY_DEVICE;
        settings->report_inode = NOBODY_INODE;
    }
    struct fp_line line = {.length = 0};
    fp_line_number(&line, (uint64_t)settings->report_fd);
    fp_line_text(&line, ":");
    fp_line_number(&line, settings->report_device);
    fp_line_text(&line, ":");
    fp_line_number(&line, settings->report_inode);
    line.text[line.length] = 0;
    fp_hand_down("FREEPORT_REPORT_ID", line.text);
}

/* Makes a relative file absolute, so that a child in another working directory finds the same one. */
static void start_file(struct fp_settings *settings) {
    char path[PATH_MAX];
    if (!settings->has_report || settings->report[0] == '/' || !getcwd(path, sizeof path))
        return;
    size_t length = strlen(settings->report), directory = strlen(path);
    if (directory + 1 + length >= sizeof path)
        return;
    path[directory] = '/';
    memcpy(path + directory + 1, settings->report, length + 1);
    memcpy(settings->report, path, directory + 1 + length + 1);
    fp_hand_down("FREEPORT_REPORT", settings->report);
}

void fp_report_start(struct fp_settings *settings) {
    start_descriptor(settings);
    start_file(settings);
}

static const char *protocol_name(unsigned protocol) {
    return protocol == FP_TCP ? "tcp" : "udp";
}

static pid_t pid_of(const struct fp_caller *caller) {
    return caller->pid ? caller->pid : getpid();
}

static void compose_text(struct fp_line *line, const struct fp_caller *caller, unsigned protocol, uint16_t requested,
                         uint16_t port, const struct sockaddr *address) {
    fp_line_text(line, protocol_name(protocol));
    fp_line_text(line, " ");
    fp_line_number(line, requested);
    fp_line_text(line, " ");
    fp_line_number(line, port);
    fp_line_text(line, " ");
    fp_line_address(line, address);
    fp_line_text(line, " ");
    fp_line_number(line, (uint64_t)pid_of(caller));
    fp_line_text(line, " ");
    fp_line_text(line, caller->guest->settings.name);
}

static void compose_json(struct fp_line *line, const struct fp_caller *caller, unsigned protocol, uint16_t requested,
                         uint16_t port, const struct sockaddr *address) {
    fp_line_text(line, "{\"protocol\":\"");
    fp_line_text(line, protocol_name(protocol));
    fp_line_text(line, "\",\"requested\":");
    fp_line_number(line, requested);
    fp_line_text(line, ",\"port\":");
    fp_line_number(line, port);
    fp_line_text(line, ",\"address\":\"");
    fp_line_address(line, address);
    fp_line_text(line, "\",\"pid\":");
    fp_line_number(line, (uint64_t)pid_of(caller));
    fp_line_text(line, ",\"name\":");
    fp_line_json(line, caller->guest->settings.name);
    fp_line_text(line, ",\"session\":");
    fp_line_json(line, caller->guest->settings.session);
    fp_line_text(line, "}");
}

static void lost(const struct fp_caller *caller, const char *variable, const char *why) {
    struct fp_line line;
    if (!fp_log_begin(&line, &caller->guest->settings, FP_LOG_WARN))
        return;
    fp_line_text(&line, variable);
    fp_line_text(&line, ": ");
    fp_line_text(&line, why);
    fp_line_text(&line, "; the assignment is not reported, see freeport list");
    fp_log_end(caller, &line);
}

/*
 * Says that reports can't be written, else the user would wait for a line in vain. Said once in a process and the
 * children that it forks, since all workers of a server have the same trouble. `value` is shown behind `variable`.
 */
static void trouble(const struct fp_caller *caller, const char *variable, const char *value, const char *what,
                    int error) {
    static atomic_int said; /* no atomic_bool: a byte takes libatomic on riscv64 */
    struct fp_line line;
    if (atomic_exchange(&said, 1) || !fp_log_begin(&line, &caller->guest->settings, FP_LOG_ERROR))
        return;
    fp_line_text(&line, variable);
    if (value) {
        fp_line_text(&line, "=");
        fp_line_value(&line, value);
    }
    fp_line_text(&line, ": can't be ");
    fp_line_text(&line, what);
    fp_line_text(&line, ": ");
    fp_line_text(&line, fp_error_text(error));
    fp_line_text(&line, "; expected a file that user ");
    fp_line_number(&line, geteuid());
    fp_line_text(&line, " may write to, or a FIFO with a reader; what is not reported there is in freeport list");
    fp_log_end(caller, &line);
}

/* A reader that has closed or is slow is no error. A full disk is, and is said. */
static void cant_write(const struct fp_caller *caller, const char *variable, const char *value, int error) {
    if (error == EAGAIN || error == EPIPE || error == ECONNRESET)
        lost(caller, variable, "its reader is gone, or did not read in time");
    else
        trouble(caller, variable, value, "written", error);
}

/* `value`: the value of the place's variable, for a message; or NULL. */
static void write_line(const struct fp_caller *caller, struct place *place, const char *value,
                       const struct fp_line *line, int fd, int timeout_ms) {
    int error = fp_line_write(line, fd, timeout_ms) ? 0 : errno;
    note_reader(place, error);
    if (error != 0)
        cant_write(caller, place->variable, value, error);
}

static void to_descriptor(const struct fp_caller *caller, const struct fp_line *line) {
    const struct fp_settings *settings = &caller->guest->settings;
    struct stat st;
    int fd = fp_caller_descriptor(caller, settings->report_fd);
    /* Programs close descriptors and reuse their numbers: another object than the noted one is never written to. */
    if (fd < 0 || fstat(fd, &st) != 0 || (uint64_t)st.st_dev != settings->report_device ||
        (uint64_t)st.st_ino != settings->report_inode)
        lost(caller, "FREEPORT_REPORT_FD", "the descriptor is closed, or something else by now");
    else
        write_line(caller, &descriptor_place, NULL, line, fd, patience_ms(settings, &descriptor_place));
    fp_caller_give_back(caller, fd);
}

/*
 * O_CREAT is used only if the file does not exist: with it, another user's existing file in /tmp can't be opened
 * (fs.protected_regular).
 */
static int open_or_make(const char *path) {
    enum { FLAGS = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK };
    int fd = fp_open(path, FLAGS, 0);
    return fd < 0 && errno == ENOENT ? fp_open(path, FLAGS | O_CREAT, 0666) : fd;
}

/* Opens the file. The open of a FIFO fails with ENXIO until it has a reader, and is tried again. */
static int open_in_time(const char *path, int *timeout_ms) {
    for (;;) {
        int fd = open_or_make(path);
        if (fd >= 0 || errno != ENXIO || *timeout_ms <= 0)
            return fd;
        fp_poll(NULL, 0, READER_PAUSE_MS);
        *timeout_ms -= READER_PAUSE_MS;
    }
}

static void to_file(const struct fp_caller *caller, const struct fp_line *line) {
    const struct fp_settings *settings = &caller->guest->settings;
    int timeout_ms = patience_ms(settings, &file_place);
    int type = fp_cancel_later();
    int fd = open_in_time(settings->report, &timeout_ms);
    if (fd < 0) {
        note_reader(&file_place, errno);
        trouble(caller, "FREEPORT_REPORT", settings->report, "opened", errno);
    } else {
        write_line(caller, &file_place, settings->report, line, fd, timeout_ms);
        fp_close(fd);
    }
    fp_cancel_as_before(type);
}

void fp_report(const struct fp_caller *caller, unsigned protocol, uint16_t requested, uint16_t port,
               const struct sockaddr *address) {
    const struct fp_settings *settings = &caller->guest->settings;
    if (settings->report_fd < 0 && !settings->has_report)
        return;
    struct fp_line line = {.length = 0};
    if (settings->report_format == FP_REPORT_JSON)
        compose_json(&line, caller, protocol, requested, port, address);
    else
        compose_text(&line, caller, protocol, requested, port, address);
    if (settings->report_fd >= 0)
        to_descriptor(caller, &line);
    if (settings->has_report)
        to_file(caller, &line);
}
