/* SPDX-License-Identifier: MIT */
/* freeport port: the real port behind a session's sentinel. */
#include "lookup.h"

#include <stdio.h>

static int port(struct cli_call *call) {
    struct cli_lookup search = {.port = 0};
    int code = cli_look_up(call, &search);
    if (code == CLI_OK)
        printf("%u\n", search.port);
    return code;
}

const struct cli_verb cli_port = {
    .name = "port",
    .synopsis = "[options] SENTINEL[/tcp|/udp]",
    .summary = "Prints the real port behind a session's sentinel.",
    .options = cli_lookup_options,
    .inherited = cli_lookup_inherited,
    .notes = CLI_LOOKUP_NOTES,
    .run = port,
};
