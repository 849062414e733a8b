/* SPDX-License-Identifier: MIT */
#include "guest.h"
#include "rewrite.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>

/* A port as far as the kernel wrote one; 0 where there is none. */
static uint16_t written_port(const struct sockaddr *address, socklen_t room, socklen_t length) {
    socklen_t written = room < length ? room : length;
    if (written < offsetof(struct sockaddr_in, sin_port) + sizeof(in_port_t) ||
        (fp_address_family(address) != AF_INET && fp_address_family(address) != AF_INET6))
        return 0;
    return fp_address_port(address);
}

/* Where a sandbox won't tell the protocol: what the port stands for in one, where it is nothing else in the other. */
static uint16_t sentinel_of_either(const struct fp_caller *caller, uint16_t port, uint16_t tcp, uint16_t udp) {
    fp_meaning other = fp_entry_meaning(caller->guest->handle.segment, tcp ? FP_UDP : FP_TCP, port);
    return tcp != udp && fp_is_assignment(other) ? 0 : tcp ? tcp : udp;
}

/* The sentinel that a real port stands for, on a socket of which the protocol is looked up only where it matters. */
static uint16_t sentinel_behind(const struct fp_caller *caller, int fd, uint16_t port) {
    const struct freeport *handle = &caller->guest->handle;
    uint16_t tcp = fp_sentinel_behind(handle->segment, &handle->session, FP_TCP, port);
    uint16_t udp = fp_sentinel_behind(handle->segment, &handle->session, FP_UDP, port);
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

void fp_rewrite_own_name(const struct fp_caller *caller, int fd, struct sockaddr *address, socklen_t room,
                         socklen_t length) {
    uint16_t port = written_port(address, room, length);
    uint16_t sentinel = port ? sentinel_behind(caller, fd, port) : 0;
    if (sentinel)
        fp_address_set_port(address, sentinel);
}

void fp_rewrite_peer_name(const struct fp_caller *caller, int fd, struct sockaddr *address, socklen_t room,
                          socklen_t length) {
    uint16_t port = written_port(address, room, length);
    uint16_t sentinel = port ? sentinel_behind(caller, fd, port) : 0;
    /* Another host's port of the same number is another port. A name that was cut short can't be told from it. */
    if (sentinel && room >= length && fp_address_is_local(caller, address, length))
        fp_address_set_port(address, sentinel);
}
