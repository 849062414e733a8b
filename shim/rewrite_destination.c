/* SPDX-License-Identifier: MIT */
#include "guest.h"
#include "log.h"
#include "rewrite.h"
#include "tell.h"
#include "uncancelled.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
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

static bool sentinel_of(const struct fp_caller *caller, unsigned protocol, uint16_t port) {
    return fp_settings_has_sentinel(&caller->guest->settings, protocol, port);
}

/*
 * TCP or UDP; -EPROTONOSUPPORT for a raw socket, which has protocol numbers of the same kind, for anything else, and
 * where the kernel is sure to refuse an address of that family; and what a sandbox says that won't tell.
 */
static int protocol_of(const struct fp_caller *caller, int fd, sa_family_t family) {
    int type = fp_socket_type(fd);
    if (type < 0 || type == SOCK_RAW)
        return type < 0 ? type : -EPROTONOSUPPORT;
    struct sockaddr_storage name;
    int protocol = fp_socket_protocol(&caller->guest->handle.calls, fd, &name);
    bool both = protocol == FP_UDP && name.ss_family == AF_INET6;
    return protocol < 0 || name.ss_family == family || both ? protocol : -EPROTONOSUPPORT;
}

/* Whether a TCP socket can be connected still. One that can't goes nowhere, and the kernel says why. */
static bool unconnected(int fd) {
    struct tcp_info info = {.tcpi_state = TCP_CLOSE};
    socklen_t length = sizeof info.tcpi_state; /* it is the first */
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || info.tcpi_state == TCP_CLOSE;
}

static int refuse(const struct fp_caller *caller, unsigned protocol, uint16_t port) {
    struct fp_line line;
    fp_guest_explain(caller);
    fp_tell_refused(caller, protocol, port);
    if (fp_log_begin(&line, &caller->guest->settings, FP_LOG_INFO)) {
        fp_line_text(&line, protocol == FP_TCP ? "tcp " : "udp ");
        fp_line_number(&line, port);
        fp_line_text(&line, " is a sentinel, and nobody in this session has bound it: refused; FREEPORT_CONNECT="
                            "fallthrough would let it through");
        fp_log_end(caller, &line);
    }
    return -ECONNREFUSED;
}

/*
 * The session's real port; 0 where nobody has bound the sentinel. The other protocol's half does not count. One that
 * was exported does: whoever binds it may be a program that no shim sees.
 */
static uint16_t real_port_of(const struct fp_caller *caller, unsigned protocol, uint16_t port) {
    fp_meaning meaning;
    if (fp_guest_phase_of(caller->guest) != FP_PHASE_ACTIVE || !sentinel_of(caller, protocol, port))
        return 0;
    uint16_t real =
        fp_index_find(caller->guest->handle.segment, &caller->guest->handle.session, protocol, port, &meaning);
    return real != 0 && fp_state(meaning) != FP_PLEDGED ? real : 0;
}

static bool to_refuse(const struct fp_caller *caller, unsigned protocol, uint16_t port) {
    const struct fp_settings *settings = &caller->guest->settings;
    return settings->connect == FP_CONNECT_SESSION && fp_portset_has(&settings->named[protocol], port);
}

/* `likely`: the protocol, where a sandbox won't tell it and the sentinel is one of both. */
static int rewrite(const struct fp_caller *caller, int fd, const struct sockaddr *address, socklen_t length,
                   unsigned likely, struct sockaddr_storage *out) {
    if (!caller->guest->has_sentinels || caller->guest->settings.connect == FP_CONNECT_OFF || !fp_readable(address) ||
        !fp_address_ok(address, length) || fp_address_family(address) == AF_UNSPEC)
        return FP_UNTOUCHED;
    /* The table before the kernel: with `all`, every port is a sentinel, and hardly any is the session's. */
    uint16_t port = fp_address_port(address);
    const uint16_t real[FP_PROTOCOLS] = {real_port_of(caller, FP_TCP, port), real_port_of(caller, FP_UDP, port)};
    const bool ours[FP_PROTOCOLS] = {real[FP_TCP] != 0 || to_refuse(caller, FP_TCP, port),
                                     real[FP_UDP] != 0 || to_refuse(caller, FP_UDP, port)};
    if (!ours[FP_TCP] && !ours[FP_UDP])
        return FP_UNTOUCHED;

    int protocol = protocol_of(caller, fd, fp_address_family(address));
    if (fp_untold(protocol))
        protocol = (int)(ours[likely] ? likely : !likely);
    if (protocol < 0 || !ours[protocol] || !fp_address_is_local(caller, address, length))
        return FP_UNTOUCHED;
    if (real[protocol] == 0)
        return protocol == FP_UDP || unconnected(fd) ? refuse(caller, (unsigned)protocol, port) : FP_UNTOUCHED;
    memcpy(out, address, length);
    fp_address_set_port((struct sockaddr *)out, real[protocol]);
    return 0;
}

int fp_rewrite_destination(const struct fp_caller *caller, int fd, const struct sockaddr *address, socklen_t length,
                           struct sockaddr_storage *out) {
    return rewrite(caller, fd, address, length, FP_TCP, out);
}

int fp_rewrite_datagram(const struct fp_caller *caller, int fd, const struct sockaddr *address, socklen_t length,
                        struct sockaddr_storage *out) {
    int family;
    socklen_t room = sizeof family;
    if (!fp_readable(address) || !fp_address_ok(address, length) || fp_address_family(address) != AF_UNSPEC ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &room) != 0 || family != AF_INET)
        return rewrite(caller, fd, address, length, FP_UDP, out);
    struct sockaddr_storage copy;
    memcpy(&copy, address, length);
    copy.ss_family = AF_INET;
    return rewrite(caller, fd, (struct sockaddr *)&copy, length, FP_UDP, out);
}
