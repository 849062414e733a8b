/* SPDX-License-Identifier: MIT */
/*
 * storm PROCESSES BINDS [reuse]
 *
 * Each process binds so many TCP sockets to port 0, with SO_REUSEADDR where it is told so, and listens on each; all
 * sockets of all processes stay open until the last has done so. A board of ports that they share is the check from
 * outside: it knows nothing of freeport's table.
 *
 * Prints what went wrong, and how many ports were held at once; exits 0 where all went well.
 */
#include "crowd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

static unsigned processes = 64, binds = 1000;
static bool reuse;
static struct {
    _Atomic unsigned ready, done, no_socket, no_bind, no_listen, twice, held;
    _Atomic unsigned char ports[65536];
} * board;

static void bind_one(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        atomic_fetch_add(&board->no_socket, 1);
        return;
    }
    if (reuse)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        atomic_fetch_add(&board->no_bind, 1);
        return;
    }
    if (atomic_fetch_add(&board->ports[ntohs(address.sin_port)], 1) == 0)
        atomic_fetch_add(&board->held, 1);
    else
        atomic_fetch_add(&board->twice, 1);
    if (listen(fd, 1) != 0)
        atomic_fetch_add(&board->no_listen, 1);
}

static void run(void) {
    crowd_meet(&board->ready, processes);
    for (unsigned i = 0; i < binds; i++)
        bind_one();
    crowd_meet(&board->done, processes);
}

int main(int argc, char **argv) {
    if (argc > 1)
        processes = (unsigned)atoi(argv[1]);
    if (argc > 2)
        binds = (unsigned)atoi(argv[2]);
    reuse = argc > 3 && strcmp(argv[3], "reuse") == 0;
    struct rlimit limit = {binds + 64, binds + 64};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        perror("RLIMIT_NOFILE");
        return 2;
    }
    board = crowd_board(sizeof *board);
    bool well = crowd_run(processes, run);
    unsigned failures = board->no_socket + board->no_bind + board->no_listen + board->twice + !well;
    printf("sockets failed %u, binds failed %u, listens failed %u, held twice %u, held at once %u\n", board->no_socket,
           board->no_bind, board->no_listen, board->twice, board->held);
    return failures == 0 && board->held == processes * binds ? 0 : 1;
}
