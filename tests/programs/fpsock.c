/* SPDX-License-Identifier: MIT */
/*
 * fpsock WORD...: socket calls in the order of the words, for tests to watch what a program sees.
 *
 *     $ fpsock tcp4 reuseaddr bind 127.0.0.1 0 name
 *     ok
 *     127.0.0.1 30000
 *
 * Words that only prepare something (a socket, an option, a process) are silent unless they fail; the others print a
 * line each: `ok`, a value, or the name of an errno. All of them are in the table at the end, and in runner.c.
 *
 * Each call is watched: errno has to stay as it was on success; an address that is handed in stands in read-only memory
 * and ends where the next page can't be read; room for one that comes back ends there too, and nothing before it may
 * change.
 */
#include "filter.h"
#include "runner.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { MOST_AT_ONCE = 64, BACKLOG = 16 };

/* Sockets */

/* Raw, with the protocol number of TCP: all but a TCP socket. */
static void open_raw4(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
}

static void open_icmp4(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static void open_unix(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_UNIX, SOCK_STREAM, 0));
}

static void open_netlink(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}

/* Sends the socket to itself, as one process does to another. */
static void pass(struct runner *runner, char **arguments) {
    (void)arguments;
    int pair[2], fd = current(runner);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || !send_descriptor(pair[0], fd) || close(fd) != 0 ||
        (fd = receive_descriptor(pair[1])) < 0)
        die("pass");
    close(pair[0]);
    close(pair[1]);
    adopt(runner, fd);
}

/* Options */

static void set_reuseport(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, SOL_SOCKET, SO_REUSEPORT, 1);
}

static void set_v6only(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, IPPROTO_IPV6, IPV6_V6ONLY, 1);
}

static void set_noport(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
}

static void get_option(struct runner *runner, char **arguments) {
    static const struct {
        const char *name;
        int level, number;
    } options[] = {
        {"reuseaddr", SOL_SOCKET, SO_REUSEADDR},
        {"reuseport", SOL_SOCKET, SO_REUSEPORT},
        {"noport", IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        int value = -1;
        socklen_t length = sizeof value;
        if (strcmp(arguments[0], options[i].name) != 0)
            continue;
        if (getsockopt(current(runner), options[i].level, options[i].number, &value, &length) != 0)
            say("%s", error_name(errno));
        else
            say("%d", value);
        return;
    }
    misused("'%s': expected reuseaddr, reuseport or noport", arguments[0]);
}

/* bind */

/* Binds the first `readable` bytes of an address, and says that it has `length`. */
static void bind_bytes(struct runner *runner, const struct sockaddr_storage *address, size_t readable,
                       socklen_t length) {
    struct memory memory;
    const struct sockaddr *at = memory_copy(&memory, address, readable);
    errno = MARKER;
    say_result(bind(current(runner), at, length), 0);
    memory_free(&memory);
}

static void bind_address(struct runner *runner, char **arguments) {
    struct sockaddr_storage address;
    socklen_t length = parse_address(&address, arguments[0], arguments[1]);
    bind_bytes(runner, &address, length, length);
}

static void bind_length(struct runner *runner, char **arguments) {
    struct {
        struct sockaddr_storage address;
        char beyond[256]; /* longer than any address may be */
    } long_one = {0};
    parse_address(&long_one.address, arguments[0], arguments[1]);
    size_t length = (size_t)number(arguments[2]);
    if (length > sizeof long_one)
        length = sizeof long_one;
    bind_bytes(runner, &long_one.address, length, (socklen_t)length);
}

/* A length that reaches farther than the memory. */
static void bind_cut(struct runner *runner, char **arguments) {
    struct sockaddr_storage address;
    socklen_t length = parse_address(&address, arguments[0], arguments[1]);
    bind_bytes(runner, &address, length, (socklen_t)number(arguments[2]));
}

static void bind_unspec(struct runner *runner, char **arguments) {
    struct sockaddr_storage address;
    socklen_t length = parse_address(&address, arguments[0], arguments[1]);
    address.ss_family = AF_UNSPEC;
    bind_bytes(runner, &address, length, length);
}

static void bind_null(struct runner *runner, char **arguments) {
    (void)arguments;
    /* Through a variable, or the compiler warns. */
    const struct sockaddr *volatile nothing = NULL;
    errno = MARKER;
    say_result(bind(current(runner), nothing, sizeof(struct sockaddr_in)), 0);
}

/* An address in memory that is there, and can't be read. */
static void bind_unreadable(struct runner *runner, char **arguments) {
    (void)arguments;
    struct memory memory;
    const void *beyond = (const char *)memory_make(&memory, 1) + 1;
    errno = MARKER;
    say_result(bind(current(runner), beyond, 16), 0);
    memory_free(&memory);
}

static void bind_by_number(struct runner *runner, char **arguments) {
    struct sockaddr_storage address;
    socklen_t length = parse_address(&address, arguments[0], arguments[1]);
    struct memory memory;
    const struct sockaddr *at = memory_copy(&memory, &address, length);
    errno = MARKER;
    say_result(syscall(SYS_bind, current(runner), at, length), 0);
    memory_free(&memory);
}

static void bind_path(struct runner *runner, char **arguments) {
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    struct sockaddr_un *path = (struct sockaddr_un *)&address;
    snprintf(path->sun_path, sizeof path->sun_path, "%s", arguments[0]);
    bind_bytes(runner, &address, sizeof *path, sizeof *path);
}

static void bind_netlink(struct runner *runner, char **arguments) {
    (void)arguments;
    struct sockaddr_storage address = {.ss_family = AF_NETLINK};
    bind_bytes(runner, &address, sizeof(struct sockaddr_nl), sizeof(struct sockaddr_nl));
}

static void bind_reserved(struct runner *runner, char **arguments) {
    (void)arguments;
    errno = MARKER;
    if (bindresvport(current(runner), NULL) != 0)
        say("%s", error_name(errno));
    else
        say("ok");
}

/* getsockname */

static void name_with(struct runner *runner, bool by_number, socklen_t room) {
    struct memory memory;
    void *at = memory_make(&memory, room);
    socklen_t length = room;
    char text[MOST_TEXT];
    errno = MARKER;
    long result =
        by_number ? syscall(SYS_getsockname, current(runner), at, &length) : getsockname(current(runner), at, &length);
    int error = errno;
    describe(text, at, (int)room, length);
    if (!memory_untouched(&memory, room, result < 0 ? 0 : length))
        say("wrote around the address");
    if (result < 0)
        say("%s", error_name(error));
    else if (error != MARKER)
        say("ok, but errno became %s", error_name(error));
    else
        say("%s", text + 1);
    memory_free(&memory);
}

static void name(struct runner *runner, char **arguments) {
    (void)arguments;
    name_with(runner, false, sizeof(struct sockaddr_storage));
}

static void name_by_number(struct runner *runner, char **arguments) {
    (void)arguments;
    name_with(runner, true, sizeof(struct sockaddr_storage));
}

static void name_short(struct runner *runner, char **arguments) {
    name_with(runner, false, (socklen_t)number(arguments[0]));
}

static void name_null(struct runner *runner, char **arguments) {
    (void)arguments;
    struct sockaddr *volatile nothing = NULL;
    socklen_t *volatile no_length = NULL;
    errno = MARKER;
    say_result(getsockname(current(runner), nothing, no_length), 0);
}

/* Servers */

static void listen_here(struct runner *runner, char **arguments) {
    (void)arguments;
    errno = MARKER;
    say_result(listen(current(runner), BACKLOG), 0);
}

static void listen_by_number(struct runner *runner, char **arguments) {
    (void)arguments;
    errno = MARKER;
    say_result(syscall(SYS_listen, current(runner), BACKLOG), 0);
}

static void accept_one(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, accept(current(runner), NULL, NULL));
}

