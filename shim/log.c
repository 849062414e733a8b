/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_TIMEOUT_MS = 100 };

/* Written once in the constructor, then only read. */
static struct {
    dev_t device;
    ino_t inode;
} standard_error;

/* Not by fstat(): glibc's has the kernel read an empty path of libc's own, in a page that may not be there yet. */
void fp_log_start(void) {
    struct stat st;
    if (fstatat(STDERR_FILENO, "", &st, AT_EMPTY_PATH) == 0) {
        standard_error.device = st.st_dev;
        standard_error.inode = st.st_ino;
    }
}

bool fp_log_begin(struct fp_line *line, const struct fp_settings *settings, enum fp_log_level level) {
    line->length = 0;
    if (level > settings->log)
        return false;
    fp_line_text(line, "freeport: ");
    return true;
}

/*
 * Daemons close descriptor 2 and get its number again for a database or a connection. What it was at the start is fine,
 * and so is what a line can only be added to: a terminal, a file that is appended to.
 */
static bool still_standard_error(void) {
    struct stat st;
    if (fstat(STDERR_FILENO, &st) != 0)
        return false;
    if (st.st_dev == standard_error.device && st.st_ino == standard_error.inode)
        return true;
    if (S_ISREG(st.st_mode))
        return fcntl(STDERR_FILENO, F_GETFL) & O_APPEND;
    return S_ISCHR(st.st_mode) && isatty(STDERR_FILENO);
}

void fp_log_end(const struct fp_line *line) {
    int saved = errno;
    if (still_standard_error())
        fp_line_write(line, STDERR_FILENO, LOG_TIMEOUT_MS);
    errno = saved;
}
