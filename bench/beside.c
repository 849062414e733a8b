/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process's share: no more than its descriptors allow. */
enum { EACH = 900 };

static int ready(void) {
    puts("ready");
    fflush(stdout);
    pause(); /* until whoever started it is gone */
    return 0;
}

static int fail(const char *what) {
    perror(what);
    return 1;
}

/* In a child of its own, so that no process needs more descriptors than it has. 0 when it has done so. */
static int in_child(int (*work)(const unsigned *, unsigned), const unsigned *numbers, unsigned count) {
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        if (work(numbers, count) != 0 || write(ends[1], "", 1) != 1)
            _exit(fail("fpbench"));
        pause();
    }
    close(ends[1]);
    int error = pid > 0 && read(ends[0], &byte, 1) == 1 ? 0 : -1;
    close(ends[0]);
    return error;
}

static int bind_all(const unsigned *ports, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons((uint16_t)ports[i]), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address) != 0)
            return -1;
    }
    return 0;
}

/* take FROM TO PERCENT: that share of these TCP ports, at random places, the same in each run. */
static int take(char **words) {
    static unsigned ports[65536];
    unsigned from = (unsigned)atoi(words[0]), to = (unsigned)atoi(words[1]), size = to - from + 1;
    unsigned count = (unsigned)((uint64_t)size * (unsigned)atoi(words[2]) / 100);
    for (unsigned i = 0; i < size; i++)
        ports[i] = from + i;
    srandom(1);
    for (unsigned i = 0; i < count; i++) {
        unsigned other = i + (unsigned)random() % (size - i), port = ports[i];
        ports[i] = ports[other];
        ports[other] = port;
    }
    for (unsigned i = 0; i < count; i += EACH)
        if (in_child(bind_all, ports + i, count - i < EACH ? count - i : EACH) != 0)
            return 1;
    return ready();
}

/*
 * sessions SEGMENT RANGE COUNT: so many sessions, each with a port for the sentinel. assignments SEGMENT RANGE COUNT:
 * so many of port 0. Of this process, which is there; it has closed the sockets.
 */
static int assign(char **words, bool sessions) {
    for (int i = 0; i < atoi(words[2]); i++) {
        char session[32];
        snprintf(session, sizeof session, "session-%d", i);
        struct freeport_config config = {
            .tcp = words[1], .udp = words[1], .segment = words[0], .session = sessions ? session : NULL};
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons(sessions ? SENTINEL : 0),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct freeport *library;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (freeport_open(&library, &config) != 0 ||
            freeport_bind(library, fd, (struct sockaddr *)&address, sizeof address, -1, NULL) != 0)
            return fail("assign");
        freeport_close(library);
        close(fd);
    }
    return ready();
}

/* Numbers from 0 on: 20,000 ports of an address of its own for each so many, TCP listeners and UDP sockets by turns. */
static int crowd_of(const unsigned *numbers, unsigned count) {
    enum { FIRST = 10000, PORTS = 20000 };
    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)(FIRST + numbers[i] % PORTS)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 256 + numbers[i] / PORTS)};
        bool tcp = numbers[i] % 2 == 0;
        int fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
        if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || (tcp && listen(fd, 1) != 0))
            return -1;
    }
    return 0;
}

/* crowd COUNT: so many sockets on the host, none of them on a port from 30000 on. */
static int crowd(char **words) {
    unsigned numbers[EACH], many = (unsigned)atoi(words[0]);
    for (unsigned done = 0, count; done < many; done += count) {
        count = many - done < EACH ? many - done : EACH;
        for (unsigned i = 0; i < count; i++)
            numbers[i] = done + i;
        if (in_child(crowd_of, numbers, count) != 0)
            return 1;
    }
    return ready();
}

int beside(char **words) {
    if (strcmp(words[0], "crowd") == 0)
        return crowd(words + 1);
    if (strcmp(words[0], "take") == 0)
        return take(words + 1);
    if (strcmp(words[0], "sessions") == 0 || strcmp(words[0], "assignments") == 0)
        return assign(words + 1, words[0][0] == 's');
    return -1;
}
