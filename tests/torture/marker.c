/* SPDX-License-Identifier: MIT */
/*
 * Preloaded behind the shim, and so the one whose constructor runs right before the shim's: the place from which on a
 * first use is stepped through.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <time.h>

/* As in kill.c. */
struct board {
    _Atomic int inside, result, done;
    _Atomic int64_t started_us;
};

__attribute__((constructor)) static void mark(void) {
    const char *number = getenv("TORTURE_BOARD_FD"), *role = getenv("TORTURE_ROLE");
    if (!number || !role)
        return;
    struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(number), 0);
    if (board == MAP_FAILED)
        return;
    if (strcmp(role, "heir") == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        atomic_store(&board->started_us, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
        return;
    }
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    atomic_store(&board->inside, 1);
    STEP_TRAP();
}
