/* SPDX-License-Identifier: MIT */
/*
 * bind(2) is no cancellation point, and what is done around it must not become one: a thread that ended between a claim
 * and its bind would leave the claim behind, in the name of a process that is there.
 */
#ifndef FREEPORT_LIB_UNCANCELLED_H
#define FREEPORT_LIB_UNCANCELLED_H

#include <pthread.h>

/* A thread's cancel state and type. */
struct fp_cancel {
    int state, type;
};

/*
 * The type, too: a cancellation that saw the state before it changed sends its signal after, and glibc's handler for it
 * asks for the type alone.
 */
static inline struct fp_cancel fp_cancel_off(void) {
    struct fp_cancel was = {PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DEFERRED};
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was.state);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &was.type);
    return was;
}

static inline void fp_cancel_restore(struct fp_cancel was) {
    int ignored;
    pthread_setcanceltype(was.type, &ignored);
    pthread_setcancelstate(was.state, &ignored);
}

#endif
