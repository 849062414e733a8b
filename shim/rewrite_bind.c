/* SPDX-License-Identifier: MIT */
#include "rewrite.h"

#include "guest.h"
#include "log.h"
#include "mapped.h"
#include "number.h"
#include "owner.h"
#include "report.h"
#include "tell.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static_assert((int)FP_TCP == (int)FP_TCP_INDEX && (int)FP_UDP == (int)FP_UDP_INDEX, "one order of protocols");

static bool asks_for_no_port(int fd) {
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &value, &length) == 0 && value != 0;
}

/* The real port that was asked for a sentinel is not to be had, and whose it is. */
static void log_taken(const struct fp_caller *caller, struct fp_line *line, unsigned protocol, uint16_t requested,
                      uint16_t asked) {
    fp_owner owner = fp_entry_owner(caller->guest->handle.segment, protocol, asked);
    fp_line_text(line, "FREEPORT_SENTINELS: ");
    fp_line_number(line, requested);
    fp_line_text(line, "=");
    fp_line_number(line, asked);
    fp_line_text(line, protocol == FP_TCP ? ": tcp port " : ": udp port ");
    fp_line_number(line, asked);
    if (owner != 0 && !fp_owner_gone_quick(owner)) {
        fp_line_text(line, " is that of process ");
        fp_line_number(line, (uint64_t)fp_owner_pid(owner));
        fp_line_text(line, "; end it, or ask for another (freeport list)");
    } else {
        fp_line_text(line,
                     " is bound by a program that freeport does not know; end it, or ask for another (ss -tulpn)");
    }
    fp_log_end(caller, line);
}

static void log_failure(const struct fp_caller *caller, unsigned protocol, uint16_t requested, int error) {
    const struct fp_settings *settings = &caller->guest->settings;
    struct fp_line line;
    if ((error != -EADDRINUSE && error != -ETIMEDOUT && error != -ENOSPC) ||
        !fp_log_begin(&line, settings, FP_LOG_ERROR))
        return;
    uint16_t asked = fp_pinned(&settings->pins, protocol, requested);
    if (asked != 0) {
        log_taken(caller, &line, protocol, requested, asked);
        return;
    }
    fp_line_text(&line, protocol == FP_TCP ? "FREEPORT_TCP=" : "FREEPORT_UDP=");
    fp_line_text(&line, settings->range[protocol]);
    fp_line_text(&line, ": ");
    fp_line_text(&line, freeport_strerror(error));
    fp_line_text(&line, " (asked for port ");
    fp_line_number(&line, requested);
    fp_line_text(&line, ", name ");
    fp_line_text(&line, settings->name);
    fp_line_text(&line, "); widen the range, or see freeport list for who has it");
    fp_log_end(caller, &line);
}

static void log_assignment(const struct fp_caller *caller, unsigned protocol, uint16_t requested, uint16_t port) {
    struct fp_line line;
    if (!fp_log_begin(&line, &caller->guest->settings, FP_LOG_INFO))
        return;
    fp_line_text(&line, protocol == FP_TCP ? "tcp " : "udp ");
    fp_line_number(&line, requested);
    fp_line_text(&line, " is ");
    fp_line_number(&line, port);
    fp_log_end(caller, &line);
}

/*
 * No port was left, and none was tried maybe. What the kernel would say of any: nothing (0); or in its own words, of a
 * socket of another family; or EINVAL, of one that is bound already. One that only looks bound could be bound past us.
 */
static int refused_anyway(const struct fp_caller *caller, int fd, const struct sockaddr *address) {
    struct sockaddr_storage name;
    if (fp_socket_protocol(&caller->guest->handle.calls, fd, &name) < 0)
        return 0;
    if (name.ss_family != address->sa_family && address->sa_family != AF_UNSPEC)
        return FP_UNTOUCHED;
    return fp_address_port((struct sockaddr *)&name) != 0 ? -EINVAL : 0;
}

