/* SPDX-License-Identifier: MIT */
/*
 * Calls that receive a datagram with its sender's name. The next datagram's name is looked at first (MSG_PEEK). If it
 * needs no change, or if there is no datagram yet, the call goes on in the kernel. So only the program's own call
 * waits, and its signals interrupt it; a datagram that it waits for comes with the kernel's name.
 */
#include "message.h"
#include "notice.h"
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = sizeof(struct sockaddr_storage) };

/* False for MSG_ERRQUEUE: there, MSG_PEEK would remove the message. */
static bool can_look(int flags) {
    return !(flags & MSG_ERRQUEUE);
}

static bool renames(struct fp_notice *notice, int fd, struct sockaddr_storage *name, socklen_t room, socklen_t length) {
    struct sockaddr *address = (struct sockaddr *)name;
    if (!fp_guest_may_rename(notice->caller.guest, address, room, length))
        return false;
    uint16_t port = fp_address_port(address);
    fp_rewrite_peer_name(&notice->caller, fd, address, room, length);
    return fp_address_port(address) != port;
}

/* 1 if the next datagram's sender has a sentinel's name here; 0 if the call goes on in the kernel; or a negative errno.
 */
static int look(struct fp_notice *notice, int fd, int flags, socklen_t room) {
    struct sockaddr_storage name;
    struct iovec nothing = {.iov_base = notice->buffers->data, .iov_len = 0};
    struct msghdr message = {.msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &nothing, .msg_iovlen = 1};
    if (!can_look(flags))
        return 1;
    if (recvmsg(fd, &message, (flags & ~MSG_WAITALL) | MSG_PEEK | MSG_DONTWAIT) < 0)
        return errno == EAGAIN ? 0 : -errno;
    return renames(notice, fd, &name, room, message.msg_namelen);
}

/* The program's socket, if it is a datagram socket and names are rewritten; or -1. */
static int receiver(struct fp_notice *notice) {
    if (!notice->caller.guest->renames)
        return -1;
    int fd = fp_notice_socket(notice, notice->argument[0]);
    if (fd < 0)
        return -1;
    if (fp_inet_protocol(fd) == FP_UDP && fp_notice_waits(notice))
        return fd;
    close(fd);
    return -1;
}

static int own_flags(int flags) {
    return flags | MSG_DONTWAIT;
}

int64_t fp_serve_recvfrom(struct fp_notice *notice) {
    int32_t room = 0;
    int flags = (int)notice->argument[3];
    uint64_t size = notice->compat ? (uint32_t)notice->argument[2] : notice->argument[2];
    if (!fp_notice_read(notice, notice->argument[5], &room, sizeof room) || room < 4)
        return FP_GOES_ON;
    int fd = receiver(notice);
    if (fd < 0)
        return FP_GOES_ON;
    int64_t result = look(notice, fd, flags, (socklen_t)room);
    if (result == 1) {
        struct sockaddr_storage name;
        socklen_t length = sizeof name;
        struct fp_buffers *buffers = notice->buffers;
        size_t most = size < FP_DATA_BYTES ? (size_t)size : FP_DATA_BYTES;
        result = recvfrom(fd, buffers->data, most, own_flags(flags), (struct sockaddr *)&name, &length);
        if (result >= 0) {
            size_t got = (size_t)result < most ? (size_t)result : most; /* with MSG_TRUNC it may have been longer */
            renames(notice, fd, &name, (socklen_t)room, length);
            socklen_t shown = length < (socklen_t)room ? length : (socklen_t)room;
            if (!fp_notice_write(notice, notice->argument[1], buffers->data, got) ||
                !fp_notice_write(notice, notice->argument[4], &name, shown) ||
                !fp_notice_write(notice, notice->argument[5], &length, sizeof length))
                result = -EFAULT;
        } else {
            result = errno == EAGAIN ? FP_GOES_ON : -errno;
        }
    } else if (result == 0) {
        result = FP_GOES_ON;
    }
    close(fd);
    return result;
}

/* Receives a message and writes it to the program's memory. -EAGAIN without one. */
static int64_t receive(struct fp_notice *notice, int fd, const struct fp_message *message, int flags) {
    struct sockaddr_storage name;
    struct fp_buffers *buffers = notice->buffers;
    size_t count;
    int64_t most = fp_message_vectors(notice, message, &count);
    if (most < 0)
        return most;
    struct iovec data = {.iov_base = buffers->data,
                         .iov_len = most < FP_DATA_BYTES ? (size_t)most : (size_t)FP_DATA_BYTES};
    struct msghdr received = {.msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &data, .msg_iovlen = 1};
    if (message->control != 0) {
        received.msg_control = buffers->control;
        received.msg_controllen =
            message->control_length < FP_CONTROL_BYTES ? (size_t)message->control_length : FP_CONTROL_BYTES;
    }
    ssize_t got = recvmsg(fd, &received, own_flags(flags));
    if (got < 0)
        return -errno;
    renames(notice, fd, &name, message->name_length, received.msg_namelen);
    size_t size = (size_t)got < data.iov_len ? (size_t)got : data.iov_len;
    return fp_message_write(notice, message, &received, size) ? got : -EFAULT;
}

/* False for a 32-bit program's call with control data, which has another layout: it goes on in the kernel. */
static bool can_receive(const struct fp_notice *notice, const struct fp_message *message) {
    return message->name != 0 && message->name_length >= 4 && message->name_length <= INT32_MAX &&
           (!notice->compat || message->control == 0 || message->control_length == 0);
}

int64_t fp_serve_recvmsg(struct fp_notice *notice) {
    struct fp_message message;
    int flags = (int)notice->argument[2];
    if (!fp_message_read(notice, notice->argument[1], &message) || !can_receive(notice, &message))
        return FP_GOES_ON;
    int fd = receiver(notice);
    if (fd < 0)
        return FP_GOES_ON;
    int64_t result = look(notice, fd, flags, message.name_length);
    if (result == 1)
        result = receive(notice, fd, &message, flags);
    else if (result == 0)
        result = FP_GOES_ON;
    close(fd);
    return result == -EAGAIN ? FP_GOES_ON : result;
}

static bool read_message(const struct fp_notice *notice, unsigned number, struct fp_message *message) {
    return fp_message_read(notice, notice->argument[1] + number * fp_message_stride(notice), message);
}

/* Receives the datagrams that are there, without waiting for more. The program calls again for the rest. */
static int64_t receive_all(struct fp_notice *notice, int fd, unsigned count, int flags) {
    unsigned got = 0;
    for (; got < count; got++) {
        struct fp_message message;
        int64_t result = -EFAULT;
        if (read_message(notice, got, &message))
            result = receive(notice, fd, &message, flags);
        if (result >= 0 && !fp_message_set_length(notice, &message, (uint32_t)result))
            result = -EFAULT;
        if (result < 0)
            return got > 0 ? got : result;
    }
    return got;
}

int64_t fp_serve_recvmmsg(struct fp_notice *notice) {
    struct fp_message message;
    uint32_t count = (uint32_t)notice->argument[2];
    int flags = (int)notice->argument[3] & ~MSG_WAITFORONE;
    if (count == 0 || !read_message(notice, 0, &message) || !can_receive(notice, &message))
        return FP_GOES_ON;
    int fd = receiver(notice);
    if (fd < 0)
        return FP_GOES_ON;
    int64_t result = receive_all(notice, fd, count, flags);
    close(fd);
    return result == -EAGAIN ? FP_GOES_ON : result;
}
