/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

#include <errno.h>

FP_HOOK int bind(int fd, const struct sockaddr *address, socklen_t length) {
    if (!fp_hook_awake())
        return fp_real.calls.bind(fd, address, length);
    int saved = errno;
    int error = fp_rewrite_bind(fd, address, length);
    if (error != FP_UNTOUCHED)
        return fp_hook_result(error, saved);
    errno = saved;
    return fp_real.calls.bind(fd, address, length);
}