static int managed_bind(const struct fp_caller *caller, fp_bind_call *call, int fd, unsigned protocol,
                        const struct sockaddr *address, socklen_t length) {
    const struct fp_settings *settings = &caller->guest->settings;
    fp_guest_explain(caller);
    if (fp_guest_phase_of(caller->guest) != FP_PHASE_ACTIVE)
        return -EINVAL;
    uint16_t requested = fp_address_port(address), port = 0;
    struct fp_bind bind = {
        .fp = &caller->guest->handle,
        .owner = caller->owner,
        .fd = fd,
        .protocol = protocol,
        .address = address,
        .length = length,
        .sentinel = requested,
        .pledge = fp_number_listed(caller->guest, !protocol, requested),
        .named = {fp_portset_has(&settings->named[FP_TCP], requested),
                  fp_portset_has(&settings->named[FP_UDP], requested)},
        /* A bind to port 0 waits for nobody: one pass, however long others have the processors meanwhile. */
        .timeout_ms = requested ? settings->timeout_ms : -1,
        .bind = call,
    };
    bool conflict = false, news = requested != 0 && fp_tell_news(caller, protocol, requested);
    int error = fp_bind(&bind, &port, &conflict);
    int refused = error == -EADDRINUSE && requested == 0 ? refused_anyway(caller, fd, address) : 0;
    if (refused)
        return refused;
    if (error != 0) {
        if (!conflict)
            log_failure(caller, protocol, requested, error);
        /* bind(2) knows no other word for "none to be had". */
        return error == -ETIMEDOUT || error == -ENOSPC ? -EADDRINUSE : error;
    }
    if (requested != 0)
        fp_usage_bound(caller->usage, protocol, port, false);
    log_assignment(caller, protocol, requested, port);
    if (news)
        fp_tell_bound(caller, protocol, requested, port, address);
    fp_report(caller, protocol, requested, port, address);
    return 0;
}

static int explicit_bind(const struct fp_caller *caller, fp_bind_call *call, int fd, unsigned protocol,
                         const struct sockaddr *address, socklen_t length) {
    struct freeport *handle = &caller->guest->handle;
    uint16_t port = fp_address_port(address);
    if (fp_guest_phase_of(caller->guest) != FP_PHASE_ACTIVE)
        return FP_UNTOUCHED;
    if (call(fd, address, length) != 0)
        return -errno;
    if (!caller->preloaded)
        fp_note_explicit(handle, caller->owner, protocol, port, address);
    if (fp_sentinel_behind(handle->segment, &handle->session, protocol, port) != 0)
        fp_usage_bound(caller->usage, protocol, port, true);
    return 0;
}

/*
 * A socket that is none of ours gets the kernel's word. But where a sandbox won't let us see whether it is ours, its
 * bind fails: nothing falls back silently to an unmanaged port.
 */
static int unknown_protocol(const struct fp_caller *caller, int error) {
    if (!fp_untold(error))
        return FP_UNTOUCHED;
    struct fp_line line;
    if (fp_log_begin(&line, &caller->guest->settings, FP_LOG_ERROR)) {
        fp_line_text(&line, "FREEPORT_TCP, FREEPORT_UDP: getsockname and getsockopt have to tell a socket's protocol, "
                            "and are refused: ");
        fp_line_text(&line, freeport_strerror(error));
        fp_line_text(&line, "; let the sandbox allow them");
        fp_log_end(caller, &line);
    }
    return error;
}

/* Port 0. What the kernel would refuse anyway (no socket, bound already), it refuses in its own words. */
static int bind_any(const struct fp_caller *caller, fp_bind_call *call, int fd, const struct sockaddr *address,
                    socklen_t length) {
    int protocol = fp_unbound_protocol(&caller->guest->handle.calls, fd);
    if (protocol < 0)
        return unknown_protocol(caller, protocol);
    if (!caller->guest->settings.managed[protocol] || asks_for_no_port(fd))
        return FP_UNTOUCHED;
    return managed_bind(caller, call, fd, (unsigned)protocol, address, length);
}

