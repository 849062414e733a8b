/* SPDX-License-Identifier: MIT */
/*
 * The filter of system calls, for this architecture and the 32-bit one beside it. Calls that may be the session's are
 * notified, io_uring_setup answers ENOSYS (a ring binds past every filter, and libraries work without one), and all
 * others are allowed.
 */
#ifndef FREEPORT_SHIM_SECCOMP_FILTER_H
#define FREEPORT_SHIM_SECCOMP_FILTER_H

#include "call.h"

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

enum { FP_FILTER_MOST = 512 }; /* instructions */

struct fp_filter {
    unsigned short length;
    struct sock_filter program[FP_FILTER_MOST];
};

/* 0, or a negative errno: -ENOMEM, -EMFILE, -ENOTSUP for an architecture that libseccomp does not know. */
int fp_filter_build(struct fp_filter *filter);

/* Finds out the numbers of the calls. Called once, before fp_filter_call(). */
void fp_filter_start(void);

/* The call of a notification, by its architecture (AUDIT_ARCH_...) and number; *compat: true for a 32-bit program. */
enum fp_call fp_filter_call(uint32_t architecture, int number, bool *compat);

/* The call behind a number that socketcall(2) has for it. */
enum fp_call fp_filter_socketcall(uint64_t number);

#endif
