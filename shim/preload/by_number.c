/* SPDX-License-Identifier: MIT */
/* The calls made by syscall(2). So no function of that name in another preloaded library is called. */
#include "real.h"

static int by_bind(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)fp_real_syscall(SYS_bind, (long)fd, address, (long)length);
}

static int by_listen(int fd, int backlog) {
    return (int)fp_real_syscall(SYS_listen, (long)fd, (long)backlog);
}

static int by_getsockname(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)fp_real_syscall(SYS_getsockname, (long)fd, address, length);
}

static int by_getpeername(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)fp_real_syscall(SYS_getpeername, (long)fd, address, length);
}

#ifdef SYS_accept
static int by_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)fp_real_syscall(SYS_accept, (long)fd, address, length);
}
#endif

static int by_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return (int)fp_real_syscall(SYS_accept4, (long)fd, address, length, (long)flags);
}

static int by_connect(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)fp_real_syscall(SYS_connect, (long)fd, address, (long)length);
}

static ssize_t by_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
                         socklen_t length) {
    return fp_real_syscall(SYS_sendto, (long)fd, data, size, (long)flags, to, (long)length);
}

static ssize_t by_sendmsg(int fd, const struct msghdr *message, int flags) {
    return fp_real_syscall(SYS_sendmsg, (long)fd, message, (long)flags);
}

static int by_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags) {
    return (int)fp_real_syscall(SYS_sendmmsg, (long)fd, messages, (long)count, (long)flags);
}

static ssize_t by_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *length) {
    return fp_real_syscall(SYS_recvfrom, (long)fd, data, size, (long)flags, from, length);
}

static ssize_t by_recvmsg(int fd, struct msghdr *message, int flags) {
    return fp_real_syscall(SYS_recvmsg, (long)fd, message, (long)flags);
}

#ifdef SYS_recvmmsg
static int by_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                       struct timespec *timeout) {
    return (int)fp_real_syscall(SYS_recvmmsg, (long)fd, messages, (long)count, (long)flags, timeout);
}
#endif

#ifdef SYS_recvmmsg_time64
static int by_recvmmsg_time64(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                              struct timespec *timeout) {
    return (int)fp_real_syscall(SYS_recvmmsg_time64, (long)fd, messages, (long)count, (long)flags, timeout);
}

const struct fp_real fp_by_number_time64 = {.recvmmsg = by_recvmmsg_time64};
#endif

const struct fp_real fp_by_number = {
    .bind = by_bind,
    .listen = by_listen,
    .getsockname = by_getsockname,
    .getpeername = by_getpeername,
#ifdef SYS_accept
    .accept = by_accept,
#endif
    .accept4 = by_accept4,
    .connect = by_connect,
    .sendto = by_sendto,
    .sendmsg = by_sendmsg,
    .sendmmsg = by_sendmmsg,
    .recvfrom = by_recvfrom,
    .recvmsg = by_recvmsg,
#ifdef SYS_recvmmsg
    .recvmmsg = by_recvmmsg,
#endif
};
