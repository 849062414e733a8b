/* SPDX-License-Identifier: MIT */
#include "notice.h"
#include "rewrite.h"

#include <unistd.h>

/* The answer to a bind whose address or socket can't be read: it fails, since it must not fall back to the kernel. */
static int64_t unseen(int error) {
    return error == -EBADF || error == -ESRCH ? FP_GOES_ON : error;
}

static int64_t after(int error, int fd) {
    close(fd);
    return error == FP_UNTOUCHED ? FP_GOES_ON : error;
}

int64_t fp_serve_bind(struct fp_notice *notice) {
    struct sockaddr_storage address;
    socklen_t length = (socklen_t)notice->argument[2];
    const struct sockaddr *to = (const struct sockaddr *)&address;
    if (!fp_notice_address(notice, notice->argument[1], length, &address) ||
        !fp_rewrites_bind(&notice->caller, fp_address_port(to)))
        return FP_GOES_ON;
    int fd = fp_notice_socket(notice, notice->argument[0]);
    if (fd < 0)
        return unseen(fd);
    const struct fp_segment_facts *facts = &notice->caller.guest->handle.facts;
    if (fp_address_port(to) != 0)
        notice->caller.preloaded = fp_process_preloaded(notice->process, facts->device, facts->inode);
    /* The call may block: another thread may bind the same sentinel now, and a report may have a slow reader. */
    if (fp_address_port(to) != 0 || fp_guest_reports(notice->caller.guest))
        fp_notice_may_wait(notice);
    return after(fp_rewrite_bind(&notice->caller, bind, fd, to, length), fd);
}

int64_t fp_serve_listen(struct fp_notice *notice) {
    int fd = fp_notice_socket(notice, notice->argument[0]);
    if (fd < 0)
        return unseen(fd);
    if (fp_guest_reports(notice->caller.guest))
        fp_notice_may_wait(notice);
    return after(fp_rewrite_listen(&notice->caller, bind, fd), fd);
}
