/* SPDX-License-Identifier: MIT */
/*
 * socketcall(2): one system call for all socket calls. libc uses it on i386, s390, m68k and others.
 */
#include "real.h"

#ifdef SYS_socketcall

#include <linux/net.h>

static long socketcall(int call, const unsigned long *arguments) {
    return fp_real_syscall(SYS_socketcall, (long)call, arguments);
}

/* A pointer as an argument of socketcall(2). */
static unsigned long word(const void *pointer) {
    return (unsigned long)(uintptr_t)pointer;
}

static int by_bind(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)socketcall(SYS_BIND, (unsigned long[]){(unsigned long)fd, word(address), length});
}

static int by_listen(int fd, int backlog) {
    return (int)socketcall(SYS_LISTEN, (unsigned long[]){(unsigned long)fd, (unsigned long)backlog});
}

static int by_getsockname(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)socketcall(SYS_GETSOCKNAME, (unsigned long[]){(unsigned long)fd, word(address), word(length)});
}

static int by_getpeername(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)socketcall(SYS_GETPEERNAME, (unsigned long[]){(unsigned long)fd, word(address), word(length)});
}

static int by_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)socketcall(SYS_ACCEPT, (unsigned long[]){(unsigned long)fd, word(address), word(length)});
}

static int by_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return (int)socketcall(SYS_ACCEPT4,
                           (unsigned long[]){(unsigned long)fd, word(address), word(length), (unsigned long)flags});
}

static int by_connect(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)socketcall(SYS_CONNECT, (unsigned long[]){(unsigned long)fd, word(address), length});
}

static ssize_t by_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
                         socklen_t length) {
    return socketcall(SYS_SENDTO,
                      (unsigned long[]){(unsigned long)fd, word(data), size, (unsigned long)flags, word(to), length});
}

static ssize_t by_sendmsg(int fd, const struct msghdr *message, int flags) {
    return socketcall(SYS_SENDMSG, (unsigned long[]){(unsigned long)fd, word(message), (unsigned long)flags});
}

static int by_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags) {
    return (int)socketcall(SYS_SENDMMSG,
                           (unsigned long[]){(unsigned long)fd, word(messages), count, (unsigned long)flags});
}

static ssize_t by_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *length) {
    return socketcall(SYS_RECVFROM, (unsigned long[]){(unsigned long)fd, word(data), size, (unsigned long)flags,
                                                      word(from), word(length)});
}

static ssize_t by_recvmsg(int fd, struct msghdr *message, int flags) {
    return socketcall(SYS_RECVMSG, (unsigned long[]){(unsigned long)fd, word(message), (unsigned long)flags});
}

static int by_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                       struct timespec *timeout) {
    return (int)socketcall(
        SYS_RECVMMSG, (unsigned long[]){(unsigned long)fd, word(messages), count, (unsigned long)flags, word(timeout)});
}

const struct fp_real fp_by_socketcall = {
    .bind = by_bind,
    .listen = by_listen,
    .getsockname = by_getsockname,
    .getpeername = by_getpeername,
    .accept = by_accept,
    .accept4 = by_accept4,
    .connect = by_connect,
    .sendto = by_sendto,
    .sendmsg = by_sendmsg,
    .sendmmsg = by_sendmmsg,
    .recvfrom = by_recvfrom,
    .recvmsg = by_recvmsg,
    .recvmmsg = by_recvmmsg,
};

long fp_hook_socketcall(int call, const unsigned long *a) {
    const struct fp_real *real = &fp_by_socketcall;
    if (!fp_readable(a))
        return fp_real_syscall(SYS_socketcall, (long)call, a);
    switch (call) {
    case SYS_BIND:
        return fp_hook_bind(real, (int)a[0], (const struct sockaddr *)a[1], (socklen_t)a[2]);
    case SYS_LISTEN:
        return fp_hook_listen(real, (int)a[0], (int)a[1]);
    case SYS_GETSOCKNAME:
        return fp_hook_getsockname(real, (int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
    case SYS_GETPEERNAME:
        return fp_hook_getpeername(real, (int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
    case SYS_ACCEPT:
        return fp_hook_accept(real, (int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
    case SYS_ACCEPT4:
        return fp_hook_accept4(real, (int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2], (int)a[3]);
    case SYS_CONNECT:
        return fp_hook_connect(real, (int)a[0], (const struct sockaddr *)a[1], (socklen_t)a[2]);
    case SYS_SENDTO:
        return fp_hook_sendto(real, (int)a[0], (const void *)a[1], (size_t)a[2], (int)a[3],
                              (const struct sockaddr *)a[4], (socklen_t)a[5]);
    case SYS_SENDMSG:
        return fp_hook_sendmsg(real, (int)a[0], (const struct msghdr *)a[1], (int)a[2]);
    case SYS_SENDMMSG:
        return fp_hook_sendmmsg(real, (int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (fp_mmsg_flags)a[3]);
    case SYS_RECVFROM:
        return fp_hook_recvfrom(real, (int)a[0], (void *)a[1], (size_t)a[2], (int)a[3], (struct sockaddr *)a[4],
                                (socklen_t *)a[5]);
    case SYS_RECVMSG:
        return fp_hook_recvmsg(real, (int)a[0], (struct msghdr *)a[1], (int)a[2]);
    case SYS_RECVMMSG:
        return fp_hook_recvmmsg(real, (int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (fp_mmsg_flags)a[3],
                                (struct timespec *)a[4]);
    default:
        return fp_real_syscall(SYS_socketcall, (long)call, a);
    }
}

#endif
