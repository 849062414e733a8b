/* SPDX-License-Identifier: MIT */
/* The time that passes, whatever anybody sets the clock to. */
#ifndef FREEPORT_CLOCK_H
#define FREEPORT_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t fp_now_ns(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t fp_now_ms(void) {
    return fp_now_ns() / 1000000;
}

#endif
