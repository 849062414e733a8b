/* SPDX-License-Identifier: MIT */
#include "guest.h"
#include "log.h"
#include "number.h"
#include "rewrite.h"
#include "tell.h"
#include "uncancelled.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        uint32_t host = ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
        return host >> 24 == IN_LOOPBACKNET || host == INADDR_ANY;
    }
    const struct in6_addr *host = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(host))
        return host->s6_addr[12] == IN_LOOPBACKNET || memcmp(host->s6_addr + 12, "\0\0\0", 4) == 0;
    return IN6_IS_ADDR_LOOPBACK(host) || IN6_IS_ADDR_UNSPECIFIED(host);
}

static bool multicast(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return IN_MULTICAST(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    return IN6_IS_ADDR_MULTICAST(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static bool source_is(const struct fp_caller *caller, int fd, const struct in6_addr *address) {
    struct sockaddr_in6 source;
    socklen_t length = sizeof source;
    return caller->guest->handle.calls.getsockname(fd, (struct sockaddr *)&source, &length) == 0 &&
           memcmp(&source.sin6_addr, address, sizeof *address) == 0;
}

/*
 * The kernel knows its addresses best, and needs no list of interfaces read into memory of ours. Over IPv4 it lets a
 * socket be bound to those of the host alone, and connected to itself: not to a broadcast address, nor from a foreign
 * one (ip_nonlocal_bind). Over IPv6 a socket that is connected to one of them has it for its source.
 */
static bool of_an_interface(const struct fp_caller *caller, const struct sockaddr *address, socklen_t length) {
    struct sockaddr_storage there;
    memcpy(&there, address, length);
    const struct in6_addr *host6 = &((struct sockaddr_in6 *)&there)->sin6_addr;
    bool six = there.ss_family == AF_INET6;
    if (six && IN6_IS_ADDR_V4MAPPED(host6)) {
        struct sockaddr_in four = {.sin_family = AF_INET};
        memcpy(&four.sin_addr, host6->s6_addr + 12, sizeof four.sin_addr);
        length = sizeof four;
        memcpy(&there, &four, length);
        six = false;
    }
    int fd = socket(there.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    fp_address_set_port((struct sockaddr *)&there, 0);
    bool yes = six || caller->guest->handle.calls.bind(fd, (struct sockaddr *)&there, length) == 0;
    fp_address_set_port((struct sockaddr *)&there, 9);
    yes = yes && caller->guest->connect(fd, (struct sockaddr *)&there, length) == 0 &&
          (!six || source_is(caller, fd, host6));
    fp_close(fd);
    return yes;
}

bool fp_address_is_local(const struct fp_caller *caller, const struct sockaddr *theirs, socklen_t length) {
    if (!fp_address_ok(theirs, length) || fp_address_family(theirs) == AF_UNSPEC)
        return false;
    struct sockaddr_storage copy; /* theirs may stand at an odd place */
    memcpy(&copy, theirs, length);
    const struct sockaddr *address = (const struct sockaddr *)&copy;
    if (loopback(address))
        return true;
    if (multicast(address))
        return false;
    int saved = errno;
    int type = fp_cancel_later();
    bool local = of_an_interface(caller, address, length);
    fp_cancel_as_before(type);
    errno = saved;
    return local;
}

/* Where a number leads in one protocol. */
enum way {
    WAY_STRAIGHT, /* where it says */
    WAY_NUMBER,   /* the same, and it is the real port of a sentinel of the session */
    WAY_SERVED,   /* to the real port of the session's server */
    WAY_KEPT,     /* to the port that is kept for a server still to come */
    WAY_UNKEPT,   /* the same, and none is kept so far */
};

static enum way way_of_number(const struct fp_caller *caller, unsigned protocol, uint16_t port) {
    const struct freeport *handle = &caller->guest->handle;
    bool behind = fp_sentinel_behind(handle->segment, &handle->session, protocol, port) != 0;
    return behind ? WAY_NUMBER : WAY_STRAIGHT;
}

/*
 * What is named has no other way than the session's. What only `all` makes a sentinel is let through where nobody has
 * bound it. A port that was exported counts as bound: whoever binds it may be a program that no shim sees.
 */
static enum way way_of(const struct fp_caller *caller, unsigned protocol, uint16_t port, uint16_t *real) {
    const struct freeport *handle = &caller->guest->handle;
    const struct fp_settings *settings = &caller->guest->settings;
    bool named = fp_portset_has(&settings->named[protocol], port), refuses = settings->connect == FP_CONNECT_SESSION;
    fp_meaning meaning;
    *real = 0;
    if (!settings->managed[protocol])
        return WAY_STRAIGHT;
    if (fp_guest_phase_of(caller->guest) != FP_PHASE_ACTIVE)
        return named && refuses ? WAY_UNKEPT : WAY_STRAIGHT;
    if (!named && fp_number_given(caller->guest, protocol, port))
        return way_of_number(caller, protocol, port);
    *real = fp_index_find(handle->segment, &handle->session, protocol, port, &meaning);
    if (*real != 0 && fp_state(meaning) != FP_PLEDGED)
        return WAY_SERVED;
    if (*real != 0 && refuses && (named || meaning & FP_NAMED))
        return WAY_KEPT;
    return named && refuses ? WAY_UNKEPT : WAY_STRAIGHT;
}

/* In one place: that nobody has bound the sentinel so far. `port`: where the call goes; 0: nowhere. */
static void say_unserved(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel, uint16_t port) {
    struct fp_line line;
    bool none_left = port == 0 && fp_guest_phase_of(caller->guest) == FP_PHASE_ACTIVE;
    fp_guest_explain(caller);
    fp_tell_refused(caller, protocol, sentinel);
    if (!fp_log_begin(&line, &caller->guest->settings, none_left ? FP_LOG_ERROR : FP_LOG_INFO))
        return;
    fp_line_text(&line, protocol == FP_TCP ? "tcp " : "udp ");
    fp_line_number(&line, sentinel);
    fp_line_text(&line, " is a sentinel, and nobody in this session has bound it: ");
    if (port != 0) {
        fp_line_text(&line, "the call goes to port ");
        fp_line_number(&line, port);
        fp_line_text(&line, ", which is kept for it; ");
    } else {
        fp_line_text(&line, "no port could be kept for it, and the call goes to port 0; ");
    }
    fp_line_text(&line, "FREEPORT_CONNECT=fallthrough would let it through");
    fp_log_end(caller, &line);
}

/*
 * Whether a kept port was looked at a moment ago, and no foreign process was bound to it. The look costs more than the
 * call, and a client that nobody hears may send all day.
 */
static bool looked_at(unsigned protocol, uint16_t port) {
    enum { MOMENT_MS = 100 };
    static _Atomic uint64_t last; /* milliseconds, protocol, port */
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t place = ((uint64_t)protocol << 16) | port;
    uint64_t ms = ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) & UINT64_C(0x7fffffffffff);
    uint64_t was = atomic_load_explicit(&last, memory_order_relaxed);
    if ((was & 0x1ffff) == place && ms - (was >> 17) < MOMENT_MS)
        return true;
    atomic_store_explicit(&last, (ms << 17) | place, memory_order_relaxed);
    return false;
}

/*
 * A port for a sentinel that nobody has bound: the kernel refuses the call there in its own way, and a server of the
 * session that comes later binds that very port. Where none can be kept, it is port 0, to which nothing is ever bound.
 */
static uint16_t keep(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel) {
    const struct fp_settings *settings = &caller->guest->settings;
    struct fp_bind bind = {
        .fp = &caller->guest->handle,
        .owner = caller->owner,
        .protocol = protocol,
        .sentinel = sentinel,
        .pledge = fp_number_listed(caller->guest, !protocol, sentinel),
        .named = {fp_portset_has(&settings->named[FP_TCP], sentinel),
                  fp_portset_has(&settings->named[FP_UDP], sentinel)},
        .timeout_ms = settings->timeout_ms,
    };
    uint16_t port = 0;
    if (fp_guest_phase_of(caller->guest) != FP_PHASE_ACTIVE || fp_pledge(&bind, false, &port) != 0)
        return 0;
    return port;
}

static uint16_t unserved(const struct fp_caller *caller, unsigned protocol, uint16_t sentinel, uint16_t kept) {
    uint16_t port = kept != 0 && looked_at(protocol, kept) ? kept : keep(caller, protocol, sentinel);
    say_unserved(caller, protocol, sentinel, port);
    return port;
}

/* UDP over IPv4 takes AF_UNSPEC for IPv4 in a datagram. */
static bool means_ipv4(int fd, unsigned protocol) {
    int family;
    socklen_t room = sizeof family;
    return protocol == FP_UDP && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &room) == 0 && family == AF_INET;
}

/* What is asked for, and by which kind of call. */
struct destination {
    const struct fp_caller *caller;
    int fd;
    bool datagram;   /* a send: AF_UNSPEC does not disconnect */
    bool connects;   /* connect or MSG_FASTOPEN: a TCP socket goes there */
    unsigned likely; /* the protocol, where a sandbox won't tell it and the sentinel is one of both */
};

/* The same address with the port where it leads, in place. */
static int rewrite(const struct destination *to, struct sockaddr *address, socklen_t length) {
    uint16_t port = fp_address_port(address), real[FP_PROTOCOLS];
    /* The table before the kernel: nearly every number leads nowhere else, and that costs no system call. */
    const enum way ways[FP_PROTOCOLS] = {way_of(to->caller, FP_TCP, port, &real[FP_TCP]),
                                         way_of(to->caller, FP_UDP, port, &real[FP_UDP])};
    if (ways[FP_TCP] == WAY_STRAIGHT && ways[FP_UDP] == WAY_STRAIGHT)
        return FP_UNTOUCHED;

    int told = fp_inet_protocol(to->fd);
    if (fp_untold(told))
        told = (int)(ways[to->likely] != WAY_STRAIGHT ? to->likely : !to->likely);
    if (told < 0 || ways[told] == WAY_STRAIGHT || (told == FP_TCP && !to->connects))
        return FP_UNTOUCHED;
    unsigned protocol = (unsigned)told;
    sa_family_t family = address->sa_family;
    if (family == AF_UNSPEC && !(to->datagram && means_ipv4(to->fd, protocol)))
        return FP_UNTOUCHED;
    if (family == AF_UNSPEC)
        address->sa_family = AF_INET;
    if (!fp_address_is_local(to->caller, address, length))
        return FP_UNTOUCHED;
    if (ways[protocol] == WAY_NUMBER) {
        fp_usage_reached(to->caller->usage, protocol, port, true);
        return FP_UNTOUCHED;
    }
    if (ways[protocol] != WAY_SERVED)
        real[protocol] = unserved(to->caller, protocol, port, real[protocol]);
    fp_usage_reached(to->caller->usage, protocol, real[protocol], false);
    fp_address_set_port(address, real[protocol]);
    return 0;
}

/* Read once, as the kernel does: it may stand at an odd place, and another thread may change it. */
static bool take(const struct fp_guest *guest, const struct sockaddr *address, socklen_t length,
                 struct sockaddr_storage *out) {
    if (!guest->redirects || !fp_readable(address) || !fp_address_ok(address, length))
        return false;
    memcpy(out, address, length);
    return true;
}

int fp_rewrite_destination(const struct fp_caller *caller, int fd, const struct sockaddr *address, socklen_t length,
                           struct sockaddr_storage *out) {
    const struct destination to = {.caller = caller, .fd = fd, .connects = true, .likely = FP_TCP};
    return take(caller->guest, address, length, out) ? rewrite(&to, (struct sockaddr *)out, length) : FP_UNTOUCHED;
}

int fp_rewrite_datagram(const struct fp_caller *caller, int fd, int flags, const struct sockaddr *address,
                        socklen_t length, struct sockaddr_storage *out) {
    const struct destination to = {
        .caller = caller, .fd = fd, .datagram = true, .connects = (flags & MSG_FASTOPEN) != 0, .likely = FP_UDP};
    return take(caller->guest, address, length, out) ? rewrite(&to, (struct sockaddr *)out, length) : FP_UNTOUCHED;
}
