/* SPDX-License-Identifier: MIT */
#include "socket.h"

#include "layout.h"
#include "uncancelled.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* What RFC 2133 had, and the kernel still takes: no scope id. */
enum { OLD_SOCKADDR_IN6_BYTES = 24 };

int fp_socket_type(int fd) {
    int type;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 ? type : -errno;
}

/* Where there is no SO_PROTOCOL (an older kernel, a sandbox), the type has to do. */
static int protocol_by_type(int fd) {
    int type = fp_socket_type(fd);
    if (type < 0)
        return type;
    return type == SOCK_STREAM ? FP_TCP_INDEX : type == SOCK_DGRAM ? FP_UDP_INDEX : -EPROTONOSUPPORT;
}

/* SO_PROTOCOL's number; or -errno. */
static int protocol_number(int fd) {
    int protocol;
    socklen_t length = sizeof protocol;
    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 ? protocol : -errno;
}

static int protocol_of(int number, int fd) {
    if (number < 0)
        return protocol_by_type(fd);
    switch (number) {
    case IPPROTO_TCP:
    case IPPROTO_MPTCP:
        return FP_TCP_INDEX;
    case IPPROTO_UDP:
        return FP_UDP_INDEX;
    default:
        return -EPROTONOSUPPORT;
    }
}

int fp_inet_protocol(int fd) {
    return protocol_of(protocol_number(fd), fd);
}

/*
 * The name tells the family, since SO_PROTOCOL's numbers mean other things elsewhere, and whether it is bound already.
 * A raw socket of protocol 6 or 17 counts as bound: its port reads as its protocol, unless it was disconnected.
 */
static int inet_name(const struct fp_calls *calls, int fd, struct sockaddr_storage *name) {
    socklen_t length = sizeof *name;
    if (calls->getsockname(fd, (struct sockaddr *)name, &length) != 0)
        return -errno;
    return name->ss_family == AF_INET || name->ss_family == AF_INET6 ? 0 : -EPROTONOSUPPORT;
}

static int protocol_or_raw(const struct fp_calls *calls, int fd, struct sockaddr_storage *name) {
    int error = inet_name(calls, fd, name);
    return error == 0 ? fp_inet_protocol(fd) : error;
}

/* Of a socket that isn't bound, by its name. */
static bool disconnected_raw(int fd, const struct sockaddr_storage *name) {
    return fp_address_port((const struct sockaddr *)name) == 0 && fp_socket_type(fd) == SOCK_RAW;
}

int fp_socket_protocol(const struct fp_calls *calls, int fd, struct sockaddr_storage *name) {
    int protocol = protocol_or_raw(calls, fd, name);
    return protocol >= 0 && disconnected_raw(fd, name) ? -EPROTONOSUPPORT : protocol;
}

/* Nothing but TCP has an answer here, over whichever family; MPTCP, in most kernels, has none either. */
static bool is_tcp(int fd) {
    int value;
    socklen_t length = sizeof value;
    return getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &length) == 0;
}

int fp_unbound_protocol(const struct fp_calls *calls, int fd) {
    /* Which question comes first is a guess: who binds UDP sockets to port 0, a resolver, binds one after the other. */
    static atomic_bool others;
    if (!atomic_load_explicit(&others, memory_order_relaxed) && is_tcp(fd))
        return FP_TCP_INDEX;
    struct sockaddr_storage name;
    int protocol = protocol_or_raw(calls, fd, &name);
    /* A raw socket of UDP's number is left to bind like UDP: it costs a port, and each UDP socket's bind nothing. */
    if (protocol == FP_TCP_INDEX && disconnected_raw(fd, &name))
        protocol = -EPROTONOSUPPORT;
    atomic_store_explicit(&others, protocol != FP_TCP_INDEX, memory_order_relaxed);
    return protocol >= 0 && fp_is_bound(fd, &name) ? -EINVAL : protocol;
}

int fp_binding_protocol(const struct fp_calls *calls, int fd) {
    /* Raw sockets and other families may have that number, too; and SMC answers as TCP, but has another number. */
    int number = protocol_number(fd);
    if (number == IPPROTO_TCP && is_tcp(fd))
        return FP_TCP_INDEX;
    struct sockaddr_storage name;
    int error = inet_name(calls, fd, &name);
    int protocol = error == 0 ? protocol_of(number, fd) : error;
    if (protocol >= 0 && disconnected_raw(fd, &name))
        return -EPROTONOSUPPORT;
    return protocol >= 0 && fp_is_bound(fd, &name) ? -EINVAL : protocol;
}

bool fp_is_bound(int fd, const struct sockaddr_storage *name) {
    return fp_address_port((const struct sockaddr *)name) != 0 && fp_socket_type(fd) != SOCK_STREAM;
}

