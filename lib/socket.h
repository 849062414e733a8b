/* SPDX-License-Identifier: MIT */
/*
 * What the allocator asks of sockets. The calls that the shim intercepts come in a table, since inside the shim the
 * plain names would lead back to it.
 */
#ifndef FREEPORT_LIB_SOCKET_H
#define FREEPORT_LIB_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

typedef int fp_bind_call(int fd, const struct sockaddr *address, socklen_t length);

struct fp_calls {
    fp_bind_call *bind;
    int (*getsockname)(int fd, struct sockaddr *address, socklen_t *length);
};

/* SOCK_STREAM and so on; or -errno. */
int fp_socket_type(int fd);

/*
 * The protocol of a TCP, MPTCP or UDP socket over IPv4 or IPv6, as an index, and its name (port 0: not bound).
 * -EPROTONOSUPPORT for any other socket, -EBADF, -ENOTSOCK, and what a sandbox says.
 */
int fp_socket_protocol(const struct fp_calls *calls, int fd, struct sockaddr_storage *name);

/*
 * The same for one that is about to be bound to port 0, by as few system calls as tell: -EINVAL where it is bound
 * already, but for TCP that is left to the kernel, which refuses the bind then.
 */
int fp_unbound_protocol(const struct fp_calls *calls, int fd);

/* The same for a socket that is known to be one of IPv4 or IPv6. */
int fp_inet_protocol(int fd);

/*
 * Whether a socket of that name is bound, for sure. A TCP connection that came to nothing leaves its name behind: of
 * TCP with a name, the kernel tells when it is bound, which it refuses with EINVAL, then.
 */
bool fp_is_bound(int fd, const struct sockaddr_storage *name);

/* Whether the address is one of IPv4 or IPv6 that the kernel would take: family and length. AF_UNSPEC counts as IPv4.
 */
bool fp_address_ok(const struct sockaddr *address, socklen_t length);

/* These take addresses as programs have them: at any place, aligned or not. */
sa_family_t fp_address_family(const struct sockaddr *address);
uint16_t fp_address_port(const struct sockaddr *address);
void fp_address_set_port(struct sockaddr *address, uint16_t port);

/* SO_REUSEADDR and SO_REUSEPORT as the program has them. With either on, a bind that succeeds proves nothing. */
struct fp_reuse {
    int address, port;
};

void fp_reuse_get(int fd, struct fp_reuse *reuse);

/* Both off, for the moment of a bind; and back. */
void fp_reuse_off(int fd, struct fp_reuse *was);
void fp_reuse_clear(int fd, const struct fp_reuse *was); /* the same, where they are known */
void fp_reuse_restore(int fd, const struct fp_reuse *was);

/*
 * After a bind with the flags off, and back: with SO_REUSEPORT, UDP makes a group of sockets at the bind and not later,
 * and programs attach their filters to it.
 */
void fp_reuse_group(const struct fp_calls *calls, int fd, const struct fp_reuse *was);

/*
 * Whether nobody holds the port on any address, over IPv4 or IPv6: bound by a socket of our own, and closed. 0, or a
 * negative errno: -EADDRINUSE, -EACCES, -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM.
 */
int fp_probe(const struct fp_calls *calls, unsigned protocol, uint16_t port);

/* Whether the kernel would let a fresh socket have it on one address; `foreign`: be it the host's or not. */
int fp_probe_address(const struct fp_calls *calls, unsigned protocol, const struct sockaddr *address, socklen_t length,
                     uint16_t port, bool foreign);

#endif
