/* SPDX-License-Identifier: MIT */
/* Each call of the kinds that a sequence has, through libc or by its number, and how it went. */
#include "play.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

enum { MARK = 4000, DATA = 2048, CONTROL = 512 };

static volatile sig_atomic_t pipes;

static void count_pipe(int signal_number) {
    (void)signal_number;
    pipes++;
}

/* Before a call: errno has a value that none sets. */
static void begin(void) {
    struct sigaction action = {.sa_handler = count_pipe};
    sigaction(SIGPIPE, &action, NULL);
    pipes = 0;
    errno = MARK;
}

/* After it, at once: the result, or the error. */
static void end(long result) {
    int error = errno;
    say(" = ");
    if (result < 0)
        say_error(error);
    else
        say("%ld", result);
    if (result >= 0 && error != MARK) {
        say(" errno changed: ");
        say_error(error);
    }
    if (pipes > 0)
        say(" SIGPIPE");
}

static enum kind kind_of(const struct step *step) {
    return play->kinds[step->slot];
}

static int fd_of(const struct step *step) {
    return play->fds[step->slot];
}

static bool raw(const struct step *step) {
    enum kind kind = kind_of(step);
    return kind == KIND_RAW4_TCP || kind == KIND_RAW4_UDP || kind == KIND_RAW6_TCP || kind == KIND_PING4;
}

static void keep(unsigned slot, int fd, enum kind kind) {
    if (fd < 0)
        return;
    if (play->fds[slot] >= 0)
        close(play->fds[slot]);
    play->fds[slot] = fd;
    play->kinds[slot] = kind;
}

/* socket */

struct making {
    int family, type, protocol;
};

static const struct making makings[KINDS] = {
    [KIND_TCP4] = {AF_INET, SOCK_STREAM, 0},
    [KIND_UDP4] = {AF_INET, SOCK_DGRAM, 0},
    [KIND_TCP6] = {AF_INET6, SOCK_STREAM, 0},
    [KIND_UDP6] = {AF_INET6, SOCK_DGRAM, 0},
    [KIND_MPTCP4] = {AF_INET, SOCK_STREAM, IPPROTO_MPTCP},
    [KIND_MPTCP6] = {AF_INET6, SOCK_STREAM, IPPROTO_MPTCP},
    [KIND_UNIX_STREAM] = {AF_UNIX, SOCK_STREAM, 0},
    [KIND_UNIX_DGRAM] = {AF_UNIX, SOCK_DGRAM, 0},
    [KIND_RAW4_TCP] = {AF_INET, SOCK_RAW, IPPROTO_TCP},
    [KIND_RAW4_UDP] = {AF_INET, SOCK_RAW, IPPROTO_UDP},
    [KIND_RAW6_TCP] = {AF_INET6, SOCK_RAW, IPPROTO_TCP},
    [KIND_PING4] = {AF_INET, SOCK_DGRAM, IPPROTO_ICMP},
    [KIND_UDPLITE4] = {AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE},
};

/* A call that blocks does so for a moment only. */
static void limit_blocking(int fd) {
    struct timeval moment = {.tv_usec = 20000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &moment, sizeof moment);
}

/* TCP waits for an acknowledgement otherwise, which comes in its own time. */
static void send_at_once(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void play_socket(const struct step *step) {
    const struct making *making = &makings[step->kind];
    say("socket %s%s", sequence_kind_names[step->kind], step->blocking ? " blocking" : "");
    begin();
    int fd = socket(making->family, making->type | (step->blocking ? 0 : SOCK_NONBLOCK), making->protocol);
    end(fd);
    limit_blocking(fd);
    send_at_once(fd);
    keep(step->slot, fd, step->kind);
}

/* bind, listen, connect, accept */

/*
 * Which socket of a group has the next datagram or connection is a matter of hashes, of ports too. With this program it
 * is always the first.
 */
static struct sock_filter take_first = {.code = BPF_RET | BPF_K, .k = 0};
static const struct sock_fprog first_of_group = {.len = 1, .filter = &take_first};

static void choose_first(int fd) {
    int on = 0;
    socklen_t length = sizeof on;
    if (getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, &length) == 0 && on)
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &first_of_group, sizeof first_of_group);
}

