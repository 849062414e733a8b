/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

#include <errno.h>

int fp_hook_listen(const struct fp_real *real, int fd, int backlog) {
    if (!fp_hook_awake())
        return real->listen(fd, backlog);
    int saved = errno;
    int error = fp_rewrite_listen(&fp_own_caller, real->bind, fd);
    if (error != FP_UNTOUCHED)
        return fp_hook_result(error, saved);
    errno = saved;
    return real->listen(fd, backlog);
}

FP_EXPORT int listen(int fd, int backlog) {
    return fp_hook_listen(&fp_real, fd, backlog);
}
