/* SPDX-License-Identifier: MIT */
/*
 * bind(2) is no cancellation point, and what is done around it must not become one: a thread that ended between a claim
 * and its bind would leave the claim behind, in the name of a process that is there.
 */
#ifndef FREEPORT_LIB_UNCANCELLED_H
#define FREEPORT_LIB_UNCANCELLED_H

#include <pthread.h>

static inline int fp_cancel_off(void) {
    int was = PTHREAD_CANCEL_ENABLE;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
    return was;
}

static inline void fp_cancel_restore(int was) {
    int ignored;
    pthread_setcancelstate(was, &ignored);
}

#endif
