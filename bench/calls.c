/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

extern char **environ;

/* --- What calls are made of ------------------------------------------------------------------------------------- */

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int bind_port(int fd, uint16_t port) {
    struct sockaddr_in address = loopback(port);
    return bind(fd, (struct sockaddr *)&address, sizeof address);
}

static int nothing(struct bench *bench, unsigned i) {
    (void)bench, (void)i;
    return 0;
}

static int open_socket(struct bench *bench, unsigned i) {
    bench->sockets[i] = socket(AF_INET, bench->kind, 0);
    if (bench->sockets[i] < 0 || !bench->socket_range)
        return bench->sockets[i] < 0 ? -1 : 0;
    uint32_t range = (uint32_t)bench->to << 16 | bench->from;
    return setsockopt(bench->sockets[i], IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof range);
}

static int close_socket(struct bench *bench, unsigned i) {
    return close(bench->sockets[i]);
}

/* "tcp", the default, or "udp" */
static int choose_kind(struct bench *bench, unsigned i) {
    (void)i;
    const char *word = bench->words[0] ? bench->words[0] : "tcp";
    bench->kind = strcmp(word, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
    return 0;
}

static int name_of(int fd) {
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    return getsockname(fd, (struct sockaddr *)&name, &length);
}

/* --- Port 0 ----------------------------------------------------------------------------------------------------- */

static int bind_any(struct bench *bench, unsigned i) {
    return bind_port(bench->sockets[i], 0);
}

static int bind_cycle(struct bench *bench, unsigned i) {
    (void)i;
    return open_socket(bench, 0) | bind_any(bench, 0) | name_of(bench->sockets[0]) | close_socket(bench, 0);
}

static int one_socket(struct bench *bench, unsigned i) {
    return choose_kind(bench, i) | open_socket(bench, 0);
}

static int bind_none_left(struct bench *bench, unsigned i) {
    (void)i;
    if (bind_port(bench->sockets[0], 0) != 0)
        return errno == EADDRINUSE ? 0 : -1;
    errno = EEXIST; /* there was one left */
    return -1;
}

/* --- A sentinel that others have --------------------------------------------------------------------------------- */

/* A server in a process of its own, which a suite polls. */
static int serve_beside(struct bench *bench, unsigned i) {
    int ends[2];
    char byte;
    if (choose_kind(bench, i) != 0 || pipe(ends) != 0)
        return -1;
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (bind_port(fd, SENTINEL) == 0 && listen(fd, 1) == 0 && write(ends[1], "", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ends[1]);
    return read(ends[0], &byte, 1) == 1 ? 0 : -1;
}

static int bind_refused(struct bench *bench, unsigned i) {
    if (bind_port(bench->sockets[i], SENTINEL) != 0)
        return errno == EADDRINUSE ? 0 : -1;
    errno = EEXIST; /* the server is not there */
    return -1;
}

/* A worker's socket: SO_REUSEPORT for TCP, SO_REUSEADDR for UDP. */
static int open_worker(struct bench *bench, unsigned i) {
    int on = 1;
    if (open_socket(bench, i) != 0)
        return -1;
    return setsockopt(bench->sockets[i], SOL_SOCKET, bench->kind == SOCK_STREAM ? SO_REUSEPORT : SO_REUSEADDR, &on,
                      sizeof on);
}

/* "tcp" or "udp", and how many workers there are, the one that is measured among them. */
static int start_workers(struct bench *bench, unsigned i) {
    unsigned many = bench->words[0] && bench->words[1] ? (unsigned)atoi(bench->words[1]) : 2;
    struct rlimit limit = {many + CHUNK, many + CHUNK};
    if (choose_kind(bench, i) != 0 || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -1;
    for (unsigned n = 1; n < many; n++)
        if (open_worker(bench, 0) != 0 || bind_port(bench->sockets[0], SENTINEL) != 0 ||
            (bench->kind == SOCK_STREAM && listen(bench->sockets[0], 1) != 0))
            return -1;
    return 0;
}

static int bind_worker(struct bench *bench, unsigned i) {
    return bind_port(bench->sockets[i], SENTINEL);
}

/* --- Calls that are not ours; and the same to a sentinel --------------------------------------------------------- */

static int bind_unix(struct bench *bench, unsigned i) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "fpbench-%d-%u", (int)getpid(), i);
    return bind(bench->sockets[i], (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length));
}

static int open_unix(struct bench *bench, unsigned i) {
    bench->sockets[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
    return bench->sockets[i] < 0 ? -1 : 0;
}

static int serve(struct bench *bench, uint16_t port) {
    bench->there = loopback(port);
    bench->client = socket(AF_INET, SOCK_DGRAM, 0);
    bench->server = socket(AF_INET, SOCK_DGRAM, 0);
    return bind_port(bench->server, port);
}

static int serve_ordinary(struct bench *bench, unsigned i) {
    (void)i;
    return serve(bench, ORDINARY);
}

static int serve_sentinel(struct bench *bench, unsigned i) {
    (void)i;
    return serve(bench, SENTINEL);
}

static int call_connect(struct bench *bench, unsigned i) {
    (void)i;
    return connect(bench->client, (struct sockaddr *)&bench->there, sizeof bench->there);
}

static int serve_connected(struct bench *bench, unsigned i) {
    return serve(bench, ORDINARY) == 0 ? call_connect(bench, i) : -1;
}

static int call_sendto(struct bench *bench, unsigned i) {
    (void)i;
    return sendto(bench->client, "x", 1, 0, (struct sockaddr *)&bench->there, sizeof bench->there) == 1 ? 0 : -1;
}

/* Without an address: no filter of ours looks at it. */
static int call_send(struct bench *bench, unsigned i) {
    (void)i;
    return send(bench->client, "x", 1, 0) == 1 ? 0 : -1;
}

static int receive(int fd) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    char data[16];
    return recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &length) == 1 ? 0 : -1;
}

