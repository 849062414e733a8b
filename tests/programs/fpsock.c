/* SPDX-License-Identifier: MIT */
/*
 * fpsock WORD...: socket calls in the order of the words, for tests to watch what a program sees.
 *
 *     $ fpsock tcp4 reuseaddr bind 127.0.0.1 0 name
 *     ok
 *     127.0.0.1 30000
 *
 * Words that only prepare something (a socket, an option, a process) are silent unless they fail; the others print a
 * line each: `ok`, a value, or the name of an errno. All of them are in the table at the end.
 *
 * Each call is watched: errno has to stay as it was on success; an address that is handed in stands in read-only memory
 * and ends where the next page can't be read; room for one that comes back ends there too, and nothing before it may
 * change.
 */
#include "filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum {
    MARKER = EL3RST, /* what errno is before each call; no socket call fails with it */
    CANARY = 0xa5,   /* fills the room before an address */
    MOST_SOCKETS = 16,
    MOST_AT_ONCE = 64,
    BACKLOG = 16,
};

/* One sequence of words under way. Each thread and process has its own. */
struct runner {
    char **words;
    int sockets[MOST_SOCKETS];
    unsigned count, current;
    unsigned char *page; /* the one behind it can't be read */
    bool joined;         /* the word `join` ends a forked part */
};

struct word {
    const char *name;
    unsigned arguments;
    void (*run)(struct runner *runner, char **arguments);
};

static void run_words(struct runner *runner);

__attribute__((noreturn)) static void die(const char *what) {
    fprintf(stderr, "fpsock: %s: %s\n", what, strerror(errno));
    exit(2);
}

static long number(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end) {
        fprintf(stderr, "fpsock: '%s': expected a number\n", text);
        exit(2);
    }
    return value;
}

/* One write a line: threads and processes share standard output. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    char line[512];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    line[length++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        exit(2);
}

static const char *error_name(int error) {
    const char *name = strerrorname_np(error);
    return name ? name : "an unknown error";
}

/* The line of a call that was made with errno at MARKER. */
static void say_result(long result) {
    int error = errno;
    if (result < 0)
        say("%s", error_name(error));
    else if (error != MARKER)
        say("ok, but errno became %s", error_name(error));
    else
        say("ok");
}

/* Memory */

static size_t page_size(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void make_page(struct runner *runner) {
    size_t size = page_size();
    runner->page = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (runner->page == MAP_FAILED || mprotect(runner->page + size, size, PROT_NONE) != 0)
        die("mmap");
}

static void protect(struct runner *runner, int protection) {
    if (mprotect(runner->page, page_size(), protection) != 0)
        die("mprotect");
}

/* Room for `length` bytes that ends with the page. */
static void *room(struct runner *runner, size_t length) {
    protect(runner, PROT_READ | PROT_WRITE);
    memset(runner->page, CANARY, page_size());
    return runner->page + page_size() - length;
}

/* The first `length` bytes of an address, read-only. */
static const struct sockaddr *guarded(struct runner *runner, const struct sockaddr_storage *address, size_t length) {
    void *at = room(runner, length);
    memcpy(at, address, length);
    protect(runner, PROT_READ);
    return at;
}

/* Whether nothing but the `length` bytes at the end was written. */
static bool only_room_written(const struct runner *runner, size_t length) {
    for (size_t i = 0; i < page_size() - length; i++)
        if (runner->page[i] != CANARY)
            return false;
    return true;
}

/* Sockets */

static int current(const struct runner *runner) {
    return runner->count > 0 ? runner->sockets[runner->current] : -1;
}

/* The socket becomes the current one; a failure is a line. */
static void adopt(struct runner *runner, int fd) {
    if (fd < 0) {
        say("%s", error_name(errno));
        return;
    }
    if (runner->count == MOST_SOCKETS) {
        errno = EMFILE;
        die("sockets");
    }
    runner->current = runner->count++;
    runner->sockets[runner->current] = fd;
}

static void open_tcp4(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_INET, SOCK_STREAM, 0));
}

static void open_tcp6(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_INET6, SOCK_STREAM, 0));
}

static void open_mptcp4(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP));
}

static void open_udp4(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_INET, SOCK_DGRAM, 0));
}

static void open_udp6(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_INET6, SOCK_DGRAM, 0));
}

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

static void use_socket(struct runner *runner, char **arguments) {
    runner->current = (unsigned)number(arguments[0]) % MOST_SOCKETS;
}

static void use_descriptor(struct runner *runner, char **arguments) {
    adopt(runner, (int)number(arguments[0]));
}

static void duplicate(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, dup(current(runner)));
}

