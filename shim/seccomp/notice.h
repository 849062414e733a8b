/* SPDX-License-Identifier: MIT */
/*
 * One notification: a system call of a program's thread, which waits for the supervisor's answer. Until then no signal
 * handler of the program runs in that thread, so the supervisor must not wait for another program meanwhile.
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

/* A thread's buffers for data that is sent or received for a program. FP_DATA_BYTES is the largest datagram. */
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
    bool compat; /* the program is a 32-bit one: its pointers and sizes have four bytes */
    bool leads;  /* this thread receives the notifications (the leader) */
    enum fp_call call;
    uint64_t argument[6];
    struct fp_caller caller; /* once fp_notice_socket() has been called */
    struct fp_process *process;
    struct fp_buffers *buffers; /* this thread's */
};

/* The answer to a call: its result, a negative errno, or one of these. */
#define FP_GOES_ON INT64_MIN        /* the kernel makes the call, as without a filter */
#define FP_ANSWERED (INT64_MIN + 1) /* the call was answered already */

/* Read and write the program's memory. False if it is not mapped, or the program has ended. */
bool fp_notice_read(const struct fp_notice *notice, uint64_t address, void *out, size_t size);
bool fp_notice_write(const struct fp_notice *notice, uint64_t address, const void *data, size_t size);

/* Reads an address. False if it is not of IPv4, IPv6 or AF_UNSPEC, or can't be read. */
bool fp_notice_address(const struct fp_notice *notice, uint64_t at, uint64_t length, struct sockaddr_storage *out);

/*
 * Duplicates the program's socket into the supervisor; the caller closes it. A negative errno as of
 * fp_process_descriptor(). Fills in notice->caller.
 */
int fp_notice_socket(struct fp_notice *notice, uint64_t number);

/* True if the program still waits. Only then was the memory that was read really this program's. */
bool fp_notice_waits(const struct fp_notice *notice);

/* To be called before the call may block: another thread receives notifications from here on. */
void fp_notice_may_wait(struct fp_notice *notice);

/* Gives the program a duplicate of a descriptor, whose number is the call's result. False on failure. */
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
