/* SPDX-License-Identifier: MIT */
/*
 * freeport serve: the protocol of portpicker's portserver, for programs that draw their ports from one
 * (PORTSERVER_ADDRESS). A client sends a process id and a newline, and gets a port and a newline, or 0. What it gets is
 * reserved in the table for that process, in both protocols where they have ranges, until the process is gone.
 *
 * One thread; a client that is slow holds up no other.
 */
#include "assign.h"
#include "cli.h"
#include "clock.h"
#include "owner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const struct cli_option options[] = {
    CLI_TCP_OPTION,    CLI_UDP_OPTION,
    CLI_NAME_OPTION,   {"timeout", 0, "MS", "FREEPORT_TIMEOUT", "how long a port may take (5000)"},
    CLI_CONFIG_OPTION, CLI_SEGMENT_OPTION,
    CLI_HELP_OPTION,   CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_LENIENT", "FREEPORT_SEGMENT_MODE", "FREEPORT_SEGMENT_OWNER", NULL};

#define USUAL_ADDRESS "@unittest-portserver"

enum { CLIENTS = 256, REQUEST_BYTES = 32, PATIENCE_MS = 10000, BACKLOG = 1024, TRIES = 64 };

struct client {
    int fd;
    int64_t until; /* when it has to have asked */
    size_t length;
    char request[REQUEST_BYTES];
};

struct server {
    struct freeport *fp;
    const struct fp_settings *settings;
    const char *address;
    int listener, signals;
    struct client clients[CLIENTS];
    size_t count;
};

/* Ports. */

/* The same number in UDP, kept for the same process. False where another process has it. */
static bool reserve_udp(struct freeport *fp, fp_owner owner, uint16_t port) {
    struct fp_segment *segment = fp->segment;
    fp_meaning meaning = fp_entry_meaning(segment, FP_TCP_INDEX, port);
    fp_owner was = fp_entry_owner(segment, FP_UDP_INDEX, port);
    if (!fp_portset_has(&fp->ranges[FP_UDP_INDEX]->ports, port))
        return fp_probe(&fp->calls, FP_UDP_INDEX, port) != -EADDRINUSE;
    if (!fp_owner_gone(was) || fp_probe(&fp->calls, FP_UDP_INDEX, port) == -EADDRINUSE ||
        !fp_entry_claim(segment, FP_UDP_INDEX, port, was, owner, meaning))
        return false;
    fp_entry_record(segment, FP_UDP_INDEX, port, meaning, NULL);
    return true;
}

/* 0 where there is none. */
static uint16_t reserve(const struct server *server, fp_owner owner) {
    uint16_t port, busy[TRIES];
    unsigned tries = 0;
    int error = -EADDRINUSE;
    while (tries < TRIES) {
        error = fp_get(server->fp, FREEPORT_TCP, owner, server->settings->timeout_ms, &port);
        if (error != 0 || reserve_udp(server->fp, owner, port))
            break;
        busy[tries++] = port;
        error = -EADDRINUSE;
    }
    while (tries > 0)
        fp_release(server->fp, FREEPORT_TCP, owner, busy[--tries]);
    if (error != 0)
        cli_no_port(server->settings, FREEPORT_TCP, error);
    return error == 0 ? port : 0;
}

/* Clients. */

/*
 * For whom a port is reserved: the process that the client names, where it is the client's user's; else, in another pid
 * namespace say, the client itself, as the kernel knows it. 0: nobody, the client is another user's.
 */
static fp_owner owner_for(const struct client *client) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    long pid;
    if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
        (peer.uid != geteuid() && peer.uid != 0))
        return 0;
    if (cli_number(client->request, 2, 0x3fffff, &pid) && (cli_user_of((pid_t)pid) == peer.uid || peer.uid == 0)) {
        fp_owner owner = fp_owner_of((pid_t)pid);
        if (owner != 0)
            return owner;
    }
    return fp_owner_of(peer.pid);
}

