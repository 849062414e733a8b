/* SPDX-License-Identifier: MIT */
/*
 * fptitle: makes room for a title as daemons do (avahi-daemon's way): all memory from its arguments to the end of its
 * last variable is its own, and is cleared. Says what it was handed down before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    (void)argc;
    const char *session = getenv("FREEPORT_SESSION");
    printf("session %s\n", session ? session : "none");
    char *end = argv[0];
    for (char **at = environ; *at; at++)
        end = *at + strlen(*at);
    if (end < argv[0]) {
        puts("the last variable stands before the arguments");
        return 1;
    }
    memset(argv[0], 0, (size_t)(end - argv[0]));
    puts("cleared");
    return 0;
}
