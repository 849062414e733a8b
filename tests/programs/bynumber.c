/* SPDX-License-Identifier: MIT */
/*
 * The calls that the shim has, each by syscall(2): as a library that is preloaded beside the shim, or as functions of
 * a program's own.
 */
#include "compat.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)syscall(SYS_bind, fd, address, length);
}

int listen(int fd, int backlog) {
    return (int)syscall(SYS_listen, fd, backlog);
}

int connect(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)syscall(SYS_connect, fd, address, length);
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    return (int)syscall(SYS_getsockname, fd, address, length);
}

int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    return (int)syscall(SYS_getpeername, fd, address, length);
}

/* accept(2) has no number on every architecture. */
int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    return (int)syscall(SYS_accept4, fd, address, length, 0);
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags) {
    return (int)syscall(SYS_accept4, fd, address, length, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    return syscall(SYS_sendto, fd, data, size, flags, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    return syscall(SYS_sendmsg, fd, message, flags);
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags) {
    return (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}

ssize_t recvfrom(int fd, void *restrict data, size_t size, int flags, struct sockaddr *restrict from,
                 socklen_t *restrict length) {
    return syscall(SYS_recvfrom, fd, data, size, flags, from, length);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    return syscall(SYS_recvmsg, fd, message, flags);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags, struct timespec *timeout) {
    return (int)syscall(SYS_recvmmsg, fd, messages, count, flags, timeout);
}
