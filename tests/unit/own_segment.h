/* SPDX-License-Identifier: MIT */
/* For tests of what stands in the segment: one in this process's own memory, and owners for its entries. */
#ifndef FREEPORT_TESTS_OWN_SEGMENT_H
#define FREEPORT_TESTS_OWN_SEGMENT_H

#include "owner.h"
#include "table.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TCP = FP_TCP_INDEX, UDP = FP_UDP_INDEX, LAST = UINT16_MAX };

static struct fp_segment *segment;
static fp_owner self, alive, gone; /* this process, one that is there, one that is not */

static inline int segment_setup(void **state) {
    (void)state;
    segment = mmap(NULL, sizeof *segment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return segment == MAP_FAILED ? -1 : 0;
}

static inline int segment_teardown(void **state) {
    (void)state;
    return munmap(segment, sizeof *segment);
}

static inline int know_owners(void **state) {
    (void)state;
    self = fp_owner_self();
    alive = fp_owner_of(getppid());
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    gone = fp_owner_of(pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return alive != 0 && gone != 0 && !fp_owner_gone(alive) && fp_owner_gone(gone) ? 0 : -1;
}

#endif
