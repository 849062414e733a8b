/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

int fp_hook_getsockname(const struct fp_real *real, int fd, struct sockaddr *address, socklen_t *length) {
    if (!fp_hook_renames())
        return real->getsockname(fd, address, length);
    socklen_t room = fp_hook_room(address, length);
    int result = real->getsockname(fd, address, length);
    if (result == 0 && room != 0 && fp_guest_may_rename(&fp_guest, address, room, *length))
        fp_rewrite_own_name(&fp_own_caller, fd, address, room, *length);
    return result;
}

FP_EXPORT int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    return fp_hook_getsockname(&fp_real, fd, address, length);
}

int fp_hook_getpeername(const struct fp_real *real, int fd, struct sockaddr *address, socklen_t *length) {
    if (!fp_hook_renames())
        return real->getpeername(fd, address, length);
    socklen_t room = fp_hook_room(address, length);
    int result = real->getpeername(fd, address, length);
    if (result == 0 && room != 0 && fp_guest_may_rename(&fp_guest, address, room, *length))
        fp_rewrite_peer_name(&fp_own_caller, fd, address, room, *length);
    return result;
}

FP_EXPORT int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    return fp_hook_getpeername(&fp_real, fd, address, length);
}
