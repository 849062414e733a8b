/* SPDX-License-Identifier: MIT */
/*
 * The shim's state in a program: settings and handle, written once when the shim is loaded and only read from then on.
 */
#ifndef FREEPORT_SHIM_GUEST_H
#define FREEPORT_SHIM_GUEST_H

#include "assign.h"
#include "caller.h"
#include "settings.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

enum fp_phase {
    FP_PHASE_UNSTARTED,
    FP_PHASE_STARTING, /* a call that comes now, from inside of it, is none of ours */
    FP_PHASE_INERT,    /* nothing to do: every call goes straight to libc */
    FP_PHASE_REFUSING, /* something could not be read or opened: managed binds fail with EINVAL */
    FP_PHASE_ACTIVE,
};

struct fp_guest {
    _Atomic int phase;
    _Atomic int segment_error;    /* why it could not be opened, until that is said; 0: nothing to say */
    _Atomic bool segment_changed; /* another object than the parent's has its name, until that is said */
    bool redirects;               /* whether a destination may have to be rewritten */
    bool renames;                 /* whether a name that comes back may have to be rewritten */
    int (*connect)(int fd, const struct sockaddr *address, socklen_t length); /* as handle.calls */
    int (*getpeername)(int fd, struct sockaddr *address, socklen_t *length);
    struct freeport handle;
    struct fp_settings settings;
};

extern struct fp_guest fp_guest;

/*
 * Reads the environment, maps the segment, hands down to children what they need. Once; later calls do nothing. The
 * calls are for the guest's questions and its own sockets: the kernel's, whatever the program's calls lead through.
 */
void fp_guest_start(const struct fp_calls *calls,
                    int (*connect)(int fd, const struct sockaddr *address, socklen_t length),
                    int (*getpeername)(int fd, struct sockaddr *address, socklen_t *length));

/*
 * Says, once, why the segment could not be opened, or that it is not the one that the parent has; else nothing. Called
 * where a call first depends on it. Keeps errno.
 */
void fp_guest_explain(const struct fp_caller *caller);

/* Makes a guest of settings and a handle that are there already: a supervisor's. The handle's memory stays in use. */
void fp_guest_adopt(struct fp_guest *guest, const struct fp_settings *settings, const struct freeport *handle);

/* Whether assignments are reported. A report's reader may be slow. */
static inline bool fp_guest_reports(const struct fp_guest *guest) {
    return guest->settings.report_fd >= 0 || guest->settings.has_report;
}

static inline enum fp_phase fp_guest_phase_of(const struct fp_guest *guest) {
    return (enum fp_phase)atomic_load_explicit(&guest->phase, memory_order_acquire);
}

static inline enum fp_phase fp_guest_phase(void) {
    return fp_guest_phase_of(&fp_guest);
}

/* Whether a number may mean something to this session, or in this process's list. Cheap: one look at shared memory. */
static inline bool fp_guest_may_mean(const struct fp_guest *guest, uint16_t port) {
    const struct fp_settings *settings = &guest->settings;
    const struct fp_segment *segment = guest->handle.segment;
    return (segment && fp_hint(segment->meant, port)) || fp_portset_has(&settings->named[FP_TCP], port) ||
           fp_portset_has(&settings->named[FP_UDP], port);
}

/*
 * In the path of every call, so that those that are not ours cost little: whether an address may lead to a sentinel, or
 * to the port behind one, by its port alone. The length is looked at, not the family.
 */
static inline bool fp_guest_may_redirect(const struct fp_guest *guest, const struct sockaddr *address,
                                         socklen_t length) {
    if (!guest->redirects || (uintptr_t)address < 4096 || (uintptr_t)address >= (uintptr_t)-4096 ||
        length < sizeof(struct sockaddr) || length > sizeof(struct sockaddr_storage))
        return false;
    uint16_t port;
    memcpy(&port, (const char *)address + offsetof(struct sockaddr, sa_data),
           sizeof port); /* where all families of ours have it */
    return fp_guest_may_mean(guest, ntohs(port));
}

/*
 * The same for a name that came back, where the guest renames: whether its port was ever behind a sentinel, or was cut.
 */
static inline bool fp_guest_may_rename(const struct fp_guest *guest, const struct sockaddr *address, socklen_t room,
                                       socklen_t length) {
    if (room < 4 || length < 4)
        return room == 3 && length >= 4;
    uint16_t port;
    memcpy(&port, (const char *)address + offsetof(struct sockaddr, sa_data), sizeof port);
    return fp_hint(guest->handle.segment->meant, ntohs(port));
}

#endif
