/* SPDX-License-Identifier: MIT */
/*
 * The real calls: those of the next library behind this one, and of the kernel.
 *
 * An exported function and syscall(2) share one hook, fp_hook_NAME(). A hook gets the table of the calls that it is to
 * end in: those of the next library for an exported function, and syscall(2)'s own for syscall(2). So a library, or a
 * program, whose bind() calls syscall(SYS_bind, ...) gets what it asked for, and is not called again.
 */
#ifndef FREEPORT_SHIM_PRELOAD_REAL_H
#define FREEPORT_SHIM_PRELOAD_REAL_H

#include "compat.h"
#include "guest.h"
#include "mapped.h"
#include "rewrite.h"
#include "usage.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#define FP_EXPORT __attribute__((visibility("default")))

struct fp_real {
    fp_bind_call *bind;
    int (*listen)(int fd, int backlog);
    int (*getsockname)(int fd, struct sockaddr *address, socklen_t *length);
    int (*getpeername)(int fd, struct sockaddr *address, socklen_t *length);
    int (*accept)(int fd, struct sockaddr *address, socklen_t *length);
    int (*accept4)(int fd, struct sockaddr *address, socklen_t *length, int flags);
    int (*connect)(int fd, const struct sockaddr *address, socklen_t length);
    ssize_t (*sendto)(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    int (*sendmmsg)(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags);
    ssize_t (*recvfrom)(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *length);
    ssize_t (*recvfrom_chk)(int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *from,
                            socklen_t *length);
    ssize_t (*recvmsg)(int fd, struct msghdr *message, int flags);
    int (*recvmmsg)(int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags, struct timespec *timeout);
    int (*mlockall)(int flags);
};

/*
 * The functions of the next library: libc, or one that is preloaded behind this one. Resolved once, in the constructor,
 * or in the first hook if another library's constructor calls it earlier. Written before fp_guest.phase leaves
 * FP_PHASE_UNSTARTED; each thread that writes here writes the same values.
 */
extern struct fp_real fp_real;
#if UINTPTR_MAX == UINT32_MAX
extern struct fp_real fp_real_time64; /* sendmsg, recvmsg, sendmmsg and recvmmsg with 64-bit times */
#endif
extern long (*fp_real_syscall)(long number, ...); /* not in the table, since syscall.c uses it in assembly */

void fp_real_start(void);

/*
 * Resolves syscall(2) only. jemalloc makes its first calls through it while it holds its own lock. A start of the guest
 * would allocate memory there, and wait for that lock for ever.
 */
void fp_real_resolve_syscall(void);

/* Tables of calls that are made by syscall(2), and by its SYS_socketcall. */
extern const struct fp_real fp_by_number;
#ifdef SYS_recvmmsg_time64
extern const struct fp_real fp_by_number_time64; /* recvmmsg alone */
#endif
#ifdef SYS_socketcall
extern const struct fp_real fp_by_socketcall;
long fp_hook_socketcall(int call, const unsigned long *arguments);
#endif

/* The hooks. Each reads its table only after fp_hook_awake(). */
int fp_hook_bind(const struct fp_real *real, int fd, const struct sockaddr *address, socklen_t length);
int fp_hook_listen(const struct fp_real *real, int fd, int backlog);
int fp_hook_getsockname(const struct fp_real *real, int fd, struct sockaddr *address, socklen_t *length);
int fp_hook_getpeername(const struct fp_real *real, int fd, struct sockaddr *address, socklen_t *length);
int fp_hook_accept(const struct fp_real *real, int fd, struct sockaddr *address, socklen_t *length);
int fp_hook_accept4(const struct fp_real *real, int fd, struct sockaddr *address, socklen_t *length, int flags);
int fp_hook_connect(const struct fp_real *real, int fd, const struct sockaddr *address, socklen_t length);
ssize_t fp_hook_sendto(const struct fp_real *real, int fd, const void *data, size_t size, int flags,
                       const struct sockaddr *to, socklen_t length);
ssize_t fp_hook_sendmsg(const struct fp_real *real, int fd, const struct msghdr *message, int flags);
int fp_hook_sendmmsg(const struct fp_real *real, int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags);
ssize_t fp_hook_recvfrom(const struct fp_real *real, int fd, void *data, size_t size, int flags, struct sockaddr *from,
                         socklen_t *length);
ssize_t fp_hook_recvmsg(const struct fp_real *real, int fd, struct msghdr *message, int flags);
int fp_hook_recvmmsg(const struct fp_real *real, int fd, struct mmsghdr *messages, unsigned count, fp_mmsg_flags flags,
                     struct timespec *timeout);

/* True if this process may have managed binds. Every hook asks this first. */
static inline bool fp_hook_awake(void) {
    enum fp_phase phase = fp_guest_phase();
    if (__builtin_expect(phase == FP_PHASE_UNSTARTED, 0)) {
        fp_real_start();
        phase = fp_guest_phase();
    }
    return phase >= FP_PHASE_REFUSING;
}

/* The same, for the hooks of calls that return names. */
static inline bool fp_hook_renames(void) {
    return fp_hook_awake() && fp_guest.renames;
}

/* Turns a rewrite's result into a hook's: 0 with the old errno, or -1 with errno set. */
static inline int fp_hook_result(int error, int saved_errno) {
    errno = error < 0 ? -error : saved_errno;
    return error < 0 ? -1 : 0;
}

/* True if messages[i] can be read, given that the one before it can. At most one system call for each page. */
static inline bool fp_hook_message_mapped(const struct mmsghdr *messages, unsigned i) {
    uintptr_t at = (uintptr_t)&messages[i];
    bool fresh = i == 0 || (at - 1) / FP_PAGE != (at + sizeof messages[i] - 1) / FP_PAGE;
    return !fresh || fp_mapped(&messages[i], sizeof messages[i]);
}

/*
 * The process's usage of a real port, kept while a redirected call is in progress. The next library may make the call
 * by syscall(2), which leads through the hooks again, and would count as a use of the port by its own number.
 */
struct fp_hook_reached {
    uint16_t port;
    bool by_number[FP_PROTOCOL_COUNT];
};

static inline struct fp_hook_reached fp_hook_reached(const struct sockaddr_storage *instead) {
    struct fp_hook_reached reached = {.port = fp_address_port((const struct sockaddr *)instead)};
    for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++)
        reached.by_number[protocol] = fp_usage_reached_by_number(fp_own_caller.usage, protocol, reached.port);
    return reached;
}

static inline void fp_hook_reached_as_before(const struct fp_hook_reached *reached) {
    for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++)
        fp_usage_reached(fp_own_caller.usage, protocol, reached->port, reached->by_number[protocol]);
}

/* The size of the caller's buffer for a name, read before the kernel overwrites it; 0 if it can't be read. */
static inline socklen_t fp_hook_room(const void *address, const socklen_t *length) {
    return address && fp_mapped(length, sizeof *length) ? *length : 0;
}

#endif
