/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

int fp_hook_connect(const struct fp_real *real, int fd, const struct sockaddr *address, socklen_t length) {
    if (!fp_hook_awake() || !fp_guest_may_redirect(&fp_guest, address, length))
        return real->connect(fd, address, length);
    int saved = errno;
    struct sockaddr_storage instead;
    int error = fp_rewrite_destination(&fp_own_caller, fd, address, length, &instead);
    if (error < 0)
        return fp_hook_result(error, saved);
    errno = saved;
    return real->connect(fd, error == 0 ? (struct sockaddr *)&instead : address, length);
}

FP_EXPORT int connect(int fd, const struct sockaddr *address, socklen_t length) {
    return fp_hook_connect(&fp_real, fd, address, length);
}
