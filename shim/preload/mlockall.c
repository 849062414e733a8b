/* SPDX-License-Identifier: MIT */
/*
 * mlockall(2) counts every mapping of the process against RLIMIT_MEMLOCK, 8 MiB by default, and the segment is larger
 * than that. If the call would succeed without the segment, all other mappings are locked, and it succeeds.
 */
#include "real.h"
#include "uncancelled.h"

#include <sys/mman.h>
#include <sys/resource.h>

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

/* A file of /proc, read byte by byte. */
struct text {
    int fd;
    ssize_t length, at;
    char bytes[512];
};

/* -1: the end, or an error. */
static int next(struct text *text) {
    if (text->at == text->length) {
        text->length = fp_read(text->fd, text->bytes, sizeof text->bytes);
        text->at = 0;
        if (text->length <= 0) {
            text->length = 0;
            return -1;
        }
    }
    return (unsigned char)text->bytes[text->at++];
}

/* Reads a number; *behind is the character after it, which is read, too. */
static uintptr_t next_number(struct text *text, unsigned base, int *behind) {
    uintptr_t number = 0;
    for (;;) {
        int c = *behind = next(text);
        if (c >= '0' && c <= '9')
            number = number * base + (uintptr_t)(c - '0');
        else if (base == 16 && c >= 'a' && c <= 'f')
            number = number * base + (uintptr_t)(c - 'a' + 10);
        else
            return number;
    }
}

/* True if the kernel would lock all mappings without the segment. */
static bool fits_without_segment(void) {
    struct text statm = {.fd = fp_open("/proc/self/statm", O_RDONLY | O_CLOEXEC, 0)};
    struct rlimit limit;
    int behind;
    if (statm.fd < 0)
        return false;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), pages = next_number(&statm, 10, &behind);
    fp_close(statm.fd);
    uintptr_t ours = (sizeof(struct fp_segment) + page - 1) / page;
    return pages > ours && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && pages - ours <= limit.rlim_cur / page;
}

/* Locks each mapping but the segment. Mappings that can't be locked are skipped, as the kernel does it. */
static bool lock_mappings(unsigned flags) {
    struct text maps = {.fd = fp_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0)};
    uintptr_t segment = (uintptr_t)fp_guest.handle.segment;
    int behind;
    if (maps.fd < 0)
        return false;
    for (;;) {
        uintptr_t first = next_number(&maps, 16, &behind);
        if (behind != '-')
            break;
        uintptr_t end = next_number(&maps, 16, &behind);
        if (first != segment)
            syscall(SYS_mlock2, first, end - first, (long)flags);
        while (behind != '\n' && behind != -1)
            behind = next(&maps);
    }
    fp_close(maps.fd);
    return true;
}

/* Does what mlockall(flags) does, for all mappings but the segment. Called when the kernel has refused mlockall. */
static int lock_all_but_segment(int flags) {
    bool well = fits_without_segment();
    if (well && (flags & MCL_FUTURE))
        well = fp_real.mlockall(flags & ~MCL_CURRENT) == 0;
    else if (well)
        munlockall(); /* so that later mappings (MCL_FUTURE) are not locked, either */
    well = well && lock_mappings(flags & MCL_ONFAULT ? MLOCK_ONFAULT : 0);
    return well ? 0 : -ENOMEM;
}

FP_EXPORT int mlockall(int flags) {
    bool awake = fp_hook_awake();
    int saved = errno, result = fp_real.mlockall(flags);
    if (!awake || !fp_guest.handle.segment || !(flags & MCL_CURRENT))
        return result;
    if (result != 0)
        return errno == ENOMEM ? fp_hook_result(lock_all_but_segment(flags), saved) : result;
    munlock(fp_guest.handle.segment, sizeof *fp_guest.handle.segment);
    errno = saved;
    return 0;
}
