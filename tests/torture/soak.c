/* SPDX-License-Identifier: MIT */
/*
 * soak: 64 processes that allocate ports, hold them, close them, look for a free one and bind it by its number, fork,
 * and are killed at random; for half a minute, or ten. Their sockets set SO_REUSEADDR, SO_REUSEPORT or neither, and are
 * bound to one address or another, so that the kernel would let two of them have one port.
 *
 * An observer that never heard of freeport reads the kernel's socket tables all the while: one port with two sockets is
 * a port assigned twice. At the end each port has to be assignable, and the segment has to be as large as it was.
 */
#include "torture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 64, MOST_HELD = 6, GIVEN = 4, SOON_US = 50000, LOCK_WAIT_US = 250000 };

static struct {
    _Atomic unsigned binds, rebinds, stolen, slept, failed, forks, kills, looks, twice;
    _Atomic int64_t slowest_us;
    _Atomic int error, over;
    _Atomic unsigned shown;
    struct {
        _Atomic uint64_t inodes[GIVEN]; /* of the last sockets that were given that port */
        _Atomic unsigned count;
    } given[2][MOST_PORTS];
    struct haul haul;
} * board;

/* A worker. */

struct held {
    int fds[MOST_HELD];
    unsigned count;
};

static const struct {
    int family, type;
    const char *address;
} kinds[] = {
    {AF_INET, SOCK_STREAM, "127.0.0.1"}, {AF_INET, SOCK_STREAM, "127.0.0.2"}, {AF_INET, SOCK_STREAM, "0.0.0.0"},
    {AF_INET6, SOCK_STREAM, "::1"},      {AF_INET, SOCK_DGRAM, "127.0.0.1"},  {AF_INET, SOCK_DGRAM, "127.0.0.2"},
    {AF_INET6, SOCK_DGRAM, "::1"},       {AF_INET6, SOCK_STREAM, "::"},       {AF_INET6, SOCK_DGRAM, "::"},
};
/* On all addresses of both families: nobody else can be beside it. */
enum { WIDE_STREAM = 7, WIDE_DATAGRAM = 8 };

static socklen_t address_of(struct sockaddr_storage *address, unsigned kind, in_port_t port) {
    memset(address, 0, sizeof *address);
    if (kinds[kind].family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        inet_pton(AF_INET6, kinds[kind].address, &in6->sin6_addr);
        return sizeof *in6;
    }
    struct sockaddr_in *in4 = (struct sockaddr_in *)address;
    in4->sin_family = AF_INET;
    in4->sin_port = port;
    inet_pton(AF_INET, kinds[kind].address, &in4->sin_addr);
    return sizeof *in4;
}

static void failed(int error) {
    atomic_fetch_add(&board->failed, 1);
    atomic_store(&board->error, error);
}

static void took(int64_t us) {
    int64_t slowest = atomic_load(&board->slowest_us);
    while (us > slowest && !atomic_compare_exchange_weak(&board->slowest_us, &slowest, us)) {
    }
}

/* Tells the observer whose port it is. */
static void given(int fd, int type, in_port_t port) {
    unsigned place = ntohs(port) - (unsigned)range_first;
    struct stat st;
    if (place >= range_count || fstat(fd, &st) != 0)
        return;
    unsigned protocol = type == SOCK_STREAM ? 0 : 1;
    unsigned at = atomic_fetch_add(&board->given[protocol][place].count, 1) % GIVEN;
    atomic_store(&board->given[protocol][place].inodes[at], st.st_ino);
}

