/* SPDX-License-Identifier: MIT */
/*
 * A filter of system calls, as sandboxes have one; for this process and all that it starts. Rules, with a space
 * between:
 *
 *     fallocate:ENOSYS                    refused with that errno
 *     getsockopt/1=1/2=38:ENOPROTOOPT     where argument 1 is 1 and argument 2 is 38, from 0
 *     openat/2&020200000:EOPNOTSUPP       where argument 2 has all these bits
 *     only:bind,close,write               any other call ends the process, with SIGSYS
 */
#ifndef FREEPORT_TESTS_FILTER_H
#define FREEPORT_TESTS_FILTER_H

/* Ends the program where a rule can't be read. */
void filter_calls(const char *rules);

#endif
