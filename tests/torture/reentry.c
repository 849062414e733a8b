/* SPDX-License-Identifier: MIT */
/*
 * reentry: threads that bind are interrupted by handlers that bind, cancelled, and forked away from, all the time. Each
 * bind has to succeed, with a port that no other thread, handler or child has at that moment; and afterwards the very
 * process, and then another, gets every port of the range.
 */
#include "torture.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, SOON_US = 50000, LOCK_WAIT_US = 250000, DESCRIPTORS = 512 };

static struct {
    _Atomic unsigned holders[MOST_PORTS]; /* of each port, from outside of the allocator */
    _Atomic unsigned binds, interrupted, failed, twice, children, cancelled;
    _Atomic int64_t slowest_us;
    _Atomic int64_t until_us;
    _Atomic int error, over;
    const char *_Atomic failed_at; /* a text of the program's, which its children have at the same place */
    struct haul haul, own;
} * board;

static void took(int64_t us) {
    int64_t slowest = atomic_load(&board->slowest_us);
    while (us > slowest && !atomic_compare_exchange_weak(&board->slowest_us, &slowest, us)) {
    }
}

static void fail(const char *at, int error) {
    atomic_fetch_add(&board->failed, 1);
    atomic_store(&board->failed_at, at);
    atomic_store(&board->error, error);
}

static bool in_range(unsigned port) {
    return port >= range_first && port < range_first + range_count;
}

/* What this thread's handlers took so far: whom they interrupt has to wait for them, whatever they do. */
static _Thread_local volatile int64_t handlers_us;

/* Binds port 0, and looks whether anybody else has the port while it is held. */
static void bind_any(int type) {
    int64_t handlers_before = handlers_us;
    struct clock start = clock_start();
    int fd = take(type, 0);
    int64_t us = clock_us(&start);
    took(us - (handlers_us - handlers_before));
    unsigned port = fd < 0 ? 0 : port_of(fd);
    if (!in_range(port)) {
        fail(type == SOCK_STREAM ? "TCP to port 0" : "UDP to port 0", fd < 0 ? -fd : ERANGE);
    } else if (type == SOCK_STREAM) { /* TCP and UDP are two worlds */
        if (atomic_fetch_add(&board->holders[port - range_first], 1) != 0)
            atomic_fetch_add(&board->twice, 1);
        atomic_fetch_sub(&board->holders[port - range_first], 1);
    }
    if (fd >= 0)
        close(fd);
    atomic_fetch_add(&board->binds, 1);
}

/* A worker of a server: one port for all. */
static void bind_sentinel(void) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(SENTINEL), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || !in_range(port_of(fd)))
        fail("the sentinel", errno);
    close(fd);
    atomic_fetch_add(&board->binds, 1);
}

static bool time_is_left(void) {
    return now_us() < atomic_load(&board->until_us);
}

static void *bind_all_the_time(void *number) {
    unsigned turn = (unsigned)(uintptr_t)number;
    for (; time_is_left(); turn++) {
        if (turn % 64 == 0)
            bind_sentinel();
        else
            bind_any(turn % 2 ? SOCK_STREAM : SOCK_DGRAM);
    }
    return NULL;
}

static void start_threads(pthread_t threads[THREADS], void *(*body)(void *)) {
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, body, (void *)i) != 0)
            die("no threads to be had");
}

