/* SPDX-License-Identifier: MIT */
/*
 * rebind PROCESSES ROUNDS
 *
 * The common helper "find a free port", from many processes at once: each binds port 0, closes the socket, waits 20 ms
 * and binds that number again. Prints how often somebody else had it by then: "lost N of M".
 *
 * Exits 0 where it could be tried, whatever came of it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_US = 20000 };

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

static void run(unsigned processes, unsigned rounds) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    atomic_fetch_add(&board->ready, 1);
    while (atomic_load(&board->ready) < processes)
        usleep(1000);
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
    unsigned processes = argc > 1 ? (unsigned)atoi(argv[1]) : 400, rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 10;
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 2;
    for (unsigned i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            run(processes, rounds);
            _exit(0);
        }
        if (pid < 0) {
            perror("fork");
            return 2;
        }
    }
    while (wait(NULL) > 0) {
    }
    printf("lost %u of %u, failed %u\n", board->lost, board->tried, board->failed);
    return board->failed == 0 && board->tried == processes * rounds ? 0 : 1;
}
