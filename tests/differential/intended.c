/* SPDX-License-Identifier: MIT */
#include "intended.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A call that was played on the plain kernel, as its line tells it. */
struct event {
    const struct step *step;
    unsigned index;
    unsigned socket; /* the same for all descriptors of one socket */
    enum kind kind;  /* of that socket */
    unsigned port;   /* of its address; MADE_UP: one that nobody named */
    bool done;       /* it succeeded, or is in progress */
    bool refused;    /* a connection that nobody took */
};

enum { MADE_UP = 65536, NO_PORT = 65537 };

struct history {
    unsigned count;
    struct event events[MOST_STEPS];
    struct event now; /* the call that differs */
    unsigned sockets[SLOTS];
    enum kind kinds[MOST_STEPS + 1]; /* of each socket */
};

static unsigned port_in(const char *line) {
    const char *result = strstr(line, " = "), *bracket = strstr(line, "]:");
    const char *colon = bracket && bracket < result ? bracket + 1 : strchr(line, ':');
    if (!result || !colon || colon > result)
        return NO_PORT;
    return strncmp(colon + 1, "port", 4) == 0 ? MADE_UP : (unsigned)strtoul(colon + 1, NULL, 10);
}

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static bool read_event(const struct difference *difference, const char *line, struct event *event) {
    char *end;
    unsigned long index = strtoul(line, &end, 10);
    const char *result = strstr(line, " = ");
    if (end == line || index >= difference->sequence->count || !result)
        return false;
    result += 3;
    *event =
        (struct event){.step = &difference->sequence->steps[index], .index = (unsigned)index, .port = port_in(line)};
    event->done = (*result >= '0' && *result <= '9') || starts(result, "EINPROGRESS");
    event->refused = starts(result, "ECONNREFUSED") || starts(result, "EINPROGRESS") ||
                     starts(result, "ECONNABORTED") || starts(result, "ENETUNREACH");
    return true;
}

/* Which socket each slot has after a call. */
static void follow_sockets(struct history *history, const struct event *event) {
    const struct step *step = event->step;
    unsigned fresh = history->count;
    if (!event->done || step->where != HERE)
        return;
    if (step->op == OP_SOCKET) {
        history->sockets[step->slot] = fresh;
        history->kinds[fresh] = step->kind;
    } else if (step->op == OP_ACCEPT || step->op == OP_ACCEPT4) {
        history->sockets[step->to_slot] = fresh;
        history->kinds[fresh] = event->kind;
    } else if (step->op == OP_DUP || step->op == OP_PASS) {
        history->sockets[step->to_slot] = history->sockets[step->slot];
    }
}

static void read_history(const struct difference *difference, struct history *history) {
    memset(history, 0, sizeof *history);
    for (const char *line = difference->played; line && *line && history->count < MOST_STEPS;) {
        struct event *event = &history->events[history->count];
        if (read_event(difference, line, event)) {
            event->socket = history->sockets[event->step->slot];
            event->kind = history->kinds[event->socket];
            history->now = *event;
            if (event->index == difference->index)
                return;
            history->count++;
            follow_sockets(history, event);
        }
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
}

static bool result_is(const char *line, const char *result) {
    const char *at = strstr(line, " = ");
    return at && starts(at + 3, result);
}

static bool is_sentinel(unsigned port) {
    return port != 0 && port < MADE_UP && port != 20900 && port != 7000;
}

static bool receives(enum operation op) {
    return op >= OP_RECV && op <= OP_RECVMMSG;
}

/*
 * A socket that got its port by bind(0) or by listen, and whose connect has failed or was undone, or that listens no
 * more: the kernel gives the port up then, unless the program named it. The shim names one for it; before a listen that
 * fails behind a failed connect, too.
 */
static bool port_is_given_up(const struct history *history, unsigned socket) {
    bool given = false, failed = false, undone = false;
    for (unsigned i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];
        if (event->socket != socket)
            continue;
        enum operation op = event->step->op;
        bool connects = op == OP_CONNECT || (op >= OP_SENDTO && op <= OP_SENDMMSG && event->step->flags & MSG_FASTOPEN);
        bool undoes = connects && (event->refused || event->step->to[0].family == FAMILY_UNSPEC);
        failed = failed || undoes;
        given = given || (op == OP_BIND && event->done && event->port == 0) || (op == OP_LISTEN && event->done);
        undone = undone || (given && (undoes || op == OP_SHUTDOWN)) || (failed && op == OP_LISTEN && !event->done);
    }
    return undone;
}

