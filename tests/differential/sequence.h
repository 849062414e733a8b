/* SPDX-License-Identifier: MIT */
/*
 * A sequence of socket calls, made from a seed. The same seed makes the same sequence on every machine. Each call
 * stands for itself: a call whose socket was never made is played on descriptor -1, so any part of a sequence can be
 * played.
 */
#ifndef FREEPORT_DIFFERENTIAL_SEQUENCE_H
#define FREEPORT_DIFFERENTIAL_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

/* The range and the sentinels that the shim is given. The last sentinel is a number of the range. */
#define SEQUENCE_RANGE "20000-20999"
#define SEQUENCE_SENTINELS "8080,3000,443,5353/udp,9000/tcp,20500"

enum {
    SLOTS = 6,       /* sockets that a sequence has at one time */
    MOST_STEPS = 96, /* calls of a sequence */
    MOST_TO = 3,     /* addresses of one call */
};

enum operation {
    OP_SOCKET,
    OP_BIND,
    OP_LISTEN,
    OP_CONNECT,
    OP_ACCEPT,
    OP_ACCEPT4,
    OP_GETSOCKNAME,
    OP_GETPEERNAME,
    OP_SEND,
    OP_SENDTO,
    OP_SENDMSG,
    OP_SENDMMSG,
    OP_RECV,
    OP_RECVFROM,
    OP_RECVMSG,
    OP_RECVMMSG,
    OP_SETSOCKOPT,
    OP_GETSOCKOPT,
    OP_SHUTDOWN,
    OP_CLOSE,
    OP_DUP,
    OP_PASS,
    OP_POLL,
    OPERATIONS,
};

enum kind {
    KIND_TCP4,
    KIND_UDP4,
    KIND_TCP6,
    KIND_UDP6,
    KIND_MPTCP4,
    KIND_MPTCP6,
    KIND_UNIX_STREAM,
    KIND_UNIX_DGRAM,
    KIND_RAW4_TCP,
    KIND_RAW4_UDP,
    KIND_RAW6_TCP,
    KIND_PING4,
    KIND_UDPLITE4,
    KINDS,
};

/* Who makes the call. */
enum where { HERE, IN_A_FORK, AFTER_AN_EXEC };

enum family {
    FAMILY_INET,
    FAMILY_INET6,
    FAMILY_UNSPEC,
    FAMILY_UNIX,
    FAMILY_UNKNOWN,
    FAMILY_NONE /* NULL */,
    FAMILY_UNMAPPED
};

/* What of a call's memory is not mapped. */
enum unmapped { UNMAPPED_NOTHING, UNMAPPED_NAME, UNMAPPED_LENGTH, UNMAPPED_MESSAGE };

/* A port is an index into sequence_ports, or the port that a socket of the same protocol is bound to. */
enum { PORTS = 9, PORT_OF_SLOT = 16 };
extern const uint16_t sequence_ports[PORTS];

enum { HOSTS4 = 8, HOSTS6 = 8 };
extern const char *const sequence_hosts4[HOSTS4];
extern const char *const sequence_hosts6[HOSTS6];

struct address {
    enum family family;
    unsigned host;
    unsigned port;
    uint32_t length;
};

/* What is set and read by setsockopt and getsockopt. */
enum setting {
    OPTION_REUSEADDR,
    OPTION_REUSEPORT,
    OPTION_V6ONLY,
    OPTION_NO_PORT, /* IP_BIND_ADDRESS_NO_PORT */
    OPTION_BROADCAST,
    OPTION_LINGER,
    OPTION_RECVERR4,
    OPTION_RECVERR6,
    OPTION_PKTINFO4,
    OPTION_PKTINFO6,
    OPTION_FREEBIND,
    OPTION_DEVICE,
    OPTION_FASTOPEN,
    OPTION_TRANSPARENT,
    OPTION_FAMILY,         /* IPV6_ADDRFORM: a socket of IPv6 becomes one of IPv4 */
    OPTION_FIRST_OF_GROUP, /* SO_ATTACH_REUSEPORT_CBPF */
    OPTIONS_SET,           /* from here on they are only read */
    OPTION_ERROR = OPTIONS_SET,
    OPTION_TYPE,
    OPTION_PROTOCOL,
    OPTION_ACCEPTCONN,
    OPTION_TCP_STATE,
    OPTIONS,
};

/* As a room: a NULL pointer instead of a length. */
#define NO_ROOM (UINT32_MAX - 1)

struct step {
    enum operation op;
    enum where where;
    bool by_number; /* through syscall(2) */
    unsigned slot;  /* the socket */
    unsigned to_slot;
    enum kind kind;
    bool blocking;
    enum setting option;
    int value;
    int flags;
    unsigned size;  /* bytes to send, or room to receive */
    unsigned count; /* messages */
    bool named;     /* with a name to write to, or to send to */
    uint32_t room;  /* of that name */
    enum unmapped unmapped;
    struct address to[MOST_TO];
};

struct sequence {
    unsigned count;
    struct step steps[MOST_STEPS];
};

void sequence_make(struct sequence *sequence, uint64_t seed);

extern const char *const sequence_operation_names[OPERATIONS];
extern const char *const sequence_kind_names[KINDS];

bool sequence_kind_is_tcp(enum kind kind);
bool sequence_kind_is_udp(enum kind kind);

#endif
