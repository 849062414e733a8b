/* SPDX-License-Identifier: MIT */
#include "network.h"

#include "../stress/own_network.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>

enum { MOST_TRIES = 1000 };

/* 10.99.0.1 */
static bool add_address4(void) {
    struct ifreq request = {.ifr_name = "lo:1"};
    struct sockaddr_in *address = (struct sockaddr_in *)(void *)&request.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address->sin_family = AF_INET;
    inet_pton(AF_INET, "10.99.0.1", &address->sin_addr);
    bool added = fd >= 0 && ioctl(fd, SIOCSIFADDR, &request) == 0;
    close(fd);
    return added;
}

/* fd99::1 */
static bool add_address6(void) {
    struct {
        struct nlmsghdr header;
        struct ifaddrmsg message;
        struct rtattr attribute;
        struct in6_addr address;
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_NEWADDR, .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE},
        .message = {.ifa_family = AF_INET6, .ifa_prefixlen = 128, .ifa_flags = IFA_F_NODAD, .ifa_index = 1},
        .attribute = {.rta_len = RTA_LENGTH(sizeof(struct in6_addr)), .rta_type = IFA_ADDRESS},
    };
    inet_pton(AF_INET6, "fd99::1", &request.address);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool sent = fd >= 0 && send(fd, &request, sizeof request, 0) == sizeof request;
    close(fd);
    return sent;
}

/* The kernel installs the route to a new address a moment later. Until then datagrams to it are lost. */
static void wait_for_address6(void) {
    struct sockaddr_in6 name = {.sin6_family = AF_INET6};
    socklen_t length = sizeof name;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET6, "fd99::1", &name.sin6_addr);
    if (bind(fd, (struct sockaddr *)&name, length) == 0 && getsockname(fd, (struct sockaddr *)&name, &length) == 0) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        for (unsigned tries = 0; tries < MOST_TRIES; tries++) {
            sendto(fd, "", 1, 0, (struct sockaddr *)&name, length);
            if (poll(&one, 1, 1) > 0)
                break;
        }
    }
    close(fd);
}

bool network_enter(void) {
    if (!own_network() || !add_address4())
        return false;
    if (add_address6()) /* a host without IPv6 is without it on both sides */
        wait_for_address6();
    return true;
}

void network_prepare(void) {
    if (!own_network())
        return;
    /* Of a kernel before 6.1, and of a /proc that can't be written, the tables are those of the host. */
    own_network_write("/proc/sys/net/ipv4/tcp_child_ehash_entries", "256");
    own_network_write("/proc/sys/net/ipv4/udp_child_hash_entries", "256");
}
