/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

int fp_hook_accept(const struct fp_real *real, int fd, struct sockaddr *address, socklen_t *length) {
    if (!fp_hook_renames())
        return real->accept(fd, address, length);
    socklen_t room = fp_hook_room(address, length);
    int accepted = real->accept(fd, address, length);
    if (accepted >= 0 && room != 0 && fp_guest_may_rename(&fp_guest, address, room, *length))
        fp_rewrite_peer_name(&fp_own_caller, accepted, address, room, *length);
    return accepted;
}

FP_EXPORT int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    return fp_hook_accept(&fp_real, fd, address, length);
}

int fp_hook_accept4(const struct fp_real *real, int fd, struct sockaddr *address, socklen_t *length, int flags) {
    if (!fp_hook_renames())
        return real->accept4(fd, address, length, flags);
    socklen_t room = fp_hook_room(address, length);
    int accepted = real->accept4(fd, address, length, flags);
    if (accepted >= 0 && room != 0 && fp_guest_may_rename(&fp_guest, address, room, *length))
        fp_rewrite_peer_name(&fp_own_caller, accepted, address, room, *length);
    return accepted;
}

FP_EXPORT int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags) {
    return fp_hook_accept4(&fp_real, fd, address, length, flags);
}
