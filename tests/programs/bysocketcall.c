/* SPDX-License-Identifier: MIT */
/* As bynumber.c, each call by SYS_socketcall. */
#include <linux/net.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SOCKETCALL(call, ...) syscall(SYS_socketcall, (long)(call), (long[]){__VA_ARGS__})

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)SOCKETCALL(SYS_BIND, fd, (long)address, (long)length);
}

int listen(int fd, int backlog) {
    return (int)SOCKETCALL(SYS_LISTEN, fd, backlog);
}

int connect(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)SOCKETCALL(SYS_CONNECT, fd, (long)address, (long)length);
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    return (int)SOCKETCALL(SYS_GETSOCKNAME, fd, (long)address, (long)length);
}

int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    return (int)SOCKETCALL(SYS_GETPEERNAME, fd, (long)address, (long)length);
}

int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    return (int)SOCKETCALL(SYS_ACCEPT, fd, (long)address, (long)length);
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags) {
    return (int)SOCKETCALL(SYS_ACCEPT4, fd, (long)address, (long)length, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    return SOCKETCALL(SYS_SENDTO, fd, (long)data, (long)size, flags, (long)to, (long)length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    return SOCKETCALL(SYS_SENDMSG, fd, (long)message, flags);
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    return (int)SOCKETCALL(SYS_SENDMMSG, fd, (long)messages, (long)count, flags);
}

ssize_t recvfrom(int fd, void *restrict data, size_t size, int flags, struct sockaddr *restrict from,
                 socklen_t *restrict length) {
    return SOCKETCALL(SYS_RECVFROM, fd, (long)data, (long)size, flags, (long)from, (long)length);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    return SOCKETCALL(SYS_RECVMSG, fd, (long)message, flags);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
    return (int)SOCKETCALL(SYS_RECVMMSG, fd, (long)messages, (long)count, flags, (long)timeout);
}