static int call_recvfrom(struct bench *bench, unsigned i) {
    (void)i;
    return receive(bench->server);
}

/* The server sends to itself: what it receives comes from its sentinel. */
static int send_to_self(struct bench *bench, unsigned i) {
    (void)i;
    return sendto(bench->server, "x", 1, 0, (struct sockaddr *)&bench->there, sizeof bench->there) == 1 ? 0 : -1;
}

static int call_getsockname(struct bench *bench, unsigned i) {
    (void)i;
    return name_of(bench->server);
}

static int call_getppid(struct bench *bench, unsigned i) {
    (void)bench, (void)i;
    return syscall(SYS_getppid) >= 0 ? 0 : -1;
}

/* Each one's first bind in its session. */
static int bind_first(struct bench *bench, unsigned i) {
    return bind_port(bench->sockets[i], (uint16_t)(FIRST_SENTINEL + bench->next++));
}

static int bind_again(struct bench *bench, unsigned i) {
    return bind_port(bench->sockets[i], SENTINEL);
}

/* --- What the shim's own system calls cost, by which a figure that is missed can be explained -----------------------
 */

static int bind_known(struct bench *bench, unsigned i) {
    return bind_port(bench->sockets[i], bench->from);
}

/* Somebody has it: whoever got it in setup. */
static int bind_busy(struct bench *bench, unsigned i) {
    return bind_port(bench->sockets[i], bench->from) != 0 && errno == EADDRINUSE ? 0 : -1;
}

static int take_one(struct bench *bench, unsigned i) {
    bench->server = socket(AF_INET, SOCK_STREAM, 0);
    return choose_kind(bench, i) | bind_port(bench->server, bench->from);
}

static int call_getsockopt(struct bench *bench, unsigned i) {
    (void)i;
    int value;
    socklen_t length = sizeof value;
    return getsockopt(bench->server, SOL_SOCKET, SO_REUSEADDR, &value, &length);
}

static int call_sigprocmask(struct bench *bench, unsigned i) {
    (void)bench, (void)i;
    sigset_t all;
    sigfillset(&all);
    return sigprocmask(SIG_BLOCK, &all, NULL);
}

static int call_kill(struct bench *bench, unsigned i) {
    (void)bench, (void)i;
    return kill(getppid(), 0);
}

/* --- The library ------------------------------------------------------------------------------------------------ */

static int open_library(struct bench *bench, unsigned i) {
    (void)i;
    char range[32];
    snprintf(range, sizeof range, "%u-%u", bench->from, bench->to);
    struct freeport_config config = {.tcp = range, .segment = bench->words[0]};
    errno = -freeport_open(&bench->library, &config);
    return errno ? -1 : 0;
}

static int library_get(struct bench *bench, unsigned i) {
    errno = -freeport_get(bench->library, FREEPORT_TCP, 5000, &bench->ports[i]);
    return errno ? -1 : 0;
}

static int library_release(struct bench *bench, unsigned i) {
    errno = -freeport_release(bench->library, FREEPORT_TCP, bench->ports[i]);
    return errno ? -1 : 0;
}

/* --- Starting a program ----------------------------------------------------------------------------------------- */

/* Its environment: what is given as NAME=VALUE, and PATH. This process is not preloaded, or exec would be. */
static int spawn_environment(struct bench *bench, unsigned i) {
    (void)i;
    clearenv();
    for (char **word = bench->words; *word; word++)
        putenv(*word);
    return 0;
}

