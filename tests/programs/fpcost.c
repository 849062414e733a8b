/* SPDX-License-Identifier: MIT */
/*
 * fpcost CALL TIMES: one call, so many times, each from within measured(), for callgrind to count its instructions
 * (--toggle-collect=measured). The sockets are ordinary ones: an unbound client, and a server on port PORT of 127.0.0.1
 * that is given as a third argument and that is nobody's sentinel.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct situation {
    int client, server;
    struct sockaddr_in there;
};

typedef long call(struct situation *situation);

static long do_nothing(struct situation *situation) {
    (void)situation;
    return 0;
}

static long do_connect(struct situation *situation) {
    return connect(situation->client, (struct sockaddr *)&situation->there, sizeof situation->there);
}

static long do_sendto(struct situation *situation) {
    return sendto(situation->client, "x", 1, 0, (struct sockaddr *)&situation->there, sizeof situation->there) - 1;
}

static long do_recvfrom(struct situation *situation) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    char data[16];
    return recvfrom(situation->server, data, sizeof data, 0, (struct sockaddr *)&from, &length) - 1;
}

/* The function that is counted. A call through a pointer, or it would be inlined. */
__attribute__((noinline)) long measured(struct situation *situation, call *volatile function);

long measured(struct situation *situation, call *volatile function) {
    long result = function(situation);
    __asm__ volatile("" ::: "memory"); /* no tail call: the count ends here */
    return result;
}

static const struct {
    const char *name;
    call *before, *counted, *after;
} calls[] = {
    {"nothing", do_nothing, do_nothing, do_nothing},
    {"connect", do_nothing, do_connect, do_nothing},
    {"sendto", do_nothing, do_sendto, do_recvfrom},
    {"recvfrom", do_sendto, do_recvfrom, do_nothing},
};

int main(int argc, char **argv) {
    struct situation situation = {.client = socket(AF_INET, SOCK_DGRAM, 0),
                                  .server = socket(AF_INET, SOCK_DGRAM, 0),
                                  .there = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    if (argc != 4)
        return 2;
    situation.there.sin_port = htons((uint16_t)atoi(argv[3]));
    if (bind(situation.server, (struct sockaddr *)&situation.there, sizeof situation.there) != 0)
        return 2;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strcmp(argv[1], calls[i].name) != 0)
            continue;
        for (int times = atoi(argv[2]); times > 0; times--)
            if (calls[i].before(&situation) != 0 || measured(&situation, calls[i].counted) != 0 ||
                calls[i].after(&situation) != 0) {
                perror(argv[1]);
                return 1;
            }
        return 0;
    }
    return 2;
}
