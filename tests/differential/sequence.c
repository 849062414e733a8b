/* SPDX-License-Identifier: MIT */
#include "sequence.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

const uint16_t sequence_ports[PORTS] = {0, 8080, 3000, 443, 5353, 9000, 20500, 20900, 7000};

const char *const sequence_hosts4[HOSTS4] = {"127.0.0.1", "0.0.0.0",         "127.0.0.2", "10.99.0.1",
                                             "192.0.2.1", "255.255.255.255", "224.0.0.1", "127.255.255.255"};
const char *const sequence_hosts6[HOSTS6] = {
    "::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:10.99.0.1", "fd99::1", "2001:db8::1", "ff02::1"};

const char *const sequence_operation_names[OPERATIONS] = {
    "socket",     "bind",       "listen",   "connect",  "accept", "accept4",  "getsockname", "getpeername",
    "send",       "sendto",     "sendmsg",  "sendmmsg", "recv",   "recvfrom", "recvmsg",     "recvmmsg",
    "setsockopt", "getsockopt", "shutdown", "close",    "dup",    "pass",     "poll",
};

const char *const sequence_kind_names[KINDS] = {
    "tcp4",       "udp4",     "tcp6",     "udp6",     "mptcp4", "mptcp6",   "unix-stream",
    "unix-dgram", "raw4-tcp", "raw4-udp", "raw6-tcp", "ping4",  "udplite4",
};

enum { MOST_SCRIPT = 16 };

/* What the generator takes a socket for. It may be wrong: the calls before may fail. */
struct model {
    bool open, bound, listening, connected;
    enum kind kind;
};

/* Calls that make two sockets meet, among which others are played. */
struct script {
    unsigned next, count;
    struct step steps[MOST_SCRIPT];
};

struct generator {
    uint64_t state;
    struct model slots[SLOTS];
    unsigned favourite; /* the port at which most sockets of the sequence meet */
    struct script script;
    struct sequence *sequence;
};

