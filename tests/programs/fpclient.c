/* SPDX-License-Identifier: MIT */
/*
 * fpclient WORD...: the calls of clients and of datagrams, in the order of the words, for tests to watch what a program
 * sees. fpsock has those of a server.
 *
 *     $ fpclient udp4 sendto 127.0.0.1 8080 hello recvfrom
 *     ok
 *     hello 127.0.0.1 8080
 *
 * Words that only prepare something are silent unless they fail; the others print a line each. All of them are in the
 * table at the end, and in runner.c.
 *
 * Each call is watched: errno has to stay as it was on success; what is handed in stands in read-only memory and ends
 * where the next page can't be read; room for a name ends there too, and nothing before it may change. A message's
 * header has to come back as it was, but for what the kernel writes.
 */
#include "runner.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* What recvfrom becomes with _FORTIFY_SOURCE, whether this compiler would make it so or not. */
#ifdef FPCLIENT_CHECKED
ssize_t __recvfrom_chk(int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *from,
                       socklen_t *length);
#define recvfrom(fd, data, size, flags, from, length) __recvfrom_chk(fd, data, size, size, flags, from, length)
#endif

/* A program of 32 bits that is built for 64-bit times takes the number that has them. */
#if defined(_TIME_BITS) && _TIME_BITS == 64 && defined(SYS_recvmmsg_time64)
enum { NUMBER_OF_RECVMMSG = SYS_recvmmsg_time64 };
#else
enum { NUMBER_OF_RECVMMSG = SYS_recvmmsg };
#endif

enum { MOST_MESSAGES = 2048, BACKLOG = 64 };

/* How the calls from here on are made: as the words said. */
static struct {
    bool by_number; /* through syscall(2) */
    int room;       /* for a name that comes back */
    long length;    /* of the next address; -1: its own */
    int family;     /* of the next address; -1: its own */
} how = {.room = 128, .length = -1, .family = -1};

/* Whom the last datagram came from. */
static struct {
    struct sockaddr_storage name;
    socklen_t length;
} sender;

/* Sockets */

/* Raw, with the protocol number of UDP: all but a UDP socket. */
static void open_raw4(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
}

/* The same for TCP. */
static void open_rawtcp4(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
}

static void open_unix(struct runner *runner, char **arguments) {
    (void)arguments;
    adopt(runner, socket(AF_UNIX, SOCK_DGRAM, 0));
}

static void set_broadcast(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, SOL_SOCKET, SO_BROADCAST, 1);
}

static void set_both_families(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, IPPROTO_IPV6, IPV6_V6ONLY, 0);
}