/* Whether two lines differ in the order alone in which ports turned up. */
static bool differ_in_ports(const char *a, const char *b) {
    bool differ = false;
    while (*a && *a == *b) {
        a++;
        b++;
        if (starts(a, "port") && starts(b, "port")) {
            size_t digits_a = strspn(a + 4, "0123456789"), digits_b = strspn(b + 4, "0123456789");
            differ = differ || digits_a != digits_b || strncmp(a + 4, b + 4, digits_a) != 0;
            a += 4 + digits_a;
            b += 4 + digits_b;
        }
    }
    return differ && !*a && !*b;
}

static bool exchanges(enum operation op) {
    return receives(op) || (op >= OP_SEND && op <= OP_SENDMMSG) || op == OP_POLL || op == OP_GETSOCKOPT;
}

/*
 * Such a socket, and its peers: it has another port from then on, or the same; it hears what is sent to that; and
 * nobody else binds it.
 */
static bool shows_port_given_up(const struct difference *difference, const struct history *history) {
    enum operation op = history->now.step->op;
    bool wanted = op == OP_BIND && history->now.port == MADE_UP && result_is(difference->freeport, "EADDRINUSE");
    if (!wanted && !exchanges(op) && !differ_in_ports(difference->kernel, difference->freeport))
        return false;
    for (unsigned i = 0; i < history->count; i++)
        if (port_is_given_up(history, history->events[i].socket))
            return true;
    return false;
}

static bool keeps_its_port(const struct difference *difference, const struct history *history) {
    const struct step *step = history->now.step;
    switch (step->op) {
    case OP_BIND:
    case OP_SETSOCKOPT: /* IPV6_V6ONLY, which wants a socket without a port */
        if (result_is(difference->freeport, "EINVAL") && port_is_given_up(history, history->now.socket))
            return true;
        break;
    case OP_GETSOCKNAME:
    case OP_GETPEERNAME: /* it can connect to itself by the port that it kept */
    case OP_LISTEN:
        return port_is_given_up(history, history->now.socket);
    default:
        break;
    }
    for (unsigned i = 0; i < MOST_TO; i++)
        if (step->to[i].port >= PORT_OF_SLOT &&
            port_is_given_up(history, history->sockets[step->to[i].port - PORT_OF_SLOT]))
            return true;
    return shows_port_given_up(difference, history);
}

/* An MPTCP listener that was never bound: the kernel has given the port to what is below it alone. */
static bool unbound_mptcp(const struct difference *difference, const struct history *history) {
    const struct step *step = history->now.step;
    if (step->op != OP_SETSOCKOPT || step->option != OPTION_V6ONLY || history->now.kind != KIND_MPTCP6 ||
        !result_is(difference->freeport, "EINVAL"))
        return false;
    for (unsigned i = 0; i < history->count; i++)
        if (history->events[i].socket == history->now.socket && history->events[i].step->op == OP_LISTEN &&
            history->events[i].done)
            return true;
    return false;
}

static bool of_mptcp(const struct event *event) {
    return event->kind == KIND_MPTCP4 || event->kind == KIND_MPTCP6;
}

/*
 * What is left of an MPTCP connection when its server has closed it looks like another process's socket. The session
 * takes a new port then, as it does where a foreign process has come.
 */
static bool mptcp_remains(const struct difference *difference, const struct history *history) {
    if (history->now.step->op != OP_BIND || !result_is(difference->kernel, "EADDRINUSE") ||
        !result_is(difference->freeport, "0") || !is_sentinel(history->now.port))
        return false;
    for (unsigned i = 0; i < history->count; i++)
        if (history->events[i].step->op == OP_CONNECT && history->events[i].done && of_mptcp(&history->events[i]))
            return true;
    return false;
}

/* The first byte of a port does not tell which it is. A connected socket's is asked for once more. */
static bool half_a_port(const struct difference *difference, const struct history *history) {
    return receives(history->now.step->op) && history->now.step->room == 3 &&
           strstr(difference->freeport, ":half of ") && strstr(difference->kernel, ":half of ");
}

