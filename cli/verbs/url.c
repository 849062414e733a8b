/* SPDX-License-Identifier: MIT */
/* freeport url: the address at which a session's sentinel is to be reached. */
#include "lookup.h"
#include "scheme.h"

#include <stdio.h>

static int url(struct cli_call *call) {
    struct cli_lookup search = {.port = 0};
    int code = cli_look_up(call, &search);
    if (code == CLI_OK)
        printf("%slocalhost:%u\n", search.protocol == FREEPORT_TCP ? fp_scheme(search.sentinel) : "", search.port);
    return code;
}

const struct cli_verb cli_url = {
    .name = "url",
    .synopsis = "[options] SENTINEL[/tcp|/udp]",
    .summary = "Prints the address at which a session's sentinel is to be reached.",
    .options = cli_lookup_options,
    .inherited = cli_lookup_inherited,
    .notes = CLI_LOOKUP_NOTES,
    .run = url,
};
