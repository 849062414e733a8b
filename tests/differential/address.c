/* SPDX-License-Identifier: MIT */
#include "play.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATTERN = 0xa5, UNKNOWN_FAMILY = 77 };

static int protocol_of(enum kind kind) {
    if (sequence_kind_is_tcp(kind))
        return IPPROTO_TCP;
    return sequence_kind_is_udp(kind) ? IPPROTO_UDP : IPPROTO_RAW;
}

/* The port that another socket of the same protocol has, as the program sees it. */
static uint16_t port_of_slot(enum kind kind, unsigned slot) {
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof name;
    if (play->fds[slot] < 0 || protocol_of(play->kinds[slot]) != protocol_of(kind) ||
        getsockname(play->fds[slot], (struct sockaddr *)&name, &length) != 0)
        return sequence_ports[1];
    return ntohs(((struct sockaddr_in *)&name)->sin_port);
}

static unsigned fill(const struct step *step, const struct address *address, unsigned char *content) {
    enum kind kind = play->kinds[step->slot];
    uint16_t port =
        address->port < PORT_OF_SLOT ? sequence_ports[address->port] : port_of_slot(kind, address->port - PORT_OF_SLOT);
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "\0fp"};
    switch (address->family) {
    case FAMILY_INET6:
        inet_pton(AF_INET6, sequence_hosts6[address->host % HOSTS6], &six.sin6_addr);
        memcpy(content, &six, sizeof six);
        return sizeof six;
    case FAMILY_UNIX:
        local.sun_path[3] = (char)('0' + address->host % 4);
        memcpy(content, &local, sizeof local);
        return offsetof(struct sockaddr_un, sun_path) + 4;
    default:
        inet_pton(AF_INET, sequence_hosts4[address->host % HOSTS4], &four.sin_addr);
        if (address->family != FAMILY_INET)
            four.sin_family = address->family == FAMILY_UNSPEC ? AF_UNSPEC : UNKNOWN_FAMILY;
        memcpy(content, &four, sizeof four);
        return sizeof four;
    }
}

/* The end of a page, with one behind it that may not be read. */
static unsigned char *page_end(unsigned which) {
    static unsigned char *ends[MOST_TO];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!ends[which]) {
        unsigned char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE) != 0)
            abort();
        ends[which] = pages + page;
    }
    return ends[which];
}

void *unmapped(void) {
    return page_end(0) + 64;
}

void address_place(const struct step *step, unsigned which, struct placed *placed) {
    const struct address *address = &step->to[which];
    memset(placed, 0, sizeof *placed);
    placed->length = address->length;
    if (address->family == FAMILY_UNMAPPED)
        placed->at = unmapped();
    if (address->family == FAMILY_NONE || address->family == FAMILY_UNMAPPED)
        return;
    fill(step, address, placed->content);
    placed->size = address->length < 4096 ? address->length : 4096;
    unsigned char *at = page_end(which) - placed->size;
    memset(at, 0, placed->size);
    memcpy(at, placed->content, placed->size < sizeof placed->content ? placed->size : sizeof placed->content);
    placed->at = (struct sockaddr *)(void *)at;
}

void address_check(const struct placed *placed) {
    size_t size = placed->size < sizeof placed->content ? placed->size : sizeof placed->content;
    if (placed->size > 0 && memcmp(placed->at, placed->content, size) != 0)
        say(" ADDRESS CHANGED");
}

/* A number that the sequence names is said as it is, any other by when it first turned up. */
static void say_port(uint16_t port, enum kind kind) {
    for (unsigned i = 0; i < PORTS; i++)
        if (sequence_ports[i] == port) {
            say("%u", port);
            return;
        }
    uint32_t key = (uint32_t)protocol_of(kind) << 16 | port;
    if (protocol_of(kind) == IPPROTO_RAW && port < 256) {
        say("%u", port); /* a raw socket's is its protocol */
        return;
    }
    unsigned i = 0;
    while (i < play->seen_count && play->seen[i] != key)
        i++;
    if (i == play->seen_count && i < MOST_SEEN)
        play->seen[play->seen_count++] = key;
    say("port%u", i + 1);
}

/* The upper half of a port, where the room ends in its midst. */
static void say_half(unsigned char half) {
    for (unsigned i = 1; i < PORTS; i++)
        if (sequence_ports[i] >> 8 == half) {
            say("half of %u", sequence_ports[i]);
            return;
        }
    say(half == 0 ? "half of 0" : "half of a port");
}

static void say_bytes(const unsigned char *bytes, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        say("%s%02x", i == from ? " +" : "", bytes[i]);
}

