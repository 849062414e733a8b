/* SPDX-License-Identifier: MIT */
#include "message.h"
#include "notice.h"
#include "rewrite.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Flags for the supervisor's call: without MSG_ZEROCOPY, and neither blocking nor with SIGPIPE. */
static int own_flags(int flags) {
    return (flags & ~MSG_ZEROCOPY) | MSG_DONTWAIT | MSG_NOSIGNAL;
}

/* True if the address of the send counts: not on a connected TCP socket, unless the send begins the connection. */
static bool addressed(int fd, int flags) {
    return (flags & MSG_FASTOPEN) || fp_socket_type(fd) != SOCK_STREAM;
}

/* A set of signals in a line of /proc/PID/status. */
static uint64_t signals_of(const char *status, const char *name) {
    const char *line = strstr(status, name);
    return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

/* True if a signal is pending that would have interrupted the program's own call. */
static bool interrupted(const struct fp_notice *notice) {
    char path[32], text[2048];
    snprintf(path, sizeof path, "/proc/%d/status", (int)notice->thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return true;
    text[length] = 0;
    uint64_t pending = signals_of(text, "\nSigPnd:") | signals_of(text, "\nShdPnd:");
    return (pending & ~signals_of(text, "\nSigBlk:")) != 0;
}

enum { LOOK_MS = 10 };

/*
 * Waits until the socket takes more data, as the program's own call would. No handler of the program runs meanwhile, so
 * this checks again and again that the program lives and has no signal pending. 0, or a negative errno.
 */
static int wait_for_room(struct fp_notice *notice, int fd, int flags) {
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if ((flags & MSG_DONTWAIT) || (fcntl(fd, F_GETFL) & O_NONBLOCK))
        return -EAGAIN;
    if (poll(&ready, 1, 0) > 0)
        return 0;
    fp_notice_may_wait(notice);
    if (notice->leads)
        return -ENOBUFS; /* no other thread can receive notifications meanwhile */
    for (;;) {
        if (poll(&ready, 1, LOOK_MS) > 0)
            return 0;
        if (!fp_notice_waits(notice) || interrupted(notice))
            return -EINTR;
    }
}

/* Sends a message. If the send begins a connection (MSG_FASTOPEN), waits for that and sends the data over it. */
static int64_t send_message(struct fp_notice *notice, int fd, struct msghdr *message, int flags) {
    for (;;) {
        ssize_t sent = sendmsg(fd, message, own_flags(flags));
        int error = sent < 0 ? -errno : 0;
        if (error != -EAGAIN && error != -EINPROGRESS)
            return error == 0 ? sent : error;
        int wait = wait_for_room(notice, fd, flags);
        if (wait != 0)
            return wait == -EAGAIN ? error : wait;
        if (error == -EINPROGRESS) {
            flags &= ~MSG_FASTOPEN;
            message->msg_name = NULL;
            message->msg_namelen = 0;
        }
    }
}

int64_t fp_serve_sendto(struct fp_notice *notice) {
    struct sockaddr_storage address, instead;
    socklen_t length = (socklen_t)notice->argument[5];
    const struct sockaddr *to = (const struct sockaddr *)&address;
    size_t size = notice->compat ? (uint32_t)notice->argument[2] : (size_t)notice->argument[2];
    int flags = (int)notice->argument[3];
    if (!fp_notice_address(notice, notice->argument[4], length, &address) ||
        !fp_guest_may_redirect(notice->caller.guest, to, length) || size > FP_DATA_BYTES)
        return FP_GOES_ON;
    int fd = fp_notice_socket(notice, notice->argument[0]);
    if (fd < 0)
        return FP_GOES_ON;
    int64_t result = FP_UNTOUCHED;
    if (addressed(fd, flags))
        result = fp_rewrite_datagram(&notice->caller, fd, flags, to, length, &instead);
    if (result == 0) {
        struct iovec data = {.iov_base = notice->buffers->data, .iov_len = size};
        struct msghdr message = {.msg_name = &instead, .msg_namelen = length, .msg_iov = &data, .msg_iovlen = 1};
        result = fp_notice_read(notice, notice->argument[1], data.iov_base, size)
                     ? send_message(notice, fd, &message, flags)
                     : -EFAULT;
    } else if (result == FP_UNTOUCHED) {
        result = FP_GOES_ON;
    }
    close(fd);
    return result;
}

/* The destination of a message, in *to and *length. */
static bool may_redirect(const struct fp_notice *notice, const struct fp_message *message, struct sockaddr_storage *to,
                         socklen_t *length) {
    /* A name that is too long the kernel cuts here, and only here; one of a negative length it refuses. */
    *length = message->name_length;
    if (*length > sizeof *to && *length <= INT32_MAX)
        *length = sizeof *to;
    return message->name != 0 && fp_notice_address(notice, message->name, *length, to) &&
           fp_guest_may_redirect(notice->caller.guest, (const struct sockaddr *)to, *length);
}

/* Sends the program's data to the address, or without one if `to` is NULL. */
static int64_t send_copy(struct fp_notice *notice, int fd, const struct fp_message *message,
                         struct sockaddr_storage *to, socklen_t length, int flags) {
    int64_t size = fp_message_data(notice, message);
    int64_t control = size < 0 ? size : fp_message_control(notice, message);
    if (control < 0)
        return control;
    struct iovec data = {.iov_base = notice->buffers->data, .iov_len = (size_t)size};
    struct msghdr copy = {
        .msg_name = length ? to : NULL,
        .msg_namelen = length,
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = control ? notice->buffers->control : NULL,
        .msg_controllen = (size_t)control,
    };
    return send_message(notice, fd, &copy, flags);
}

int64_t fp_serve_sendmsg(struct fp_notice *notice) {
    struct fp_message message;
    struct sockaddr_storage address, instead;
    socklen_t length;
    int flags = (int)notice->argument[2];
    if (!fp_message_read(notice, notice->argument[1], &message) || !may_redirect(notice, &message, &address, &length))
        return FP_GOES_ON;
    int fd = fp_notice_socket(notice, notice->argument[0]);
    if (fd < 0)
        return FP_GOES_ON;
    int64_t result = FP_UNTOUCHED;
    if (addressed(fd, flags))
        result = fp_rewrite_datagram(&notice->caller, fd, flags, (const struct sockaddr *)&address, length, &instead);
    if (result == 0)
        result = send_copy(notice, fd, &message, &instead, length, flags);
    else if (result == FP_UNTOUCHED)
        result = FP_GOES_ON;
    close(fd);
    return result;
}

/* Several messages. */

static bool read_message(const struct fp_notice *notice, unsigned number, struct fp_message *message) {
    return fp_message_read(notice, notice->argument[1] + number * fp_message_stride(notice), message);
}

static unsigned count_of(const struct fp_notice *notice) {
    uint32_t count = (uint32_t)notice->argument[2];
    return count < FP_MOST_MESSAGES ? count : FP_MOST_MESSAGES;
}

static bool any_may_redirect(const struct fp_notice *notice) {
    struct fp_message message;
    struct sockaddr_storage address;
    socklen_t length;
    for (unsigned i = 0; i < count_of(notice) && read_message(notice, i, &message); i++)
        if (may_redirect(notice, &message, &address, &length))
            return true;
    return false;
}

/* Sends one message to its destination, rewritten or not. */
static int64_t send_one(struct fp_notice *notice, int fd, const struct fp_message *message, int flags) {
    struct sockaddr_storage address, instead;
    socklen_t length = message->name_length;
    int64_t result = FP_UNTOUCHED;
    if (may_redirect(notice, message, &address, &length))
        result = fp_rewrite_datagram(&notice->caller, fd, flags, (const struct sockaddr *)&address, length, &instead);
    if (result < 0)
        return result;
    if (result == 0)
        return send_copy(notice, fd, message, &instead, length, flags);
    if (message->name == 0)
        length = 0;
    if (length > sizeof address || (length > 0 && !fp_notice_read(notice, message->name, &address, length)))
        return length > INT32_MAX ? -EINVAL : -EFAULT;
    return send_copy(notice, fd, message, &address, length, flags);
}

/*
 * Sends the messages one after the other, as the kernel does: an error is the result only if no message was sent before
 * it. Only the first may wait; the program calls again for the rest.
 */
static int64_t send_all(struct fp_notice *notice, int fd, int flags) {
    unsigned sent = 0;
    for (; sent < count_of(notice); sent++) {
        struct fp_message message;
        int64_t result = -EFAULT;
        if (read_message(notice, sent, &message))
            result = send_one(notice, fd, &message, sent > 0 ? flags | MSG_DONTWAIT : flags);
        if (result >= 0 && !fp_message_set_length(notice, &message, (uint32_t)result))
            result = -EFAULT;
        if (result < 0)
            return sent > 0 ? sent : result;
    }
    return sent;
}

int64_t fp_serve_sendmmsg(struct fp_notice *notice) {
    int flags = (int)notice->argument[3];
    if (!notice->caller.guest->redirects || !any_may_redirect(notice))
        return FP_GOES_ON;
    int fd = fp_notice_socket(notice, notice->argument[0]);
    if (fd < 0)
        return FP_GOES_ON;
    int64_t result = FP_GOES_ON;
    if (fp_inet_protocol(fd) == FP_UDP && fp_notice_waits(notice))
        result = send_all(notice, fd, flags);
    close(fd);
    return result;
}
