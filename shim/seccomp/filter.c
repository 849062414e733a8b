/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <errno.h>
#include <linux/net.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The architectures of programs that one kernel runs: native, and 32-bit. */
enum { NATIVE, COMPAT, ARCHITECTURES };

static uint32_t architecture_of(unsigned which) {
    if (which == NATIVE)
        return seccomp_arch_native();
    switch (seccomp_arch_native()) {
    case SCMP_ARCH_X86_64:
        return SCMP_ARCH_X86;
    case SCMP_ARCH_AARCH64:
        return SCMP_ARCH_ARM;
    default:
        return 0;
    }
}

/* `pointer`: the argument with the address. Where it is NULL the call is not notified; -1: always notified. */
static const struct watched {
    const char *name;
    int pointer;
    enum fp_call call;
    unsigned socketcall; /* its number in socketcall(2); 0: none */
} watched[] = {
    {"bind", 1, FP_CALL_BIND, SYS_BIND},
    {"listen", -1, FP_CALL_LISTEN, SYS_LISTEN},
    {"connect", 1, FP_CALL_CONNECT, SYS_CONNECT},
    {"getsockname", 1, FP_CALL_GETSOCKNAME, SYS_GETSOCKNAME},
    {"getpeername", 1, FP_CALL_GETPEERNAME, SYS_GETPEERNAME},
    {"accept", 1, FP_CALL_ACCEPT, SYS_ACCEPT},
    {"accept4", 1, FP_CALL_ACCEPT4, SYS_ACCEPT4},
    {"sendto", 4, FP_CALL_SENDTO, SYS_SENDTO},
    {"sendmsg", 1, FP_CALL_SENDMSG, SYS_SENDMSG},
    {"sendmmsg", 1, FP_CALL_SENDMMSG, SYS_SENDMMSG},
    {"recvfrom", 4, FP_CALL_RECVFROM, SYS_RECVFROM},
    {"recvmsg", 1, FP_CALL_RECVMSG, SYS_RECVMSG},
    {"recvmmsg", 1, FP_CALL_RECVMMSG, SYS_RECVMMSG},
    {"recvmmsg_time64", 1, FP_CALL_RECVMMSG, 0},
    {"socketcall", -1, FP_CALL_SOCKETCALL, 0},
};

enum { WATCHED = sizeof watched / sizeof watched[0] };

enum { NUMBERS = 512 };

/* By architecture and number. */
static unsigned char calls[ARCHITECTURES][NUMBERS];

static enum fp_call call_of_name(const char *name) {
    for (unsigned i = 0; i < WATCHED; i++)
        if (strcmp(watched[i].name, name) == 0)
            return watched[i].call;
    return FP_CALL_NONE;
}

/* Looks up names by numbers, and not the other way: for 32-bit x86, libseccomp gives socketcall(2)'s numbers first. */
void fp_filter_start(void) {
    for (unsigned which = 0; which < ARCHITECTURES && architecture_of(which); which++)
        for (int number = 0; number < NUMBERS; number++) {
            char *name = seccomp_syscall_resolve_num_arch(architecture_of(which), number);
            if (name)
                calls[which][number] = (unsigned char)call_of_name(name);
            free(name);
        }
}

enum fp_call fp_filter_call(uint32_t architecture, int number, bool *compat) {
    unsigned which = architecture == architecture_of(NATIVE) ? NATIVE : COMPAT;
    *compat = which == COMPAT;
    return number >= 0 && number < NUMBERS ? (enum fp_call)calls[which][number] : FP_CALL_NONE;
}

enum fp_call fp_filter_socketcall(uint64_t number) {
    for (unsigned i = 0; i < WATCHED; i++)
        if (watched[i].socketcall == number && number != 0)
            return watched[i].call;
    return FP_CALL_NONE;
}

/*
 * libseccomp takes the native number and translates it to the architecture's; a call that the architecture lacks makes
 * no rule. 32-bit x86 has two ways to make each call. A filter can't see the arguments behind socketcall(2), so the
 * rules there look at no arguments, and libseccomp makes them for both ways.
 */
static int notify(scmp_filter_ctx context, uint32_t architecture, const struct watched *call) {
    int number = seccomp_syscall_resolve_name(call->name);
    if (call->call == FP_CALL_SOCKETCALL || number == __NR_SCMP_ERROR)
        return 0;
    if (call->pointer < 0 || architecture == SCMP_ARCH_X86)
        return seccomp_rule_add(context, SCMP_ACT_NOTIFY, number, 0);
    return seccomp_rule_add(context, SCMP_ACT_NOTIFY, number, 1, SCMP_CMP((unsigned)call->pointer, SCMP_CMP_NE, 0, 0));
}

static int add_rules(scmp_filter_ctx context, uint32_t architecture) {
    int error = 0;
    for (unsigned i = 0; i < WATCHED && error == 0; i++)
        error = notify(context, architecture, &watched[i]);
    if (error == 0)
        error = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0);
    return error;
}

/* The rules for one architecture. Calls of any third architecture are allowed. */
static int context_for(unsigned which, scmp_filter_ctx *out) {
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    if (!context)
        return -ENOMEM;
    int error = 0;
    if (which == COMPAT) {
        error = seccomp_arch_add(context, architecture_of(COMPAT));
        if (error == 0)
            error = seccomp_arch_remove(context, architecture_of(NATIVE));
    }
    if (error == 0)
        error = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
    if (error == 0) /* by bisection */
        error = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (error == 0)
        error = add_rules(context, architecture_of(which));
    if (error != 0) {
        seccomp_release(context);
        return error;
    }
    *out = context;
    return 0;
}

/* libseccomp writes a program to a descriptor. */
static int take_program(scmp_filter_ctx context, struct fp_filter *filter) {
    int fd = memfd_create("freeport-filter", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = seccomp_export_bpf(context, fd);
    ssize_t size = error == 0 ? pread(fd, filter->program, sizeof filter->program, 0) : -1;
    close(fd);
    if (error != 0)
        return error;
    if (size <= 0 || (size_t)size == sizeof filter->program)
        return -ENOMEM;
    filter->length = (unsigned short)((size_t)size / sizeof filter->program[0]);
    return 0;
}

int fp_filter_build(struct fp_filter *filter) {
    scmp_filter_ctx context, compat;
    fp_filter_start();
    int error = context_for(NATIVE, &context);
    if (error != 0)
        return error;
    if (architecture_of(COMPAT)) {
        error = context_for(COMPAT, &compat);
        if (error == 0 && (error = seccomp_merge(context, compat)) != 0)
            seccomp_release(compat);
    }
    if (error == 0)
        error = take_program(context, filter);
    seccomp_release(context);
    return error;
}
