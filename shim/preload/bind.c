/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

#include <errno.h>

int fp_hook_bind(const struct fp_real *real, int fd, const struct sockaddr *address, socklen_t length) {
    if (!fp_hook_awake())
        return real->bind(fd, address, length);
    int saved = errno;
    int error = fp_rewrite_bind(&fp_own_caller, real->bind, fd, address, length);
    if (error != FP_UNTOUCHED)
        return fp_hook_result(error, saved);
    errno = saved;
    return real->bind(fd, address, length);
}

FP_EXPORT int bind(int fd, const struct sockaddr *address, socklen_t length) {
    return fp_hook_bind(&fp_real, fd, address, length);
}
