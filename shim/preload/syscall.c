/* SPDX-License-Identifier: MIT */
/*
 * The hook of syscall(2), for programs that make socket calls by it. libuv does so for its datagrams.
 *
 * For all other numbers it jumps to libc's syscall() with stack and registers unchanged. With a stack frame here, a
 * child that shares its parent's stack (clone, vfork) would return through a frame that is overwritten.
 */
#include "real.h"

#include <stdarg.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__) && !defined(__ILP32__)

static_assert(SYS_connect == 42 && SYS_getpeername == 52 && SYS_accept4 == 288 && SYS_recvmmsg == 299 &&
                  SYS_sendmmsg == 307,
              "the numbers below");

__asm__(".pushsection .text\n"
        ".globl syscall\n"
        ".type syscall, @function\n"
        ".p2align 4\n"
        "syscall:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    leaq -42(%rdi), %r11\n" /* connect to getpeername, with shutdown among them */
        "    cmpq $10, %r11\n"
        "    jbe 1f\n"
        "    cmpq $288, %rdi\n"
        "    je 1f\n"
        "    cmpq $299, %rdi\n"
        "    je 1f\n"
        "    cmpq $307, %rdi\n"
        "    je 1f\n"
        "    movq fp_real_syscall(%rip), %rax\n"
        "    testq %rax, %rax\n"
        "    jz 1f\n"
        "    jmpq *%rax\n"
        "1:  jmp fp_syscall_ours\n"
        "    .cfi_endproc\n"
        ".size syscall, .-syscall\n"
        ".popsection\n");

__attribute__((visibility("hidden"), used)) long fp_syscall_ours(long number, ...);

long fp_syscall_ours(long number, ...) {
#else
FP_EXPORT long syscall(long number, ...) {
#endif
    /* The kernel takes six arguments, and libc's syscall() reads six, however many were passed. */
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);

    const struct fp_real *real = &fp_by_number;
    switch (number) {
    case SYS_bind:
        return fp_hook_bind(real, (int)a[0], (const struct sockaddr *)a[1], (socklen_t)a[2]);
    case SYS_listen:
        return fp_hook_listen(real, (int)a[0], (int)a[1]);
    case SYS_getsockname:
        return fp_hook_getsockname(real, (int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
    case SYS_getpeername:
        return fp_hook_getpeername(real, (int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
#ifdef SYS_accept /* not on i386, nor on s390 */
    case SYS_accept:
        return fp_hook_accept(real, (int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
#endif
    case SYS_accept4:
        return fp_hook_accept4(real, (int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2], (int)a[3]);
    case SYS_connect:
        return fp_hook_connect(real, (int)a[0], (const struct sockaddr *)a[1], (socklen_t)a[2]);
    case SYS_sendto:
        return fp_hook_sendto(real, (int)a[0], (const void *)a[1], (size_t)a[2], (int)a[3],
                              (const struct sockaddr *)a[4], (socklen_t)a[5]);
    case SYS_sendmsg:
        return fp_hook_sendmsg(real, (int)a[0], (const struct msghdr *)a[1], (int)a[2]);
    case SYS_sendmmsg:
        return fp_hook_sendmmsg(real, (int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (fp_mmsg_flags)a[3]);
    case SYS_recvfrom:
        return fp_hook_recvfrom(real, (int)a[0], (void *)a[1], (size_t)a[2], (int)a[3], (struct sockaddr *)a[4],
                                (socklen_t *)a[5]);
    case SYS_recvmsg:
        return fp_hook_recvmsg(real, (int)a[0], (struct msghdr *)a[1], (int)a[2]);
#ifdef SYS_recvmmsg /* not on 32-bit RISC-V */
    case SYS_recvmmsg:
        return fp_hook_recvmmsg(real, (int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (fp_mmsg_flags)a[3],
                                (struct timespec *)a[4]);
#endif
#ifdef SYS_recvmmsg_time64
    case SYS_recvmmsg_time64:
        return fp_hook_recvmmsg(&fp_by_number_time64, (int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2],
                                (fp_mmsg_flags)a[3], (struct timespec *)a[4]);
#endif
#ifdef SYS_socketcall
    case SYS_socketcall:
        if (__builtin_expect(fp_real_syscall == NULL, 0))
            fp_real_resolve_syscall();
        return fp_hook_socketcall((int)a[0], (const unsigned long *)a[1]);
#endif
    default:
        if (__builtin_expect(fp_real_syscall == NULL, 0))
            fp_real_resolve_syscall();
        return fp_real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}
