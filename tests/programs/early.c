/* SPDX-License-Identifier: MIT */
/*
 * A library that binds port 0 when it is loaded: preloaded behind the shim, before the shim's own constructor has run.
 * Says which port it got.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void bind_early(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    char text[32];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return;
    snprintf(text, sizeof text, "early %u\n", ntohs(address.sin_port));
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        return;
    close(fd);
}