/* A listening socket, or a bound one for datagrams, as the observer can see them; -errno. */
static int serve(unsigned kind, in_port_t *port, int flag) {
    struct sockaddr_storage address;
    socklen_t length = address_of(&address, kind, *port);
    int on = 1, fd = socket(kinds[kind].family, kinds[kind].type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (flag)
        setsockopt(fd, SOL_SOCKET, flag, &on, sizeof on);
    struct clock start = clock_start();
    int result = bind(fd, (struct sockaddr *)&address, length);
    took(clock_us(&start));
    if (result != 0 || (kinds[kind].type == SOCK_STREAM && listen(fd, 1) != 0) ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    *port = ((struct sockaddr_in *)&address)->sin_port; /* at the same place in both families */
    given(fd, kinds[kind].type, *port);
    return fd;
}

static const int flags[] = {0, SO_REUSEADDR, SO_REUSEPORT};

static void allocate(struct held *held) {
    in_port_t port = 0;
    if (held->count == MOST_HELD)
        return;
    int fd = serve(chance(sizeof kinds / sizeof kinds[0]), &port, flags[chance(3)]);
    if (fd < 0) {
        failed(-fd);
        return;
    }
    held->fds[held->count++] = fd;
    atomic_fetch_add(&board->binds, 1);
}

static void let_go(struct held *held) {
    if (held->count == 0)
        return;
    unsigned at = chance(held->count);
    close(held->fds[at]);
    held->fds[at] = held->fds[--held->count];
}

static unsigned assignments(void) {
    return atomic_load(&board->binds) + atomic_load(&board->rebinds);
}

/*
 * The common helper: bind 0, close, and that number again a moment later. What is bound by its number is the kernel's
 * to refuse, not freeport's: on every address, or somebody else who got it meanwhile could be on another one.
 */
static void find_and_rebind(struct held *held) {
    in_port_t port = 0;
    unsigned kind = chance(2) ? WIDE_STREAM : WIDE_DATAGRAM;
    if (held->count == MOST_HELD)
        return;
    int fd = serve(kind, &port, 0);
    if (fd < 0) {
        failed(-fd);
        return;
    }
    close(fd);
    unsigned before = assignments();
    pause_us((long)chance(5000));
    fd = serve(kind, &port, 0);
    bool a_moment_ago = assignments() - before < range_count / 4;
    atomic_fetch_add(&board->rebinds, 1);
    if (fd == -EADDRINUSE)
        atomic_fetch_add(a_moment_ago ? &board->stolen : &board->slept, 1);
    else if (fd < 0)
        failed(-fd);
    else
        held->fds[held->count++] = fd;
}

static void work(struct held *held, unsigned steps);

/* A child that has all that its parent has, keeps it while the parent may be gone, and takes more. */
static void fork_child(struct held *held) {
    static pid_t last;
    if (last > 0 && kill(last, 0) == 0)
        return; /* one at a time */
    last = fork();
    if (last < 0)
        failed(errno);
    if (last != 0) {
        atomic_fetch_add(&board->forks, 1);
        return;
    }
    prctl(PR_SET_PDEATHSIG, 0);
    work(held, 3 + chance(5));
    pause_us((long)chance(20000));
    _exit(0);
}

static void work(struct held *held, unsigned steps) {
    for (unsigned i = 0; i < steps && !atomic_load(&board->over); i++) {
        switch (chance(8)) {
        case 0:
        case 1:
        case 2:
            allocate(held);
            break;
        case 3:
        case 4:
            let_go(held);
            break;
        case 5:
            find_and_rebind(held);
            break;
        case 6:
            pause_us((long)chance(5000));
            break;
        default:
            if (steps > 100) /* a worker; its children have none of their own */
                fork_child(held);
        }
    }
}

static void worker(void *seed) {
    signal(SIGCHLD, SIG_IGN);
    chance_start((unsigned)(uintptr_t)seed);
    setpriority(PRIO_PROCESS, 0, 0);
    struct held held = {.count = 0};
    work(&held, 1000000);
}

/* The observer. */

struct seen {
    uint64_t inode;
    uint64_t port; /* and the protocol above it */
};

struct sight {
    struct seen *sockets;
    unsigned count, room;
};

/* "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …" */
static void look_at(struct sight *sight, const char *path, unsigned protocol) {
    FILE *file = fopen(path, "re");
    char line[512];
    while (file && fgets(line, sizeof line, file)) {
        unsigned port, state;
        unsigned long inode;
        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu", &port, &state, &inode) != 3 ||
            inode == 0 || port < range_first || port >= range_first + range_count)
            continue;
        if (sight->count == sight->room) {
            sight->room = sight->room ? sight->room * 2 : 1024;
            sight->sockets = realloc(sight->sockets, sight->room * sizeof *sight->sockets);
            if (!sight->sockets)
                die("no memory");
        }
        sight->sockets[sight->count++] = (struct seen){inode, port | protocol << 16};
    }
    if (file)
        fclose(file);
}

static int by_port(const void *a, const void *b) {
    const struct seen *x = a, *y = b;
    if (x->port != y->port)
        return x->port < y->port ? -1 : 1;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static void look(struct sight *sight) {
    sight->count = 0;
    look_at(sight, "/proc/net/tcp", 0);
    look_at(sight, "/proc/net/tcp6", 0);
    look_at(sight, "/proc/net/udp", 1);
    look_at(sight, "/proc/net/udp6", 1);
    qsort(sight->sockets, sight->count, sizeof *sight->sockets, by_port);
}

static bool was_seen(const struct sight *sight, const struct seen *socket) {
    return sight->count && bsearch(socket, sight->sockets, sight->count, sizeof *sight->sockets, by_port) != NULL;
}

/* Not so a socket that joins another for a moment, in the middle of a UDP bind with SO_REUSEPORT. */
static bool was_given(const struct seen *socket) {
    unsigned place = (unsigned)(socket->port & 0xffff) - range_first;
    for (unsigned i = 0; i < GIVEN; i++)
        if (atomic_load(&board->given[socket->port >> 16][place].inodes[i]) == socket->inode)
            return true;
    return false;
}

/*
 * The tables are read one after the other, while the world goes on: a port that one socket had and then another reads
 * as if both had it. Two sockets that both stood in two looks had it at once.
 */
static void compare(const struct sight *before, const struct sight *now) {
    for (unsigned i = 1; i < now->count; i++) {
        const struct seen *a = &now->sockets[i - 1], *b = &now->sockets[i];
        if (a->port == b->port && a->inode != b->inode && was_seen(before, a) && was_seen(before, b) && was_given(a) &&
            was_given(b))
            atomic_fetch_add(&board->twice, 1);
    }
}

static void observe(void *ignored) {
    (void)ignored;
    struct sight sights[2] = {{0}};
    for (unsigned turn = 0; !atomic_load(&board->over); turn = !turn) {
        look(&sights[turn]);
        compare(&sights[!turn], &sights[turn]);
        unsigned most = atomic_load(&board->shown);
        if (sights[turn].count > most)
            atomic_store(&board->shown, sights[turn].count);
        atomic_fetch_add(&board->looks, 1);
        pause_us(1000);
    }
}

/* An observer that sees nothing would be happy with everything: two sockets on one port are shown to it first. */
static void check_the_observer(void) {
    struct sight sights[2] = {{0}};
    int on = 1, fds[2];
    in_port_t port = htons(range_first);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = port, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
        setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        if (bind(fds[i], (struct sockaddr *)&address, sizeof address) != 0)
            die("two sockets on one port: %s", strerror(errno));
        given(fds[i], SOCK_DGRAM, port);
    }
    look(&sights[0]);
    look(&sights[1]);
    compare(&sights[0], &sights[1]);
    if (atomic_load(&board->twice) != 1)
        die("the observer does not see two sockets on one port");
    atomic_store(&board->twice, 0);
    close(fds[0]);
    close(fds[1]);
}

/* And the end. */

static void sweep(void *ignored) {
    (void)ignored;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    haul_take(&board->haul, SOCK_STREAM, range_count + 1);
    haul_take(&board->haul, SOCK_DGRAM, range_count + 1);
}

static struct stat segment_stat(void) {
    char path[300];
    struct stat st;
    snprintf(path, sizeof path, "/dev/shm%s", getenv("FREEPORT_SEGMENT"));
    if (stat(path, &st) != 0)
        die("%s: %s", path, strerror(errno));
    return st;
}

static pid_t workers[WORKERS];

static void start_worker(unsigned at) {
    workers[at] = child(worker, (void *)(uintptr_t)(chance(1u << 30) * 2 + 1));
}

/* Kills one at random every few milliseconds, wherever it is. */
static void rule(int64_t until_us) {
    while (now_us() < until_us) {
        pause_us((long)chance(10000));
        unsigned at = chance(WORKERS);
        end(workers[at]);
        atomic_fetch_add(&board->kills, 1);
        start_worker(at);
    }
}

/* Whoever has lost its parent comes to this process; all of them end by themselves. */
static void wait_for_all(void) {
    int status;
    for (int64_t until = now_us() + 20000000; now_us() < until; pause_us(1000)) {
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        }
        if (pid < 0)
            return;
    }
    die("some process never ended");
}

