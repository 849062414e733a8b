/* SPDX-License-Identifier: MIT */
/*
 * A network namespace of its own, for tests that name ports: nobody else is there, and nobody sees them. As root, or
 * through a user namespace. Linux keeps no trace of it when its last process is gone.
 */
#ifndef FREEPORT_TESTS_OWN_NETWORK_H
#define FREEPORT_TESTS_OWN_NETWORK_H

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a test exits with where there can be none: CTest's SKIP_RETURN_CODE. */
enum { OWN_NETWORK_NONE = 77 };

static inline bool own_network_write(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

static inline bool own_network_as_user(void) {
    char users[32], groups[32];
    snprintf(users, sizeof users, "0 %u 1", (unsigned)geteuid());
    snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getegid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 && own_network_write("/proc/self/setgroups", "deny") &&
           own_network_write("/proc/self/gid_map", groups) && own_network_write("/proc/self/uid_map", users);
}

static inline bool own_network_lo_up(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0)
        close(fd);
    return up;
}

/* For the whole process, and its children; while it has one thread. False where this host does not let us. */
static inline bool own_network(void) {
    return (unshare(CLONE_NEWNET) == 0 || own_network_as_user()) && own_network_lo_up();
}

#endif
