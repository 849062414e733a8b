/* SPDX-License-Identifier: MIT */
/*
 * scarce PROCESSES HELD BINDS [SEED]
 *
 * Many processes on few ports. Each binds port 0 so many times and keeps up to HELD listening sockets: when it has
 * more, it closes one of them. A third of the time it closes the new socket instead, waits up to 3 ms and binds that
 * number again, as the common helper "find a free port" does. Prints how often another process had it by then: "lost N
 * of M".
 *
 * Exits 0 where it could be tried, whatever came of it.
 */
#include "crowd.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { MOST_HELD = 64, LONGEST_WAIT_US = 3000 };

static unsigned processes = 64, held = 8, binds = 400, seed = 1;
static struct { _Atomic unsigned number, ready, lost, tried, failed; } * board;

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

/* The sockets that this process keeps. */
static int pool[MOST_HELD];
static unsigned pool_size, chance;

static unsigned below(unsigned limit) {
    return (unsigned)rand_r(&chance) % limit;
}

static void keep(int fd) {
    if (held == 0 || listen(fd, 1) != 0) {
        close(fd);
        return;
    }
    if (pool_size < held) {
        pool[pool_size++] = fd;
        return;
    }
    unsigned victim = below(held);
    close(pool[victim]);
    pool[victim] = fd;
}

static int again(int fd, in_port_t port) {
    close(fd);
    usleep(below(LONGEST_WAIT_US));
    atomic_fetch_add(&board->tried, 1);
    fd = bound(&port);
    if (fd < 0)
        atomic_fetch_add(errno == EADDRINUSE ? &board->lost : &board->failed, 1);
    return fd;
}

static void run(void) {
    chance = seed * 7919 + atomic_fetch_add(&board->number, 1);
    crowd_meet(&board->ready, processes);
    for (unsigned i = 0; i < binds; i++) {
        in_port_t port = 0;
        int fd = bound(&port);
        if (fd < 0) {
            atomic_fetch_add(&board->failed, 1);
            continue;
        }
        if (below(3) == 0)
            fd = again(fd, port);
        if (fd >= 0)
            keep(fd);
    }
}

int main(int argc, char **argv) {
    unsigned *const numbers[] = {&processes, &held, &binds, &seed};
    for (int i = 1; i < argc && i <= 4; i++)
        *numbers[i - 1] = (unsigned)atoi(argv[i]);
    if (held > MOST_HELD)
        held = MOST_HELD;
    board = crowd_board(sizeof *board);
    bool well = crowd_run(processes, run);
    printf("lost %u of %u, failed %u\n", board->lost, board->tried, board->failed);
    return well && board->failed == 0 ? 0 : 1;
}
