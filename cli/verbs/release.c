/* SPDX-License-Identifier: MIT */
/* freeport release: gives up what `freeport get` reserved, or what a process left behind. */
#include "assign.h"
#include "cli.h"

#include <errno.h>

static const struct cli_option options[] = {
    CLI_CONFIG_OPTION,
    CLI_SEGMENT_OPTION,
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_SEGMENT_OWNER", NULL};

static int release(struct cli_call *call) {
    enum freeport_protocol protocol = FREEPORT_TCP;
    struct fp_settings settings;
    struct freeport *fp;
    long port;
    pid_t holder = 0;
    if (call->operands < 1 || call->operands > 2) {
        cli_error("release: expected [tcp|udp] PORT; see freeport release --help");
        return CLI_USAGE;
    }
    if (call->operands == 2 && !cli_protocol(call->operand[0], &protocol))
        return cli_bad_value("release", call->operand[0], "tcp or udp");
    const char *text = call->operand[call->operands - 1];
    if (!cli_number(text, 1, 65535, &port))
        return cli_bad_value("release", text, "a port, 1 to 65535");
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    int code = cli_open(&settings, false, &fp);
    if (code != CLI_OK)
        return code;
    int error = fp ? cli_give_up(fp, protocol, (uint16_t)port, &holder) : -ENOENT;
    cli_close(fp);
    if (error == 0)
        return CLI_OK;
    if (error == -EPERM)
        cli_error("%s %ld: assigned to process %d, which is there; only that process and its children give it up",
                  cli_protocol_name(protocol), port, (int)holder);
    else
        cli_error("%s %ld: %s", cli_protocol_name(protocol), port, "not assigned; freeport list shows what is");
    return CLI_FAILED;
}

const struct cli_verb cli_release = {
    .name = "release",
    .synopsis = "[options] [tcp|udp] PORT",
    .summary = "Gives up a port that this shell reserved, or whose process is gone.",
    .options = options,
    .inherited = inherited,
    .notes = "TCP unless udp is said.\n"
             "Exit: 0 given up, 1 not assigned or somebody else's, 2 usage, 5 segment can't be\n"
             "used.\n",
    .run = release,
};
