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
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    _Atomic unsigned ready, done, no_socket, no_bind, no_listen, twice, held;
    _Atomic unsigned char ports[65536];
} * board;

static void wait_until(_Atomic unsigned *counter, unsigned count) {
    while (atomic_load(counter) < count)
        usleep(1000);
}

static void bind_one(bool reuse) {
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

static void run(unsigned processes, unsigned binds, bool reuse) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    atomic_fetch_add(&board->ready, 1);
    wait_until(&board->ready, processes);
    for (unsigned i = 0; i < binds; i++)
        bind_one(reuse);
    atomic_fetch_add(&board->done, 1);
    wait_until(&board->done, processes);
}

int main(int argc, char **argv) {
    unsigned processes = argc > 1 ? (unsigned)atoi(argv[1]) : 64, binds = argc > 2 ? (unsigned)atoi(argv[2]) : 1000;
    bool reuse = argc > 3 && strcmp(argv[3], "reuse") == 0;
    struct rlimit limit = {binds + 64, binds + 64};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        perror("RLIMIT_NOFILE");
        return 2;
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 2;
    for (unsigned i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            run(processes, binds, reuse);
            _exit(0);
        }
        if (pid < 0) {
            perror("fork");
            return 2;
        }
    }
    bool ended_well = true;
    for (int status; wait(&status) > 0;)
        ended_well = ended_well && status == 0;
    unsigned failures = board->no_socket + board->no_bind + board->no_listen + board->twice + !ended_well;
    printf("sockets failed %u, binds failed %u, listens failed %u, held twice %u, held at once %u\n", board->no_socket,
           board->no_bind, board->no_listen, board->twice, board->held);
    return failures == 0 && board->held == processes * binds ? 0 : 1;
}