int main(void) {
    torture_start();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    board = shared_memory(sizeof *board);
    check_the_observer();
    struct stat before = segment_stat();
    struct tally tally = {.what = "64 processes at all of it, killed at random"};
    int64_t seconds = full ? 600 : slow > 1 ? 10 : 30;
    setpriority(PRIO_PROCESS, 0, -10); /* as far as it may: to kill and to look as often as it can */
    pid_t observer = child(observe, NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        start_worker(i);
    rule(now_us() + seconds * 1000000);
    atomic_store(&board->over, 1);
    for (unsigned i = 0; i < WORKERS; i++)
        end(workers[i]);
    reap(observer);
    wait_for_all();
    reap(child(sweep, NULL));
    struct stat after = segment_stat();
    tally.times = board->binds + board->rebinds;
    tally.lost = board->failed + board->stolen + haul_missing(&board->haul, SOCK_STREAM) +
                 haul_missing(&board->haul, SOCK_DGRAM) + (before.st_size != after.st_size) +
                 (before.st_blocks != after.st_blocks);
    tally.twice = board->twice + haul_twice(&board->haul);
    tally_time(&tally, board->slowest_us);
    note(&tally, "%u killed, %u forked, %u looks at up to %u sockets, %u stolen, %u failed%s%s", board->kills,
         board->forks, board->looks, board->shown, board->stolen, board->failed, board->error ? ": " : "",
         board->error ? strerror(board->error) : "");
    return tally_print(&tally) ? 0 : 1;
}