/* Until the peer has closed. */
static void drain(struct runner *runner, char **arguments) {
    (void)arguments;
    char bytes[256];
    while (read(current(runner), bytes, sizeof bytes) > 0) {
    }
}

static void shut(struct runner *runner, char **arguments) {
    (void)arguments;
    errno = MARKER;
    say_result(shutdown(current(runner), SHUT_WR), 0);
}

/* The process */

static void close_descriptor(struct runner *runner, char **arguments) {
    (void)runner;
    close((int)number(arguments[0]));
}

/* The socket gets one more number, whatever that was before. */
static void copy_to(struct runner *runner, char **arguments) {
    if (dup2(current(runner), (int)number(arguments[0])) < 0)
        die("copyto");
}

static void open_file(struct runner *runner, char **arguments) {
    (void)runner;
    int fd = open(arguments[1], O_RDWR | O_CREAT, 0666), wanted = (int)number(arguments[0]);
    if (fd < 0 || (fd != wanted && (dup2(fd, wanted) < 0 || close(fd) != 0)))
        die(arguments[1]);
}

/* From here on no descriptor can be had. */
static void use_up_descriptors(struct runner *runner, char **arguments) {
    (void)runner;
    (void)arguments;
    int next = dup(STDOUT_FILENO);
    struct rlimit limit;
    if (next < 0 || close(next) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("nofds");
    limit.rlim_cur = (rlim_t)next;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("nofds");
}

static void free_descriptors(struct runner *runner, char **arguments) {
    (void)runner;
    (void)arguments;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("fds");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("fds");
}

static void change_directory(struct runner *runner, char **arguments) {
    (void)runner;
    if (chdir(arguments[0]) != 0)
        die(arguments[0]);
}

static void change_root(struct runner *runner, char **arguments) {
    (void)runner;
    if (chroot(arguments[0]) != 0 || chdir("/") != 0)
        die(arguments[0]);
}

static void change_user(struct runner *runner, char **arguments) {
    (void)runner;
    uid_t user = (uid_t)number(arguments[0]);
    if (setgroups(0, NULL) != 0 || setgid(user) != 0 || setuid(user) != 0)
        die("user");
}

static void filter(struct runner *runner, char **arguments) {
    (void)runner;
    filter_calls(arguments[0]);
}

/* At once: everybody starts at the same moment, and nobody ends before the last one is through. */

struct crowd {
    pthread_barrier_t start, end;
    struct runner runners[MOST_AT_ONCE];
};

static struct crowd *gather(const struct runner *runner, unsigned count, bool processes) {
    struct crowd *crowd = mmap(NULL, sizeof *crowd, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;
    if (crowd == MAP_FAILED || count < 1 || count > MOST_AT_ONCE)
        die("crowd");
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, processes ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE);
    pthread_barrier_init(&crowd->start, &shared, count);
    pthread_barrier_init(&crowd->end, &shared, count);
    for (unsigned i = 0; i < count; i++)
        crowd->runners[i] = *runner;
    return crowd;
}

static void run_in_crowd(struct crowd *crowd, struct runner *runner) {
    pthread_barrier_wait(&crowd->start);
    run_words(runner);
    pthread_barrier_wait(&crowd->end);
}

struct place {
    struct crowd *crowd;
    unsigned number;
};

static void *thread(void *context) {
    struct place *place = context;
    run_in_crowd(place->crowd, &place->crowd->runners[place->number]);
    return NULL;
}

static void run_threads(struct runner *runner, char **arguments) {
    unsigned count = (unsigned)number(arguments[0]);
    struct crowd *crowd = gather(runner, count, false);
    pthread_t threads[MOST_AT_ONCE];
    struct place places[MOST_AT_ONCE];
    for (unsigned i = 0; i < count; i++) {
        places[i] = (struct place){crowd, i};
        if ((errno = pthread_create(&threads[i], NULL, thread, &places[i])) != 0)
            die("thread");
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    exit(0);
}

static void run_processes(struct runner *runner, char **arguments) {
    unsigned count = (unsigned)number(arguments[0]);
    struct crowd *crowd = gather(runner, count, true);
    int status, worst = 0;
    for (unsigned i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (child == 0) {
            run_in_crowd(crowd, &crowd->runners[i]);
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        worst |= status;
    exit(worst ? 1 : 0);
}

/* Waiting for the test */

/* Says that it is there, and goes on when standard input ends. */
static void hold(struct runner *runner, char **arguments) {
    (void)runner;
    (void)arguments;
    char bytes[256];
    say("hold");
    while (read(STDIN_FILENO, bytes, sizeof bytes) > 0) {
    }
}

/* Says that it is there, and stays until it is killed. */
static void stay(struct runner *runner, char **arguments) {
    (void)runner;
    (void)arguments;
    say("stay");
    for (;;)
        pause();
}

const struct word own_words[] = {
    /* Sockets. Each becomes the current one */
    {"raw4", 0, open_raw4},
    {"icmp4", 0, open_icmp4},
    {"unix", 0, open_unix},
    {"netlink", 0, open_netlink},
    {"pass", 0, pass}, /* through SCM_RIGHTS */
    {"accept", 0, accept_one},

    /* Options: on, and what they are */
    {"reuseport", 0, set_reuseport},
    {"v6only", 0, set_v6only},
    {"noport", 0, set_noport},
    {"get", 1, get_option},

    /* Binding */
    {"bind", 2, bind_address},          /* ADDRESS PORT */
    {"bindlen", 3, bind_length},        /* ADDRESS PORT LENGTH */
    {"bindcut", 3, bind_cut},           /* the same, with less memory than LENGTH */
    {"bindunspec", 2, bind_unspec},     /* ADDRESS PORT, family AF_UNSPEC */
    {"bindnull", 0, bind_null},         /* NULL */
    {"bindbad", 0, bind_unreadable},    /* an address that can't be read */
    {"bindsys", 2, bind_by_number},     /* through syscall(2) */
    {"bindpath", 1, bind_path},         /* AF_UNIX */
    {"bindnetlink", 0, bind_netlink},   /* netlink, port id 0 */
    {"bindresvport", 0, bind_reserved}, /* libc's function of that name */
    {"listen", 0, listen_here},
    {"listensys", 0, listen_by_number},
    {"shut", 0, shut},   /* for writing */
    {"drain", 0, drain}, /* read until the peer closes */

    /* Names: ADDRESS PORT */
    {"name", 0, name},
    {"namesys", 0, name_by_number},
    {"nameshort", 1, name_short}, /* LENGTH: "N bytes of M, port P" where it is too short */
    {"namenull", 0, name_null},

    /* The process */
    {"closefd", 1, close_descriptor},
    {"copyto", 1, copy_to},   /* DESCRIPTOR becomes the current socket, too */
    {"openfd", 2, open_file}, /* DESCRIPTOR FILE */
    {"nofds", 0, use_up_descriptors},
    {"fds", 0, free_descriptors},
    {"chdir", 1, change_directory},
    {"chroot", 1, change_root},
    {"user", 1, change_user},
    {"filter", 1, filter},           /* RULES for system calls, as filter.h has them */
    {"threads", 1, run_threads},     /* N times the rest of the words */
    {"processes", 1, run_processes}, /* the same */

    /* Waiting */
    {"hold", 0, hold},
    {"stay", 0, stay},
    {NULL, 0, NULL},
};
