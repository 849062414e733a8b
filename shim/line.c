/* SPDX-License-Identifier: MIT */
#include "line.h"

#include "clock.h"
#include "compat.h"
#include "uncancelled.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void put(struct fp_line *line, char c) {
    if (line->length < sizeof line->text - 1) /* the last byte is kept for the newline */
        line->text[line->length++] = c;
}

void fp_line_text(struct fp_line *line, const char *text) {
    while (*text)
        put(line, *text++);
}

void fp_line_value(struct fp_line *line, const char *value) {
    enum { SHOWN = 200 }; /* at most, so that the rest of the message fits in the line */
    for (unsigned i = 0; i < SHOWN && *value; i++, value++)
        put(line, (char)(*value < 0x20 || *value > 0x7e ? '?' : *value));
    if (*value)
        fp_line_text(line, "...");
}

static void put_number(struct fp_line *line, uint64_t number, unsigned base) {
    char digits[20];
    unsigned n = 0;
    do {
        digits[n++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    while (n > 0)
        put(line, digits[--n]);
}

void fp_line_number(struct fp_line *line, uint64_t number) {
    put_number(line, number, 10);
}

void fp_line_hex(struct fp_line *line, uint64_t number) {
    put_number(line, number, 16);
}

void fp_line_json(struct fp_line *line, const char *text) {
    put(line, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            put(line, '\\');
        if (c < 0x20 || c > 0x7e) {
            fp_line_text(line, "\\u00");
            put(line, "0123456789abcdef"[c / 16]);
            put(line, "0123456789abcdef"[c % 16]);
        } else {
            put(line, (char)c);
        }
    }
    put(line, '"');
}

static void put_ipv4(struct fp_line *line, const unsigned char *bytes) {
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            put(line, '.');
        put_number(line, bytes[i], 10);
    }
}

static void put_ipv6(struct fp_line *line, const struct in6_addr *address) {
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        fp_line_text(line, "::ffff:");
        put_ipv4(line, address->s6_addr + 12);
        return;
    }
    unsigned groups[8], best = 8, best_length = 1;
    for (size_t i = 0; i < 8; i++)
        groups[i] = (unsigned)address->s6_addr[2 * i] << 8 | address->s6_addr[2 * i + 1];
    for (unsigned i = 0, length; i < 8; i += length ? length : 1) {
        for (length = 0; i + length < 8 && groups[i + length] == 0;)
            length++;
        if (length > best_length) {
            best = i;
            best_length = length;
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if (i == best) {
            fp_line_text(line, "::");
            i += best_length - 1;
            continue;
        }
        if (i > 0 && i != best + best_length)
            put(line, ':');
        put_number(line, groups[i], 16);
    }
}

void fp_line_address(struct fp_line *line, const struct sockaddr *address) {
    if (address->sa_family == AF_INET6)
        put_ipv6(line, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    else
        put_ipv4(line, (const unsigned char *)&((const struct sockaddr_in *)(const void *)address)->sin_addr);
}

static bool is_file(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Writes without blocking, as far as the kernel can: 0, or a positive errno. */
static int try_write(int fd, const char *text, size_t length) {
    if (syscall(SYS_sendto, (long)fd, text, length, (long)(MSG_DONTWAIT | MSG_NOSIGNAL), NULL, 0L) >= 0)
        return 0;
    if (errno != ENOTSOCK)
        return errno;
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = length};
    if (fp_write_nowait(fd, &part) >= 0)
        return 0;
    /*
     * RWF_NOWAIT gives EAGAIN again and again on XFS and btrfs, which allocate a block or change a time for nearly
     * every line. A sandbox that does not know the call gives EPERM or ENOSYS.
     */
    if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM && errno != EINVAL &&
        !(errno == EAGAIN && is_file(fd)))
        return errno;
    /* A file, a terminal, or a pipe of an older kernel. */
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (fp_poll(&ready, 1, 0) == 0)
        return EAGAIN;
    return fp_write(fd, text, length) >= 0 ? 0 : errno;
}

/* 0, or a positive errno; EAGAIN if the time was over first. */
static int write_in_time(int fd, const char *text, size_t length, int timeout_ms) {
    int64_t until = 0;
    for (;;) {
        int error = try_write(fd, text, length);
        if (error != EAGAIN && error != EINTR)
            return error;
        int64_t now = fp_now_ms();
        if (until == 0)
            until = now + timeout_ms;
        if (now >= until)
            return EAGAIN;
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        fp_poll(&ready, 1, (int)(until - now));
    }
}

bool fp_line_write(const struct fp_line *line, int fd, int timeout_ms) {
    char text[sizeof line->text];
    for (unsigned i = 0; i < line->length; i++)
        text[i] = line->text[i];
    text[line->length] = '\n';

    /*
     * SIGPIPE comes when the reader has closed, SIGXFSZ at RLIMIT_FSIZE. SIGTTOU, which stops a background job that
     * writes to its terminal (stty tostop), is not raised while it is blocked.
     */
    static const int raised[] = {SIGPIPE, SIGXFSZ};
    sigset_t ours, before, pending;
    int type = fp_cancel_later();
    sigemptyset(&ours);
    sigaddset(&ours, raised[0]);
    sigaddset(&ours, raised[1]);
    sigaddset(&ours, SIGTTOU);
    fp_signal_mask(SIG_BLOCK, &ours, &before);
    sigpending(&pending);

    int error = write_in_time(fd, text, line->length + 1, timeout_ms);

    /* Takes a signal that the write has raised, which is pending now. One that was pending before is the program's. */
    for (unsigned i = 0; i < 2; i++)
        if (sigismember(&pending, raised[i]) == 1)
            sigdelset(&ours, raised[i]);
    sigdelset(&ours, SIGTTOU);
    while (error != 0 && fp_take_signal(&ours) > 0) {
    }
    fp_signal_mask(SIG_SETMASK, &before, NULL);
    fp_cancel_as_before(type);
    if (error != 0)
        errno = error;
    return error == 0;
}