/*
 * With fallthrough, a UDP client of a sentinel that the session has no server for goes to the number itself. It stays
 * there when the server comes.
 */
static bool client_before_server(const struct difference *difference, const struct history *history) {
    enum operation op = history->now.step->op;
    if (strcmp(difference->connect, "fallthrough") != 0 || !exchanges(op))
        return false;
    for (unsigned i = 0; i < history->count; i++) {
        const struct event *client = &history->events[i];
        if (!sequence_kind_is_udp(client->kind) || !is_sentinel(client->port) || !client->done ||
            !(client->step->op == OP_CONNECT || (client->step->op >= OP_SENDTO && client->step->op <= OP_SENDMMSG)))
            continue;
        for (unsigned j = i + 1; j < history->count; j++) {
            const struct event *server = &history->events[j];
            if (server->step->op == OP_BIND && server->done && server->port == client->port &&
                sequence_kind_is_udp(server->kind))
                return true;
        }
    }
    return false;
}

static bool is_multicast(const struct address *to) {
    return (to->family == FAMILY_INET6 && to->host % HOSTS6 == 7) ||
           (to->family != FAMILY_INET6 && (to->host % HOSTS4 == 5 || to->host % HOSTS4 == 6));
}

/* A datagram to a group, or to everybody, keeps its number, and its receivers of the session listen on another. */
static bool multicast(const struct difference *difference, const struct history *history) {
    (void)difference;
    if (!receives(history->now.step->op) && history->now.step->op != OP_POLL)
        return false;
    for (unsigned i = 0; i < history->count; i++) {
        const struct event *event = &history->events[i];
        enum operation op = event->step->op;
        unsigned count = op == OP_SENDMMSG ? event->step->count : 1;
        for (unsigned j = 0; j < count && event->done && event->step->named && sequence_kind_is_udp(event->kind); j++)
            if ((op == OP_CONNECT || (op >= OP_SENDTO && op <= OP_SENDMMSG)) && is_multicast(&event->step->to[j]))
                return true;
    }
    return false;
}

/* The shim looks at where a datagram goes; a call of the kernel that finds out whether it may would cost each one. */
static bool unmapped_destination(const struct difference *difference, const struct history *history) {
    const struct step *step = history->now.step;
    unsigned count = step->op == OP_SENDMMSG ? step->count : 1;
    if (step->op < OP_SENDTO || step->op > OP_SENDMMSG || !step->named ||
        !strstr(difference->freeport, " ended with s"))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (step->to[i].family == FAMILY_UNMAPPED)
            return true;
    return false;
}

/*
 * An entry matches as narrowly as it can: the call, both results, and what was played before. Its reason is a sentence
 * of freeport(7), LIMITS, with its markup.
 */
static const struct {
    const char *reason;
    bool (*matches)(const struct difference *, const struct history *);
} entries[] = {
    {"A socket that was bound to port 0, or that listens without a bind, keeps its port when its *connect*(2) fails or "
     "is undone with *AF_UNSPEC*, or when it listens no more",
     keeps_its_port},
    {"With *FREEPORT_CONNECT=fallthrough*, a UDP client that is there before its server stays where it went",
     client_before_server},
    {"An MPTCP socket that listens without a bind is bound", unbound_mptcp},
    {"What is left of a closed MPTCP connection counts as a foreign process", mptcp_remains},
    {"A destination address in memory that is not mapped, of *sendto*(2), *sendmsg*(2) and *sendmmsg*(2), ends the "
     "program with *SIGSEGV* instead of *EFAULT*",
     unmapped_destination},
    {"*Multicast and broadcast* Datagrams to such an address go out with the port that the program wrote", multicast},
    {"A datagram's sender, of whose name there is room for half of the port, may read as another port", half_a_port},
};

void intended_print(void) {
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        puts(entries[i].reason);
}

const char *intended_reason(const struct difference *difference) {
    static struct history history;
    read_history(difference, &history);
    if (!history.now.step || history.now.index != difference->index)
        return NULL;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (entries[i].matches(difference, &history))
            return entries[i].reason;
    return NULL;
}