sa_family_t fp_address_family(const struct sockaddr *address) {
    sa_family_t family;
    memcpy(&family, (const char *)address + offsetof(struct sockaddr, sa_family), sizeof family);
    return family;
}

bool fp_address_ok(const struct sockaddr *address, socklen_t length) {
    if (length < offsetof(struct sockaddr, sa_family) + sizeof(sa_family_t) || length > sizeof(struct sockaddr_storage))
        return false;
    switch (fp_address_family(address)) {
    case AF_INET:
    case AF_UNSPEC:
        return length >= sizeof(struct sockaddr_in);
    case AF_INET6:
        return length >= OLD_SOCKADDR_IN6_BYTES;
    default:
        return false;
    }
}

/* sin_port and sin6_port stand at the same place. */
static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port), "one place");

uint16_t fp_address_port(const struct sockaddr *address) {
    uint16_t port;
    memcpy(&port, (const char *)address + offsetof(struct sockaddr_in, sin_port), sizeof port);
    return ntohs(port);
}

void fp_address_set_port(struct sockaddr *address, uint16_t port) {
    port = htons(port);
    memcpy((char *)address + offsetof(struct sockaddr_in, sin_port), &port, sizeof port);
}

static int get_flag(int fd, int option) {
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : 0;
}

static void set_flag(int fd, int option, int value) {
    setsockopt(fd, SOL_SOCKET, option, &value, sizeof value);
}

bool fp_reuse_address(int fd) {
    return get_flag(fd, SO_REUSEADDR) != 0;
}

bool fp_reuse_port(int fd) {
    return get_flag(fd, SO_REUSEPORT) != 0;
}

void fp_reuse_get(int fd, struct fp_reuse *reuse) {
    reuse->address = get_flag(fd, SO_REUSEADDR);
    reuse->port = get_flag(fd, SO_REUSEPORT);
}

void fp_reuse_clear(int fd, const struct fp_reuse *was) {
    if (was->address)
        set_flag(fd, SO_REUSEADDR, 0);
    if (was->port)
        set_flag(fd, SO_REUSEPORT, 0);
}

void fp_reuse_off(int fd, struct fp_reuse *was) {
    fp_reuse_get(fd, was);
    fp_reuse_clear(fd, was);
}

void fp_reuse_restore(int fd, const struct fp_reuse *was) {
    if (was->address)
        set_flag(fd, SO_REUSEADDR, was->address);
    if (was->port)
        set_flag(fd, SO_REUSEPORT, was->port);
}

/* Another socket that joins for a moment makes the group still. */
void fp_reuse_group(const struct fp_calls *calls, int fd, const struct fp_reuse *was) {
    int only = 0, one = 1;
    socklen_t room = sizeof only;
    struct sockaddr_storage name;
    socklen_t name_length = sizeof name;
    if (!was->port || fp_socket_type(fd) != SOCK_DGRAM ||
        calls->getsockname(fd, (struct sockaddr *)&name, &name_length) != 0)
        return;
    int joined = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (joined < 0)
        return;
    if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &room) == 0)
        setsockopt(joined, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    setsockopt(joined, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    calls->bind(joined, (struct sockaddr *)&name, name_length);
    fp_close(joined);
}

static int bind_and_close(const struct fp_calls *calls, int fd, const void *address, socklen_t length) {
    int error = calls->bind(fd, address, length) == 0 ? 0 : -errno;
    fp_close(fd);
    return error;
}

int fp_probe(const struct fp_calls *calls, unsigned protocol, uint16_t port) {
    int type = (protocol == FP_TCP_INDEX ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC;
    int fd = socket(AF_INET6, type, 0);
    if (fd >= 0) {
        /* One socket for both families: a dual-stack wildcard is at odds with whoever holds the port anywhere. */
        int off = 0;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
        int error = bind_and_close(calls, fd, &any, sizeof any);
        if (error != -EADDRNOTAVAIL)
            return error;
    }
    /* A host without IPv6, or a sandbox. */
    fd = socket(AF_INET, type, 0);
    if (fd < 0)
        return -errno;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    return bind_and_close(calls, fd, &any, sizeof any);
}

int fp_probe_address(const struct fp_calls *calls, unsigned protocol, const struct sockaddr *address, socklen_t length,
                     uint16_t port, bool foreign) {
    struct sockaddr_storage copy;
    int family = fp_address_family(address) == AF_INET6 ? AF_INET6 : AF_INET;
    int fd = socket(family, (protocol == FP_TCP_INDEX ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    if (foreign)
        setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    memcpy(&copy, address, length);
    fp_address_set_port((struct sockaddr *)&copy, port);
    return bind_and_close(calls, fd, &copy, length);
}
