/* SPDX-License-Identifier: MIT */
/*
 * The verb that `freeport doctor` runs under the shim: binds port 0 and prints the port. Exits with 0 if the port is in
 * the range, with 2 if the shim is not loaded, else with 1.
 */
#include "cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int probe(struct cli_call *call) {
    struct fp_settings settings;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    bool sure;
    if (!cli_has_shim(getpid(), &sure))
        return 2;
    shm_unlink(getenv("FREEPORT_SEGMENT")); /* the shim has it mapped */
    if (!cli_settings(call, &settings, NULL))
        return CLI_FAILED;
    unsigned index = settings.managed[FP_TCP] ? FP_TCP : FP_UDP;
    int fd = socket(AF_INET, (index == FP_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, length) != 0) {
        printf("%s", strerror(errno));
        return CLI_FAILED;
    }
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return CLI_FAILED;
    printf("%s %u", index == FP_TCP ? "tcp" : "udp", ntohs(address.sin_port));
    return fp_portset_has(&settings.ranges[index].ports, ntohs(address.sin_port)) ? CLI_OK : CLI_FAILED;
}

static const struct cli_option no_options[] = {CLI_HELP_OPTION, CLI_END_OF_OPTIONS};
static const char *const probes[] = {"FREEPORT_TCP", "FREEPORT_UDP", NULL};

const struct cli_verb cli_probe = {
    .name = CLI_PROBE,
    .synopsis = "",
    .summary = NULL,
    .options = no_options,
    .inherited = probes,
    .run = probe,
};
