/* SPDX-License-Identifier: MIT */
/* Programs that make the same calls through syscall(2): libuv does so for its datagrams. */
#include "real.h"

#include <stdarg.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

FP_HOOK long syscall(long number, ...) {
    /* However many arguments there are, six is what the kernel takes, and what libc's own reads. */
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);

    switch (number) {
#ifdef SYS_bind
    case SYS_bind:
        return bind((int)a[0], (const struct sockaddr *)a[1], (socklen_t)a[2]);
#endif
#ifdef SYS_listen
    case SYS_listen:
        return listen((int)a[0], (int)a[1]);
#endif
#ifdef SYS_getsockname
    case SYS_getsockname:
        return getsockname((int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
#endif
    default:
        if (__builtin_expect(fp_real.syscall == NULL, 0))
            fp_real_resolve_syscall();
        return fp_real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}
