/* SPDX-License-Identifier: MIT */
#include "real.h"

#include "exec.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

struct fp_real fp_real;
long (*fp_real_syscall)(long number, ...);

struct call {
    const char *name;
    size_t offset;
};

static const struct call calls[] = {
    {"bind", offsetof(struct fp_real, bind)},
    {"getsockname", offsetof(struct fp_real, getsockname)},
    {"listen", offsetof(struct fp_real, listen)},
    {"connect", offsetof(struct fp_real, connect)},
    {"getpeername", offsetof(struct fp_real, getpeername)},
    {"accept", offsetof(struct fp_real, accept)},
    {"accept4", offsetof(struct fp_real, accept4)},
    {"sendto", offsetof(struct fp_real, sendto)},
    {"sendmsg", offsetof(struct fp_real, sendmsg)},
    {"sendmmsg", offsetof(struct fp_real, sendmmsg)},
    {"recvfrom", offsetof(struct fp_real, recvfrom)},
    {"__recvfrom_chk", offsetof(struct fp_real, recvfrom_chk)},
    {"recvmsg", offsetof(struct fp_real, recvmsg)},
    {"recvmmsg", offsetof(struct fp_real, recvmmsg)},
    {"mlockall", offsetof(struct fp_real, mlockall)},
};

#if UINTPTR_MAX == UINT32_MAX
struct fp_real fp_real_time64;

/* glibc has the first four, musl the last. */
static const struct call calls_time64[] = {
    {"__sendmsg64", offsetof(struct fp_real, sendmsg)},        {"__recvmsg64", offsetof(struct fp_real, recvmsg)},
    {"__sendmmsg64", offsetof(struct fp_real, sendmmsg)},      {"__recvmmsg64", offsetof(struct fp_real, recvmmsg)},
    {"__recvmmsg_time64", offsetof(struct fp_real, recvmmsg)},
};
#endif

static void resolve(const char *name, void *where) {
    void *address = dlsym(RTLD_NEXT, name);
    if (address)
        memcpy(where, &address, sizeof address); /* ISO C has no conversion from void * to a function */
}

void fp_real_resolve_syscall(void) {
    resolve("syscall", &fp_real_syscall);
}

__attribute__((constructor(101))) void fp_real_start(void) {
    if (fp_guest_phase() != FP_PHASE_UNSTARTED)
        return;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        resolve(calls[i].name, (char *)&fp_real + calls[i].offset);
#if UINTPTR_MAX == UINT32_MAX
    for (size_t i = 0; i < sizeof calls_time64 / sizeof calls_time64[0]; i++)
        resolve(calls_time64[i].name, (char *)&fp_real_time64 + calls_time64[i].offset);
#endif
    fp_real_resolve_syscall();
    fp_exec_resolve();
    /* The guest's own calls use the same system calls as libc here, since a sandbox allows those. */
#ifdef SYS_socketcall
    const struct fp_real *own = &fp_by_socketcall;
#else
    const struct fp_real *own = &fp_by_number;
#endif
    struct fp_calls calls_of_guest = {.bind = own->bind, .getsockname = own->getsockname};
    fp_guest_start(&calls_of_guest, own->connect, own->getpeername);
}
