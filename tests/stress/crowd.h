/* SPDX-License-Identifier: MIT */
/* Many processes at once, with memory that they share. */
#ifndef FREEPORT_TESTS_CROWD_H
#define FREEPORT_TESTS_CROWD_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Zeroed; ends the program where there is none. */
static inline void *crowd_board(size_t size) {
    void *board = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        exit(2);
    return board;
}

/* Until so many have counted up: all of them start, or end, together. */
static inline void crowd_meet(_Atomic unsigned *counter, unsigned count) {
    atomic_fetch_add(counter, 1);
    while (atomic_load(counter) < count)
        usleep(1000);
}

/* Runs a body in each of so many processes; whether all have ended well. None outlives this one. */
static inline bool crowd_run(unsigned processes, void (*body)(void)) {
    for (unsigned i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            body();
            _exit(0);
        }
        if (pid < 0) {
            perror("fork");
            exit(2);
        }
    }
    bool well = true;
    for (int status; wait(&status) > 0;)
        well = well && status == 0;
    return well;
}

#endif