static void answer(const struct server *server, struct client *client) {
    char text[16];
    client->request[strcspn(client->request, "\r\n")] = 0;
    fp_owner owner = owner_for(client);
    if (owner == 0)
        cli_error("serve: a client that is another user's, or gone, gets no port");
    unsigned port = owner != 0 ? reserve(server, owner) : 0;
    int length = snprintf(text, sizeof text, "%u\n", port);
    if (send(client->fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return; /* it is gone, and so is what was reserved for it */
}

/* True where the client is done with. */
static bool serve_client(const struct server *server, struct client *client) {
    ssize_t got = recv(client->fd, client->request + client->length, REQUEST_BYTES - 1 - client->length, MSG_DONTWAIT);
    if (got < 0)
        return errno != EAGAIN && errno != EINTR;
    client->length += (size_t)got;
    client->request[client->length] = 0;
    bool whole = memchr(client->request, '\n', client->length) != NULL;
    if (whole)
        answer(server, client);
    return whole || got == 0 || client->length == REQUEST_BYTES - 1;
}

static void accept_clients(struct server *server) {
    while (server->count < CLIENTS) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        server->clients[server->count++] = (struct client){.fd = fd, .until = fp_now_ms() + PATIENCE_MS};
    }
}

static void drop_client(struct server *server, size_t i) {
    close(server->clients[i].fd);
    server->clients[i] = server->clients[--server->count];
}

static void serve(struct server *server) {
    struct pollfd polled[CLIENTS + 2];
    for (;;) {
        size_t count = server->count;
        for (size_t i = 0; i < count; i++)
            polled[i] = (struct pollfd){.fd = server->clients[i].fd, .events = POLLIN};
        polled[count] = (struct pollfd){.fd = server->signals, .events = POLLIN};
        polled[count + 1] = (struct pollfd){.fd = count < CLIENTS ? server->listener : -1, .events = POLLIN};
        poll(polled, count + 2, count > 0 ? PATIENCE_MS : -1);
        if (polled[count].revents)
            return;
        int64_t now = fp_now_ms();
        for (size_t i = count; i-- > 0;)
            if ((polled[i].revents && serve_client(server, &server->clients[i])) || now >= server->clients[i].until)
                drop_client(server, i);
        if (polled[count + 1].revents)
            accept_clients(server);
    }
}

/* The socket. */

/* What is at the path of a server that was killed may go. Only a socket, and only if nobody answers there. */
static bool remove_stale(const struct sockaddr_un *address, socklen_t length) {
    struct stat st;
    if (address->sun_path[0] == 0 || lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)address, length) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale && unlink(address->sun_path) == 0;
}

static int complain(const char *address, int error) {
    if (error == EADDRINUSE)
        cli_error("serve: '%s': a server is there, or a file; name another address", address);
    else
        cli_error("serve: '%s': %s; expected a path where a socket can be made, or @ and a name", address,
                  strerror(error));
    return CLI_FAILED;
}

static int listen_at(struct server *server) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(server->address);
    if (length < 1 || length >= sizeof address.sun_path || strcmp(server->address, "@") == 0)
        return cli_bad_value("serve", server->address, "the path of a UNIX socket, or @ and a name, 107 bytes at most");
    memcpy(address.sun_path, server->address, length);
    if (address.sun_path[0] == '@')
        address.sun_path[0] = 0; /* an abstract name */
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    size += address.sun_path[0] != 0;
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listener < 0)
        return complain(server->address, errno);
    mode_t mask = umask(0077); /* for this user alone */
    int error = bind(server->listener, (struct sockaddr *)&address, size) == 0 ? 0 : errno;
    if (error == EADDRINUSE && remove_stale(&address, size))
        error = bind(server->listener, (struct sockaddr *)&address, size) == 0 ? 0 : errno;
    umask(mask);
    if (error == 0 && listen(server->listener, BACKLOG) != 0)
        error = errno;
    return error == 0 ? CLI_OK : complain(server->address, error);
}

static int run_server(struct server *server) {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    server->signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    int code = listen_at(server);
    if (code != CLI_OK)
        return code;
    char *word = cli_shell_word(server->address);
    printf("export PORTSERVER_ADDRESS=%s\n", word); /* and clients may come */
    fflush(stdout);
    free(word);
    serve(server);
    while (server->count > 0)
        drop_client(server, server->count - 1);
    if (server->address[0] != '@')
        unlink(server->address);
    return CLI_OK;
}

static int serve_verb(struct cli_call *call) {
    struct server server = {.listener = -1};
    struct fp_settings settings;
    const char *usual = secure_getenv("PORTSERVER_ADDRESS");
    if (call->operands > 1)
        return cli_bad_value("serve", call->operand[1], "one ADDRESS at most");
    server.address = call->operand[0] ? call->operand[0] : usual ? usual : USUAL_ADDRESS;
    server.settings = &settings;
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    if (!settings.managed[FP_TCP]) {
        cli_error("serve: expected a range for tcp, in --tcp or FREEPORT_TCP");
        return CLI_USAGE;
    }
    int code = cli_open(&settings, true, &server.fp);
    if (code == CLI_OK)
        code = run_server(&server);
    cli_close(server.fp);
    return code;
}

const struct cli_verb cli_serve = {
    .name = "serve",
    .synopsis = "[options] [ADDRESS]",
    .summary = "Hands out ports to programs that use portpicker (PORTSERVER_ADDRESS).",
    .options = options,
    .inherited = inherited,
    .notes = "ADDRESS: a UNIX socket, or @NAME, an abstract one. Default: PORTSERVER_ADDRESS,\n"
             "else " USUAL_ADDRESS ". Prints the line for a shell, then answers this user's\n"
             "programs until TERM. A port is its process's until that is gone.\n"
             "Exit: 0 ended by a signal, 1 no such socket, 2 usage, 5 segment.\n",
    .run = serve_verb,
};
