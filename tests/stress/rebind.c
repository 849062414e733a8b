/* SPDX-License-Identifier: MIT */
/*
 * rebind PROCESSES ROUNDS
 *
 * The common helper "find a free port", from many processes at once: each binds port 0, closes the socket, waits 20 ms
 * and binds that number again. Prints how often somebody else had it by then: "lost N of M".
 *
 * Exits 0 where it could be tried, whatever came of it.
 */
#include "crowd.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { WAIT_US = 20000 };

static unsigned processes = 400, rounds = 10;
static struct { _Atomic unsigned ready, lost, tried, failed; } * board;

/* A socket on that port; its number goes back to *port. */
static int bound(in_port_t *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = *port, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    *port = address.sin_port;
    return fd;
}

static void run(void) {
    crowd_meet(&board->ready, processes);
    for (unsigned i = 0; i < rounds; i++) {
        in_port_t port = 0;
        int fd = bound(&port);
        if (fd < 0) {
            atomic_fetch_add(&board->failed, 1);
            continue;
        }
        close(fd);
        usleep(WAIT_US);
        atomic_fetch_add(&board->tried, 1);
        fd = bound(&port);
        if (fd < 0)
            atomic_fetch_add(errno == EADDRINUSE ? &board->lost : &board->failed, 1);
        else
            usleep(WAIT_US); /* a server, for a while */
        close(fd);
    }
}

int main(int argc, char **argv) {
    if (argc > 1)
        processes = (unsigned)atoi(argv[1]);
    if (argc > 2)
        rounds = (unsigned)atoi(argv[2]);
    board = crowd_board(sizeof *board);
    crowd_run(processes, run);
    printf("lost %u of %u, failed %u\n", board->lost, board->tried, board->failed);
    return board->failed == 0 && board->tried == processes * rounds ? 0 : 1;
}
