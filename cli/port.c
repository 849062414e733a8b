/* SPDX-License-Identifier: MIT */
/* freeport port: the real port behind a sentinel. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"session", 0, "NAME", "FREEPORT_SESSION", "whose sentinel it is (FREEPORT_SESSION)"},
    CLI_CONFIG_OPTION,
    CLI_SEGMENT_OPTION,
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_SEGMENT_OWNER", NULL};

static int port(struct cli_call *call) {
    enum freeport_protocol protocol = FREEPORT_TCP;
    struct fp_settings settings;
    struct freeport *fp;
    uint16_t sentinel, real;
    if (call->operands != 1) {
        cli_error("port: expected one SENTINEL[/tcp|/udp]; see freeport port --help");
        return CLI_USAGE;
    }
    if (!cli_sentinel(call->operand[0], &sentinel, &protocol))
        return cli_bad_value("port", call->operand[0], "SENTINEL[/tcp|/udp], 1 to 65535");
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    if (!settings.session[0]) {
        cli_error("port: expected a session, in --session or FREEPORT_SESSION; freeport list shows them");
        return CLI_USAGE;
    }
    int code = cli_open(&settings, false, &fp);
    if (code != CLI_OK)
        return code;
    int error = fp ? freeport_lookup(fp, protocol, sentinel, &real) : -ENOENT;
    cli_close(fp);
    if (error == 0) {
        printf("%u\n", real);
        return CLI_OK;
    }
    if (error == -ENOENT)
        cli_error("session '%s' has no port for %u/%s", settings.session, sentinel, cli_protocol_name(protocol));
    else
        cli_error("%u/%s: %s", sentinel, cli_protocol_name(protocol), freeport_strerror(error));
    return CLI_FAILED;
}

const struct cli_verb cli_port = {
    .name = "port",
    .synopsis = "[options] SENTINEL[/tcp|/udp]",
    .summary = "Prints the real port behind a session's sentinel.",
    .options = options,
    .inherited = inherited,
    .notes = "Exit: 0 printed, 1 the session has none, 2 usage, 5 segment can't be used.\n",
    .run = port,
};