static void play_bind(const struct step *step) {
    struct placed to;
    address_place(step, 0, &to);
    say("bind ");
    address_say(step, 0, &to);
    begin();
    long result =
        step->by_number ? syscall(SYS_bind, fd_of(step), to.at, to.length) : bind(fd_of(step), to.at, to.length);
    end(result);
    address_check(&to);
    if (result == 0 && sequence_kind_is_udp(kind_of(step)))
        choose_first(fd_of(step));
}

static void play_listen(const struct step *step) {
    say("listen %d", step->value);
    begin();
    long result = step->by_number ? syscall(SYS_listen, fd_of(step), step->value) : listen(fd_of(step), step->value);
    end(result);
    if (result == 0)
        choose_first(fd_of(step));
}

static void play_connect(const struct step *step) {
    struct placed to;
    address_place(step, 0, &to);
    say("connect ");
    address_say(step, 0, &to);
    begin();
    end(step->by_number ? syscall(SYS_connect, fd_of(step), to.at, to.length) : connect(fd_of(step), to.at, to.length));
    address_check(&to);
    play->traffic = true;
}

/* What was sent a moment ago over the loopback interface is there, nearly always, before its sender goes on. */
static void wait_for_input(const struct step *step) {
    struct pollfd one = {.fd = fd_of(step), .events = POLLIN};
    if (play->traffic)
        poll(&one, 1, 1);
}

static long call_accept(const struct step *step, struct name *name) {
    int fd = fd_of(step);
    bool four = step->op == OP_ACCEPT4;
    if (!step->by_number)
        return four ? accept4(fd, name->at, name->length_at, SOCK_NONBLOCK) : accept(fd, name->at, name->length_at);
#ifdef SYS_accept
    if (!four)
        return syscall(SYS_accept, fd, name->at, name->length_at);
#endif
    return syscall(SYS_accept4, fd, name->at, name->length_at, four ? SOCK_NONBLOCK : 0);
}

static void play_accept(const struct step *step) {
    struct name name;
    name_prepare(step, &name);
    say(step->op == OP_ACCEPT4 ? "accept4" : "accept");
    wait_for_input(step);
    begin();
    int fd = (int)call_accept(step, &name);
    end(fd);
    name_say(&name, kind_of(step), fd >= 0);
    if (fd < 0)
        return;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    keep(step->to_slot, fd, kind_of(step));
}

/* Names */

static void play_getsockname(const struct step *step) {
    struct name name;
    name_prepare(step, &name);
    say("getsockname");
    begin();
    long result = step->by_number ? syscall(SYS_getsockname, fd_of(step), name.at, name.length_at)
                                  : getsockname(fd_of(step), name.at, name.length_at);
    end(result);
    name_say(&name, kind_of(step), result == 0);
}

static void play_getpeername(const struct step *step) {
    struct name name;
    name_prepare(step, &name);
    say("getpeername");
    begin();
    long result = step->by_number ? syscall(SYS_getpeername, fd_of(step), name.at, name.length_at)
                                  : getpeername(fd_of(step), name.at, name.length_at);
    end(result);
    name_say(&name, kind_of(step), result == 0);
}

/* Sending */

static unsigned char payload[DATA];

static void fill_payload(unsigned index) {
    for (unsigned i = 0; i < sizeof payload; i++)
        payload[i] = (unsigned char)('a' + (index + i) % 26);
}

static void say_flags(int flags) {
    if (flags)
        say(" flags %#x", (unsigned)flags);
}

