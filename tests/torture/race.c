/* SPDX-License-Identifier: MIT */
/*
 * race: the library itself, with ThreadSanitizer built in, in threads that do all that it can do, on few ports and
 * sentinels. Two handles stand for two names, and map the segment twice, so that one thread's stores are seen at
 * another address by the next, as they are between processes.
 *
 * There is no suppression.
 */
#include "freeport.h"
#include "torture.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Nobody is killed here, and the machine may be busy: who waits for the lock longer than that waits for nothing. */
enum { THREADS = 6, TIMEOUT_MS = 20000 };

static struct freeport *handles[2];
static _Atomic unsigned calls, failures, twice;
static _Atomic unsigned reserved[MOST_PORTS];
static _Atomic int failure;
static int64_t until_us;

static void check(int error) {
    atomic_fetch_add(&calls, 1);
    /* A range of few ports may be all in use for a moment, and a session's port another thread's. */
    if (error != 0 && error != -EADDRINUSE && error != -ENOENT && error != -EPERM) {
        atomic_store(&failure, error);
        atomic_fetch_add(&failures, 1);
    }
}

static void bind_one(struct freeport *fp, int type, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    check(freeport_bind(fp, fd, (struct sockaddr *)&address, sizeof address, TIMEOUT_MS, NULL));
    close(fd);
}

static void reserve_one(struct freeport *fp) {
    uint16_t port;
    int error = freeport_get(fp, FREEPORT_TCP, TIMEOUT_MS, &port);
    check(error);
    if (error != 0)
        return;
    if (atomic_fetch_add(&reserved[port - range_first], 1) != 0)
        atomic_fetch_add(&twice, 1);
    atomic_fetch_sub(&reserved[port - range_first], 1);
    check(freeport_release(fp, FREEPORT_TCP, port));
}

static int visit(const struct freeport_assignment *assignment, void *context) {
    *(unsigned *)context += assignment->port;
    return 0;
}

static void *all_of_it(void *seed) {
    unsigned turn = (unsigned)(uintptr_t)seed * 7919, sum = 0;
    uint16_t port;
    for (; now_us() < until_us; turn++) {
        struct freeport *fp = handles[turn / 5 % 2];
        switch (turn % 5) {
        case 0:
            bind_one(fp, SOCK_STREAM, 0);
            break;
        case 1:
            bind_one(fp, SOCK_DGRAM, 0);
            break;
        case 2:
            bind_one(fp, SOCK_STREAM, (uint16_t)(SENTINEL + turn % 3));
            break;
        case 3:
            reserve_one(fp);
            break;
        default:
            check(freeport_lookup(fp, FREEPORT_TCP, (uint16_t)(SENTINEL + turn % 3), &port));
            if (turn % 50 == 4)
                check(freeport_each(fp, visit, &sum));
        }
    }
    return NULL;
}

int main(void) {
    torture_start();
    for (unsigned i = 0; i < 2; i++) {
        struct freeport_config config = {.name = i == 0 ? "one" : "other",
                                         .tcp = getenv("FREEPORT_TCP"),
                                         .udp = getenv("FREEPORT_TCP"),
                                         .session = "torture",
                                         .segment = getenv("FREEPORT_SEGMENT")};
        int error = freeport_open(&handles[i], &config);
        if (error != 0)
            die("freeport_open: %s", freeport_strerror(error));
    }
    until_us = now_us() + (full ? 60 : 4) * 1000000;
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, all_of_it, (void *)i) != 0)
            die("no threads to be had");
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct tally tally = {.what = "lock and table under ThreadSanitizer", .times = calls};
    tally.lost = failures;
    tally.twice = twice;
    note(&tally, "%d threads, no suppression", THREADS);
    if (failures > 0)
        note(&tally, "the last failure: %s", freeport_strerror(failure));
    return tally_print(&tally) ? 0 : 1;
}
