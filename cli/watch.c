/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include "compat.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE AUDIT_ARCH_PPC64LE
#elif defined(__i386__)
#define NATIVE AUDIT_ARCH_I386
#elif defined(__arm__)
#define NATIVE AUDIT_ARCH_ARM
#else
/* cppcheck-suppress preprocessorErrorDirective */
#error "learn: which AUDIT_ARCH_ is it?"
#endif

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* i386 beside x86-64: the same calls by other numbers. */
enum { I386_BIND = 361, I386_CONNECT = 362, SENDTO_ADDRESS = 4 };

/* The filter. */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(field))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), (yes), (no))
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t))

static struct sock_filter filter[] = {
    /*  0 */ LOAD(offsetof(struct seccomp_data, arch)),
    /*  1 */ IF(NATIVE, 4, 0),
    /*  2 */ IF(AUDIT_ARCH_I386, 0, 10),
    /*  3 */ LOAD(offsetof(struct seccomp_data, nr)),
    /*  4 */ IF(I386_BIND, 9, 0),
    /*  5 */ IF(I386_CONNECT, 8, 7),
    /*  6 */ LOAD(offsetof(struct seccomp_data, nr)),
    /*  7 */ IF(SYS_bind, 6, 0),
    /*  8 */ IF(SYS_connect, 5, 0),
    /*  9 */ IF(SYS_sendto, 0, 3),
    /* 10 */ LOAD(ARGUMENT(SENDTO_ADDRESS)),
    /* 11 */ IF(0, 0, 2),
    /* 12 */ ANSWER(SECCOMP_RET_ALLOW), /* send(2), and what goes to where the socket is connected */
    /* 13 */ ANSWER(SECCOMP_RET_ALLOW),
    /* 14 */ ANSWER(SECCOMP_RET_USER_NOTIF),
};

static int install(unsigned flags) {
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &program);
}

/* Without rights of its own, a process may filter only itself: nothing that it starts gains any then. */
static int install_as_may_be(bool *knows_given) {
    unsigned flags = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    int listener = install(flags);
    if (listener < 0 && errno == EINVAL)
        listener = install(flags = 0); /* before Linux 5.19 */
    if (listener < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
        listener = install(flags = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
        if (listener < 0 && errno == EINVAL)
            listener = install(flags = 0);
    }
    *knows_given = flags != 0;
    return listener;
}

/* The listener goes from the child, which is filtered, to the parent, which is not. */

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

static bool hand_over(int through, int fd, bool flag) {
    union control control = {
        .header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec data = {&flag, sizeof flag};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(through, &message, MSG_NOSIGNAL) == (ssize_t)sizeof flag;
}

static int take_over(int through, bool *flag) {
    union control control;
    struct iovec data = {flag, sizeof *flag};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    int fd = -1;
    if (recvmsg(through, &message, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof *flag && message.msg_controllen > 0)
        memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
    return fd;
}

static bool prepare(void *context) {
    const int *pair = context;
    bool knows_given = false;
    int listener = install_as_may_be(&knows_given);
    if (listener < 0) {
        cli_error(
            "learn: can't watch the command's calls: %s; it takes Linux 5.6, a sandbox that allows seccomp(2), and "
            "no other freeport learn around it",
            strerror(errno));
        return false;
    }
    return hand_over(pair[1], listener, knows_given);
}

/* A call. */

struct call {
    struct cli_watch *watch;
    struct seccomp_notif *notice;
    struct seccomp_notif_resp *answer;
};

static bool read_address(const struct seccomp_notif *notice, struct sockaddr_storage *address, socklen_t *length) {
    unsigned at = notice->data.nr == SYS_sendto && notice->data.arch == NATIVE ? SENDTO_ADDRESS : 1;
    *length = (socklen_t)notice->data.args[at + 1];
    if (*length < sizeof(sa_family_t) || *length > sizeof *address)
        return false;
    struct iovec mine = {address, *length};
    struct iovec theirs = {.iov_base = (void *)(uintptr_t)notice->data.args[at], .iov_len = *length};
    return process_vm_readv((pid_t)notice->pid, &mine, 1, &theirs, 1, 0) == (ssize_t)*length;
}

static bool port_of(const struct sockaddr_storage *address, socklen_t length, uint16_t *port) {
    if ((address->ss_family == AF_INET && length >= sizeof(struct sockaddr_in)) ||
        (address->ss_family == AF_INET6 && length >= offsetof(struct sockaddr_in6, sin6_scope_id))) {
        *port = ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
        return true;
    }
    return false;
}

/* The caller's own socket, a second time. */
static int borrow(pid_t process, int fd) {
    int handle = (int)syscall(SYS_pidfd_open, process, 0);
    int copy = handle < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, handle, fd, 0);
    if (handle >= 0)
        close(handle);
    return copy;
}

static bool protocol_of(int fd, enum freeport_protocol *protocol) {
    int type, number;
    socklen_t length = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &number, &length) != 0)
        return false;
    if (type == SOCK_STREAM && (number == IPPROTO_TCP || number == 262 /* IPPROTO_MPTCP */))
        *protocol = FREEPORT_TCP;
    else if (type == SOCK_DGRAM && number == IPPROTO_UDP)
        *protocol = FREEPORT_UDP;
    else
        return false;
    return true;
}

