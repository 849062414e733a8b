/* SPDX-License-Identifier: MIT */
#include "owner.h"

#include "uncancelled.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PID_BITS = 22, NAMESPACE_BITS = 10 };

/*
 * The calling process, in a page that the kernel empties in a child, however it was forked. A child that shares its
 * parent's memory (vfork) counts as its parent: either may hold what it binds. NULL before the first call. Without such
 * a page (Linux before 4.14), the process id is asked for each time.
 */
static _Atomic(_Atomic fp_owner *) self_page;
static _Atomic fp_owner last_self; /* written with one store; valid if its process id is the reader's */

static fp_owner pack(pid_t pid, uint64_t namespace, uint64_t start) {
    return (start << (PID_BITS + NAMESPACE_BITS)) | (namespace << PID_BITS) | ((uint64_t)pid & 0x3fffff);
}

static uint64_t namespace_of(fp_owner owner) {
    return (owner >> PID_BITS) & ((1 << NAMESPACE_BITS) - 1);
}

static uint64_t start_of(fp_owner owner) {
    return owner >> (PID_BITS + NAMESPACE_BITS);
}

/* "/proc/<pid>/stat" without stdio. */
static void stat_path(char path[static 32], pid_t pid) {
    char digits[12];
    int n = 0;
    do {
        digits[n++] = (char)('0' + pid % 10);
        pid /= 10;
    } while (pid > 0);
    char *at = path;
    for (const char *p = "/proc/"; *p; p++)
        *at++ = *p;
    while (n > 0)
        *at++ = digits[--n];
    for (const char *p = "/stat"; *p; p++)
        *at++ = *p;
    *at = 0;
}

/* Field 22 of /proc/<pid>/stat; 0 where it can't be read. The name, field 2, may hold anything but ends at the last )
 */
static uint64_t start_time(pid_t pid) {
    char path[32], text[512];
    stat_path(path, pid);
    int fd = fp_open(path, O_RDONLY | O_CLOEXEC, 0);
    ssize_t length = fd < 0 ? 0 : fp_read(fd, text, sizeof text - 1);
    if (fd >= 0)
        fp_close(fd);
    if (length <= 0)
        return 0;
    text[length] = 0;
    ssize_t at = length;
    while (at > 0 && text[at - 1] != ')')
        at--;
    int field = 2;
    for (; at < length && field < 22; at++)
        if (text[at] == ' ')
            field++;
    uint64_t ticks = 0;
    for (; at < length && text[at] >= '0' && text[at] <= '9'; at++)
        ticks = ticks * 10 + (uint64_t)(text[at] - '0');
    return (uint32_t)ticks;
}

static uint64_t namespace_hash(void) {
    struct stat st;
    if (stat("/proc/self/ns/pid", &st) != 0)
        return 0;
    uint64_t inode = (uint64_t)st.st_ino;
    return (inode ^ (inode >> NAMESPACE_BITS)) & ((1 << NAMESPACE_BITS) - 1);
}

/* True if a child finds the page empty. qemu-user before 9.0 ignores any advice and answers 0, also to what is none. */
static bool wiped_on_fork(void *page, size_t size) {
    return madvise(page, size, -1) != 0 && madvise(page, size, MADV_WIPEONFORK) == 0;
}

static _Atomic fp_owner *make_self_page(void) {
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    _Atomic fp_owner *made = page, *none = NULL;
    if (wiped_on_fork(page, size) && atomic_compare_exchange_strong(&self_page, &none, made))
        return made;
    munmap(page, size);
    return none; /* another thread's, or none */
}

static fp_owner find_self(void) {
    pid_t pid = getpid();
    fp_owner owner = atomic_load_explicit(&last_self, memory_order_relaxed);
    if (owner != 0 && fp_owner_pid(owner) == pid)
        return owner;
    int saved = errno;
    owner = pack(pid, namespace_hash(), start_time(pid));
    _Atomic fp_owner *page = atomic_load_explicit(&self_page, memory_order_acquire);
    if (!page)
        page = make_self_page();
    errno = saved;
    atomic_store_explicit(page ? page : &last_self, owner, memory_order_relaxed);
    return owner;
}

fp_owner fp_owner_self(void) {
    const _Atomic fp_owner *page = atomic_load_explicit(&self_page, memory_order_acquire);
    fp_owner owner = page ? atomic_load_explicit(page, memory_order_relaxed) : 0;
    return owner != 0 ? owner : find_self();
}

fp_owner fp_owner_of(pid_t pid) {
    if (pid <= 0)
        return 0;
    int saved = errno;
    bool there = kill(pid, 0) == 0 || errno == EPERM;
    fp_owner owner = there ? pack(pid, namespace_of(fp_owner_self()), start_time(pid)) : 0;
    errno = saved;
    return owner;
}

bool fp_owner_gone_quick(fp_owner owner) {
    if (owner == 0)
        return true;
    fp_owner self = fp_owner_self();
    if (owner == self)
        return false;
    if (namespace_of(owner) != namespace_of(self))
        return false;
    if (fp_owner_pid(owner) == 0)
        return true; /* kill() with process id 0 would ask about this process's group */
    if (fp_owner_pid(owner) == fp_owner_pid(self))
        return start_of(owner) != 0 && start_of(self) != 0; /* an earlier process with this process's id */
    int saved = errno;
    bool gone = kill(fp_owner_pid(owner), 0) != 0 && errno == ESRCH;
    errno = saved;
    return gone;
}

bool fp_owner_gone(fp_owner owner) {
    if (fp_owner_gone_quick(owner))
        return true;
    if (start_of(owner) == 0 || namespace_of(owner) != namespace_of(fp_owner_self()))
        return false;
    int saved = errno;
    uint64_t start = start_time(fp_owner_pid(owner));
    errno = saved;
    return start != 0 && start != start_of(owner);
}
