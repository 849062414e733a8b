/* SPDX-License-Identifier: MIT */
/* Functions of a program's own that have the names of socket calls, and nothing to do with them. */
#include <stdio.h>
#include <stdlib.h>

#define NAMESAKE(name)                                                                                                 \
    void name(void);                                                                                                   \
    void name(void) {                                                                                                  \
        fputs("the program's own " #name " was called\n", stderr);                                                     \
        abort();                                                                                                       \
    }

NAMESAKE(bind)
NAMESAKE(listen)
NAMESAKE(connect)
NAMESAKE(getsockname)
NAMESAKE(getpeername)
NAMESAKE(accept)
NAMESAKE(accept4)
NAMESAKE(sendto)
NAMESAKE(sendmsg)
NAMESAKE(sendmmsg)
NAMESAKE(recvfrom)
NAMESAKE(recvmsg)
NAMESAKE(recvmmsg)