static void join_threads(const pthread_t threads[THREADS]) {
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* Handlers that bind. */

static void handler(int signal) {
    int saved = errno;
    int64_t before = handlers_us;
    struct clock start = clock_start();
    atomic_fetch_add(&board->interrupted, 1);
    if (signal == SIGUSR2)
        bind_sentinel();
    else
        bind_any(SOCK_STREAM);
    handlers_us = before + clock_us(&start); /* those that interrupted this one are in it */
    errno = saved;
}

/* Signals to the process, which the kernel hands to any of its threads; two that interrupt each other's handlers. */
static void send_signals(void *context) {
    pid_t target = *(pid_t *)context;
    for (unsigned turn = 0; !atomic_load(&board->over) && time_is_left(); turn++) {
        kill(target, SIGUSR1);
        if (turn % 8 == 0)
            kill(target, SIGUSR2);
        pause_us(20);
    }
}

static void bear_signals(void *ignored) {
    (void)ignored;
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    pthread_t threads[THREADS];
    pid_t self = getpid();
    atomic_store(&board->over, 0);
    pid_t sender = child(send_signals, &self);
    start_threads(threads, bind_all_the_time);
    join_threads(threads);
    atomic_store(&board->over, 1);
    reap(sender);
}

/* Threads that are cancelled. */

/* ThreadSanitizer takes locks of its own in each call, and can't bear it to be ended there. */
#ifdef __SANITIZE_THREAD__
enum { ASYNCHRONOUS = PTHREAD_CANCEL_DEFERRED };
#else
enum { ASYNCHRONOUS = PTHREAD_CANCEL_ASYNCHRONOUS };
#endif

static void *bind_until_cancelled(void *number) {
    int ignored;
    pthread_setcanceltype((uintptr_t)number % 2 ? ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, &ignored);
    for (;;) {
        bind_any(SOCK_STREAM);
        bind_any(SOCK_DGRAM);
        pthread_testcancel();
    }
    return NULL;
}

static void forget_holders(void) {
    for (unsigned i = 0; i < range_count; i++)
        atomic_store(&board->holders[i], 0);
}

static void cancel_threads(void *ignored) {
    (void)ignored;
    while (time_is_left()) {
        pthread_t threads[THREADS];
        start_threads(threads, bind_until_cancelled);
        pause_us((long)chance(2000));
        for (unsigned i = 0; i < THREADS; i++)
            pthread_cancel(threads[i]);
        join_threads(threads);
        atomic_fetch_add(&board->cancelled, THREADS);
        /* What a thread had when it was cancelled is open still, and counted still. */
        close_range(3, ~0U, 0);
        forget_holders();
    }
    /* A claim that one of them left would be in the name of this process, which is there. */
    haul_take(&board->own, SOCK_STREAM, range_count + 1);
    haul_take(&board->own, SOCK_DGRAM, range_count + 1);
}

/* Children that are forked while other threads bind, and bind at once. */

static void bind_as_child(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bind_any(SOCK_STREAM);
    bind_sentinel();
    bind_any(SOCK_DGRAM);
}

static void fork_away(void *ignored) {
    (void)ignored;
    pthread_t threads[THREADS];
    start_threads(threads, bind_all_the_time);
    while (time_is_left()) {
        pid_t pid = fork();
        if (pid == 0) {
            bind_as_child();
            _exit(0);
        }
        if (pid < 0 || reap(pid) != 0)
            fail("a child", ECHILD);
        atomic_fetch_add(&board->children, 1);
    }
    join_threads(threads);
}

static void sweep(void *ignored) {
    (void)ignored;
    haul_take(&board->haul, SOCK_STREAM, range_count + 1);
    haul_take(&board->haul, SOCK_DGRAM, range_count + 1);
}

/* Ends within that time, or is ended. */
static bool ends(pid_t pid, int64_t limit_us) {
    int status;
    for (int64_t until = now_us() + limit_us; now_us() < until; pause_us(1000))
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status == 0;
    end(pid);
    return false;
}

static bool play(const char *what, void (*body)(void *), bool own_haul) {
    struct tally tally = {.what = what};
    int64_t last_us = (full ? 20 : 2) * 1000000;
    memset(board, 0, sizeof *board);
    atomic_store(&board->until_us, now_us() + last_us);
    if (!ends(child(body, NULL), last_us + 30000000))
        fail("an end", ETIMEDOUT);
    atomic_store(&board->over, 1);
    reap(child(sweep, NULL));
    tally.times = board->binds;
    tally.twice = board->twice + haul_twice(&board->haul);
    tally.lost += board->failed + haul_missing(&board->haul, SOCK_STREAM) + haul_missing(&board->haul, SOCK_DGRAM);
    if (own_haul)
        tally.lost += haul_missing(&board->own, SOCK_STREAM) + haul_missing(&board->own, SOCK_DGRAM);
    tally_time(&tally, board->slowest_us);
    if (board->error)
        note(&tally, "%s: %s", board->failed_at, strerror(board->error));
    else if (board->interrupted)
        note(&tally, "%u handlers", board->interrupted);
    else if (board->cancelled)
        note(&tally, "%u threads cancelled", board->cancelled);
    else if (board->children)
        note(&tally, "%u children", board->children);
    return tally_print(&tally);
}

int main(void) {
    torture_start();
    board = shared_memory(sizeof *board);
    struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
    setrlimit(RLIMIT_NOFILE, &limit);
    bool well = play("handlers that bind, in threads that bind", bear_signals, false);
    well = play("threads cancelled while they bind", cancel_threads, true) && well;
    well = play("children forked while threads bind", fork_away, false) && well;
    return well ? 0 : 1;
}
