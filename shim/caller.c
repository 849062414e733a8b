/* SPDX-License-Identifier: MIT */
#include "caller.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* Not by fstat(): glibc's passes an empty path of libc's own, in a page that may not be mapped in yet: a page fault. */
bool fp_stream_note(struct fp_stream *stream, int fd) {
    struct stat st;
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) != 0)
        return false;
    *stream = (struct fp_stream){.device = st.st_dev, .inode = st.st_ino};
    return true;
}

int fp_caller_descriptor(const struct fp_caller *caller, int number) {
    return caller->process < 0 ? number : (int)syscall(SYS_pidfd_getfd, caller->process, number, 0);
}

void fp_caller_give_back(const struct fp_caller *caller, int fd) {
    if (caller->process >= 0 && fd >= 0)
        close(fd);
}
