/* SPDX-License-Identifier: MIT */
/*
 * Segments of network namespaces that are gone. Nothing tells a process that a namespace is: what can be told is that a
 * segment is out of use. It is when no process has it mapped, no living process owns anything in it, and nothing was
 * assigned in it for a day.
 *
 * The kernel knows who has it mapped, in whichever pid namespace: a write lease is given on a file that nobody else has
 * open or mapped for writing (fcntl(2), F_SETLEASE).
 */
#include "cli.h"
#include "owner.h"
#include "segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DAY = 24 * 60 * 60 };

/* The default segments of this user, and no other name: "freeport-USER-NAMESPACE". */
static bool is_default_name(const char *name) {
    char prefix[32];
    int length = snprintf(prefix, sizeof prefix, "freeport-%u-", (unsigned)geteuid());
    const char *namespace = name + length;
    return strncmp(name, prefix, (size_t)length) == 0 && *namespace && namespace[strspn(namespace, "0123456789")] == 0;
}

static bool long_ago(int64_t seconds) {
    return time(NULL) - seconds > DAY;
}

static bool entries_are_out_of_use(const struct fp_segment *segment) {
    for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++) {
        for (unsigned port = 0; port < FP_PORTS; port++) {
            const struct fp_entry *entry = &segment->entries[protocol][port];
            fp_owner owner = atomic_load(&entry->owner);
            if (owner != 0 && (!fp_owner_gone(owner) || !long_ago(atomic_load(&entry->since))))
                return false;
        }
    }
    return true;
}

static bool is_out_of_use(int fd) {
    struct fp_segment *segment = mmap(NULL, sizeof *segment, PROT_READ, MAP_SHARED, fd, 0);
    if (segment == MAP_FAILED)
        return false;
    bool out_of_use =
        segment->header.magic == FP_MAGIC && segment->header.version == FP_VERSION && entries_are_out_of_use(segment);
    munmap(segment, sizeof *segment);
    return out_of_use;
}

/* Under the lease, whoever opens it meanwhile is held off, and looks again. */
static void consider(int directory, const char *name) {
    struct stat st;
    int fd = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && long_ago(st.st_mtime) &&
        st.st_size == (off_t)sizeof(struct fp_segment) && fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && is_out_of_use(fd))
        unlinkat(directory, name, 0);
    close(fd);
}

void cli_sweep(const char *own) {
    DIR *shm = opendir("/dev/shm");
    if (!shm)
        return;
    /* Whoever opens a file under lease has its holder told by this signal, which would end it. */
    void (*before)(int) = signal(SIGIO, SIG_IGN);
    for (const struct dirent *entry; (entry = readdir(shm));)
        if (is_default_name(entry->d_name) && strcmp(entry->d_name, own + 1) != 0)
            consider(dirfd(shm), entry->d_name);
    signal(SIGIO, before);
    closedir(shm);
}