static int spawn_true(struct bench *bench, unsigned i) {
    (void)bench, (void)i;
    static char program[] = "/bin/true";
    char *arguments[] = {program, NULL};
    pid_t pid;
    int status;
    errno = posix_spawn(&pid, program, NULL, NULL, arguments, environ);
    return errno == 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

/* --- Many processes at once --------------------------------------------------------------------------------------- */

/* In memory that all share: who has a port now, so that one that two have is seen. */
struct board {
    _Atomic unsigned ready, go, lost, twice;
    _Atomic uint64_t end; /* of the last; to end a process takes longer than a few of its calls */
    _Atomic unsigned char had[65536];
};

static void cycle_on(struct bench *bench, struct board *board, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in name;
        socklen_t length = sizeof name;
        if (open_socket(bench, 0) != 0 || bind_any(bench, 0) != 0 ||
            getsockname(bench->sockets[0], (struct sockaddr *)&name, &length) != 0) {
            atomic_fetch_add(&board->lost, 1);
        } else {
            if (atomic_exchange(&board->had[ntohs(name.sin_port)], 1))
                atomic_fetch_add(&board->twice, 1);
            atomic_store(&board->had[ntohs(name.sin_port)], 0);
        }
        close_socket(bench, 0);
    }
}

/* processes N: the count is shared among N processes, which start at one moment; until the last has made its own. */
static double processes(struct bench *bench, unsigned count) {
    unsigned many = (unsigned)atoi(bench->words[0]), each = count < many ? 1 : count / many;
    struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return -1;
    bench->kind = SOCK_STREAM;
    for (unsigned i = 0; i < many; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return -1;
        if (pid > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        cycle_on(bench, board, 1); /* its first bind finds out who it is */
        atomic_fetch_add(&board->ready, 1);
        while (!atomic_load(&board->go))
            usleep(100);
        cycle_on(bench, board, each);
        uint64_t now = nanoseconds(), end = atomic_load(&board->end);
        while (end < now && !atomic_compare_exchange_weak(&board->end, &end, now)) {
        }
        _exit(0);
    }
    while (atomic_load(&board->ready) < many)
        usleep(100);
    uint64_t began = nanoseconds();
    atomic_store(&board->go, 1);
    while (wait(NULL) > 0) {
    }
    double took = (double)(board->end - began);
    bench->lost += board->lost;
    bench->twice += board->twice;
    munmap(board, sizeof *board);
    return took * count / (each * many);
}

/* ----------------------------------------------------------------------------------------------------------------- */

static const struct measure measures[] = {
    {"nothing", nothing, nothing, nothing, nothing, CHUNK, NULL},
    {"bind-cycle", choose_kind, nothing, bind_cycle, nothing, CHUNK, NULL},
    /* One at a time, or the chunk itself would fill the range. */
    {"bind", choose_kind, open_socket, bind_any, close_socket, 1, NULL},
    {"none-left", one_socket, nothing, bind_none_left, nothing, 1, NULL},
    {"unix-bind", nothing, open_unix, bind_unix, close_socket, CHUNK, NULL},
    {"connect", serve_ordinary, nothing, call_connect, nothing, CHUNK, NULL},
    {"sendto", serve_ordinary, nothing, call_sendto, call_recvfrom, CHUNK, NULL},
    {"send", serve_connected, nothing, call_send, call_recvfrom, CHUNK, NULL},
    {"recvfrom", serve_ordinary, call_sendto, call_recvfrom, nothing, CHUNK, NULL},
    {"getsockname", serve_ordinary, nothing, call_getsockname, nothing, CHUNK, NULL},
    {"syscall", nothing, nothing, call_getppid, nothing, CHUNK, NULL},
    {"sentinel-first", choose_kind, open_socket, bind_first, close_socket, CHUNK, NULL},
    {"sentinel-again", choose_kind, open_socket, bind_again, close_socket, 1, NULL},
    {"sentinel-refused", serve_beside, open_socket, bind_refused, close_socket, CHUNK, NULL},
    {"sentinel-worker", start_workers, open_worker, bind_worker, close_socket, 1, NULL},
    {"sentinel-connect", serve_sentinel, nothing, call_connect, nothing, CHUNK, NULL},
    {"sentinel-sendto", serve_sentinel, nothing, call_sendto, call_recvfrom, CHUNK, NULL},
    {"sentinel-recvfrom", serve_sentinel, send_to_self, call_recvfrom, nothing, CHUNK, NULL},
    {"sentinel-getsockname", serve_sentinel, nothing, call_getsockname, nothing, CHUNK, NULL},
    {"bind-known", choose_kind, open_socket, bind_known, close_socket, 1, NULL},
    {"bind-busy", take_one, open_socket, bind_busy, close_socket, CHUNK, NULL},
    {"getsockopt", take_one, nothing, call_getsockopt, nothing, CHUNK, NULL},
    {"sigprocmask", nothing, nothing, call_sigprocmask, nothing, CHUNK, NULL},
    {"kill", nothing, nothing, call_kill, nothing, CHUNK, NULL},
    {"freeport_get", open_library, nothing, library_get, library_release, CHUNK, NULL},
    {"start", spawn_environment, nothing, spawn_true, nothing, CHUNK, NULL},
    {"processes", nothing, nothing, nothing, nothing, 1, processes},
};

const struct measure *measure_named(const char *name) {
    for (size_t i = 0; i < sizeof measures / sizeof *measures; i++)
        if (strcmp(name, measures[i].name) == 0)
            return &measures[i];
    return NULL;
}
