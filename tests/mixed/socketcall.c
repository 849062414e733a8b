/* SPDX-License-Identifier: MIT */
/*
 * socketcall: a server of TCP and of UDP at 8080 and its client in one process of 32 bits, each call by socketcall(2).
 * Says what each call gave, and each name.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/net.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sockaddr_in sentinel, name;
static socklen_t length;

static long by_socketcall(int number, long a, long b, long c, long d, long e, long f) {
    long arguments[] = {a, b, c, d, e, f};
    name = (struct sockaddr_in){.sin_port = 0};
    length = sizeof name;
    return syscall(SYS_socketcall, number, arguments);
}

static void say(const char *what, long result) {
    printf("%s %ld %d\n", what, result, ntohs(name.sin_port));
}

int main(void) {
    char byte;
    struct iovec room = {&byte, 1};
    long to = (long)&sentinel, at = (long)&name, size = (long)&length;
    sentinel =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    say("bind", by_socketcall(SYS_BIND, server, to, sizeof sentinel, 0, 0, 0));
    say("listen", by_socketcall(SYS_LISTEN, server, 1, 0, 0, 0, 0));
    say("getsockname", by_socketcall(SYS_GETSOCKNAME, server, at, size, 0, 0, 0));
    say("connect", by_socketcall(SYS_CONNECT, client, to, sizeof sentinel, 0, 0, 0));
    say("getpeername", by_socketcall(SYS_GETPEERNAME, client, at, size, 0, 0, 0));

    server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
    say("bind", by_socketcall(SYS_BIND, server, to, sizeof sentinel, 0, 0, 0));
    say("sendto", by_socketcall(SYS_SENDTO, client, (long)"?", 1, 0, to, sizeof sentinel));
    by_socketcall(SYS_RECVFROM, server, (long)&byte, 1, MSG_DONTWAIT, at, size);
    sendto(server, "!", 1, 0, (struct sockaddr *)&name, sizeof name);
    say("recvfrom", by_socketcall(SYS_RECVFROM, client, (long)&byte, 1, MSG_DONTWAIT, at, size));

    struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_name = &sentinel, .msg_namelen = sizeof sentinel};
    say("sendmsg", by_socketcall(SYS_SENDMSG, client, (long)&message, 0, 0, 0, 0));
    message.msg_name = &name;
    by_socketcall(SYS_RECVMSG, server, (long)&message, MSG_DONTWAIT, 0, 0, 0);
    sendto(server, "!", 1, 0, (struct sockaddr *)&name, sizeof name);
    say("recvmsg", by_socketcall(SYS_RECVMSG, client, (long)&message, MSG_DONTWAIT, 0, 0, 0));
    return 0;
}
