/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

#include <limits.h>

/* The number of messages that the kernel's sendmmsg takes at most (UIO_MAXIOV). */
enum { MOST_MESSAGES = 1024 };

ssize_t fp_hook_sendto(const struct fp_real *real, int fd, const void *data, size_t size, int flags,
                       const struct sockaddr *to, socklen_t length) {
    if (!fp_hook_awake() || !fp_guest_may_redirect(&fp_guest, to, length))
        return real->sendto(fd, data, size, flags, to, length);
    int saved = errno;
    struct sockaddr_storage instead;
    int elsewhere = fp_rewrite_datagram(&fp_own_caller, fd, flags, to, length, &instead);
    errno = saved;
    if (elsewhere != 0)
        return real->sendto(fd, data, size, flags, to, length);
    struct fp_hook_reached reached = fp_hook_reached(&instead);
    ssize_t sent = real->sendto(fd, data, size, flags, (struct sockaddr *)&instead, length);
    fp_hook_reached_as_before(&reached);
    return sent;
}

FP_EXPORT ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
                         socklen_t length) {
    return fp_hook_sendto(&fp_real, fd, data, size, flags, to, length);
}

/* Copies a message that goes elsewhere, since the program's own must not be changed. Returns as fp_rewrite_datagram().
 */
static int redirect(int fd, int flags, const struct msghdr *message, struct msghdr *copy,
                    struct sockaddr_storage *instead) {
    /* In sendmsg and sendmmsg the kernel cuts a name that is too long; it refuses a negative length. */
    socklen_t length = message->msg_namelen;
    if (length > sizeof *instead && length <= INT_MAX)
        length = sizeof *instead;
    if (!fp_guest_may_redirect(&fp_guest, message->msg_name, length))
        return FP_UNTOUCHED;
    int elsewhere = fp_rewrite_datagram(&fp_own_caller, fd, flags, message->msg_name, length, instead);
    if (elsewhere == 0) {
        *copy = *message;
        copy->msg_name = instead;
        copy->msg_namelen = length;
    }
    return elsewhere;
}

ssize_t fp_hook_sendmsg(const struct fp_real *real, int fd, const struct msghdr *message, int flags) {
    if (!fp_hook_awake() || !fp_guest.redirects || !fp_mapped(message, sizeof *message) || !message->msg_name)
        return real->sendmsg(fd, message, flags);
    int saved = errno;
    struct sockaddr_storage instead;
    struct msghdr copy;
    int elsewhere = redirect(fd, flags, message, &copy, &instead);
    errno = saved;
    if (elsewhere != 0)
        return real->sendmsg(fd, message, flags);
    struct fp_hook_reached reached = fp_hook_reached(&instead);
    ssize_t sent = real->sendmsg(fd, &copy, flags);
    fp_hook_reached_as_before(&reached);
    return sent;
}

FP_EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    return fp_hook_sendmsg(&fp_real, fd, message, flags);
}

/* The result after a failure: the number of messages sent before it, with the old errno; or the failure. */
static int sent_before(unsigned sent, int saved_errno) {
    if (sent == 0)
        return -1;
    errno = saved_errno;
    return (int)sent;
}

/*
 * Sends the messages one after the other, as the kernel does: an error is the result only if no message was sent before
 * it. Consecutive messages that need no redirection are sent by one call.
 */
int fp_hook_sendmmsg(const struct fp_real *real, int fd, struct mmsghdr *messages, unsigned count,
                     fp_mmsg_flags flags) {
    if (!fp_hook_awake() || !fp_guest.redirects)
        return real->sendmmsg(fd, messages, count, flags);
    if (count > MOST_MESSAGES)
        count = MOST_MESSAGES;
    int saved = errno;
    unsigned sent = 0, plain = 0; /* plain: how many, from `sent` on, need no redirection */
    while (sent + plain < count) {
        struct sockaddr_storage instead;
        struct mmsghdr copy = {.msg_len = 0};
        struct mmsghdr *at = &messages[sent + plain];
        if (!fp_hook_message_mapped(messages, sent + plain)) {
            plain = count - sent; /* the rest can't be read: the kernel answers EFAULT */
            break;
        }
        int elsewhere =
            at->msg_hdr.msg_name ? redirect(fd, (int)flags, &at->msg_hdr, &copy.msg_hdr, &instead) : FP_UNTOUCHED;
        if (elsewhere == FP_UNTOUCHED) {
            plain++;
            continue;
        }
        errno = saved;
        if (plain > 0) {
            int got = real->sendmmsg(fd, &messages[sent], plain, flags);
            if (got < 0)
                return sent_before(sent, saved);
            sent += (unsigned)got;
            if ((unsigned)got < plain)
                return (int)sent;
            plain = 0;
        }
        struct fp_hook_reached reached = fp_hook_reached(&instead);
        int one = real->sendmmsg(fd, &copy, 1, flags);
        fp_hook_reached_as_before(&reached);
        if (one < 0)
            return sent_before(sent, saved);
        at->msg_len = copy.msg_len;
        sent++;
    }
    errno = saved;
    if (plain == 0 && sent > 0)
        return (int)sent;
    int got = real->sendmmsg(fd, &messages[sent], plain, flags);
    return got < 0 ? sent_before(sent, saved) : (int)sent + got;
}

FP_EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags) {
    return fp_hook_sendmmsg(&fp_real, fd, messages, count, flags);
}
