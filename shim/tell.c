/* SPDX-License-Identifier: MIT */
/*
 * The process that binds, or that is refused, writes the line itself: no other process has to watch it. FREEPORT_TELL
 * means that the standard error of `freeport run` is a terminal. The program's own may be something else (a pipe to its
 * parent), so the line goes to its controlling terminal. A daemon has none.
 */
#include "tell.h"

#include "guest.h"
#include "line.h"
#include "log.h"
#include "owner.h"
#include "scheme.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

enum { TELL_TIMEOUT_MS = 100, REMEMBERED = 8 };

/* The lines that this process, or the one that it was forked from, has written last. */
static _Atomic uint64_t told[REMEMBERED];

static uint64_t key_of(unsigned protocol, uint16_t sentinel, uint16_t port) {
    return ((uint64_t)(protocol + 1) << 32) | ((uint64_t)sentinel << 16) | port;
}

/* True if the line is new; it is remembered then. */
static bool remember(uint64_t key) {
    for (unsigned i = 0; i < REMEMBERED; i++) {
        uint64_t empty = 0;
        if (atomic_compare_exchange_strong(&told[i], &empty, key))
            return true;
        if (empty == key)
            return false;
    }
    return true;
}

bool fp_tell_news(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel) {
    struct freeport *handle = &caller->guest->handle;
    fp_meaning meaning;
    if (!caller->guest->settings.tell)
        return false;
    uint16_t port = fp_index_find(handle->segment, &handle->session, protocol, sentinel, &meaning);
    return port == 0 || fp_state(meaning) != FP_BOUND ||
           fp_owner_gone_quick(fp_entry_owner(handle->segment, protocol, port));
}

static void write_line(const struct fp_caller *caller, const struct fp_line *line) {
    int saved = errno, own = fp_caller_descriptor(caller, STDERR_FILENO);
    if (isatty(own)) {
        fp_line_write(line, own, TELL_TIMEOUT_MS);
    } else {
        int fd = open("/dev/tty", O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0) {
            fp_line_write(line, fd, TELL_TIMEOUT_MS);
            close(fd);
        }
    }
    fp_caller_give_back(caller, own);
    errno = saved;
}

static bool on_terminal(const struct fp_caller *caller) {
    int fd = fp_caller_descriptor(caller, STDERR_FILENO);
    bool yes = isatty(fd);
    fp_caller_give_back(caller, fd);
    return yes;
}

/* Writes "localhost" for the wildcard and loopback: browsers keep their cookies by that name. */
static void put_host(struct fp_line *line, const struct sockaddr *address) {
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        if (!IN6_IS_ADDR_UNSPECIFIED(six) && !IN6_IS_ADDR_LOOPBACK(six) && !IN6_IS_ADDR_V4MAPPED(six)) {
            fp_line_text(line, "[");
            fp_line_address(line, address);
            fp_line_text(line, "]");
            return;
        }
    } else {
        uint32_t four = ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
        if (four != INADDR_ANY && four >> 24 != 127) {
            fp_line_address(line, address);
            return;
        }
    }
    fp_line_text(line, "localhost");
}

void fp_tell_bound(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel, uint16_t port,
                   const struct sockaddr *address) {
    struct fp_line line;
    if (!remember(key_of(protocol, sentinel, port)) || !fp_log_begin(&line, &caller->guest->settings, FP_LOG_ERROR))
        return;
    fp_line_number(&line, sentinel);
    fp_line_text(&line, " is ");
    if (protocol == FP_TCP)
        fp_line_text(&line, fp_scheme(sentinel));
    put_host(&line, address);
    fp_line_text(&line, ":");
    fp_line_number(&line, port);
    fp_line_text(&line, protocol == FP_TCP ? " (tcp)" : " (udp)");
    write_line(caller, &line);
}

void fp_tell_refused(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel) {
    static atomic_bool said;
    struct fp_line line;
    if (!on_terminal(caller) || atomic_exchange(&said, true) ||
        !fp_log_begin(&line, &caller->guest->settings, FP_LOG_ERROR))
        return;
    fp_line_text(&line, protocol == FP_TCP ? "tcp " : "udp ");
    fp_line_number(&line, sentinel);
    fp_line_text(&line, " is refused: no server of session ");
    fp_line_value(&line, caller->guest->settings.session);
    fp_line_text(&line, " has bound it (freeport list --all); FREEPORT_CONNECT=fallthrough lets clients reach the "
                        "host's own");
    write_line(caller, &line);
}
