/* SPDX-License-Identifier: MIT */
#include "real.h"

#include "exec.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

struct fp_real fp_real;
long (*fp_real_syscall)(long number, ...);

static const struct {
    const char *name;
    size_t offset;
} calls[] = {
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
};

static void resolve(const char *name, void *where) {
    void *address = dlsym(RTLD_NEXT, name);
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
    fp_real_resolve_syscall();
    fp_exec_resolve();
    struct fp_calls own = {.bind = fp_by_number.bind, .getsockname = fp_by_number.getsockname};
    fp_guest_start(&own, fp_by_number.connect);
}
