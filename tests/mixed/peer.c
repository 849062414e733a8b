/* SPDX-License-Identifier: MIT */
/*
 * A program for every C library and word size: it knows nothing of freeport and needs libc alone.
 *
 *     peer serve tcp|udp PORT NAME    binds PORT on all addresses, says "ready", answers with NAME until it is ended
 *     peer ask tcp|udp PORT           prints the answer of the server on PORT of this host
 *     peer rush BOARD PROCESSES BINDS FIRST COUNT
 *                                     with so many others: binds to port 0, and to each of COUNT ports from FIRST on,
 *                                     and listens; all sockets stay open until the last process has done so
 *     peer board BOARD                prints what the processes of a rush found
 *
 * The board is a file that all map: a count for each port, by which a port that is held twice shows. It knows nothing
 * of freeport's table.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { PORTS = 65536, PATIENCE = 60 };

struct board {
    uint32_t ready, done, failed;
    uint32_t held[PORTS];    /* by real port */
    uint32_t winners[PORTS]; /* by the port that was asked for */
};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int open_socket(const char *protocol) {
    int fd = socket(AF_INET, strcmp(protocol, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM, 0);
    struct timeval patience = {PATIENCE, 0};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        fail("socket");
    return fd;
}

static struct sockaddr_in address_of(uint32_t host, unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(host);
    return address;
}

static unsigned port_of(int fd) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        fail("getsockname");
    return ntohs(address.sin_port);
}

/* serve, ask */

static void answer(const char *protocol, int fd, const char *name) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    char question[16];
    if (strcmp(protocol, "udp") == 0) {
        if (recvfrom(fd, question, sizeof question, 0, (struct sockaddr *)&from, &length) > 0)
            sendto(fd, name, strlen(name), 0, (struct sockaddr *)&from, length);
        return;
    }
    int client = accept(fd, (struct sockaddr *)&from, &length);
    if (client < 0)
        return;
    if (send(client, name, strlen(name), MSG_NOSIGNAL) < 0)
        perror("send");
    close(client);
}

static int serve(const char *protocol, const char *port, const char *name) {
    struct sockaddr_in address = address_of(INADDR_ANY, (unsigned)atoi(port));
    int fd = open_socket(protocol);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("bind");
    if (strcmp(protocol, "tcp") == 0 && listen(fd, 8) != 0)
        fail("listen");
    if (port_of(fd) != (unsigned)atoi(port)) {
        fprintf(stderr, "getsockname: %u\n", port_of(fd));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;)
        answer(protocol, fd, name);
}

static int ask(const char *protocol, const char *port) {
    struct sockaddr_in address = address_of(INADDR_LOOPBACK, (unsigned)atoi(port)), peer;
    socklen_t length = sizeof peer;
    char text[64] = "";
    int fd = open_socket(protocol);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect");
    if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0 || peer.sin_port != address.sin_port)
        fail("getpeername");
    if (send(fd, "?", 1, MSG_NOSIGNAL) != 1)
        fail("send");
    if (recv(fd, text, sizeof text - 1, 0) <= 0)
        fail("recv");
    puts(text);
    return 0;
}

/* rush, board */

static struct board *open_board(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct board)) != 0)
        fail(path);
    struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (board == MAP_FAILED)
        fail("mmap");
    close(fd);
    return board;
}

static uint32_t add(uint32_t *counter) {
    return __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static void meet(uint32_t *counter, unsigned processes) {
    struct timespec pause = {0, 1000000};
    add(counter);
    for (int i = 0; __atomic_load_n(counter, __ATOMIC_SEQ_CST) < processes; i++) {
        if (i >= PATIENCE * 1000) {
            fputs("the others did not come\n", stderr);
            exit(1);
        }
        nanosleep(&pause, NULL);
    }
}

/* Whether it is bound and listens; what else than "in use" keeps it from that is a failure. */
static int take(struct board *board, unsigned port) {
    struct sockaddr_in address = address_of(INADDR_LOOPBACK, port);
    int fd = open_socket("tcp");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0)
        return fd;
    if (port == 0 || errno != EADDRINUSE) {
        perror("bind");
        add(&board->failed);
    }
    close(fd);
    return -1;
}

static int rush(char **arguments) {
    struct board *board = open_board(arguments[0]);
    unsigned processes = (unsigned)atoi(arguments[1]), binds = (unsigned)atoi(arguments[2]);
    unsigned first = (unsigned)atoi(arguments[3]), count = (unsigned)atoi(arguments[4]);
    meet(&board->ready, processes);
    for (unsigned i = 0; i < binds || i < count; i++) {
        int fd = i < binds ? take(board, 0) : -1;
        if (fd >= 0)
            add(&board->held[port_of(fd)]);
        if (i < count && take(board, first + i) >= 0)
            add(&board->winners[first + i]);
    }
    meet(&board->done, processes);
    return 0;
}

static int show(const char *path) {
    const struct board *board = open_board(path);
    unsigned held = 0, twice = 0;
    for (unsigned port = 0; port < PORTS; port++) {
        held += board->held[port] > 0;
        twice += board->held[port] > 1;
    }
    printf("processes %u, failed %u, ports %u, held twice %u\n", board->done, board->failed, held, twice);
    for (unsigned port = 0; port < PORTS; port++)
        if (board->winners[port] > 0)
            printf("%u: %u\n", port, board->winners[port]);
    return 0;
}

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "serve") == 0 && argc == 5)
        return serve(argv[2], argv[3], argv[4]);
    if (strcmp(verb, "ask") == 0 && argc == 4)
        return ask(argv[2], argv[3]);
    if (strcmp(verb, "rush") == 0 && argc == 7)
        return rush(argv + 2);
    if (strcmp(verb, "board") == 0 && argc == 3)
        return show(argv[2]);
    fputs("usage: see the top of peer.c\n", stderr);
    return 2;
}
