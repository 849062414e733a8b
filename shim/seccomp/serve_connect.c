/* SPDX-License-Identifier: MIT */
#include "notice.h"
#include "rewrite.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void set_blocking(int fd, bool blocking) {
    int on = !blocking;
    ioctl(fd, FIONBIO, &on);
}

/*
 * Begins a connection, with the socket non-blocking for that moment. If it is not made at once, the program's own call
 * goes on in the kernel and waits for it; the kernel does not look at the address then. So signals, timeouts and the
 * end of the program act on a call of the program, as ever.
 */
static int64_t begin_connection(int fd, const struct sockaddr *to, socklen_t length) {
    bool blocking = fp_socket_type(fd) != SOCK_DGRAM && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
    if (blocking)
        set_blocking(fd, false);
    int error = connect(fd, to, length) == 0 ? 0 : -errno;
    if (blocking)
        set_blocking(fd, true);
    return blocking && (error == -EINPROGRESS || error == -EALREADY) ? FP_GOES_ON : error;
}

int64_t fp_serve_connect(struct fp_notice *notice) {
    struct sockaddr_storage address, instead;
    socklen_t length = (socklen_t)notice->argument[2];
    const struct sockaddr *to = (const struct sockaddr *)&address;
    if (!fp_notice_address(notice, notice->argument[1], length, &address) ||
        !fp_guest_may_redirect(notice->caller.guest, to, length))
        return FP_GOES_ON;
    int fd = fp_notice_socket(notice, notice->argument[0]);
    if (fd < 0)
        return FP_GOES_ON;
    int64_t result = fp_rewrite_destination(&notice->caller, fd, to, length, &instead);
    if (result == FP_UNTOUCHED)
        result = FP_GOES_ON;
    else if (result == 0)
        result = begin_connection(fd, (const struct sockaddr *)&instead, length);
    close(fd);
    return result;
}
