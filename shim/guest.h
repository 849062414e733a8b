/* SPDX-License-Identifier: MIT */
/*
 * The shim's state in a program: settings and handle, written once when the shim is loaded and only read from then on.
 */
#ifndef FREEPORT_SHIM_GUEST_H
#define FREEPORT_SHIM_GUEST_H

#include "assign.h"
#include "settings.h"

#include <stdatomic.h>

enum fp_phase {
    FP_PHASE_UNSTARTED,
    FP_PHASE_STARTING, /* a call that comes now, from inside of it, is none of ours */
    FP_PHASE_INERT,    /* nothing to do: every call goes straight to libc */
    FP_PHASE_REFUSING, /* something could not be read or opened: managed binds fail with EINVAL */
    FP_PHASE_ACTIVE,
};

struct fp_guest {
    _Atomic int phase;
    struct fp_settings settings;
    struct freeport handle;
};

extern struct fp_guest fp_guest;

/* Reads the environment, maps the segment, hands down to children what they need. Once; later calls do nothing. */
void fp_guest_start(const struct fp_calls *calls);

static inline enum fp_phase fp_guest_phase(void) {
    return (enum fp_phase)atomic_load_explicit(&fp_guest.phase, memory_order_acquire);
}

/* Whether managed binds may exist in this process. */
static inline bool fp_guest_awake(void) {
    return fp_guest_phase() >= FP_PHASE_REFUSING;
}

#endif