/*
 * Whether the process has claimed the port and is about to bind it. Another library's bind, which the shim's own call
 * leads through, comes back here by syscall(2): it is the same bind, and rewritten already.
 */
static bool being_assigned(const struct fp_caller *caller, unsigned protocol, uint16_t port) {
    struct fp_segment *segment = caller->guest->handle.segment;
    return segment && fp_state(fp_entry_meaning(segment, protocol, port)) == FP_CLAIMED &&
           fp_entry_owner(segment, protocol, port) == (caller->owner ? caller->owner : fp_owner_self());
}

static int bind_number(const struct fp_caller *caller, fp_bind_call *call, int fd, uint16_t port,
                       const struct sockaddr *address, socklen_t length) {
    int protocol = fp_binding_protocol(&caller->guest->handle.calls, fd);
    if (protocol < 0)
        return unknown_protocol(caller, protocol);
    if (being_assigned(caller, (unsigned)protocol, port))
        return FP_UNTOUCHED;
    switch (fp_number_meaning(caller->guest, (unsigned)protocol, port)) {
    case FP_NUMBER_SENTINEL:
        return managed_bind(caller, call, fd, (unsigned)protocol, address, length);
    case FP_NUMBER_OWN:
        return explicit_bind(caller, call, fd, (unsigned)protocol, address, length);
    default:
        return FP_UNTOUCHED;
    }
}

bool fp_rewrites_bind(const struct fp_caller *caller, uint16_t port) {
    const struct fp_guest *guest = caller->guest;
    return port == 0 || fp_number_meaning(guest, FP_TCP, port) != FP_NUMBER_FOREIGN ||
           fp_number_meaning(guest, FP_UDP, port) != FP_NUMBER_FOREIGN;
}

int fp_rewrite_bind(const struct fp_caller *caller, fp_bind_call *call, int fd, const struct sockaddr *theirs,
                    socklen_t length) {
    if (length < sizeof(struct sockaddr_in) || length > sizeof(struct sockaddr_storage) || !fp_mapped(theirs, length) ||
        !fp_address_ok(theirs, length))
        return FP_UNTOUCHED;
    /* Read once, as the kernel does: it may stand at an odd place, and another thread may change it. */
    struct sockaddr_storage copy;
    memcpy(&copy, theirs, length);
    const struct sockaddr *address = (const struct sockaddr *)&copy;
    uint16_t port = fp_address_port(address);
    if (port == 0)
        return bind_any(caller, call, fd, address, length);
    if (!fp_rewrites_bind(caller, port))
        return FP_UNTOUCHED;
    return bind_number(caller, call, fd, port, address, length);
}

static bool has_port(const struct fp_caller *caller, int fd) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    return caller->guest->handle.calls.getsockname(fd, (struct sockaddr *)&name, &length) == 0 &&
           (name.ss_family == AF_INET || name.ss_family == AF_INET6) && fp_address_port((struct sockaddr *)&name) != 0;
}

int fp_rewrite_listen(const struct fp_caller *caller, fp_bind_call *call, int fd) {
    if (!caller->guest->settings.managed[FP_TCP])
        return FP_UNTOUCHED;
    struct sockaddr_storage name;
    /* Nearly every one is bound, and its name alone says so. */
    if (has_port(caller, fd))
        return FP_UNTOUCHED;
    int protocol = fp_socket_protocol(&caller->guest->handle.calls, fd, &name);
    if (protocol < 0)
        return unknown_protocol(caller, protocol);
    if (protocol != FP_TCP || fp_address_port((struct sockaddr *)&name) != 0)
        return FP_UNTOUCHED;
    /* Its address is the wildcard, or the one it was bound to without a port. */
    socklen_t length = name.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int error = managed_bind(caller, call, fd, FP_TCP, (struct sockaddr *)&name, length);
    return error == 0 ? FP_UNTOUCHED : error;
}
