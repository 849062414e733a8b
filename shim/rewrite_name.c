/* SPDX-License-Identifier: MIT */
#include "guest.h"
#include "rewrite.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>

/* Whose name it is. */
enum whose { OWN, PEERS };

enum { PORT_AT = offsetof(struct sockaddr_in, sin_port), PORT_END = PORT_AT + sizeof(in_port_t) };

/* Whether this process used a sentinel's port by its own number. A socket that it was handed: whoever bound it did. */
static bool by_number(const struct fp_caller *caller, enum whose whose, unsigned protocol, uint16_t port) {
    if (whose == PEERS)
        return fp_usage_reached_by_number(caller->usage, protocol, port);
    return fp_usage_bound_by_number(caller->usage, protocol, port) ||
           fp_entry_meaning(caller->guest->handle.segment, protocol, port) & FP_BY_NUMBER;
}

/* The sentinel as which a port of that protocol reads; 0: it reads as itself. */
static uint16_t reads_as(const struct fp_caller *caller, enum whose whose, unsigned protocol, uint16_t port) {
    const struct freeport *handle = &caller->guest->handle;
    uint16_t sentinel = fp_sentinel_behind(handle->segment, &handle->session, protocol, port);
    return sentinel != 0 && !by_number(caller, whose, protocol, port) ? sentinel : 0;
}

/* Where a sandbox won't tell the protocol: what the port stands for in one, where it is nothing else in the other. */
static uint16_t sentinel_of_either(const struct fp_caller *caller, uint16_t port, uint16_t tcp, uint16_t udp) {
    fp_meaning other = fp_entry_meaning(caller->guest->handle.segment, tcp ? FP_UDP : FP_TCP, port);
    return tcp != udp && fp_is_assignment(other) ? 0 : tcp ? tcp : udp;
}

/* The same for a socket, of which the protocol is looked up only where it matters. */
static uint16_t sentinel_behind(const struct fp_caller *caller, int fd, enum whose whose, uint16_t port) {
    uint16_t tcp = reads_as(caller, whose, FP_TCP, port), udp = reads_as(caller, whose, FP_UDP, port);
    if (tcp == 0 && udp == 0)
        return 0;
    int saved = errno;
    int protocol = fp_inet_protocol(fd);
    errno = saved;
    if (fp_untold(protocol))
        return sentinel_of_either(caller, port, tcp, udp);
    if (protocol < 0)
        return 0;
    return protocol == FP_TCP ? tcp : udp;
}

static bool of_internet(const struct sockaddr *name) {
    return fp_address_family(name) == AF_INET || fp_address_family(name) == AF_INET6;
}

/* A whole name, in place. Another host's port of the same number is another port. */
static void rename_whole(const struct fp_caller *caller, int fd, enum whose whose, struct sockaddr *name,
                         socklen_t length) {
    if (length < PORT_END || !of_internet(name))
        return;
    uint16_t port = fp_address_port(name);
    uint16_t sentinel = port ? sentinel_behind(caller, fd, whose, port) : 0;
    if (sentinel && (whose == OWN || fp_address_is_local(caller, name, length)))
        fp_address_set_port(name, sentinel);
}

/* The whole of a name that was cut short, as the kernel tells it once more: of which the `room` bytes are the first. */
static bool ask_again(const struct fp_caller *caller, int fd, enum whose whose, const struct sockaddr *cut,
                      socklen_t room, socklen_t length, struct sockaddr_storage *whole) {
    socklen_t whole_length = sizeof *whole;
    int saved = errno;
    int error = whose == OWN ? caller->guest->handle.calls.getsockname(fd, (struct sockaddr *)whole, &whole_length)
                             : caller->guest->getpeername(fd, (struct sockaddr *)whole, &whole_length);
    errno = saved;
    return error == 0 && whole_length == length && memcmp(whole, cut, room) == 0;
}

/*
 * A datagram's sender is told once. What was cut off of its address is taken for a part that does not matter: a foreign
 * host's port of the number of one that stands for a sentinel here is rare, and this host's is not.
 */
static void rename_cut(const struct fp_caller *caller, int fd, struct sockaddr *cut, socklen_t room) {
    uint16_t sentinel = sentinel_behind(caller, fd, PEERS, fp_address_port(cut));
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    memcpy(&name, cut, room);
    socklen_t address_end = name.ss_family == AF_INET ? offsetof(struct sockaddr_in, sin_zero)
                                                      : offsetof(struct sockaddr_in6, sin6_scope_id);
    if (sentinel &&
        (room < address_end || fp_address_is_local(caller, (struct sockaddr *)&name, sizeof(struct sockaddr_in6))))
        fp_address_set_port(cut, sentinel);
}

static void rename_name(const struct fp_caller *caller, int fd, enum whose whose, struct sockaddr *name, socklen_t room,
                        socklen_t length) {
    struct sockaddr_storage whole;
    if (room >= length) {
        rename_whole(caller, fd, whose, name, length);
    } else if (room > PORT_AT && of_internet(name)) {
        if (ask_again(caller, fd, whose, name, room, length, &whole)) {
            rename_whole(caller, fd, whose, (struct sockaddr *)&whole, length);
            memcpy((char *)name + PORT_AT, (char *)&whole + PORT_AT, (room < PORT_END ? room : PORT_END) - PORT_AT);
        } else if (whose == PEERS && room >= PORT_END) {
            rename_cut(caller, fd, name, room);
        }
    }
}

void fp_rewrite_own_name(const struct fp_caller *caller, int fd, struct sockaddr *name, socklen_t room,
                         socklen_t length) {
    rename_name(caller, fd, OWN, name, room, length);
}

void fp_rewrite_peer_name(const struct fp_caller *caller, int fd, struct sockaddr *name, socklen_t room,
                          socklen_t length) {
    rename_name(caller, fd, PEERS, name, room, length);
}