static void say_unix(const unsigned char *bytes, size_t written) {
    if (written == 2 + 6 && bytes[2] == 0 && isxdigit(bytes[3]))
        say("@made-up");
    else
        for (size_t i = 2; i < written; i++)
            say("%c", bytes[i] ? bytes[i] : '@');
    if (written == 2)
        say("unnamed");
}

static void say_inet(const unsigned char *bytes, size_t written, size_t host_at, size_t host_size, enum kind kind) {
    char text[INET6_ADDRSTRLEN] = "cut";
    int family = host_size == 4 ? AF_INET : AF_INET6;
    bool whole = written >= host_at + host_size;
    if (whole)
        inet_ntop(family, bytes + host_at, text, sizeof text);
    say(family == AF_INET ? "%s:" : "[%s]:", text);
    if (written == 3)
        say_half(bytes[2]);
    if (written >= 4)
        say_port((uint16_t)(bytes[2] << 8 | bytes[3]), kind);
    if (!whole && written > 4)
        say_bytes(bytes, 4, written);
    if (family == AF_INET6 && written >= 28 &&
        (memcmp(bytes + 24, "\0\0\0\0", 4) != 0 || memcmp(bytes + 4, "\0\0\0\0", 4) != 0))
        say_bytes(bytes, 24, 28);
}

void name_say_address(const struct sockaddr *address, socklen_t written, enum kind kind) {
    const unsigned char *bytes = (const unsigned char *)address;
    sa_family_t family = AF_UNSPEC;
    if (written >= sizeof family)
        memcpy(&family, bytes, sizeof family);
    if (written < sizeof family)
        say_bytes(bytes, 0, written);
    else if (family == AF_INET)
        say_inet(bytes, written < 16 ? written : 16, 4, 4, kind);
    else if (family == AF_INET6)
        say_inet(bytes, written < 28 ? written : 28, 8, 16, kind);
    else if (family == AF_UNIX)
        say_unix(bytes, written);
    else {
        say("family %d ", family);
        say_inet(bytes, written < 16 ? written : 16, 4, 4, kind);
    }
}

static socklen_t whole(const struct placed *placed) {
    sa_family_t family;
    memcpy(&family, placed->content, sizeof family);
    return family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void address_say(const struct step *step, unsigned which, const struct placed *placed) {
    if (step->to[which].family == FAMILY_NONE)
        say("NULL");
    else if (step->to[which].family == FAMILY_UNMAPPED)
        say("UNMAPPED");
    else if (step->to[which].family == FAMILY_UNIX)
        name_say_address((const struct sockaddr *)(const void *)placed->content, placed->length == 2 ? 2 : 6,
                         KIND_UNIX_DGRAM);
    else
        name_say_address((const struct sockaddr *)(const void *)placed->content, whole(placed),
                         play->kinds[step->slot]);
    if (placed->length != whole(placed))
        say(" length %d", (int)placed->length);
}

void name_prepare(const struct step *step, struct name *name) {
    memset(name->bytes, PATTERN, sizeof name->bytes);
    name->room = name->length = step->room == NO_ROOM ? 0 : step->room;
    name->at = step->named ? (struct sockaddr *)(void *)name->bytes : NULL;
    name->length_at = step->named && step->room != NO_ROOM ? &name->length : NULL;
    if (name->at && step->unmapped == UNMAPPED_NAME)
        name->at = unmapped();
    if (name->length_at && step->unmapped == UNMAPPED_LENGTH)
        name->length_at = unmapped();
}

void name_say(const struct name *name, enum kind kind, bool done) {
    size_t most = name->room < sizeof name->bytes ? name->room : sizeof name->bytes;
    if (!name->at)
        return;
    if (name->at != (const void *)name->bytes || (name->length_at && name->length_at != &name->length)) {
        say(" UNMAPPED");
        return;
    }
    if ((int)name->room < (int)sizeof(struct sockaddr_storage))
        say(" room %d", (int)name->room);
    size_t written = name->length < most ? name->length : most;
    if (!done) /* nothing should be written then */
        for (written = most; written > 0 && name->bytes[written - 1] == PATTERN;)
            written--;
    if (done || written > 0 || name->length != name->room) {
        say(" ");
        name_say_address(name->at, (socklen_t)written, kind);
        say("/%d", (int)name->length);
    }
    for (size_t i = most; i < sizeof name->bytes; i++)
        if (name->bytes[i] != PATTERN) {
            say(" WRITTEN PAST THE ROOM");
            return;
        }
}