/* splitmix64 */
static uint64_t next(struct generator *generator) {
    uint64_t z = generator->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static unsigned below(struct generator *generator, unsigned bound) {
    return (unsigned)(next(generator) % bound);
}

static bool chance(struct generator *generator, unsigned percent) {
    return below(generator, 100) < percent;
}

/* An index, as often as its weight says. */
static unsigned weighted(struct generator *generator, const uint8_t *weights, unsigned count) {
    unsigned sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += weights[i];
    unsigned at = below(generator, sum);
    for (unsigned i = 0; i < count; i++) {
        if (at < weights[i])
            return i;
        at -= weights[i];
    }
    return 0;
}

bool sequence_kind_is_tcp(enum kind kind) {
    return kind == KIND_TCP4 || kind == KIND_TCP6 || kind == KIND_MPTCP4 || kind == KIND_MPTCP6;
}

bool sequence_kind_is_udp(enum kind kind) {
    return kind == KIND_UDP4 || kind == KIND_UDP6;
}

static bool kind_is_six(enum kind kind) {
    return kind == KIND_TCP6 || kind == KIND_UDP6 || kind == KIND_MPTCP6 || kind == KIND_RAW6_TCP;
}

static bool kind_is_unix(enum kind kind) {
    return kind == KIND_UNIX_STREAM || kind == KIND_UNIX_DGRAM;
}

static bool kind_listens(enum kind kind) {
    return sequence_kind_is_tcp(kind) || kind == KIND_UNIX_STREAM;
}

static enum kind choose_kind(struct generator *generator) {
    static const uint8_t weights[KINDS] = {
        [KIND_TCP4] = 30,    [KIND_UDP4] = 28,    [KIND_TCP6] = 18,    [KIND_UDP6] = 18,       [KIND_MPTCP4] = 3,
        [KIND_MPTCP6] = 2,   [KIND_PING4] = 1,    [KIND_UDPLITE4] = 1, [KIND_UNIX_STREAM] = 2, [KIND_UNIX_DGRAM] = 2,
        [KIND_RAW4_TCP] = 1, [KIND_RAW4_UDP] = 1, [KIND_RAW6_TCP] = 1,
    };
    return (enum kind)weighted(generator, weights, KINDS);
}

static unsigned choose_port(struct generator *generator, bool destination) {
    static const uint8_t weights[PORTS] = {6, 8, 4, 2, 3, 3, 3, 3, 3};
    unsigned percent = below(generator, 100);
    if (percent < 60)
        return generator->favourite;
    if (destination && percent < 80)
        return PORT_OF_SLOT + below(generator, SLOTS);
    if (!destination && percent < 75)
        return 0;
    if (percent < 82)
        return PORT_OF_SLOT + below(generator, SLOTS);
    return weighted(generator, weights, PORTS);
}

static enum family choose_family(struct generator *generator, enum kind kind) {
    static const uint8_t odd[] = {3, 3, 4, 1, 1, 1, 1};
    if (chance(generator, 8))
        return (enum family)weighted(generator, odd, sizeof odd);
    if (kind_is_unix(kind))
        return FAMILY_UNIX;
    if (kind == KIND_UDP6 && chance(generator, 10))
        return FAMILY_INET;
    return kind_is_six(kind) ? FAMILY_INET6 : FAMILY_INET;
}

static uint32_t whole_length(const struct address *address) {
    switch (address->family) {
    case FAMILY_INET6:
        return sizeof(struct sockaddr_in6);
    case FAMILY_UNIX: /* the last name is none: the kernel makes one up */
        return address->host % 4 == 3 ? 2 : offsetof(struct sockaddr_un, sun_path) + 4;
    case FAMILY_NONE:
        return 0;
    default:
        return sizeof(struct sockaddr_in);
    }
}

static void choose_address(struct generator *generator, enum kind kind, bool destination, struct address *address) {
    static const uint8_t hosts4[HOSTS4] = {50, 24, 8, 8, 2, 1, 1, 2};
    static const uint8_t hosts6[HOSTS6] = {40, 22, 14, 5, 5, 6, 2, 1};
    static const uint32_t lengths[] = {0,  1,  2,  3,  4,  7,   8,   15,  16,   17,        23,
                                       24, 27, 28, 29, 32, 110, 128, 129, 4096, UINT32_MAX};
    address->family = choose_family(generator, kind);
    address->host =
        address->family == FAMILY_INET6 ? weighted(generator, hosts6, HOSTS6) : weighted(generator, hosts4, HOSTS4);
    address->port = choose_port(generator, destination);
    address->length = whole_length(address);
    if (chance(generator, 5))
        address->length = lengths[below(generator, sizeof lengths / sizeof *lengths)];
}

/* An open socket that suits, or any open one, or any slot at all. */
static unsigned choose_slot(struct generator *generator, bool (*suits)(const struct model *)) {
    for (unsigned tries = 0; tries < 12; tries++) {
        unsigned slot = below(generator, SLOTS);
        const struct model *model = &generator->slots[slot];
        if (model->open && (tries >= 8 || !suits || suits(model)))
            return slot;
    }
    return below(generator, SLOTS);
}

static bool unbound(const struct model *model) {
    return !model->bound;
}

static bool can_listen(const struct model *model) {
    return kind_listens(model->kind) && !model->listening;
}

static bool listening(const struct model *model) {
    return model->listening;
}

static bool can_connect(const struct model *model) {
    return !model->listening;
}

static bool datagrams(const struct model *model) {
    return sequence_kind_is_udp(model->kind) || model->kind == KIND_UNIX_DGRAM;
}

static bool connected(const struct model *model) {
    return model->connected;
}

static bool bound(const struct model *model) {
    return model->bound;
}

static unsigned free_slot(struct generator *generator) {
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (!generator->slots[slot].open)
            return slot;
    return below(generator, SLOTS);
}

static enum operation choose_operation(struct generator *generator) {
    static const uint8_t weights[OPERATIONS] = {
        [OP_SOCKET] = 8,   [OP_BIND] = 16,       [OP_LISTEN] = 9,      [OP_CONNECT] = 12, [OP_ACCEPT] = 5,
        [OP_ACCEPT4] = 4,  [OP_GETSOCKNAME] = 8, [OP_GETPEERNAME] = 5, [OP_SEND] = 3,     [OP_SENDTO] = 8,
        [OP_SENDMSG] = 5,  [OP_SENDMMSG] = 3,    [OP_RECV] = 2,        [OP_RECVFROM] = 6, [OP_RECVMSG] = 4,
        [OP_RECVMMSG] = 3, [OP_SETSOCKOPT] = 9,  [OP_GETSOCKOPT] = 5,  [OP_SHUTDOWN] = 2, [OP_CLOSE] = 5,
        [OP_DUP] = 2,      [OP_PASS] = 2,        [OP_POLL] = 3,
    };
    unsigned open = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        open += generator->slots[slot].open;
    if (open == 0 || (open < 3 && chance(generator, 50)))
        return OP_SOCKET;
    return (enum operation)weighted(generator, weights, OPERATIONS);
}

static unsigned choose_for(struct generator *generator, enum operation op) {
    switch (op) {
    case OP_SOCKET:
        return free_slot(generator);
    case OP_BIND:
        return choose_slot(generator, unbound);
    case OP_LISTEN:
        return choose_slot(generator, can_listen);
    case OP_CONNECT:
        return choose_slot(generator, can_connect);
    case OP_ACCEPT:
    case OP_ACCEPT4:
        return choose_slot(generator, listening);
    case OP_SEND:
    case OP_GETPEERNAME:
        return choose_slot(generator, connected);
    case OP_SENDTO:
    case OP_SENDMSG:
    case OP_SENDMMSG:
        return choose_slot(generator, datagrams);
    case OP_RECVFROM:
    case OP_RECVMSG:
    case OP_RECVMMSG:
        return choose_slot(generator, bound);
    default:
        return choose_slot(generator, NULL);
    }
}

static uint32_t choose_room(struct generator *generator) {
    static const uint32_t rooms[] = {0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 27, 28, UINT32_MAX, NO_ROOM};
    if (!chance(generator, 15))
        return sizeof(struct sockaddr_storage);
    return rooms[below(generator, sizeof rooms / sizeof *rooms)];
}

static int choose_flags(struct generator *generator, enum operation op) {
    static const int sending[] = {MSG_NOSIGNAL, MSG_FASTOPEN, MSG_DONTROUTE, MSG_MORE};
    static const int receiving[] = {MSG_PEEK, MSG_ERRQUEUE, MSG_TRUNC, MSG_WAITFORONE};
    if (!chance(generator, op == OP_RECVMSG ? 35 : 15))
        return 0;
    bool receives = op >= OP_RECV && op <= OP_RECVMMSG;
    return receives ? receiving[below(generator, 4)] : sending[below(generator, 4)];
}

static void choose_option(struct generator *generator, struct step *step) {
    static const uint8_t set[OPTIONS_SET] = {24, 12, 16, 6, 2, 2, 8, 6, 4, 4, 2, 2, 4, 1, 1, 3};
    static const uint8_t get[OPTIONS] = {
        [OPTION_REUSEADDR] = 3,  [OPTION_REUSEPORT] = 3, [OPTION_V6ONLY] = 1, [OPTION_NO_PORT] = 1,
        [OPTION_DEVICE] = 1,     [OPTION_ERROR] = 20,    [OPTION_TYPE] = 1,   [OPTION_PROTOCOL] = 1,
        [OPTION_ACCEPTCONN] = 3, [OPTION_TCP_STATE] = 4};
    step->value = !chance(generator, 15);
    step->option = (enum setting)(step->op == OP_SETSOCKOPT ? weighted(generator, set, OPTIONS_SET)
                                                            : weighted(generator, get, OPTIONS));
    if (step->op == OP_SETSOCKOPT && chance(generator, 70))
        step->slot = choose_slot(generator, unbound);
}

/* What the call leaves, where it succeeds. */
static void follow(struct generator *generator, const struct step *step) {
    struct model *model = &generator->slots[step->slot], *to = &generator->slots[step->to_slot];
    if (step->where != HERE && (step->op == OP_SOCKET || step->op == OP_CLOSE || step->op == OP_DUP ||
                                step->op == OP_PASS || step->op == OP_ACCEPT || step->op == OP_ACCEPT4))
        return;
    switch (step->op) {
    case OP_SOCKET:
        *model = (struct model){.open = true, .kind = step->kind};
        break;
    case OP_CLOSE:
        model->open = false;
        break;
    case OP_BIND:
        model->bound = true;
        break;
    case OP_LISTEN:
        model->bound = model->listening = model->open && kind_listens(model->kind);
        break;
    case OP_CONNECT:
        model->connected = model->bound = true;
        break;
    case OP_SENDTO:
        model->bound = true;
        break;
    case OP_ACCEPT:
    case OP_ACCEPT4:
        *to = (struct model){.open = model->listening, .bound = true, .connected = true, .kind = model->kind};
        break;
    case OP_DUP:
    case OP_PASS:
        *to = *model;
        break;
    default:
        break;
    }
}

static struct step *add(struct generator *generator, enum operation op, unsigned slot) {
    struct sequence *sequence = generator->sequence;
    struct step *step = &sequence->steps[sequence->count++];
    *step = (struct step){.op = op, .slot = slot, .to_slot = SLOTS - 1};
    step->kind = generator->slots[slot].kind;
    step->named = true;
    step->room = sizeof(struct sockaddr_storage);
    return step;
}

/* Whether the player makes the call through syscall(2), too. */
static bool has_number(enum operation op) {
    return op >= OP_BIND && op <= OP_RECVMMSG && op != OP_SEND && op != OP_RECV;
}

/* How a call is made, whatever it is. */
static void choose_manner(struct generator *generator, struct step *step) {
    unsigned percent = below(generator, 100);
    step->where = percent < 4 ? IN_A_FORK : percent < 5 ? AFTER_AN_EXEC : HERE;
    step->by_number = chance(generator, 15) && has_number(step->op);
    if (step->op == OP_SOCKET)
        step->where = HERE;
}

static void choose_step(struct generator *generator) {
    static const unsigned sizes[] = {0, 1, 5, 5, 5, 100, 1400};
    enum operation op = choose_operation(generator);
    struct step *step = add(generator, op, choose_for(generator, op));
    step->to_slot = free_slot(generator);
    choose_manner(generator, step);
    if (op == OP_SOCKET) {
        step->kind = choose_kind(generator);
        step->blocking = chance(generator, 6);
    }
    step->count = 1 + below(generator, MOST_TO);
    step->named = chance(generator, 85);
    bool sends = op >= OP_SEND && op <= OP_SENDMMSG;
    for (unsigned i = 0; i < MOST_TO; i++)
        choose_address(generator, step->kind, sends || op == OP_CONNECT, &step->to[i]);
    /* "Disconnect" is an address of its own for connect. */
    if (op == OP_CONNECT && chance(generator, 8))
        step->to[0] = (struct address){.family = FAMILY_UNSPEC, .length = sizeof(struct sockaddr_in)};
    step->room = choose_room(generator);
    if (chance(generator, 2))
        step->unmapped = (enum unmapped)(1 + below(generator, 3));
    step->flags = choose_flags(generator, op);
    step->size = sizes[below(generator, sizeof sizes / sizeof *sizes)];
    if (op == OP_SETSOCKOPT || op == OP_GETSOCKOPT)
        choose_option(generator, step);
    step->kind = op == OP_SOCKET ? step->kind : generator->slots[step->slot].kind;
    if (op == OP_LISTEN)
        step->value = chance(generator, 20) ? (int)below(generator, 2) : 16;
    if (op == OP_SHUTDOWN)
        step->value = (int)below(generator, 3);
    follow(generator, step);
}

/* Two sockets that are to meet: who they are, and where. */
struct meeting {
    unsigned server, client, accepted;
    enum kind server_kind, client_kind;
    struct address there, from_client;
};

static struct step *put(struct generator *generator, enum operation op, unsigned slot) {
    struct script *script = &generator->script;
    struct step *step = &script->steps[script->count++];
    *step = (struct step){.op = op, .slot = slot, .to_slot = SLOTS - 1, .named = true, .size = 5, .count = 1};
    step->room = choose_room(generator);
    return step;
}

static void put_socket(struct generator *generator, unsigned slot, enum kind kind) {
    put(generator, OP_SOCKET, slot)->kind = kind;
}

static void put_to(struct generator *generator, enum operation op, unsigned slot, const struct address *to) {
    struct step *step = put(generator, op, slot);
    for (unsigned i = 0; i < MOST_TO; i++)
        step->to[i] = *to;
    step->count = 1 + below(generator, MOST_TO);
}

static void choose_meeting(struct generator *generator, struct meeting *meeting, bool datagrams) {
    static const unsigned hosts4[] = {0, 0, 1, 1, 2, 3}, hosts6[] = {0, 0, 1, 1, 2, 5};
    bool six = chance(generator, 40), other = six && chance(generator, 25);
    unsigned host = six ? hosts6[below(generator, 6)] : hosts4[below(generator, 6)];
    meeting->server = free_slot(generator);
    meeting->client = (meeting->server + 1 + below(generator, SLOTS - 2)) % SLOTS;
    meeting->accepted = (meeting->client + 1) % SLOTS;
    if (meeting->accepted == meeting->server)
        meeting->accepted = (meeting->accepted + 1) % SLOTS;
    meeting->server_kind = datagrams ? (six ? KIND_UDP6 : KIND_UDP4) : six ? KIND_TCP6 : KIND_TCP4;
    if (!datagrams && chance(generator, 6))
        meeting->server_kind = six ? KIND_MPTCP6 : KIND_MPTCP4;
    meeting->client_kind = meeting->server_kind;
    meeting->there = (struct address){.family = six ? FAMILY_INET6 : FAMILY_INET, .host = host};
    meeting->there.port = chance(generator, 80) ? generator->favourite : choose_port(generator, false);
    meeting->there.length = whole_length(&meeting->there);
    meeting->from_client = meeting->there;
    if (host == 1) /* the wildcard: anywhere */
        meeting->from_client.host = (six ? hosts6 : hosts4)[below(generator, 6)];
    if (meeting->there.port == 0 || chance(generator, 15))
        meeting->from_client.port = PORT_OF_SLOT + meeting->server;
    if (other && (host == 1 || host == 2)) {
        meeting->client_kind = datagrams ? KIND_UDP4 : KIND_TCP4;
        meeting->from_client.family = FAMILY_INET;
        meeting->from_client.host = 0;
        meeting->from_client.length = whole_length(&meeting->from_client);
    }
}

static void put_server(struct generator *generator, const struct meeting *meeting) {
    put_socket(generator, meeting->server, meeting->server_kind);
    if (chance(generator, 40)) {
        struct step *step = put(generator, OP_SETSOCKOPT, meeting->server);
        step->option = chance(generator, 70) ? OPTION_REUSEADDR : OPTION_REUSEPORT;
        step->value = 1;
    }
    put_to(generator, OP_BIND, meeting->server, &meeting->there);
}

static void script_stream(struct generator *generator) {
    struct meeting meeting;
    choose_meeting(generator, &meeting, false);
    put_server(generator, &meeting);
    put(generator, OP_LISTEN, meeting.server)->value = 16;
    put_socket(generator, meeting.client, meeting.client_kind);
    put_to(generator, OP_CONNECT, meeting.client, &meeting.from_client);
    put(generator, chance(generator, 50) ? OP_ACCEPT : OP_ACCEPT4, meeting.server)->to_slot = meeting.accepted;
    put(generator, OP_SEND, meeting.client);
    put(generator, OP_RECVFROM + below(generator, 3), meeting.accepted);
    put(generator, OP_SENDMSG, meeting.accepted)->named = false;
    put(generator, OP_RECVFROM + below(generator, 3), meeting.client);
    put(generator, OP_GETPEERNAME, meeting.client);
    put(generator, OP_GETSOCKNAME, meeting.accepted);
}

static void script_datagrams(struct generator *generator) {
    struct meeting meeting;
    choose_meeting(generator, &meeting, true);
    bool early = chance(generator, 25), connects = chance(generator, 40);
    struct address back = meeting.from_client;
    back.port = PORT_OF_SLOT + meeting.client;
    if (!early)
        put_server(generator, &meeting);
    put_socket(generator, meeting.client, meeting.client_kind);
    if (connects)
        put_to(generator, OP_CONNECT, meeting.client, &meeting.from_client);
    if (early)
        put_server(generator, &meeting);
    if (connects)
        put(generator, OP_SEND, meeting.client);
    else
        put_to(generator, OP_SENDTO + below(generator, 3), meeting.client, &meeting.from_client);
    put(generator, OP_RECVFROM + below(generator, 3), meeting.server);
    put_to(generator, OP_SENDTO + below(generator, 3), meeting.server, &back);
    put(generator, OP_RECVFROM + below(generator, 3), meeting.client);
    put(generator, OP_GETPEERNAME, meeting.client);
}

static void start_script(struct generator *generator) {
    generator->script.next = generator->script.count = 0;
    if (chance(generator, 55))
        script_stream(generator);
    else
        script_datagrams(generator);
}

static void play_script(struct generator *generator) {
    struct script *script = &generator->script;
    struct step *from = &script->steps[script->next++], *step = add(generator, from->op, from->slot);
    enum kind kind = from->op == OP_SOCKET ? from->kind : step->kind;
    *step = *from;
    step->kind = kind;
    choose_manner(generator, step);
    if (step->op == OP_ACCEPT || step->op == OP_ACCEPT4)
        step->where = HERE;
    follow(generator, step);
}

/* At the end each socket tells what became of it. */
static void ask(struct generator *generator, unsigned slot) {
    add(generator, OP_POLL, slot);
    add(generator, OP_GETSOCKOPT, slot)->option = OPTION_ERROR;
    add(generator, OP_GETSOCKNAME, slot);
    add(generator, OP_GETPEERNAME, slot);
}

void sequence_make(struct sequence *sequence, uint64_t seed) {
    static const uint8_t favourites[PORTS] = {8, 36, 8, 6, 8, 8, 8, 8, 8};
    struct generator generator = {.state = seed, .sequence = sequence};
    memset(sequence, 0, sizeof *sequence);
    generator.favourite = weighted(&generator, favourites, PORTS);
    unsigned count = 6 + below(&generator, MOST_STEPS - 6 - 4 * SLOTS);
    while (sequence->count < count) {
        if (generator.script.next < generator.script.count && chance(&generator, 75))
            play_script(&generator);
        else if (generator.script.next == generator.script.count && chance(&generator, 20))
            start_script(&generator);
        else
            choose_step(&generator);
    }
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (generator.slots[slot].open)
            ask(&generator, slot);
}