/*
 * A bind to port 0 is made here, on the caller's own socket, to learn which port the kernel chose before anybody else
 * does. Where a signal could have the call made again, it is left to the caller.
 */
static uint16_t bind_any(const struct call *call, int fd, const struct sockaddr_storage *address, socklen_t length) {
    struct sockaddr_storage name;
    socklen_t room = sizeof name;
    uint16_t port = 0;
    if (getsockname(fd, (struct sockaddr *)&name, &room) != 0 || (port_of(&name, room, &port) && port != 0))
        return 0; /* bound already, which the kernel will say */
    call->answer->flags = 0;
    call->answer->error = bind(fd, (const struct sockaddr *)address, length) == 0 ? 0 : -errno;
    room = sizeof name;
    if (call->answer->error == 0 && getsockname(fd, (struct sockaddr *)&name, &room) == 0)
        port_of(&name, room, &port);
    return port;
}

static void look_at(const struct call *call) {
    const struct seccomp_data *data = &call->notice->data;
    struct cli_watch *watch = call->watch;
    struct cli_seen seen = {.binds = data->nr == (data->arch == NATIVE ? SYS_bind : I386_BIND)};
    socklen_t length;
    seen.pid = cli_process_of((pid_t)call->notice->pid);
    if (!read_address(call->notice, &seen.address, &length)) {
        watch->unseen += errno == EPERM;
        return;
    }
    if (!port_of(&seen.address, length, &seen.port))
        return;
    int fd = borrow(seen.pid, (int)data->args[0]);
    /* Only now is it sure that all that was read belongs together: a process id comes back. */
    bool valid = ioctl(watch->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->notice->id) == 0;
    if (fd < 0)
        watch->unseen += errno == EPERM;
    if (fd >= 0 && valid && protocol_of(fd, &seen.protocol)) {
        if (seen.binds && seen.port == 0 && watch->knows_given)
            seen.given = bind_any(call, fd, &seen.address, length);
        watch->tell(&seen, watch->context);
    }
    if (fd >= 0)
        close(fd);
}

struct sizes {
    size_t notice, answer;
};

static struct sizes sizes_of(void) {
    struct seccomp_notif_sizes kernel = {0};
    syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &kernel);
    struct sizes sizes = {sizeof(struct seccomp_notif), sizeof(struct seccomp_notif_resp)};
    if (kernel.seccomp_notif > sizes.notice)
        sizes.notice = kernel.seccomp_notif;
    if (kernel.seccomp_notif_resp > sizes.answer)
        sizes.answer = kernel.seccomp_notif_resp;
    return sizes;
}

/* One call, and it goes on. `blind`: it is not looked at. False where nobody is filtered any more. */
static bool serve(struct cli_watch *watch, bool blind) {
    struct sizes sizes = sizes_of();
    struct call call = {watch, cli_need(calloc(1, sizes.notice)), cli_need(calloc(1, sizes.answer))};
    bool received = ioctl(watch->listener, SECCOMP_IOCTL_NOTIF_RECV, call.notice) == 0;
    bool over = !received && errno != ENOENT && errno != EINTR;
    if (received) {
        call.answer->id = call.notice->id;
        call.answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        if (!blind)
            look_at(&call);
        ioctl(watch->listener, SECCOMP_IOCTL_NOTIF_SEND, call.answer);
    }
    free(call.notice);
    free(call.answer);
    return !over;
}

/* What the command has left running goes on asking, and would be refused if nobody answered. */
static void keep_serving(struct cli_watch *watch) {
    struct pollfd wait = {.fd = watch->listener, .events = POLLIN};
    if (poll(&wait, 1, 0) > 0 && (wait.revents & POLLHUP))
        return;
    if (fork() != 0)
        return;
    setsid();
    signal(SIGPIPE, SIG_IGN);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; fd++)
        dup2(nothing, fd);
    while (poll(&wait, 1, -1) > 0 && !(wait.revents & POLLHUP) && serve(watch, true))
        ;
    _exit(0);
}

static void supervise(struct cli_watch *watch) {
    struct pollfd wait[] = {{.fd = watch->listener, .events = POLLIN}, {.fd = watch->child.signals, .events = POLLIN}};
    while (!watch->child.ended && poll(wait, 2, -1) > 0) {
        if (wait[0].revents & POLLIN)
            serve(watch, false);
        if (wait[0].revents & POLLHUP)
            wait[0].fd = -1; /* all of them are gone */
        if (wait[1].revents & POLLIN)
            cli_child_look(&watch->child);
    }
}

int cli_watch(struct cli_watch *watch, char **command) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        cli_error("learn: %s", strerror(errno));
        return CLI_CANNOT_START;
    }
    int code = cli_child_start(&watch->child, command, prepare, pair);
    close(pair[1]);
    watch->listener = code == CLI_OK ? take_over(pair[0], &watch->knows_given) : -1;
    close(pair[0]);
    if (code == CLI_OK)
        supervise(watch);
    if (watch->listener >= 0)
        keep_serving(watch);
    return code;
}