static void play_send(const struct step *step) {
    say("send %u", step->size);
    say_flags(step->flags);
    begin();
    end(send(fd_of(step), payload, step->size, step->flags));
    play->traffic = true;
}

static void play_sendto(const struct step *step) {
    struct placed to = {0};
    say("sendto %u ", step->size);
    if (step->named) {
        address_place(step, 0, &to);
        address_say(step, 0, &to);
    }
    say_flags(step->flags);
    begin();
    end(step->by_number ? syscall(SYS_sendto, fd_of(step), payload, step->size, step->flags, to.at, to.length)
                        : sendto(fd_of(step), payload, step->size, step->flags, to.at, to.length));
    address_check(&to);
    play->traffic = true;
}

static void *mapped_or_not(const struct step *step, void *message) {
    if (step->unmapped != UNMAPPED_MESSAGE)
        return message;
    say(" UNMAPPED");
    return unmapped();
}

static void prepare_message(const struct step *step, unsigned which, struct placed *to, struct iovec *part,
                            struct msghdr *message) {
    memset(message, 0, sizeof *message);
    memset(to, 0, sizeof *to);
    *part = (struct iovec){payload, step->size};
    message->msg_iov = part;
    message->msg_iovlen = 1;
    if (!step->named)
        return;
    address_place(step, which, to);
    message->msg_name = to->at;
    message->msg_namelen = to->length;
    say(" to ");
    address_say(step, which, to);
}

static void play_sendmsg(const struct step *step) {
    struct placed to;
    struct iovec part;
    struct msghdr message;
    say("sendmsg %u", step->size);
    prepare_message(step, 0, &to, &part, &message);
    say_flags(step->flags);
    const struct msghdr before = message, *at = mapped_or_not(step, &message);
    begin();
    end(step->by_number ? syscall(SYS_sendmsg, fd_of(step), at, step->flags) : sendmsg(fd_of(step), at, step->flags));
    address_check(&to);
    if (memcmp(&before, &message, sizeof before) != 0)
        say(" MESSAGE CHANGED");
    play->traffic = true;
}

static void play_sendmmsg(const struct step *step) {
    struct placed to[MOST_TO];
    struct iovec parts[MOST_TO];
    struct mmsghdr messages[MOST_TO];
    memset(messages, 0, sizeof messages);
    say("sendmmsg %u", step->size);
    for (unsigned i = 0; i < step->count; i++)
        prepare_message(step, i, &to[i], &parts[i], &messages[i].msg_hdr);
    say_flags(step->flags);
    struct mmsghdr *at = mapped_or_not(step, messages);
    begin();
    end(step->by_number ? syscall(SYS_sendmmsg, fd_of(step), at, step->count, step->flags)
                        : sendmmsg(fd_of(step), at, step->count, step->flags));
    for (unsigned i = 0; i < step->count; i++) {
        say(" %u", messages[i].msg_len);
        address_check(&to[i]);
    }
    play->traffic = true;
}

/* Receiving */

static void say_data(const struct step *step, const unsigned char *data, long size) {
    if (size > 0 && !raw(step))
        say(" \"%.*s\"", size < 4 ? (int)size : 4, (const char *)data);
}

/* A raw socket hears all that goes over the wire, acknowledgements too: when they come is no matter of ports. */
static bool untold(const struct step *step) {
    if (raw(step))
        say(" = ?");
    return raw(step);
}

static void play_recv(const struct step *step) {
    unsigned char data[DATA] = {0};
    say("recv %u", step->size);
    say_flags(step->flags);
    wait_for_input(step);
    begin();
    long got = recv(fd_of(step), data, step->size, step->flags);
    if (untold(step))
        return;
    end(got);
    say_data(step, data, got < (long)step->size ? got : (long)step->size);
}

