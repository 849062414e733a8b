/* SPDX-License-Identifier: MIT */
#include "real.h"
#include "rewrite.h"

/* Checks that the address can be read before it looks at it. A connection costs more than that check. */
static bool may_redirect(const struct sockaddr *address, socklen_t length) {
    return fp_guest.redirects && length >= sizeof(struct sockaddr) && length <= sizeof(struct sockaddr_storage) &&
           fp_mapped(address, length) && fp_guest_may_redirect(&fp_guest, address, length);
}

int fp_hook_connect(const struct fp_real *real, int fd, const struct sockaddr *address, socklen_t length) {
    if (!fp_hook_awake() || !may_redirect(address, length))
        return real->connect(fd, address, length);
    int saved = errno;
    struct sockaddr_storage instead;
    int elsewhere = fp_rewrite_destination(&fp_own_caller, fd, address, length, &instead);
    errno = saved;
    if (elsewhere != 0)
        return real->connect(fd, address, length);
    struct fp_hook_reached reached = fp_hook_reached(&instead);
    int result = real->connect(fd, (struct sockaddr *)&instead, length);
    fp_hook_reached_as_before(&reached);
    return result;
}

FP_EXPORT int connect(int fd, const struct sockaddr *address, socklen_t length) {
    return fp_hook_connect(&fp_real, fd, address, length);
}
