/* SPDX-License-Identifier: MIT */
/*
 * Which ports are held, and by whom. Nothing here binds: a look must not be in anybody's way.
 *
 * /proc/net shows every socket but a TCP socket that is bound and neither listens nor is connected; the kernel tells
 * those through sock_diag(7) since Linux 6.8. On an older one, and where a sandbox forbids it, they are not seen.
 */
#include "cli.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TCP_BOUND_INACTIVE_STATE = 13 }; /* TCP_BOUND_INACTIVE, which older headers do not have */

struct holder {
    ino_t inode;
    pid_t pid;
};

struct cli_sockets {
    struct cli_socket *all;
    size_t count, room;
    bool scanned; /* the holders are only looked for when somebody asks: it takes a walk over all processes */
    struct holder *holders;
    size_t holder_count, holder_room;
};

static void *grown(void *array, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return array;
    *room = *room ? 2 * *room : 64;
    return cli_need(reallocarray(array, *room, size));
}

/* Inode 0: nobody's any more (TIME_WAIT), or not yet accepted. */
static void add(struct cli_sockets *sockets, struct cli_socket socket) {
    if (socket.inode == 0)
        return;
    sockets->all = grown(sockets->all, sockets->count, &sockets->room, sizeof *sockets->all);
    sockets->all[sockets->count++] = socket;
}

/* As /proc/net has it: words of four bytes, each printed as the number that it is for this processor. */
static void read_address(const char *text, struct cli_socket *socket) {
    unsigned words = strlen(text) > 8 ? 4 : 1;
    socket->family = words == 4 ? AF_INET6 : AF_INET;
    for (unsigned i = 0; i < words; i++) {
        char digits[9] = "";
        memcpy(digits, text + 8 * (size_t)i, 8);
        uint32_t word = (uint32_t)strtoul(digits, NULL, 16);
        memcpy(socket->address + 4 * (size_t)i, &word, sizeof word);
    }
}

static void read_table(struct cli_sockets *sockets, const char *path, enum freeport_protocol protocol) {
    FILE *stream = fopen(path, "re");
    if (!stream)
        return;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stream) > 0) {
        unsigned port, state, user;
        unsigned long inode;
        char address[33];
        if (sscanf(line, "%*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %u %*d %lu", address, &port, &state,
                   &user, &inode) != 5)
            continue;
        bool listens = state == (protocol == FREEPORT_TCP ? TCP_LISTEN : TCP_CLOSE);
        struct cli_socket socket = {.protocol = protocol,
                                    .port = (uint16_t)port,
                                    .user = user,
                                    .inode = inode,
                                    .listens = listens,
                                    .unconnected = listens};
        read_address(address, &socket);
        add(sockets, socket);
    }
    free(line);
    fclose(stream);
}

static bool ask_inactive(int fd, int family) {
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } question = {
        .header = {.nlmsg_len = sizeof question,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = (uint8_t)family,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = 1u << TCP_BOUND_INACTIVE_STATE},
    };
    return send(fd, &question, sizeof question, 0) == (ssize_t)sizeof question;
}

/* One datagram of the answer. False where it was the last, or an error. */
static bool take_inactive(struct cli_sockets *sockets, int fd) {
    _Alignas(struct nlmsghdr) char buffer[32768];
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0)
        return false;
    unsigned length = (unsigned)got;
    for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; NLMSG_OK(header, length);
         header = NLMSG_NEXT(header, length)) {
        if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || header->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            return false; /* NLMSG_DONE, NLMSG_ERROR */
        const struct inet_diag_msg *message = NLMSG_DATA(header);
        /* The answer says TCP_CLOSE, the state without the distinction. */
        if (message->idiag_state != TCP_CLOSE && message->idiag_state != TCP_BOUND_INACTIVE_STATE)
            continue;
        struct cli_socket socket = {.protocol = FREEPORT_TCP,
                                    .port = ntohs(message->id.idiag_sport),
                                    .user = message->idiag_uid,
                                    .inode = message->idiag_inode,
                                    .unconnected = true,
                                    .family = message->idiag_family};
        memcpy(socket.address, message->id.idiag_src, sizeof socket.address);
        add(sockets, socket);
    }
    return true;
}

static void read_inactive(struct cli_sockets *sockets, int family) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return;
    if (ask_inactive(fd, family))
        while (take_inactive(sockets, fd))
            ;
    close(fd);
}

static int compare_place(enum freeport_protocol protocol, uint16_t port, const struct cli_socket *other) {
    if (protocol != other->protocol)
        return protocol < other->protocol ? -1 : 1;
    return (int)port - (int)other->port;
}

static int compare_sockets(const void *a, const void *b) {
    const struct cli_socket *left = a;
    return compare_place(left->protocol, left->port, b);
}