static void close_socket(struct runner *runner, char **arguments) {
    (void)arguments;
    errno = MARKER;
    say_result(close(current(runner)));
}

/* Sends the socket to itself, as one process does to another. */
static void pass(struct runner *runner, char **arguments) {
    (void)arguments;
    int pair[2], fd = current(runner);
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || sendmsg(pair[0], &message, 0) != 1 || close(fd) != 0 ||
        recvmsg(pair[1], &message, 0) != 1)
        die("pass");
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    close(pair[0]);
    close(pair[1]);
    adopt(runner, fd);
}

/* Options */

struct option {
    const char *name;
    int level, number;
};

static const struct option *find_option(const char *name) {
    static const struct option options[] = {
        {"reuseaddr", SOL_SOCKET, SO_REUSEADDR},
        {"reuseport", SOL_SOCKET, SO_REUSEPORT},
        {"v6only", IPPROTO_IPV6, IPV6_V6ONLY},
        {"noport", IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strcmp(name, options[i].name) == 0)
            return &options[i];
    fprintf(stderr, "fpsock: '%s': expected reuseaddr, reuseport, v6only or noport\n", name);
    exit(2);
}

static void set_option(struct runner *runner, const char *name) {
    const struct option *option = find_option(name);
    int on = 1;
    if (setsockopt(current(runner), option->level, option->number, &on, sizeof on) != 0)
        say("%s", error_name(errno));
}

static void set_reuseaddr(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, "reuseaddr");
}

static void set_reuseport(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, "reuseport");
}

static void set_v6only(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, "v6only");
}

static void set_noport(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, "noport");
}

static void get_option(struct runner *runner, char **arguments) {
    const struct option *option = find_option(arguments[0]);
    int value = -1;
    socklen_t length = sizeof value;
    if (getsockopt(current(runner), option->level, option->number, &value, &length) != 0)
        say("%s", error_name(errno));
    else
        say("%d", value);
}

/* bind */

/* IPv4 or IPv6 by its form, in zeroed memory; returns its length. */
static socklen_t parse_address(struct sockaddr_storage *address, const char *text, const char *port) {
    struct sockaddr_in *in = (struct sockaddr_in *)address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof *address);
    in->sin_port = htons((uint16_t)number(port)); /* at the same place in both */
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        return sizeof *in;
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        return sizeof *in6;
    }
    fprintf(stderr, "fpsock: '%s': expected an address\n", text);
    exit(2);
}

/* Binds the first `readable` bytes of an address, and says that it has `length`. */
static void bind_bytes(struct runner *runner, const struct sockaddr_storage *address, size_t readable,
                       socklen_t length) {
    const struct sockaddr *at = guarded(runner, address, readable);
    errno = MARKER;
    say_result(bind(current(runner), at, length));
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
    say_result(bind(current(runner), nothing, sizeof(struct sockaddr_in)));
}

/* An address in memory that is there, and can't be read. */
static void bind_unreadable(struct runner *runner, char **arguments) {
    (void)arguments;
    errno = MARKER;
    say_result(bind(current(runner), (const struct sockaddr *)(runner->page + page_size()), 16));
}

static void bind_by_number(struct runner *runner, char **arguments) {
    struct sockaddr_storage address;
    socklen_t length = parse_address(&address, arguments[0], arguments[1]);
    const struct sockaddr *at = guarded(runner, &address, length);
    errno = MARKER;
    say_result(syscall(SYS_bind, current(runner), at, length));
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

static void say_address(const struct sockaddr_storage *address) {
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    if (address->ss_family == AF_INET && inet_ntop(AF_INET, &in->sin_addr, text, sizeof text))
        say("%s %u", text, ntohs(in->sin_port));
    else if (address->ss_family == AF_INET6 && inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text))
        say("%s %u", text, ntohs(in6->sin6_port));
    else
        say("family %u", address->ss_family);
}

static void name_with(struct runner *runner, bool by_number, socklen_t given) {
    struct sockaddr_storage address = {0};
    void *at = room(runner, given);
    socklen_t length = given;
    errno = MARKER;
    long result =
        by_number ? syscall(SYS_getsockname, current(runner), at, &length) : getsockname(current(runner), at, &length);
    int error = errno;
    socklen_t written = length < given ? length : given;
    if (!only_room_written(runner, given))
        say("wrote before the address");
    memcpy(&address, at, written);
    if (result != 0)
        say("%s", error_name(error));
    else if (error != MARKER)
        say("ok, but errno became %s", error_name(error));
    else if (length > given)
        say("%u bytes of %u, port %u", given, length,
            given >= 4 ? ntohs(((struct sockaddr_in *)&address)->sin_port) : 0);
    else
        say_address(&address);
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
    say_result(getsockname(current(runner), nothing, no_length));
}

