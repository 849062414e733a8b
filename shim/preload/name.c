/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

FP_HOOK int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    if (!fp_hook_renames())
        return fp_real.calls.getsockname(fd, address, length);
    socklen_t room = fp_hook_room(address, length);
    int result = fp_real.calls.getsockname(fd, address, length);
    if (result == 0 && room != 0 && fp_guest_may_rename(address, room, *length))
        fp_rewrite_own_name(fd, address, room, *length);
    return result;
}

FP_HOOK int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    if (!fp_hook_renames())
        return fp_real.getpeername(fd, address, length);
    socklen_t room = fp_hook_room(address, length);
    int result = fp_real.getpeername(fd, address, length);
    if (result == 0 && room != 0 && fp_guest_may_rename(address, room, *length))
        fp_rewrite_peer_name(fd, address, room, *length);
    return result;
}
