/* SPDX-License-Identifier: MIT */
/*
 * The guest: the shim's state in a program. Settings and handle are written once when the shim is loaded, then only
 * read.
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
    FP_PHASE_STARTING, /* calls that come now are made by the start itself, and go to libc */
    FP_PHASE_INERT,    /* no range: every call goes straight to libc */
    FP_PHASE_REFUSING, /* a value or the segment is not usable: managed binds fail with EINVAL */
    FP_PHASE_ACTIVE,
};

struct fp_guest {
    _Atomic int phase;
    _Atomic int segment_error;    /* why the segment could not be opened, until that was said; 0: nothing to say */
    _Atomic bool segment_changed; /* the segment is not the object that the parent has, until that was said */
    bool redirects;               /* destinations may have to be rewritten */
    bool renames;                 /* names from the kernel may have to be rewritten */
    int (*connect)(int fd, const struct sockaddr *address, socklen_t length); /* as handle.calls */
    int (*getpeername)(int fd, struct sockaddr *address, socklen_t *length);
    struct freeport handle;
    struct fp_settings settings;
};

extern struct fp_guest fp_guest;

/*
 * Reads the environment, maps the segment, and hands down to children what they need. Once; later calls do nothing. The
 * guest makes its own system calls by `calls`, which lead straight to the kernel.
 */
void fp_guest_start(const struct fp_calls *calls,
                    int (*connect)(int fd, const struct sockaddr *address, socklen_t length),
                    int (*getpeername)(int fd, struct sockaddr *address, socklen_t *length));

/*
 * Says why the segment could not be opened, or that it is not the parent's; once in a process. Called where a call
 * depends on the segment. Keeps errno.
 */
void fp_guest_explain(const struct fp_caller *caller);

/* Makes a guest of existing settings and an existing handle, for a supervisor. The handle has to live on. */
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

/* True if a number may be a port or sentinel of a session, or of this process's list. Costs one read of shared memory.
 */
static inline bool fp_guest_may_mean(const struct fp_guest *guest, uint16_t port) {
    const struct fp_settings *settings = &guest->settings;
    const struct fp_segment *segment = guest->handle.segment;
    return (segment && fp_hint(segment->meant, port)) || fp_portset_has(&settings->named[FP_TCP], port) ||
           fp_portset_has(&settings->named[FP_UDP], port);
}

/*
 * True if an address may be of a sentinel, or of the port behind one, by its port alone. Every call with a destination
 * asks this first, so it has to be cheap for foreign addresses. It looks at the length, and not at the family.
 */
static inline bool fp_guest_may_redirect(const struct fp_guest *guest, const struct sockaddr *address,
                                         socklen_t length) {
    if (!guest->redirects || (uintptr_t)address < 4096 || (uintptr_t)address >= (uintptr_t)-4096 ||
        length < sizeof(struct sockaddr) || length > sizeof(struct sockaddr_storage))
        return false;
    uint16_t port;
    memcpy(&port, (const char *)address + offsetof(struct sockaddr, sa_data),
           sizeof port); /* IPv4 and IPv6 have the port at the same place */
    return fp_guest_may_mean(guest, ntohs(port));
}

/*
 * The same for a name from the kernel: true if its port was ever behind a sentinel, or is cut off.
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