/* Servers */

static void listen_here(struct runner *runner, char **arguments) {
    (void)arguments;
    errno = MARKER;
    say_result(listen(current(runner), BACKLOG));
}

static void listen_by_number(struct runner *runner, char **arguments) {
    (void)arguments;
    errno = MARKER;
    say_result(syscall(SYS_listen, current(runner), BACKLOG));
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
    say_result(shutdown(current(runner), SHUT_WR));
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

/* Runs a shell command in between, and waits for it; only a failure is a line. */
static void shell(struct runner *runner, char **arguments) {
    (void)runner;
    int status = system(arguments[0]);
    if (status != 0)
        say("exit %d", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* The words up to `join` (or the end) are the child's; then the parent goes on. */
static void skip_to_join(struct runner *runner) {
    while (*runner->words && strcmp(*runner->words, "join") != 0)
        runner->words++;
    if (*runner->words)
        runner->words++;
}

static void wait_for_child(struct runner *runner, pid_t child) {
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        die("fork");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        say("the child failed");
    skip_to_join(runner);
}

static void fork_child(struct runner *runner, char **arguments) {
    (void)arguments;
    pid_t child = fork();
    if (child == 0) {
        run_words(runner);
        exit(0);
    }
    wait_for_child(runner, child);
}

/* The child shares all memory with its parent, which stands still. */
static void vfork_child(struct runner *runner, char **arguments) {
    (void)arguments;
    struct runner before = *runner;
    pid_t child = vfork();
    if (child == 0) {
        run_words(runner);
        _exit(0);
    }
    *runner = before;
    wait_for_child(runner, child);
}

static void join(struct runner *runner, char **arguments) {
    (void)arguments;
    runner->joined = true;
}

/* This program once more, with the current socket as an inherited one, and the rest of the words. */
static void execute(struct runner *runner, char **arguments) {
    (void)arguments;
    char fd[16], *words[256] = {"fpsock", "fd", fd};
    size_t count = 3;
    snprintf(fd, sizeof fd, "%d", current(runner));
    for (char **word = runner->words; *word && count < 255; word++)
        words[count++] = *word;
    execv("/proc/self/exe", words);
    die("exec");
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
    make_page(runner);
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

static const struct word words[] = {
    /* Sockets. Each becomes the current one; `use N` goes back to number N, from 0 */
    {"tcp4", 0, open_tcp4},
    {"tcp6", 0, open_tcp6},
    {"mptcp4", 0, open_mptcp4},
    {"udp4", 0, open_udp4},
    {"udp6", 0, open_udp6},
    {"raw4", 0, open_raw4},
    {"icmp4", 0, open_icmp4},
    {"unix", 0, open_unix},
    {"netlink", 0, open_netlink},
    {"use", 1, use_socket},
    {"fd", 1, use_descriptor}, /* an inherited descriptor */
    {"dup", 0, duplicate},
    {"pass", 0, pass}, /* through SCM_RIGHTS */
    {"accept", 0, accept_one},
    {"close", 0, close_socket},

    /* Options: on, and what they are */
    {"reuseaddr", 0, set_reuseaddr},
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
    {"filter", 1, filter}, /* RULES for system calls, as filter.h has them */
    {"sh", 1, shell},
    {"fork", 0, fork_child},   /* WORDS [join WORDS] */
    {"vfork", 0, vfork_child}, /* the same */
    {"join", 0, join},
    {"exec", 0, execute},            /* the rest of the words */
    {"threads", 1, run_threads},     /* N times the rest of the words */
    {"processes", 1, run_processes}, /* the same */

    /* Waiting */
    {"hold", 0, hold},
    {"stay", 0, stay},
};

static const struct word *find_word(const char *name) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(name, words[i].name) == 0)
            return &words[i];
    fprintf(stderr, "fpsock: '%s': no such word\n", name);
    exit(2);
}

static void run_words(struct runner *runner) {
    runner->joined = false;
    while (*runner->words && !runner->joined) {
        const struct word *word = find_word(*runner->words++);
        char **arguments = runner->words;
        for (unsigned i = 0; i < word->arguments; i++, runner->words++) {
            if (!*runner->words) {
                fprintf(stderr, "fpsock: '%s': expected %u arguments\n", word->name, word->arguments);
                exit(2);
            }
        }
        word->run(runner, arguments);
    }
}

int main(int argc, char **argv) {
    struct runner runner = {.words = argv + 1};
    (void)argc;
    make_page(&runner);
    run_words(&runner);
    return 0;
}
