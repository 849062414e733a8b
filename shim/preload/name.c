/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

FP_HOOK int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length) {
    if (!fp_hook_awake())
        return fp_real.calls.getsockname(fd, address, length);
    socklen_t room = length ? *length : 0;
    int result = fp_real.calls.getsockname(fd, address, length);
    if (result == 0)
        fp_rewrite_name(fd, address, room, length ? *length : 0);
    return result;
}
