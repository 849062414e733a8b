/* SPDX-License-Identifier: MIT */
#include "torture.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool full;
unsigned slow = 1;
uint16_t range_first;
unsigned range_count;

static uint64_t random_state;
static int (*libc_bind)(int fd, const struct sockaddr *address, socklen_t length);

static unsigned long number_of(const char *variable, unsigned long otherwise) {
    const char *value = getenv(variable);
    return value && *value ? strtoul(value, NULL, 10) : otherwise;
}

void torture_start(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    full = number_of("TORTURE_FULL", 0) != 0;
    slow = (unsigned)number_of("TORTURE_SLOW", 1);
    random_state = number_of("TORTURE_SEED", 1) * 2 + 1;
    const char *range = getenv("FREEPORT_TCP");
    unsigned first, last;
    if (!range || sscanf(range, "%u-%u", &first, &last) != 2 || last < first || last - first >= MOST_PORTS)
        die("FREEPORT_TCP: one FROM-TO of at most %u ports is needed; see tests/torture/run", MOST_PORTS);
    range_first = (uint16_t)first;
    range_count = last - first + 1;
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    void *address = libc ? dlsym(libc, "bind") : NULL;
    if (!address)
        die("libc's own bind can't be found");
    memcpy(&libc_bind, &address, sizeof address);
}

void chance_start(unsigned seed) {
    random_state = (uint64_t)seed * 2 + 1;
}

unsigned chance(unsigned limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % limit);
}

int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* "running waiting slices", in nanoseconds. */
static int64_t queued_us(void) {
    char text[128];
    long long waiting = 0;
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = 0;
    return sscanf(text, "%*d %lld", &waiting) == 1 ? waiting / 1000 : 0;
}

/* Both at one moment: where this thread had to wait between the two readings, once more. */
struct clock clock_start(void) {
    struct clock now = {0};
    int64_t before = -1;
    for (unsigned tries = 0; tries < 100 && before != now.queued_us; tries++) {
        before = queued_us();
        now.us = now_us();
        now.queued_us = queued_us();
    }
    return now;
}

int64_t clock_us(const struct clock *start) {
    struct clock now = clock_start();
    int64_t us = (now.us - start->us) - (now.queued_us - start->queued_us);
    return us > 0 ? us : 0;
}

void pause_us(long us) {
    struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

void pause_for_ever(void) {
    for (;;)
        pause();
}

void die(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("torture: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(2);
}

void tally_time(struct tally *tally, int64_t us) {
    if (us > tally->slowest_us)
        tally->slowest_us = us;
}

void note(struct tally *tally, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(tally->note, sizeof tally->note, format, list);
    va_end(list);
}

bool tally_print(const struct tally *tally) {
    printf("%-58s %9lu %6lu %6lu %10.2f  %s\n", tally->what, tally->times, tally->lost, tally->twice,
           (double)tally->slowest_us / 1000, tally->note);
    return tally->times > 0 && tally->lost == 0 && tally->twice == 0;
}

void *shared_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("no memory: %s", strerror(errno));
    return memory;
}

bool comes_about(_Atomic int *what) {
    for (int64_t until = now_us() + 10000000; now_us() < until; pause_us(200))
        if (atomic_load(what) != 0)
            return true;
    return false;
}

pid_t child(void (*body)(void *), void *context) {
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        body(context);
        _exit(0);
    }
    return pid;
}

int reap(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) != pid)
        if (errno != EINTR)
            die("waitpid %d: %s", (int)pid, strerror(errno));
    return status;
}

void end(pid_t pid) {
    kill(pid, SIGKILL);
    reap(pid);
}

static int bound(int (*bind_call)(int, const struct sockaddr *, socklen_t), int type, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind_call(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

int take(int type, uint16_t port) {
    return bound(bind, type, port);
}

int take_as_stranger(int type, uint16_t port) {
    return bound(libc_bind, type, port);
}

uint16_t port_of(int fd) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &length) == 0 ? ntohs(address.sin_port) : 0;
}

void haul_note(struct haul *haul, int type, int port_or_error) {
    unsigned protocol = type == SOCK_STREAM ? 0 : 1;
    int place = port_or_error - range_first;
    if (port_or_error < 0 || place < 0 || place >= (int)range_count) {
        if (haul->error == 0)
            haul->error = port_or_error < 0 ? port_or_error : -ERANGE; /* a port that is not of the range */
        return;
    }
    haul->got[protocol][place]++;
    haul->count[protocol]++;
}

void haul_take(struct haul *haul, int type, unsigned most) {
    for (unsigned i = 0; i < most; i++) {
        int fd = take(type, 0);
        if (fd == -EADDRINUSE)
            return;
        haul_note(haul, type, fd < 0 ? fd : port_of(fd));
        if (fd < 0)
            return;
    }
}

unsigned haul_twice(const struct haul *haul) {
    unsigned twice = 0;
    for (unsigned protocol = 0; protocol < 2; protocol++)
        for (unsigned i = 0; i < range_count; i++)
            twice += haul->got[protocol][i] > 1;
    return twice;
}

unsigned haul_missing(const struct haul *haul, int type) {
    unsigned missing = 0;
    for (unsigned i = 0; i < range_count; i++)
        missing += haul->got[type == SOCK_STREAM ? 0 : 1][i] == 0;
    return missing;
}

struct fp_segment *segment_map(void) {
    const char *name = getenv("FREEPORT_SEGMENT");
    int fd = name ? shm_open(name, O_RDWR, 0) : -1;
    void *memory =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct fp_segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        die("FREEPORT_SEGMENT %s can't be mapped: is the shim loaded?", name ? name : "is not set");
    close(fd);
    return memory;
}

pid_t segment_lock_holder(const struct fp_segment *segment) {
    return fp_owner_pid(atomic_load(&segment->lock.holder));
}

bool segment_lock(struct fp_segment *segment) {
    fp_owner nobody = 0, self = fp_owner_self();
    while (!atomic_compare_exchange_strong(&segment->lock.holder, &nobody, self)) {
        if (!fp_owner_gone_quick(nobody))
            return false;
        nobody = 0;
    }
    return true;
}

void segment_unlock(struct fp_segment *segment) {
    fp_owner self = fp_owner_self();
    atomic_compare_exchange_strong(&segment->lock.holder, &self, 0);
}
