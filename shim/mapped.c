/* SPDX-License-Identifier: MIT */
#include "mapped.h"

#include <sys/syscall.h>
#include <unistd.h>

/* rt_sigprocmask() with an invalid `how` tells: the kernel copies the eight bytes first (EFAULT), then looks at `how`.
 */
static bool readable_at(uintptr_t address) {
    return syscall(SYS_rt_sigprocmask, -1L, address & ~(uintptr_t)7, NULL, 8L) == 0 || errno != EFAULT;
}

bool fp_mapped_somewhere(const void *memory, size_t size) {
    int saved = errno;
    uintptr_t first = (uintptr_t)memory, last = first + size - 1;
    bool mapped = readable_at(first) && (first / FP_PAGE == last / FP_PAGE || readable_at(last));
    errno = saved;
    return mapped;
}
