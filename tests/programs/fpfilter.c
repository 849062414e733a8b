/* SPDX-License-Identifier: MIT */
/* fpfilter 'RULE...' COMMAND...: runs a command under a filter of system calls; filter.h has the rules. */
#include "filter.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs("usage: fpfilter 'RULE...' COMMAND...\n", stderr);
        return 2;
    }
    filter_calls(argv[1]);
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
