/* SPDX-License-Identifier: MIT */
/*
 * hold tcp|udp reuseaddr|reuseport|plain PORT
 *
 * A server that sets a flag, binds the port on every address, listens where it is TCP, prints the port it has got, and
 * keeps it until it is ended.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    int tcp = strcmp(argv[1], "tcp") == 0, on = 1;
    int fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (strcmp(argv[2], "plain") != 0)
        setsockopt(fd, SOL_SOCKET, strcmp(argv[2], "reuseport") == 0 ? SO_REUSEPORT : SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
    socklen_t length = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || (tcp && listen(fd, 5) != 0) ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        perror(argv[1]);
        return 1;
    }
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;)
        pause();
}