/* Errors of datagrams that were sent come back at the next call. */
static void set_receive_errors(struct runner *runner, char **arguments) {
    (void)arguments;
    int domain;
    socklen_t length = sizeof domain;
    if (getsockopt(current(runner), SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0)
        die("recverr");
    if (domain == AF_INET6)
        set_option(runner, IPPROTO_IPV6, IPV6_RECVERR, 1);
    else
        set_option(runner, IPPROTO_IP, IP_RECVERR, 1);
}

/* Room for more datagrams than the host lets anybody have. */
static void set_large_buffer(struct runner *runner, char **arguments) {
    (void)arguments;
    set_option(runner, SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20);
}

static void set_nonblocking(struct runner *runner, char **arguments) {
    (void)arguments;
    if (fcntl(current(runner), F_SETFL, O_NONBLOCK) != 0)
        die("nonblock");
}

/* A pointer by its number, or `none`: to memory that is there, and can't be read. */
static void *pointer(const char *text) {
    static struct memory memory;
    if (strcmp(text, "none") != 0)
        return (void *)(uintptr_t)number(text);
    if (!memory.base)
        memory_make(&memory, 1);
    return memory.at + 1 + 64; /* behind its end */
}

/* Addresses that are handed in */

/*
 * An address and a port, in read-only memory of just the length that was asked for. For the words `null`, `low` and
 * `bad` a pointer that has no address behind it.
 */
static void *address_in(char **arguments, struct memory *memory, socklen_t *length) {
    struct {
        struct sockaddr_storage address;
        char beyond[256]; /* longer than any address may be */
    } whole;
    memset(&whole, 0, sizeof whole);
    bool null = strcmp(arguments[0], "null") == 0, low = strcmp(arguments[0], "low") == 0,
         bad = strcmp(arguments[0], "bad") == 0;
    *length = sizeof(struct sockaddr_in);
    if (!null && !low && !bad)
        *length = parse_address(&whole.address, arguments[0], arguments[1]);
    if (how.family >= 0)
        whole.address.ss_family = (sa_family_t)how.family;
    size_t readable = *length;
    if (how.length >= 0) {
        *length = (socklen_t)how.length;
        readable = *length < sizeof whole ? *length : sizeof whole;
    }
    how.length = how.family = -1;
    void *at = memory_copy(memory, &whole, readable);
    if (bad)
        return memory->base + memory->size;
    return null ? NULL : low ? (void *)(uintptr_t)16 : at;
}

static void set_length(struct runner *runner, char **arguments) {
    (void)runner;
    how.length = number(arguments[0]);
}

static void set_family(struct runner *runner, char **arguments) {
    (void)runner;
    how.family = (int)number(arguments[0]);
}

/* bind, connect */

static void bind_address(struct runner *runner, char **arguments) {
    struct memory memory;
    socklen_t length;
    void *at = address_in(arguments, &memory, &length);
    errno = MARKER;
    say_result(how.by_number ? syscall(SYS_bind, current(runner), at, length) : bind(current(runner), at, length), 0);
    memory_free(&memory);
}

static void connect_address(struct runner *runner, char **arguments) {
    struct memory memory;
    socklen_t length;
    void *at = address_in(arguments, &memory, &length);
    errno = MARKER;
    say_result(how.by_number ? syscall(SYS_connect, current(runner), at, length) : connect(current(runner), at, length),
               0);
    memory_free(&memory);
}

static void bind_path(struct runner *runner, char **arguments) {
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    snprintf(path.sun_path, sizeof path.sun_path, "%s", arguments[0]);
    errno = MARKER;
    say_result(bind(current(runner), (struct sockaddr *)&path, sizeof path), 0);
}

static void listen_here(struct runner *runner, char **arguments) {
    (void)arguments;
    errno = MARKER;
    say_result(how.by_number ? syscall(SYS_listen, current(runner), BACKLOG) : listen(current(runner), BACKLOG), 0);
}

/* Until a connection is made, or has failed. */
static void wait_connected(struct runner *runner, char **arguments) {
    (void)arguments;
    struct pollfd wait = {.fd = current(runner), .events = POLLOUT};
    int error = 0;
    socklen_t length = sizeof error;
    if (poll(&wait, 1, 10000) != 1 || getsockopt(current(runner), SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        die("connected");
    say("%s", error ? error_name(error) : "ok");
}

/* Until a datagram is there. */
static void wait_arrived(struct runner *runner, char **arguments) {
    (void)arguments;
    struct pollfd wait = {.fd = current(runner), .events = POLLIN};
    if (poll(&wait, 1, 10000) != 1)
        die("arrived");
}

/* Sending */

static long send_to(const struct runner *runner, const char *text, int flags, const void *at, socklen_t length) {
    size_t size = strlen(text);
    errno = MARKER;
    return how.by_number ? syscall(SYS_sendto, current(runner), text, size, flags, at, length)
                         : sendto(current(runner), text, size, flags, at, length);
}

static void sendto_with(struct runner *runner, char **arguments, int flags) {
    struct memory memory;
    socklen_t length;
    void *at = address_in(arguments, &memory, &length);
    say_result(send_to(runner, arguments[2], flags, at, length), (long)strlen(arguments[2]));
    memory_free(&memory);
}

static void sendmsg_with(struct runner *runner, char **arguments, int flags) {
    struct memory name, header;
    socklen_t length;
    void *at = address_in(arguments, &name, &length);
    struct iovec part = {.iov_base = arguments[2], .iov_len = strlen(arguments[2])};
    struct msghdr *message = memory_make(&header, sizeof *message);
    *message = (struct msghdr){.msg_name = at, .msg_namelen = length, .msg_iov = &part, .msg_iovlen = 1};
    memory_seal(&header);
    errno = MARKER;
    say_result(how.by_number ? syscall(SYS_sendmsg, current(runner), message, flags)
                             : sendmsg(current(runner), message, flags),
               (long)part.iov_len);
    memory_free(&name);
    memory_free(&header);
}

static void send_with_sendto(struct runner *runner, char **arguments) {
    sendto_with(runner, arguments, MSG_NOSIGNAL);
}

static void send_with_sendmsg(struct runner *runner, char **arguments) {
    sendmsg_with(runner, arguments, MSG_NOSIGNAL);
}

static void fast_open_with_sendto(struct runner *runner, char **arguments) {
    sendto_with(runner, arguments, MSG_FASTOPEN | MSG_NOSIGNAL);
}

static void fast_open_with_sendmsg(struct runner *runner, char **arguments) {
    sendmsg_with(runner, arguments, MSG_FASTOPEN | MSG_NOSIGNAL);
}

static void send_connected(struct runner *runner, char **arguments) {
    say_result(send_to(runner, arguments[0], MSG_NOSIGNAL, NULL, 0), (long)strlen(arguments[0]));
}

static void send_without_name(struct runner *runner, char **arguments) {
    char *null[] = {"null", "0", arguments[0]};
    how.length = 0;
    sendmsg_with(runner, null, MSG_NOSIGNAL);
}

/* A pointer that has no header behind it. */
static void send_null_header(struct runner *runner, char **arguments) {
    const struct msghdr *volatile header = pointer(arguments[0]);
    errno = MARKER;
    say_result(how.by_number ? syscall(SYS_sendmsg, current(runner), header, 0) : sendmsg(current(runner), header, 0),
               0);
}

/* COUNT times ADDRESS PORT TEXT (ADDRESS `null`: no name), as one call: how many were sent, and what of each. */
static void send_many(struct runner *runner, char **arguments) {
    unsigned count = (unsigned)number(arguments[0]);
    struct memory headers, *names = calloc(count, sizeof *names);
    struct iovec *parts = calloc(count, sizeof *parts);
    struct mmsghdr *before = calloc(count, sizeof *before), *messages = memory_make(&headers, count * sizeof *messages);
    if (!names || !parts || !before)
        die("calloc");
    for (unsigned i = 0; i < count; i++, runner->words += 3) {
        socklen_t length;
        for (unsigned word = 0; word < 3; word++)
            if (!runner->words[word])
                exit(2);
        void *at = address_in(runner->words, &names[i], &length);
        parts[i] = (struct iovec){.iov_base = runner->words[2], .iov_len = strlen(runner->words[2])};
        messages[i] = before[i] = (struct mmsghdr){
            .msg_hdr = {.msg_name = at, .msg_namelen = at ? length : 0, .msg_iov = &parts[i], .msg_iovlen = 1},
            .msg_len = 4711};
    }
    errno = MARKER;
    long sent = how.by_number ? syscall(SYS_sendmmsg, current(runner), messages, count, MSG_NOSIGNAL)
                              : sendmmsg(current(runner), messages, count, MSG_NOSIGNAL);
    int error = errno;
    for (unsigned i = 0; i < count; i++) {
        unsigned expected = (int)i < sent ? (unsigned)parts[i].iov_len : before[i].msg_len;
        if (memcmp(&messages[i].msg_hdr, &before[i].msg_hdr, sizeof before[i].msg_hdr) != 0)
            say("message %u: its header was changed", i);
        if (messages[i].msg_len != expected)
            say("message %u: %u sent instead of %u", i, messages[i].msg_len, expected);
        memory_free(&names[i]);
    }
    if (sent >= 0 && error == MARKER)
        say("%ld sent", sent);
    else if (sent >= 0)
        say("%ld sent, but errno became %s", sent, error_name(error));
    else
        say("%s", error_name(error));
    memory_free(&headers);
    free(names);
    free(parts);
    free(before);
}

/* COUNT datagrams of their number in one call, all to one place. */
static void send_numbers(struct runner *runner, char **arguments) {
    long count = number(arguments[0]);
    struct sockaddr_storage to;
    socklen_t length = parse_address(&to, arguments[1], arguments[2]);
    struct mmsghdr *messages = calloc((size_t)count, sizeof *messages);
    struct iovec *parts = calloc((size_t)count, sizeof *parts);
    char(*texts)[16] = calloc((size_t)count, sizeof *texts);
    if (!messages || !parts || !texts)
        die("calloc");
    for (long i = 0; i < count; i++) {
        parts[i].iov_base = texts[i];
        parts[i].iov_len = (size_t)snprintf(texts[i], sizeof texts[i], "%ld", i + 1);
        messages[i].msg_hdr =
            (struct msghdr){.msg_name = &to, .msg_namelen = length, .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    errno = MARKER;
    long sent = how.by_number ? syscall(SYS_sendmmsg, current(runner), messages, (unsigned)count, 0)
                              : sendmmsg(current(runner), messages, (unsigned)count, 0);
    say_result(sent, count);
    free(messages);
    free(parts);
    free(texts);
}

/* Names that come back */

enum name_call { OWN_NAME, PEER_NAME, ACCEPT, ACCEPT4 };

static long call_for_name(const struct runner *runner, enum name_call call, void *at, socklen_t *length) {
    int fd = current(runner);
    errno = MARKER;
    switch (call) {
    case OWN_NAME:
        return how.by_number ? syscall(SYS_getsockname, fd, at, length) : getsockname(fd, at, length);
    case PEER_NAME:
        return how.by_number ? syscall(SYS_getpeername, fd, at, length) : getpeername(fd, at, length);
#ifdef SYS_accept
    case ACCEPT:
        return how.by_number ? syscall(SYS_accept, fd, at, length) : accept(fd, at, length);
#else
    case ACCEPT:
        return accept(fd, at, length);
#endif
    default:
        return how.by_number ? syscall(SYS_accept4, fd, at, length, SOCK_CLOEXEC)
                             : accept4(fd, at, length, SOCK_CLOEXEC);
    }
}

static void ask_for_name(struct runner *runner, enum name_call call) {
    struct memory memory, length_memory;
    char text[MOST_TEXT];
    int room = how.room;
    void *at = memory_make(&memory, room > 0 ? (size_t)room : 0);
    socklen_t *length = memory_make(&length_memory, sizeof *length);
    *length = (socklen_t)(room < 0 ? 0 : room);
    long result = call_for_name(runner, call, room < 0 ? NULL : at, room < 0 ? NULL : length);
    int error = errno;
    describe(text, at, room, *length);
    if (result < 0)
        say("%s", error_name(error));
    else if (error != MARKER)
        say("ok, but errno became %s", error_name(error));
    else
        say("%s", text[0] ? text + 1 : "ok");
    if (!memory_untouched(&memory, room > 0 ? (size_t)room : 0, result < 0 ? 0 : *length))
        say("wrote around the name");
    memory_free(&memory);
    memory_free(&length_memory);
    if (call >= ACCEPT && result >= 0)
        adopt(runner, (int)result);
}

static void own_name(struct runner *runner, char **arguments) {
    (void)arguments;
    ask_for_name(runner, OWN_NAME);
}

static void peer_name(struct runner *runner, char **arguments) {
    (void)arguments;
    ask_for_name(runner, PEER_NAME);
}

static void accept_one(struct runner *runner, char **arguments) {
    (void)arguments;
    ask_for_name(runner, ACCEPT);
}

static void accept4_one(struct runner *runner, char **arguments) {
    (void)arguments;
    ask_for_name(runner, ACCEPT4);
}

/* A name or a length that can't be: CALL NAME LENGTH, each `room`, or a pointer by its number. */
static void odd_name(struct runner *runner, char **arguments) {
    static const char *const calls[] = {"name", "peer", "accept", "accept4"};
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    void *at = strcmp(arguments[1], "room") == 0 ? (void *)&name : pointer(arguments[1]);
    void *length_at = strcmp(arguments[2], "room") == 0 ? (void *)&length : pointer(arguments[2]);
    for (unsigned call = 0; call < sizeof calls / sizeof *calls; call++) {
        if (strcmp(arguments[0], calls[call]) != 0)
            continue;
        long result = call_for_name(runner, (enum name_call)call, at, length_at);
        say_result(result, result);
    }
}

/* Receiving */

static void set_room(struct runner *runner, char **arguments) {
    (void)runner;
    how.room = strcmp(arguments[0], "null") == 0 ? NO_ROOM : (int)number(arguments[0]);
}

static void say_datagram(long got, int error, const char *data, const char *name) {
    if (got < 0)
        say("%s", error_name(error));
    else if (error != MARKER)
        say("%.*s%s, but errno became %s", (int)got, data, name, error_name(error));
    else
        say("%.*s%s", (int)got, data, name);
}

/* As an event loop: under the filter, a receive that waits goes on in the kernel, and its name is the kernel's. */
static void wait_for_datagram(const struct runner *runner) {
#ifdef FPCLIENT_POLLS
    struct pollfd ready = {.fd = current(runner), .events = POLLIN};
    if (!(fcntl(ready.fd, F_GETFL) & O_NONBLOCK))
        poll(&ready, 1, 10000);
#else
    (void)runner;
#endif
}

/* What was refused on its way out has no answer: EAGAIN then, and a test that fails, not one that hangs. */
static void wait_no_longer(const struct runner *runner) {
    struct timeval limit = {.tv_sec = 10};
    setsockopt(current(runner), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    wait_for_datagram(runner);
}

/* The buffer's size is known and the length is not, which _FORTIFY_SOURCE turns into __recvfrom_chk. */
static long receive_from(const struct runner *runner, char data[static MOST_DATA], void *at, socklen_t *length) {
    char buffer[MOST_DATA];
    volatile size_t size = sizeof buffer;
    wait_no_longer(runner);
    errno = MARKER;
    long got = how.by_number ? syscall(SYS_recvfrom, current(runner), buffer, size, 0, at, length)
                             : recvfrom(current(runner), buffer, size, 0, at, length);
    if (got > 0)
        memcpy(data, buffer, (size_t)got);
    return got;
}

static void remember_sender(const void *name, socklen_t length) {
    sender.length = length;
    if (length <= sizeof sender.name)
        memcpy(&sender.name, name, length);
}

static void receive_with_recvfrom(struct runner *runner, char **arguments) {
    (void)arguments;
    struct memory memory;
    char data[MOST_DATA], text[MOST_TEXT];
    int room = how.room;
    void *at = memory_make(&memory, room > 0 ? (size_t)room : 0);
    socklen_t length = (socklen_t)(room < 0 ? 0 : room);
    long got = receive_from(runner, data, room < 0 ? NULL : at, room < 0 ? NULL : &length);
    int error = errno;
    describe(text, at, room, length);
    say_datagram(got, error, data, text);
    if (!memory_untouched(&memory, room > 0 ? (size_t)room : 0, got < 0 ? 0 : length))
        say("wrote around the name");
    if (got >= 0 && room >= (int)length)
        remember_sender(at, length);
    memory_free(&memory);
}

static long receive_message(const struct runner *runner, struct msghdr *message) {
    wait_no_longer(runner);
    errno = MARKER;
    return how.by_number ? syscall(SYS_recvmsg, current(runner), message, 0) : recvmsg(current(runner), message, 0);
}

static void receive_with_recvmsg(struct runner *runner, char **arguments) {
    (void)arguments;
    struct memory memory, header;
    char data[MOST_DATA], text[MOST_TEXT];
    int room = how.room;
    void *at = memory_make(&memory, room > 0 ? (size_t)room : 0);
    struct iovec part = {.iov_base = data, .iov_len = sizeof data};
    struct msghdr *message = memory_make(&header, sizeof *message);
    *message = (struct msghdr){.msg_name = room < 0 ? NULL : at,
                               .msg_namelen = (socklen_t)(room < 0 ? 0 : room),
                               .msg_iov = &part,
                               .msg_iovlen = 1};
    long got = receive_message(runner, message);
    int error = errno;
    describe(text, at, room, message->msg_namelen);
    say_datagram(got, error, data, text);
    if (!memory_untouched(&memory, room > 0 ? (size_t)room : 0, got < 0 ? 0 : message->msg_namelen))
        say("wrote around the name");
    if (got >= 0 && room >= (int)message->msg_namelen)
        remember_sender(at, message->msg_namelen);
    memory_free(&memory);
    memory_free(&header);
}

static void receive_null_header(struct runner *runner, char **arguments) {
    struct msghdr *volatile header = pointer(arguments[0]);
    say_result(receive_message(runner, header), 0);
}

/* The length of a name: LENGTH is a pointer. */
static void receive_odd_length(struct runner *runner, char **arguments) {
    char data[MOST_DATA];
    struct sockaddr_storage name;
    long got = receive_from(runner, data, &name, pointer(arguments[0]));
    say_result(got, got);
}

/* COUNT messages at MESSAGES, a pointer. */
static void send_odd_messages(struct runner *runner, char **arguments) {
    struct mmsghdr *volatile messages = pointer(arguments[0]);
    unsigned count = (unsigned)number(arguments[1]);
    errno = MARKER;
    say_result(how.by_number ? syscall(SYS_sendmmsg, current(runner), messages, count, 0)
                             : sendmmsg(current(runner), messages, count, 0),
               0);
}

static void receive_odd_messages(struct runner *runner, char **arguments) {
    struct mmsghdr *volatile messages = pointer(arguments[0]);
    unsigned count = (unsigned)number(arguments[1]);
    errno = MARKER;
    say_result(how.by_number ? syscall(NUMBER_OF_RECVMMSG, current(runner), messages, count, MSG_DONTWAIT, NULL)
                             : recvmmsg(current(runner), messages, count, MSG_DONTWAIT, NULL),
               0);
}

/* COUNT messages, message i with room for a name of rooms[i % kinds]. */
static void receive_many_with(struct runner *runner, unsigned count, const int *rooms, unsigned kinds) {
    enum { CELL = 512, PLACE = 64, SIZE = 64 };
    struct memory headers;
    struct mmsghdr *messages = memory_make(&headers, count * sizeof *messages);
    struct iovec *parts = calloc(count, sizeof *parts);
    char *data = calloc(count, SIZE), text[MOST_TEXT];
    unsigned char *cells = malloc((size_t)count * CELL);
    if (count > MOST_MESSAGES || !parts || !data || !cells)
        die("recvmmsg");
    memset(cells, CANARY, (size_t)count * CELL);
    for (unsigned i = 0; i < count; i++) {
        int room = rooms[i % kinds];
        parts[i] = (struct iovec){.iov_base = data + (size_t)i * SIZE, .iov_len = SIZE};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = room < 0 ? NULL : cells + (size_t)i * CELL + PLACE,
                                                   .msg_namelen = (socklen_t)(room < 0 ? 0 : room),
                                                   .msg_iov = &parts[i],
                                                   .msg_iovlen = 1}};
    }
    wait_no_longer(runner);
    errno = MARKER;
    long got = how.by_number ? syscall(NUMBER_OF_RECVMMSG, current(runner), messages, count, MSG_WAITFORONE, NULL)
                             : recvmmsg(current(runner), messages, count, MSG_WAITFORONE, NULL);
    int error = errno;
    if (got < 0)
        say("%s", error_name(error));
    for (unsigned i = 0; (int)i < got; i++) {
        int room = rooms[i % kinds];
        unsigned char *cell = cells + (size_t)i * CELL;
        socklen_t length = messages[i].msg_hdr.msg_namelen, written = room < 0                   ? 0
                                                                      : (socklen_t)room < length ? (socklen_t)room
                                                                                                 : length;
        describe(text, cell + PLACE, room, length);
        say_datagram(messages[i].msg_len, error, parts[i].iov_base, text);
        for (unsigned at = 0; at < CELL; at++)
            if ((at < PLACE || at >= PLACE + written) && cell[at] != CANARY) {
                say("wrote around the name");
                break;
            }
    }
    memory_free(&headers);
    free(parts);
    free(data);
    free(cells);
}

static void receive_many(struct runner *runner, char **arguments) {
    receive_many_with(runner, (unsigned)number(arguments[0]), &how.room, 1);
}

/* Rooms of all kinds next to each other. */
static void receive_mixed(struct runner *runner, char **arguments) {
    static const int rooms[] = {128, NO_ROOM, 4, 2, 0, 300, 16};
    receive_many_with(runner, (unsigned)number(arguments[0]), rooms, sizeof rooms / sizeof *rooms);
}

/* To whoever sent the last datagram, as the program saw them. */
static void reply(struct runner *runner, char **arguments) {
    say_result(send_to(runner, arguments[0], 0, &sender.name, sender.length), (long)strlen(arguments[0]));
}

/* All that comes until the peer closes. */
static void read_all(struct runner *runner, char **arguments) {
    (void)arguments;
    char text[MOST_DATA];
    size_t length = 0;
    ssize_t got;
    while ((got = read(current(runner), text + length, sizeof text - length)) > 0)
        length += (size_t)got;
    if (got < 0)
        say("%s", error_name(errno));
    else
        say("%.*s", (int)length, text);
}

/* Servers that stay until they are killed */

/* Answers each connection with a text, and says who came, and to which name. */
static void serve(struct runner *runner, char **arguments) {
    say("ready");
    for (;;) {
        struct sockaddr_storage from, at;
        socklen_t from_length = sizeof from, at_length = sizeof at;
        char from_text[MOST_TEXT], at_text[MOST_TEXT];
        int fd = accept(current(runner), (struct sockaddr *)&from, &from_length);
        if (fd < 0 || getsockname(fd, (struct sockaddr *)&at, &at_length) != 0)
            die("serve");
        describe(from_text, &from, sizeof from, from_length);
        describe(at_text, &at, sizeof at, at_length);
        say("from%s at%s", from_text, at_text);
        if (send(fd, arguments[0], strlen(arguments[0]), MSG_NOSIGNAL) < 0 || shutdown(fd, SHUT_WR) != 0)
            say("%s", error_name(errno));
        char rest[MOST_DATA];
        while (read(fd, rest, sizeof rest) > 0) {
        }
        close(fd);
    }
}

/* Sends each datagram back with a text before it, and says who it came from. */
static void echo(struct runner *runner, char **arguments) {
    say("ready");
    for (;;) {
        char data[MOST_DATA], answer[MOST_DATA + 64], text[MOST_TEXT];
        socklen_t length = sizeof sender.name;
        wait_for_datagram(runner);
        ssize_t got = recvfrom(current(runner), data, sizeof data, 0, (struct sockaddr *)&sender.name, &length);
        if (got < 0)
            die("echo");
        sender.length = length;
        describe(text, &sender.name, sizeof sender.name, length);
        say("%.*s%s", (int)got, data, text);
        snprintf(answer, sizeof answer, "%s:%.*s", arguments[0], (int)got, data);
        if (send_to(runner, answer, 0, &sender.name, length) < 0)
            say("%s", error_name(errno));
    }
}

/* Descriptors between processes */

static int unix_stream(struct sockaddr_un *address, const char *path) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    return fd;
}

/* Gives the current socket to whoever waits at the path. */
static void give(struct runner *runner, char **arguments) {
    struct sockaddr_un address;
    int there = unix_stream(&address, arguments[0]);
    char byte;
    if (connect(there, (struct sockaddr *)&address, sizeof address) != 0 || !send_descriptor(there, current(runner)))
        die("give");
    /* The other end closes when it has it. */
    if (read(there, &byte, 1) != 0)
        die("give");
    close(there);
}

static void take(struct runner *runner, char **arguments) {
    struct sockaddr_un address;
    int at = unix_stream(&address, arguments[0]);
    if (bind(at, (struct sockaddr *)&address, sizeof address) != 0 || listen(at, 1) != 0)
        die("take");
    say("ready");
    int peer = accept(at, NULL, NULL), fd = receive_descriptor(peer);
    if (fd < 0)
        die("take");
    close(at);
    close(peer);
    adopt(runner, fd);
}

/* The process */

static void stay(struct runner *runner, char **arguments) {
    (void)runner;
    (void)arguments;
    say("ready");
    for (;;)
        pause();
}

static void by_number(struct runner *runner, char **arguments) {
    (void)runner;
    (void)arguments;
    how.by_number = true;
}

static void by_name(struct runner *runner, char **arguments) {
    (void)runner;
    (void)arguments;
    how.by_number = false;
}

const struct word own_words[] = {
    /* Sockets. Each becomes the current one */
    {"raw4", 0, open_raw4},
    {"rawtcp4", 0, open_rawtcp4},
    {"unix", 0, open_unix},
    {"broadcast", 0, set_broadcast},
    {"bothfamilies", 0, set_both_families},
    {"recverr", 0, set_receive_errors},
    {"largebuffer", 0, set_large_buffer},
    {"nonblock", 0, set_nonblocking},

    /* How the calls from here on are made: through syscall(2), or libc's functions; and an odd next address */
    {"sys", 0, by_number},
    {"libc", 0, by_name},
    {"room", 1, set_room},     /* bytes for a name that comes back, or `null`; 128 to begin with */
    {"length", 1, set_length}, /* of the next address */
    {"family", 1, set_family}, /* of the next address */

    /* ADDRESS PORT [TEXT]. For ADDRESS: `null`, `low` (16), `bad` (memory that can't be read) */
    {"bind", 2, bind_address},
    {"bindpath", 1, bind_path}, /* AF_UNIX */
    {"listen", 0, listen_here},
    {"connect", 2, connect_address},
    {"connected", 0, wait_connected}, /* how a connection that was in progress came out */
    {"arrived", 0, wait_arrived},     /* a datagram is there, so that no call waits for it */
    {"sendto", 3, send_with_sendto},
    {"sendmsg", 3, send_with_sendmsg},
    {"sendmmsg", 1, send_many},       /* COUNT (ADDRESS PORT TEXT)... */
    {"sendnumbers", 3, send_numbers}, /* COUNT ADDRESS PORT */
    {"fastopen", 3, fast_open_with_sendto},
    {"fastopenmsg", 3, fast_open_with_sendmsg},
    {"send", 1, send_connected},          /* TEXT */
    {"sendmsgto", 1, send_without_name},  /* TEXT: sendmsg without a name */
    {"sendmsgnull", 1, send_null_header}, /* a header's pointer, as a number */

    /* Names: ADDRESS PORT, or "N bytes of M, port P" where the room is too short, or `ok` where it is NULL */
    {"name", 0, own_name},
    {"peer", 0, peer_name},
    {"accept", 0, accept_one}, /* the new socket becomes the current one */
    {"accept4", 0, accept4_one},
    {"oddname", 3, odd_name}, /* CALL NAME LENGTH: `room`, or pointers as numbers */

    /* Datagrams: TEXT ADDRESS PORT */
    {"recvfrom", 0, receive_with_recvfrom},
    {"recvmsg", 0, receive_with_recvmsg},
    {"recvmsgnull", 1, receive_null_header},
    {"recvmmsg", 1, receive_many},            /* COUNT at most: a line each */
    {"recvmmsgmixed", 1, receive_mixed},      /* with rooms of 128, NULL, 4, 2, 0, 300 and 16 bytes in turn */
    {"recvfromodd", 1, receive_odd_length},   /* LENGTH: a pointer, for the length of a name */
    {"sendmmsgodd", 2, send_odd_messages},    /* MESSAGES COUNT: a pointer, and how many */
    {"recvmmsgodd", 2, receive_odd_messages}, /* the same */
    {"reply", 1, reply},                      /* TEXT, to whom the last one came from */
    {"read", 0, read_all},                    /* a connection's text, until it ends */

    /* Servers: `ready`, then a line for each client; until they are killed */
    {"serve", 1, serve}, /* TEXT for each connection */
    {"echo", 1, echo},   /* TEXT:DATAGRAM for each datagram */
    {"stay", 0, stay},

    /* Processes */
    {"give", 1, give}, /* PATH: the current socket, to a process that waits there with `take` */
    {"take", 1, take},
    {NULL, 0, NULL},
};
