/* SPDX-License-Identifier: MIT */
/*
 * pair PROCESSES ROUNDS
 *
 * Who takes the next number by itself: each process binds port 0 twice, then the number behind the first one, as RTP
 * does, and closes all three. Prints how often another process had it: "lost N of M".
 *
 * Exits 0 where it could be tried, whatever came of it.
 */
#include "crowd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

static unsigned processes = 8, rounds = 400;
static struct { _Atomic unsigned ready, lost, tried, failed; } * board;

/* The socket, or -errno; the number goes back to *port. */
static int bound(unsigned *port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((in_port_t)*port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static void try_pair(void) {
    unsigned first = 0, second = 0;
    int fds[3] = {bound(&first), bound(&second), -1};
    unsigned next = first + 1;
    if (fds[0] < 0 || fds[1] < 0) {
        atomic_fetch_add(&board->failed, 1);
    } else if (next <= UINT16_MAX) {
        atomic_fetch_add(&board->tried, 1);
        fds[2] = bound(&next);
        if (fds[2] < 0)
            atomic_fetch_add(fds[2] == -EADDRINUSE ? &board->lost : &board->failed, 1);
    }
    for (unsigned i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void run(void) {
    crowd_meet(&board->ready, processes);
    for (unsigned i = 0; i < rounds; i++)
        try_pair();
}

int main(int argc, char **argv) {
    if (argc > 1)
        processes = (unsigned)atoi(argv[1]);
    if (argc > 2)
        rounds = (unsigned)atoi(argv[2]);
    board = crowd_board(sizeof *board);
    bool well = crowd_run(processes, run);
    printf("lost %u of %u, failed %u\n", board->lost, board->tried, board->failed);
    return well && board->failed == 0 ? 0 : 1;
}
