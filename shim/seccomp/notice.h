/* SPDX-License-Identifier: MIT */
/*
 * One notification: a system call of a program, which waits for what the supervisor says. Until it is answered, no
 * signal handler of the program's runs in that thread, so nothing here may wait for another program.
 */
#ifndef FREEPORT_SHIM_SECCOMP_NOTICE_H
#define FREEPORT_SHIM_SECCOMP_NOTICE_H

#include "call.h"
#include "guest.h"
#include "process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct fp_supervisor;
struct fp_listener;

/* What a datagram can hold; what is sent or received for a program goes through one of these. */
enum { FP_DATA_BYTES = 65536, FP_CONTROL_BYTES = 8192, FP_MOST_VECTORS = 1024, FP_MOST_MESSAGES = 1024 };

struct fp_buffers {
    char data[FP_DATA_BYTES];
    _Alignas(16) char control[FP_CONTROL_BYTES];
    _Alignas(16) char control2[FP_CONTROL_BYTES];
    struct iovec vectors[FP_MOST_VECTORS];
};

struct fp_notice {
    struct fp_supervisor *supervisor;
    struct fp_listener *listener;
    uint64_t id;
    pid_t thread;
    bool compat; /* of a 32-bit program: its pointers and sizes are of four bytes */
    bool leads;  /* this thread is the one that receives notifications */
    enum fp_call call;
    uint64_t argument[6];
    struct fp_caller caller; /* once fp_notice_socket() has been called */
    struct fp_process *process;
    struct fp_buffers *buffers; /* this thread's */
};

/* What a call comes to: its result, or a negative errno; or one of these. */
#define FP_GOES_ON INT64_MIN        /* the kernel goes on with it, as if there were no filter */
#define FP_ANSWERED (INT64_MIN + 1) /* it has its answer already */

/* The program's memory. False where it is not mapped, or the program has ended. */
bool fp_notice_read(const struct fp_notice *notice, uint64_t address, void *out, size_t size);
bool fp_notice_write(const struct fp_notice *notice, uint64_t address, const void *data, size_t size);

/* An address of IPv4 or IPv6, or AF_UNSPEC. False where it is none, or can't be read. */
bool fp_notice_address(const struct fp_notice *notice, uint64_t at, uint64_t length, struct sockaddr_storage *out);

/*
 * The program's socket as a descriptor of the supervisor's own, to be closed; or a negative errno, as
 * fp_process_descriptor(). Fills in the caller.
 */
int fp_notice_socket(struct fp_notice *notice, uint64_t number);

/* Whether the program still waits: what was read of its memory is its own, then. */
bool fp_notice_waits(const struct fp_notice *notice);

/* From here on, the call may take a while: another thread receives notifications meanwhile. */
void fp_notice_may_wait(struct fp_notice *notice);

/* Gives the program a copy of a descriptor, which is the call's result. False where it could not be had. */
bool fp_notice_give(struct fp_notice *notice, int fd, bool close_on_exec);

/* The calls, a file for each family. */
int64_t fp_serve_bind(struct fp_notice *notice);
int64_t fp_serve_listen(struct fp_notice *notice);
int64_t fp_serve_connect(struct fp_notice *notice);
int64_t fp_serve_getsockname(struct fp_notice *notice);
int64_t fp_serve_getpeername(struct fp_notice *notice);
int64_t fp_serve_accept(struct fp_notice *notice);
int64_t fp_serve_sendto(struct fp_notice *notice);
int64_t fp_serve_sendmsg(struct fp_notice *notice);
int64_t fp_serve_sendmmsg(struct fp_notice *notice);
int64_t fp_serve_recvfrom(struct fp_notice *notice);
int64_t fp_serve_recvmsg(struct fp_notice *notice);
int64_t fp_serve_recvmmsg(struct fp_notice *notice);

#endif
