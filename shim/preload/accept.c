/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

FP_HOOK int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    if (!fp_hook_renames())
        return fp_real.accept(fd, address, length);
    socklen_t room = fp_hook_room(address, length);
    int accepted = fp_real.accept(fd, address, length);
    if (accepted >= 0 && room != 0 && fp_guest_may_rename(address, room, *length))
        fp_rewrite_peer_name(accepted, address, room, *length);
    return accepted;
}

FP_HOOK int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags) {
    if (!fp_hook_renames())
        return fp_real.accept4(fd, address, length, flags);
    socklen_t room = fp_hook_room(address, length);
    int accepted = fp_real.accept4(fd, address, length, flags);
    if (accepted >= 0 && room != 0 && fp_guest_may_rename(address, room, *length))
        fp_rewrite_peer_name(accepted, address, room, *length);
    return accepted;
}