static void play_recvfrom(const struct step *step) {
    unsigned char data[DATA] = {0};
    struct name name;
    name_prepare(step, &name);
    say("recvfrom %u", step->size);
    say_flags(step->flags);
    wait_for_input(step);
    begin();
    long got = step->by_number
                   ? syscall(SYS_recvfrom, fd_of(step), data, step->size, step->flags, name.at, name.length_at)
                   : recvfrom(fd_of(step), data, step->size, step->flags, name.at, name.length_at);
    if (untold(step))
        return;
    end(got);
    say_data(step, data, got < (long)step->size ? got : (long)step->size);
    name_say(&name, kind_of(step), got >= 0);
}

static void say_queued_error(struct cmsghdr *at, enum kind kind) {
    const struct sock_extended_err *error = (const void *)CMSG_DATA(at);
    say(" ");
    say_error((int)error->ee_errno);
    say(" origin %u type %u code %u from ", error->ee_origin, error->ee_type, error->ee_code);
    const struct sockaddr *from = SO_EE_OFFENDER(error);
    name_say_address(from, from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
                     kind);
}

static void say_host(int family, const void *host) {
    char text[INET6_ADDRSTRLEN];
    say(" at %s", inet_ntop(family, host, text, sizeof text));
}

static void say_control(struct msghdr *message, enum kind kind) {
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at))
        if ((at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_RECVERR) ||
            (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_RECVERR))
            say_queued_error(at, kind);
        else if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO)
            say_host(AF_INET, CMSG_DATA(at) + 8);
        else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO)
            say_host(AF_INET6, CMSG_DATA(at));
        else
            say(" control %d.%d", at->cmsg_level, at->cmsg_type);
}

struct received {
    _Alignas(struct cmsghdr) unsigned char control[CONTROL];
    unsigned char data[DATA];
    struct name name;
    struct iovec part;
};

static void prepare_receive(const struct step *step, struct received *received, struct msghdr *message) {
    memset(received->data, 0, sizeof received->data);
    name_prepare(step, &received->name);
    received->part = (struct iovec){received->data, step->size};
    *message = (struct msghdr){.msg_iov = &received->part, .msg_iovlen = 1, .msg_control = received->control};
    message->msg_controllen = sizeof received->control;
    message->msg_name = received->name.at;
    message->msg_namelen = received->name.room;
}

static void say_received(const struct step *step, struct received *received, struct msghdr *message, long got) {
    say_data(step, received->data, got < (long)step->size ? got : (long)step->size);
    received->name.length = message->msg_namelen;
    name_say(&received->name, kind_of(step), true);
    say(" flags %#x", (unsigned)message->msg_flags);
    say_control(message, kind_of(step));
}

static void play_recvmsg(const struct step *step) {
    static struct received received;
    struct msghdr message;
    prepare_receive(step, &received, &message);
    say("recvmsg %u", step->size);
    say_flags(step->flags);
    wait_for_input(step);
    struct msghdr *at = mapped_or_not(step, &message);
    begin();
    long got =
        step->by_number ? syscall(SYS_recvmsg, fd_of(step), at, step->flags) : recvmsg(fd_of(step), at, step->flags);
    if (untold(step))
        return;
    end(got);
    if (got >= 0)
        say_received(step, &received, &message, got);
}

static void play_recvmmsg(const struct step *step) {
    static struct received received[MOST_TO];
    struct mmsghdr messages[MOST_TO];
    memset(messages, 0, sizeof messages);
    for (unsigned i = 0; i < step->count; i++)
        prepare_receive(step, &received[i], &messages[i].msg_hdr);
    say("recvmmsg %u of %u", step->count, step->size);
    say_flags(step->flags);
    wait_for_input(step);
    struct mmsghdr *at = mapped_or_not(step, messages);
    begin();
#ifdef SYS_recvmmsg
    long got = step->by_number ? syscall(SYS_recvmmsg, fd_of(step), at, step->count, step->flags, NULL)
                               : recvmmsg(fd_of(step), at, step->count, step->flags, NULL);
#else
    long got = recvmmsg(fd_of(step), at, step->count, step->flags, NULL);
#endif
    if (untold(step))
        return;
    end(got);
    for (unsigned i = 0; (long)i < got; i++) {
        say("; %u", messages[i].msg_len);
        say_received(step, &received[i], &messages[i].msg_hdr, messages[i].msg_len);
    }
}

