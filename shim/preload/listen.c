/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

#include <errno.h>

FP_HOOK int listen(int fd, int backlog) {
    if (!fp_hook_awake())
        return fp_real.listen(fd, backlog);
    int saved = errno;
    int error = fp_rewrite_listen(fd);
    if (error != FP_UNTOUCHED)
        return fp_hook_result(error, saved);
    errno = saved;
    return fp_real.listen(fd, backlog);
}
