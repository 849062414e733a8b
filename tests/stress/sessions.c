/* SPDX-License-Identifier: MIT */
/*
 * sessions SESSIONS PROCESSES THREADS BINDS [SEED]
 *
 * So many sessions of so many processes of so many threads, all of which bind one sentinel, 8080, and close it, on
 * fewer ports than there are binds at once. A board that they share says which session is on which port: it knows
 * nothing of freeport's table. Half of the sockets are TCP ones with SO_REUSEADDR, which do not listen, half are UDP
 * ones with it: the kernel lets them share a port.
 *
 * Prints how often a port was in two sessions at once; exits 0 where it never was. FREEPORT_SOCKNAME has to be real.
 */
#include "crowd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum { SENTINEL = 8080, SENTINELS = 3, MOST_THREADS = 64, BOARD_FD = 200, PORTS = 65536 };

struct board {
    _Atomic unsigned bound, twice;
    _Atomic uint64_t places[2][PORTS]; /* by protocol: whose it is (32 bits), and its sockets (32) */
};

static struct board *board;
static unsigned binds, session, seed;

/* `who`: a sentinel of a session. */
static void enter(_Atomic uint64_t *place, unsigned who) {
    uint64_t found = atomic_load(place), mine;
    do {
        if (found != 0 && found >> 32 != who) {
            atomic_fetch_add(&board->twice, 1);
            return;
        }
        mine = ((uint64_t)who << 32) | ((uint32_t)found + 1);
    } while (!atomic_compare_exchange_weak(place, &found, mine));
}

static void leave(_Atomic uint64_t *place, unsigned who) {
    uint64_t found = atomic_load(place), mine;
    do {
        if (found >> 32 != who)
            return; /* it was not entered */
        mine = (uint32_t)found == 1 ? 0 : found - 1;
    } while (!atomic_compare_exchange_weak(place, &found, mine));
}

static void bind_once(unsigned *chance) {
    unsigned udp = (unsigned)rand_r(chance) % 2, sentinel = (unsigned)rand_r(chance) % SENTINELS;
    unsigned who = session * SENTINELS + sentinel;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((in_port_t)(SENTINEL + sentinel)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (fd < 0)
        exit(2);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &length) == 0) {
        atomic_fetch_add(&board->bound, 1);
        _Atomic uint64_t *place = &board->places[udp][ntohs(address.sin_port)];
        enter(place, who);
        usleep((useconds_t)(rand_r(chance) % 300));
        leave(place, who); /* before it is closed: from then on it may be another session's */
    }
    close(fd);
}

static void *run_thread(void *number) {
    unsigned chance = seed * 104729 + session * 7919 + (unsigned)getpid() * 31 + (unsigned)(uintptr_t)number;
    for (unsigned i = 0; i < binds; i++)
        bind_once(&chance);
    return NULL;
}

static int run_worker(unsigned threads) {
    pthread_t ids[MOST_THREADS];
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, run_thread, (void *)(uintptr_t)i) != 0)
            return 2;
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return 0;
}

static void map_board(void) {
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, BOARD_FD, 0);
    if (board == MAP_FAILED)
        exit(2);
}

/* This program once more, from its start, in a session of its own. */
static void start_worker(char **argv, unsigned number) {
    char name[16], text[16];
    snprintf(name, sizeof name, "s%u", number);
    snprintf(text, sizeof text, "%u", number);
    setenv("FREEPORT_SESSION", name, 1);
    setenv("STRESS_SESSION", text, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv("/proc/self/exe", argv);
    _exit(2);
}

int main(int argc, char **argv) {
    unsigned numbers[5] = {4, 2, 2, 200, 1};
    for (int i = 1; i < argc && i <= 5; i++)
        numbers[i - 1] = (unsigned)atoi(argv[i]);
    binds = numbers[3];
    seed = numbers[4];
    const char *text = getenv("STRESS_SESSION");
    if (text) {
        session = (unsigned)atoi(text);
        map_board();
        return run_worker(numbers[2] < MOST_THREADS ? numbers[2] : MOST_THREADS);
    }
    int fd = memfd_create("board", 0);
    if (fd < 0 || ftruncate(fd, sizeof *board) != 0 || dup2(fd, BOARD_FD) != BOARD_FD)
        return 2;
    map_board();
    for (unsigned i = 0; i < numbers[0] * numbers[1]; i++) {
        pid_t pid = fork();
        if (pid == 0)
            start_worker(argv, 1 + i % numbers[0]);
        if (pid < 0)
            return 2;
    }
    bool well = true;
    for (int status; wait(&status) > 0;)
        well = well && status == 0;
    printf("in two sessions %u of %u\n", board->twice, board->bound);
    return well && board->bound > 0 && board->twice == 0 ? 0 : 1;
}