/* Options */

struct named_option {
    const char *name;
    int level, option;
};

static const struct named_option options[OPTIONS] = {
    [OPTION_REUSEADDR] = {"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR},
    [OPTION_REUSEPORT] = {"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT},
    [OPTION_V6ONLY] = {"IPV6_V6ONLY", IPPROTO_IPV6, IPV6_V6ONLY},
    [OPTION_NO_PORT] = {"IP_BIND_ADDRESS_NO_PORT", IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    [OPTION_BROADCAST] = {"SO_BROADCAST", SOL_SOCKET, SO_BROADCAST},
    [OPTION_LINGER] = {"SO_LINGER", SOL_SOCKET, SO_LINGER},
    [OPTION_RECVERR4] = {"IP_RECVERR", IPPROTO_IP, IP_RECVERR},
    [OPTION_RECVERR6] = {"IPV6_RECVERR", IPPROTO_IPV6, IPV6_RECVERR},
    [OPTION_PKTINFO4] = {"IP_PKTINFO", IPPROTO_IP, IP_PKTINFO},
    [OPTION_PKTINFO6] = {"IPV6_RECVPKTINFO", IPPROTO_IPV6, IPV6_RECVPKTINFO},
    [OPTION_FREEBIND] = {"IP_FREEBIND", IPPROTO_IP, IP_FREEBIND},
    [OPTION_DEVICE] = {"SO_BINDTODEVICE", SOL_SOCKET, SO_BINDTODEVICE},
    [OPTION_FASTOPEN] = {"TCP_FASTOPEN", IPPROTO_TCP, TCP_FASTOPEN},
    [OPTION_TRANSPARENT] = {"IP_TRANSPARENT", IPPROTO_IP, IP_TRANSPARENT},
    [OPTION_FAMILY] = {"IPV6_ADDRFORM", IPPROTO_IPV6, IPV6_ADDRFORM},
    [OPTION_FIRST_OF_GROUP] = {"SO_ATTACH_REUSEPORT_CBPF", SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF},
    [OPTION_ERROR] = {"SO_ERROR", SOL_SOCKET, SO_ERROR},
    [OPTION_TYPE] = {"SO_TYPE", SOL_SOCKET, SO_TYPE},
    [OPTION_PROTOCOL] = {"SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL},
    [OPTION_ACCEPTCONN] = {"SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN},
    [OPTION_TCP_STATE] = {"TCP_INFO", IPPROTO_TCP, TCP_INFO},
};

struct option_value {
    const void *at;
    socklen_t length;
};

static void play_setsockopt(const struct step *step) {
    const struct named_option *option = &options[step->option];
    struct option_value set = {&step->value, sizeof step->value};
    const struct linger linger = {.l_onoff = step->value, .l_linger = 0};
    const int family = AF_INET;
    if (step->option == OPTION_LINGER)
        set = (struct option_value){&linger, sizeof linger};
    else if (step->option == OPTION_DEVICE)
        set = (struct option_value){step->value ? "lo" : "", step->value ? 3 : 1};
    else if (step->option == OPTION_FAMILY)
        set = (struct option_value){&family, sizeof family};
    else if (step->option == OPTION_FIRST_OF_GROUP)
        set = (struct option_value){&first_of_group, sizeof first_of_group};
    say("setsockopt %s %d", option->name, step->value);
    begin();
    end(setsockopt(fd_of(step), option->level, option->option, set.at, set.length));
}

static void play_getsockopt(const struct step *step) {
    const struct named_option *option = &options[step->option];
    int value = 0;
    socklen_t length = step->option == OPTION_TCP_STATE ? 1 : sizeof value;
    say("getsockopt %s", option->name);
    begin();
    int result = getsockopt(fd_of(step), option->level, option->option, &value, &length);
    end(result);
    if (result != 0)
        return;
    say(" ");
    if (step->option == OPTION_ERROR && value != 0)
        say_error(value);
    else
        say("%d", value);
}

/* Descriptors */

static void play_close(const struct step *step) {
    say("close");
    begin();
    end(close(fd_of(step)));
    play->fds[step->slot] = -1;
}

static void play_dup(const struct step *step) {
    say("dup");
    begin();
    int fd = dup(fd_of(step));
    end(fd);
    if (step->to_slot != step->slot)
        keep(step->to_slot, fd, kind_of(step));
    else if (fd >= 0)
        close(fd);
}

static int pass(int fd) {
    union {
        struct cmsghdr header;
        unsigned char bytes[CMSG_SPACE(sizeof fd)];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    char byte = 0;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
    message.msg_controllen = sizeof control;
    int pair[2], got = -1;
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0)
        return -1;
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    if (sendmsg(pair[0], &message, 0) == 1 && recvmsg(pair[1], &message, MSG_DONTWAIT) == 1)
        memcpy(&got, CMSG_DATA(&control.header), sizeof got);
    int saved = errno;
    close(pair[0]);
    close(pair[1]);
    errno = saved;
    return got;
}

static void play_pass(const struct step *step) {
    say("pass");
    begin();
    int fd = pass(fd_of(step));
    end(fd);
    if (step->to_slot != step->slot)
        keep(step->to_slot, fd, kind_of(step));
    else if (fd >= 0)
        close(fd);
}

static void play_shutdown(const struct step *step) {
    say("shutdown %d", step->value);
    begin();
    end(shutdown(fd_of(step), step->value));
}

static void play_poll(const struct step *step) {
    struct pollfd one = {.fd = fd_of(step), .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
    say("poll");
    int result = poll(&one, 1, 0);
    /* MPTCP closes by a worker of the kernel's, in its own time. */
    if (kind_of(step) == KIND_MPTCP4 || kind_of(step) == KIND_MPTCP6)
        say(" = ?");
    else if (!untold(step))
        say(" = %d %#x", result, (unsigned)one.revents);
}

void play_step(const struct step *step, unsigned index) {
    static void (*const plays[OPERATIONS])(const struct step *) = {
        [OP_SOCKET] = play_socket,
        [OP_BIND] = play_bind,
        [OP_LISTEN] = play_listen,
        [OP_CONNECT] = play_connect,
        [OP_ACCEPT] = play_accept,
        [OP_ACCEPT4] = play_accept,
        [OP_GETSOCKNAME] = play_getsockname,
        [OP_GETPEERNAME] = play_getpeername,
        [OP_SEND] = play_send,
        [OP_SENDTO] = play_sendto,
        [OP_SENDMSG] = play_sendmsg,
        [OP_SENDMMSG] = play_sendmmsg,
        [OP_RECV] = play_recv,
        [OP_RECVFROM] = play_recvfrom,
        [OP_RECVMSG] = play_recvmsg,
        [OP_RECVMMSG] = play_recvmmsg,
        [OP_SETSOCKOPT] = play_setsockopt,
        [OP_GETSOCKOPT] = play_getsockopt,
        [OP_SHUTDOWN] = play_shutdown,
        [OP_CLOSE] = play_close,
        [OP_DUP] = play_dup,
        [OP_PASS] = play_pass,
        [OP_POLL] = play_poll,
    };
    fill_payload(index);
    say("s%u ", step->slot);
    plays[step->op](step);
    if (step->op == OP_ACCEPT || step->op == OP_ACCEPT4 || step->op == OP_DUP || step->op == OP_PASS)
        say(" -> s%u", step->to_slot);
    if (step->by_number)
        say(" (by number)");
}
