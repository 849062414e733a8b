/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_TIMEOUT_MS = 100 };

struct fp_stream fp_log_standard_error; /* written once in the constructor, then only read */

void fp_log_start(void) {
    fp_stream_note(&fp_log_standard_error, STDERR_FILENO);
}

bool fp_log_begin(struct fp_line *line, const struct fp_settings *settings, enum fp_log_level level) {
    line->length = 0;
    if (level > settings->log)
        return false;
    fp_line_text(line, "freeport: ");
    return true;
}

/*
 * Daemons close descriptor 2, and the number may then be a database or a connection. A line is written only if it is
 * still the same object as at the start, or one where a line does no harm: a terminal, or a file opened to append.
 */
static bool still_standard_error(const struct fp_stream *was, int fd) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return false;
    if (st.st_dev == was->device && st.st_ino == was->inode)
        return true;
    if (S_ISREG(st.st_mode))
        return fcntl(fd, F_GETFL) & O_APPEND;
    return S_ISCHR(st.st_mode) && isatty(fd);
}

void fp_log_end(const struct fp_caller *caller, const struct fp_line *line) {
    int saved = errno, fd = fp_caller_descriptor(caller, STDERR_FILENO);
    if (still_standard_error(caller->standard_error, fd))
        fp_line_write(line, fd, LOG_TIMEOUT_MS);
    fp_caller_give_back(caller, fd);
    errno = saved;
}
