/* SPDX-License-Identifier: MIT */
/*
 * What the allocator does with sockets. Calls that the shim intercepts are passed in a table: inside the shim, the
 * plain names would call the shim again.
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
 * The same for a socket that is about to be bound to port 0, with as few system calls as possible. -EINVAL if it is
 * bound already; for TCP this is not checked, since the kernel refuses the bind.
 */
int fp_unbound_protocol(const struct fp_calls *calls, int fd);

/*
 * The same for one that is about to be bound to a number which may be a sentinel. TCP in two system calls; -EINVAL as
 * in fp_unbound_protocol().
 */
int fp_binding_protocol(const struct fp_calls *calls, int fd);

/* The protocol of a socket that is known to be of IPv4 or IPv6. */
int fp_inet_protocol(int fd);

/*
 * True if a socket with that name is surely bound. False for a TCP socket with a name, which may be left of a failed
 * connection: there, the kernel's bind tells (EINVAL).
 */
bool fp_is_bound(int fd, const struct sockaddr_storage *name);

/* True if family and length are those of an IPv4 or IPv6 address that the kernel takes. AF_UNSPEC counts as IPv4. */
bool fp_address_ok(const struct sockaddr *address, socklen_t length);

/* These take addresses that need not be aligned, as programs may pass them. */
sa_family_t fp_address_family(const struct sockaddr *address);
uint16_t fp_address_port(const struct sockaddr *address);
void fp_address_set_port(struct sockaddr *address, uint16_t port);

/* SO_REUSEADDR and SO_REUSEPORT as the program has them. With either on, a bind that succeeds proves nothing. */
struct fp_reuse {
    int address, port;
};

void fp_reuse_get(int fd, struct fp_reuse *reuse);
bool fp_reuse_address(int fd);
bool fp_reuse_port(int fd);

/* Switches both off, for the moment of a bind; fp_reuse_restore() switches them back on. */
void fp_reuse_off(int fd, struct fp_reuse *was);
void fp_reuse_clear(int fd, const struct fp_reuse *was); /* switches off those that are known to be on */
void fp_reuse_restore(int fd, const struct fp_reuse *was);

/*
 * For a UDP socket that was bound with SO_REUSEPORT off: makes the group of sockets that the kernel otherwise makes at
 * the bind, and to which programs attach their filters. To be called when the flags are back.
 */
void fp_reuse_group(const struct fp_calls *calls, int fd, const struct fp_reuse *was);

/*
 * 0 if the port is free on every address, over IPv4 and IPv6: a socket of the allocator's is bound there and closed.
 * Else -EADDRINUSE, -EACCES, -EMFILE, -ENFILE, -ENOBUFS or -ENOMEM.
 */
int fp_probe(const struct fp_calls *calls, unsigned protocol, uint16_t port);

/* The same for one address only; `foreign`: it need not be an address of this host. */
int fp_probe_address(const struct fp_calls *calls, unsigned protocol, const struct sockaddr *address, socklen_t length,
                     uint16_t port, bool foreign);

#endif
