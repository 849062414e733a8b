/* SPDX-License-Identifier: MIT */
#include "real.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

struct fp_real fp_real;

static void resolve(const char *name, void *where) {
    void *address = dlsym(RTLD_NEXT, name);
    memcpy(where, &address, sizeof address); /* ISO C has no conversion from void * to a function */
}

void fp_real_resolve_syscall(void) {
    resolve("syscall", &fp_real.syscall);
}

__attribute__((constructor(101))) void fp_real_start(void) {
    if (fp_guest_phase() != FP_PHASE_UNSTARTED)
        return;
    resolve("bind", &fp_real.calls.bind);
    resolve("getsockname", &fp_real.calls.getsockname);
    resolve("listen", &fp_real.listen);
    fp_real_resolve_syscall();
    fp_guest_start(&fp_real.calls);
}

int fp_hook_result(int error, int saved_errno) {
    errno = error < 0 ? -error : saved_errno;
    return error < 0 ? -1 : 0;
}
