/* SPDX-License-Identifier: MIT */
/*
 * A server on the next free port of a range, with libfreeport. However many of it are started at once, each has a port
 * of its own, and there is no moment between finding the port and having it:
 *
 *     $ cc server.c -o server $(pkg-config --cflags --libs freeport)
 *     $ ./server 30000-31000 & ./server 30000-31000 &
 *     30000
 *     30002
 *     $ curl http://127.0.0.1:30002/
 *     this is process 4712
 *
 * CMakeLists.txt beside it does the same with find_package(freeport).
 */
#include <arpa/inet.h>
#include <freeport.h>
#include <stdio.h>
#include <unistd.h>

enum { TIMEOUT_MS = 5000, BACKLOG = 16 };

/* A socket that is bound to a free port, or a negative error number of libfreeport's. */
static int bind_free_port(const char *range, uint16_t *port) {
    struct freeport_config config = {.tcp = range};
    struct freeport *fp;
    int error = freeport_open(&fp, &config);
    if (error != 0)
        return error;

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    error = freeport_bind(fp, fd, (struct sockaddr *)&address, sizeof address, TIMEOUT_MS, port);
    freeport_close(fp); /* the port stays ours */
    if (error != 0) {
        close(fd);
        return error;
    }
    return fd;
}

static void answer(int client) {
    char request[1024], response[128];
    if (read(client, request, sizeof request) > 0) {
        int length = snprintf(response, sizeof response, "HTTP/1.0 200 OK\r\n\r\nthis is process %d\n", (int)getpid());
        if (write(client, response, (size_t)length) < 0)
            perror("server: write");
    }
    close(client);
}

int main(int argc, char **argv) {
    uint16_t port;
    int fd = bind_free_port(argc > 1 ? argv[1] : "30000-31000", &port);
    if (fd < 0) {
        fprintf(stderr, "server: %s\n", freeport_strerror(fd));
        return 1;
    }
    if (listen(fd, BACKLOG) != 0) {
        perror("server: listen");
        return 1;
    }
    printf("%d\n", port);
    fflush(stdout);
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client >= 0)
            answer(client);
    }
}
