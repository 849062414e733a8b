/* SPDX-License-Identifier: MIT */
#include "runner.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

void die(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(2);
}

void misused(const char *format, ...) {
    va_list values;
    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(2);
}

long number(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end)
        misused("'%s': expected a number", text);
    return value;
}

void say(const char *format, ...) {
    char line[MOST_DATA + 512];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    line[length++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        exit(2);
}

const char *error_name(int error) {
    const char *name = strerrorname_np(error);
    return name ? name : "an unknown error";
}

void say_result(long result, long expected) {
    int error = errno;
    if (result < 0)
        say("%s", error_name(error));
    else if (error != MARKER)
        say("ok, but errno became %s", error_name(error));
    else if (result != expected)
        say("%ld instead of %ld", result, expected);
    else
        say("ok");
}

/* Memory */

static size_t page_size(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* A page that is kept, for programs that may have no more memory. */
static _Thread_local unsigned char *spare;

void *memory_make(struct memory *memory, size_t bytes) {
    size_t page = page_size();
    memory->size = (bytes + page) / page * page;
    if (spare && memory->size == page) {
        memory->base = spare;
        spare = NULL;
        if (mprotect(memory->base, page, PROT_READ | PROT_WRITE) != 0)
            die("mprotect");
    } else {
        memory->base = mmap(NULL, memory->size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory->base == MAP_FAILED || mprotect(memory->base + memory->size, page, PROT_NONE) != 0)
            die("mmap");
    }
    memset(memory->base, CANARY, memory->size);
    memory->at = memory->base + memory->size - bytes;
    return memory->at;
}

void memory_seal(const struct memory *memory) {
    if (mprotect(memory->base, memory->size, PROT_READ) != 0)
        die("mprotect");
}

void *memory_copy(struct memory *memory, const void *from, size_t bytes) {
    memcpy(memory_make(memory, bytes), from, bytes);
    memory_seal(memory);
    return memory->at;
}

void memory_free(const struct memory *memory) {
    if (!spare && memory->size == page_size())
        spare = memory->base;
    else
        munmap(memory->base, memory->size + page_size());
}

bool memory_untouched(const struct memory *memory, size_t room, size_t written) {
    for (const unsigned char *byte = memory->base; byte < memory->at + room; byte++)
        if (*byte != CANARY && (byte < memory->at || byte >= memory->at + written))
            return false;
    return true;
}

/* Sockets */

int current(const struct runner *runner) {
    return runner->count > 0 ? runner->sockets[runner->current] : -1;
}

void adopt(struct runner *runner, int fd) {
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
    say_result(close(current(runner)), 0);
}

void set_option(const struct runner *runner, int level, int option, int value) {
    if (setsockopt(current(runner), level, option, &value, sizeof value) != 0)
        say("%s", error_name(errno));
}

static void set_reuseaddr(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, SOL_SOCKET, SO_REUSEADDR, 1);
}

bool send_descriptor(int socket, int fd) {
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(socket, &message, 0) == 1;
}

int receive_descriptor(int socket) {
    int fd;
    char byte, control[CMSG_SPACE(sizeof fd)];
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
        return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/* Addresses */

socklen_t parse_address(struct sockaddr_storage *address, const char *text, const char *port) {
    struct sockaddr_in *in = (struct sockaddr_in *)address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
    char host[64], *scope;
    memset(address, 0, sizeof *address);
    in->sin_port = htons((uint16_t)number(port)); /* at the same place in both */
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        return sizeof *in;
    }
    snprintf(host, sizeof host, "%s", text);
    if ((scope = strchr(host, '%')) != NULL) {
        *scope++ = 0;
        in6->sin6_scope_id = if_nametoindex(scope);
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
        misused("'%s': expected an address", text);
    in6->sin6_family = AF_INET6;
    return sizeof *in6;
}

void describe(char text[static MOST_TEXT], const void *name, int room, socklen_t length) {
    struct sockaddr_storage address;
    char host[INET6_ADDRSTRLEN];
    socklen_t written = room < 0 ? 0 : (socklen_t)room < length ? (socklen_t)room : length;
    memset(&address, 0, sizeof address);
    memcpy(&address, name, written < sizeof address ? written : sizeof address);
    const struct sockaddr_in *in = (struct sockaddr_in *)&address;
    const struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
    if (room < 0)
        text[0] = 0;
    else if (length > written && written >= 4)
        snprintf(text, MOST_TEXT, " %u bytes of %u, port %u", written, length, ntohs(in->sin_port));
    else if (length > written)
        snprintf(text, MOST_TEXT, " %u bytes of %u", written, length);
    else if (length == 0)
        snprintf(text, MOST_TEXT, " no name");
    else if (address.ss_family == AF_INET && inet_ntop(AF_INET, &in->sin_addr, host, sizeof host))
        snprintf(text, MOST_TEXT, " %s %u", host, ntohs(in->sin_port));
    else if (address.ss_family == AF_INET6 && inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host))
        snprintf(text, MOST_TEXT, " %s %u", host, ntohs(in6->sin6_port));
    else
        snprintf(text, MOST_TEXT, " family %u", address.ss_family);
}

/* The process */

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
    char fd[16], *words[256] = {program_invocation_short_name, "fd", fd};
    size_t count = 3;
    snprintf(fd, sizeof fd, "%d", current(runner));
    for (char **word = runner->words; *word && count < 255; word++)
        words[count++] = *word;
    execv("/proc/self/exe", words);
    die("exec");
}

/* Words */

static const struct word common_words[] = {
    /* Sockets. Each becomes the current one; `use N` goes back to number N, from 0 */
    {"tcp4", 0, open_tcp4},
    {"tcp6", 0, open_tcp6},
    {"mptcp4", 0, open_mptcp4},
    {"udp4", 0, open_udp4},
    {"udp6", 0, open_udp6},
    {"use", 1, use_socket},
    {"fd", 1, use_descriptor}, /* an inherited descriptor */
    {"dup", 0, duplicate},
    {"close", 0, close_socket},
    {"reuseaddr", 0, set_reuseaddr},

    /* The process */
    {"sh", 1, shell},
    {"fork", 0, fork_child},   /* WORDS [join WORDS] */
    {"vfork", 0, vfork_child}, /* the same */
    {"join", 0, join},
    {"exec", 0, execute}, /* the rest of the words, with the current socket */
    {NULL, 0, NULL},
};

static const struct word *find_word(const char *name) {
    const struct word *const tables[] = {common_words, own_words};
    for (unsigned i = 0; i < 2; i++)
        for (const struct word *word = tables[i]; word->name; word++)
            if (strcmp(name, word->name) == 0)
                return word;
    misused("'%s': no such word", name);
}

void run_words(struct runner *runner) {
    runner->joined = false;
    while (*runner->words && !runner->joined) {
        const struct word *word = find_word(*runner->words++);
        char **arguments = runner->words;
        for (unsigned i = 0; i < word->arguments; i++, runner->words++)
            if (!*runner->words)
                misused("'%s': expected %u arguments", word->name, word->arguments);
        word->run(runner, arguments);
    }
}

int main(int argc, char **argv) {
    struct runner runner = {.words = argv + 1};
    struct memory first;
    (void)argc;
    memory_make(&first, 0);
    memory_free(&first);
    run_words(&runner);
    return 0;
}
