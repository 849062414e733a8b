/* SPDX-License-Identifier: MIT */
/* The system calls that the filter hands to the supervisor. */
#ifndef FREEPORT_SHIM_SECCOMP_CALL_H
#define FREEPORT_SHIM_SECCOMP_CALL_H

enum fp_call {
    FP_CALL_NONE,
    FP_CALL_BIND,
    FP_CALL_LISTEN,
    FP_CALL_CONNECT,
    FP_CALL_GETSOCKNAME,
    FP_CALL_GETPEERNAME,
    FP_CALL_ACCEPT,
    FP_CALL_ACCEPT4,
    FP_CALL_SENDTO,
    FP_CALL_SENDMSG,
    FP_CALL_SENDMMSG,
    FP_CALL_RECVFROM,
    FP_CALL_RECVMSG,
    FP_CALL_RECVMMSG,
    FP_CALL_SOCKETCALL, /* 32-bit x86: all of the above by one number */
    FP_CALLS,
};

#endif