struct cli_sockets *cli_sockets_read(void) {
    struct cli_sockets *sockets = cli_need(calloc(1, sizeof *sockets));
    read_table(sockets, "/proc/net/tcp", FREEPORT_TCP);
    read_table(sockets, "/proc/net/tcp6", FREEPORT_TCP);
    read_table(sockets, "/proc/net/udp", FREEPORT_UDP);
    read_table(sockets, "/proc/net/udp6", FREEPORT_UDP);
    read_inactive(sockets, AF_INET);
    read_inactive(sockets, AF_INET6);
    if (sockets->count > 0)
        qsort(sockets->all, sockets->count, sizeof *sockets->all, compare_sockets);
    return sockets;
}

void cli_sockets_free(struct cli_sockets *sockets) {
    free(sockets->all);
    free(sockets->holders);
    free(sockets);
}

const struct cli_socket *cli_sockets_all(const struct cli_sockets *sockets, size_t *count) {
    *count = sockets->count;
    return sockets->all;
}

const struct cli_socket *cli_sockets_on(const struct cli_sockets *sockets, enum freeport_protocol protocol,
                                        uint16_t port, size_t *count) {
    size_t low = 0, high = sockets->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_place(protocol, port, &sockets->all[middle]) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < sockets->count && compare_place(protocol, port, &sockets->all[end]) == 0)
        end++;
    *count = end - low;
    return sockets->all + low;
}

/* IPv4 first, then by the address. */
static int compare_addresses(const void *a, const void *b) {
    const struct cli_socket *left = a, *right = b;
    if (left->family != right->family)
        return left->family == AF_INET ? -1 : 1;
    return memcmp(left->address, right->address, left->family == AF_INET ? 4 : 16);
}

char *cli_addresses_on(const struct cli_sockets *sockets, enum freeport_protocol protocol, uint16_t port) {
    size_t count, chosen = 0;
    const struct cli_socket *here = cli_sockets_on(sockets, protocol, port, &count);
    struct cli_socket *sorted = cli_need(calloc(count + 1, sizeof *sorted));
    for (size_t i = 0; i < count; i++)
        if (here[i].unconnected)
            sorted[chosen++] = here[i];
    qsort(sorted, chosen, sizeof *sorted, compare_addresses);
    char *text = cli_text("%s", "");
    for (size_t i = 0; i < chosen; i++) {
        char address[INET6_ADDRSTRLEN] = "";
        if (i > 0 && compare_addresses(&sorted[i - 1], &sorted[i]) == 0)
            continue;
        inet_ntop(sorted[i].family, sorted[i].address, address, sizeof address);
        char *longer = cli_text("%s%s%s", text, *text ? "," : "", address);
        free(text);
        text = longer;
    }
    free(sorted);
    return text;
}

static void scan_process(struct cli_sockets *sockets, int proc, const char *pid) {
    char path[64], target[64];
    snprintf(path, sizeof path, "%.16s/fd", pid);
    int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return; /* gone, or not ours to look into */
    }
    for (const struct dirent *entry; (entry = readdir(directory));) {
        ssize_t length = readlinkat(fd, entry->d_name, target, sizeof target - 1);
        unsigned long inode;
        if (length <= 0)
            continue;
        target[length] = 0;
        if (sscanf(target, "socket:[%lu]", &inode) != 1)
            continue;
        sockets->holders =
            grown(sockets->holders, sockets->holder_count, &sockets->holder_room, sizeof *sockets->holders);
        sockets->holders[sockets->holder_count++] = (struct holder){inode, atoi(pid)};
    }
    closedir(directory);
}

static void scan(struct cli_sockets *sockets) {
    sockets->scanned = true;
    DIR *proc = opendir("/proc");
    if (!proc)
        return;
    for (const struct dirent *entry; (entry = readdir(proc));)
        if (isdigit((unsigned char)entry->d_name[0]))
            scan_process(sockets, dirfd(proc), entry->d_name);
    closedir(proc);
}

bool cli_socket_held_by(struct cli_sockets *sockets, const struct cli_socket *held,
                        bool (*is_it)(pid_t holder, const void *context), const void *context) {
    if (!sockets->scanned)
        scan(sockets);
    for (size_t i = 0; i < sockets->holder_count; i++)
        if (sockets->holders[i].inode == held->inode && is_it(sockets->holders[i].pid, context))
            return true;
    return false;
}

pid_t cli_socket_holder(struct cli_sockets *sockets, const struct cli_socket *held) {
    if (!sockets->scanned)
        scan(sockets);
    for (size_t i = 0; i < sockets->holder_count; i++)
        if (sockets->holders[i].inode == held->inode)
            return sockets->holders[i].pid;
    return 0;
}

bool cli_socket_seen(struct cli_sockets *sockets, const struct cli_socket *held) {
    return cli_socket_holder(sockets, held) != 0;
}

void cli_local_ports(uint16_t *from, uint16_t *to) {
    unsigned first = 0, last = 0;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (!file || fscanf(file, "%u %u", &first, &last) != 2 || first > last || last > UINT16_MAX)
        first = 32768, last = 60999; /* the kernel's default */
    if (file)
        fclose(file);
    *from = (uint16_t)first;
    *to = (uint16_t)last;
}
