/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

#include <netinet/in.h>

ssize_t fp_hook_recvfrom(const struct fp_real *real, int fd, void *data, size_t size, int flags, struct sockaddr *from,
                         socklen_t *length) {
    if (!fp_hook_renames() || !from)
        return real->recvfrom(fd, data, size, flags, from, length);
    socklen_t room = fp_hook_room(from, length);
    ssize_t got = real->recvfrom(fd, data, size, flags, from, length);
    if (got >= 0 && room != 0 && fp_guest_may_rename(&fp_guest, from, room, *length))
        fp_rewrite_peer_name(&fp_own_caller, fd, from, room, *length);
    return got;
}

FP_EXPORT ssize_t recvfrom(int fd, void *restrict data, size_t size, int flags, struct sockaddr *restrict from,
                           socklen_t *restrict length) {
    return fp_hook_recvfrom(&fp_real, fd, data, size, flags, from, length);
}

/* With _FORTIFY_SOURCE, recvfrom() becomes this. */
FP_EXPORT ssize_t __recvfrom_chk(int fd, void *restrict data, size_t size, size_t room_for_data, int flags,
                                 struct sockaddr *restrict from, socklen_t *restrict length);

FP_EXPORT ssize_t __recvfrom_chk(int fd, void *restrict data, size_t size, size_t room_for_data, int flags,
                                 struct sockaddr *restrict from, socklen_t *restrict length) {
    if (!fp_hook_renames() || !from)
        return fp_real.recvfrom_chk(fd, data, size, room_for_data, flags, from, length);
    socklen_t room = fp_hook_room(from, length);
    ssize_t got = fp_real.recvfrom_chk(fd, data, size, room_for_data, flags, from, length);
    if (got >= 0 && room != 0 && fp_guest_may_rename(&fp_guest, from, room, *length))
        fp_rewrite_peer_name(&fp_own_caller, fd, from, room, *length);
    return got;
}

ssize_t fp_hook_recvmsg(const struct fp_real *real, int fd, struct msghdr *message, int flags) {
    if (!fp_hook_renames() || !fp_mapped(message, sizeof *message) || !message->msg_name)
        return real->recvmsg(fd, message, flags);
    socklen_t room = message->msg_namelen;
    ssize_t got = real->recvmsg(fd, message, flags);
    if (got >= 0 && fp_guest_may_rename(&fp_guest, message->msg_name, room, message->msg_namelen))
        fp_rewrite_peer_name(&fp_own_caller, fd, message->msg_name, room, message->msg_namelen);
    return got;
}

FP_EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    return fp_hook_recvmsg(&fp_real, fd, message, flags);
}

/* The number of messages of one call whose sizes of name buffers are kept, a byte for each. */
enum { KEPT_ROOMS = 1024 };

/* The size of a message's name buffer, in a byte: larger than any name is all the same. */
static uint8_t small_room(const struct msghdr *message) {
    return message->msg_name ? (uint8_t)(message->msg_namelen < UINT8_MAX ? message->msg_namelen : UINT8_MAX) : 0;
}

/*
 * Keeps the sizes of name buffers, which the kernel overwrites with the names' lengths. Messages beyond KEPT_ROOMS are
 * taken only if they have no buffer, or one for any name. Returns the number of messages that the call may receive:
 * fewer than the program asked for is allowed.
 */
static unsigned keep_rooms(const struct mmsghdr *messages, unsigned count, uint8_t rooms[static KEPT_ROOMS]) {
    for (unsigned i = 0; i < count; i++) {
        if (!fp_hook_message_mapped(messages, i))
            return i;
        uint8_t room = small_room(&messages[i].msg_hdr);
        if (i < KEPT_ROOMS)
            rooms[i] = room;
        else if (room != 0 && room < sizeof(struct sockaddr_in6))
            return i;
    }
    return count;
}

int fp_hook_recvmmsg(const struct fp_real *real, int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                     struct timespec *timeout) {
    uint8_t rooms[KEPT_ROOMS];
    unsigned known = fp_hook_renames() ? keep_rooms(messages, count, rooms) : 0;
    if (known == 0)
        return real->recvmmsg(fd, messages, count, flags, timeout);
    int got = real->recvmmsg(fd, messages, known, flags, timeout);
    for (unsigned i = 0; i < known && (int)i < got; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        socklen_t room = i < KEPT_ROOMS ? rooms[i] : message->msg_name ? UINT8_MAX : 0;
        if (room != 0 && fp_guest_may_rename(&fp_guest, message->msg_name, room, message->msg_namelen))
            fp_rewrite_peer_name(&fp_own_caller, fd, message->msg_name, room, message->msg_namelen);
    }
    return got;
}

FP_EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                       struct timespec *timeout) {
    return fp_hook_recvmmsg(&fp_real, fd, messages, count, flags, timeout);
}
