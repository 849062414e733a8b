/* SPDX-License-Identifier: MIT */
/*
 * 32-bit programs that are built for 64-bit times call functions with other names: four in glibc, for the times in
 * control messages, one in musl. The arguments that the shim looks at are the same.
 */
#include "real.h"

#if UINTPTR_MAX == UINT32_MAX

FP_EXPORT ssize_t __sendmsg64(int fd, const struct msghdr *message, int flags);
FP_EXPORT ssize_t __recvmsg64(int fd, struct msghdr *message, int flags);
FP_EXPORT int __sendmmsg64(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags);
FP_EXPORT int __recvmmsg64(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                           struct timespec *timeout);
FP_EXPORT int __recvmmsg_time64(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                                struct timespec *timeout);

FP_EXPORT ssize_t __sendmsg64(int fd, const struct msghdr *message, int flags) {
    return fp_hook_sendmsg(&fp_real_time64, fd, message, flags);
}

FP_EXPORT ssize_t __recvmsg64(int fd, struct msghdr *message, int flags) {
    return fp_hook_recvmsg(&fp_real_time64, fd, message, flags);
}

FP_EXPORT int __sendmmsg64(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags) {
    return fp_hook_sendmmsg(&fp_real_time64, fd, messages, count, flags);
}

FP_EXPORT int __recvmmsg64(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                           struct timespec *timeout) {
    return fp_hook_recvmmsg(&fp_real_time64, fd, messages, count, flags, timeout);
}

FP_EXPORT int __recvmmsg_time64(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                                struct timespec *timeout) {
    return fp_hook_recvmmsg(&fp_real_time64, fd, messages, count, flags, timeout);
}

#endif
