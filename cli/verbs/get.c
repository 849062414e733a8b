/* SPDX-License-Identifier: MIT */
/* freeport get: free ports for a shell. */
#include "assign.h"
#include "cli.h"
#include "clock.h"
#include "owner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_option options[] = {
    CLI_TCP_OPTION,
    CLI_UDP_OPTION,
    CLI_NAME_OPTION,
    {"count", 'n', "N", NULL, "print so many (1)"},
    {"timeout", 0, "MS", "FREEPORT_TIMEOUT", "take so long at most, for all of them (5000)"},
    CLI_CONFIG_OPTION,
    CLI_SEGMENT_OPTION,
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

static const char *const inherited[] = {"FREEPORT_LENIENT", "FREEPORT_SEGMENT_MODE", "FREEPORT_SEGMENT_OWNER", NULL};

struct order {
    struct freeport *fp;
    enum freeport_protocol protocol;
    fp_owner owner;
    int timeout_ms;
    int64_t start;
    long count;
    uint16_t *ports;
};

/* What is left of the time for all ports. 0 for one pass each, however long, that waits for nobody. */
static bool time_left(const struct order *order, int *left) {
    *left = 0;
    if (order->timeout_ms == 0)
        return true;
    int64_t rest = order->start + order->timeout_ms - fp_now_ms();
    *left = (int)rest;
    return rest > 0;
}

/* All or none: what was reserved for an order that can't be filled is given back. */
static int fill(const struct order *order) {
    for (long i = 0; i < order->count; i++) {
        int left, error = -ETIMEDOUT;
        if (time_left(order, &left))
            error = fp_get(order->fp, order->protocol, order->owner, left, &order->ports[i]);
        if (error != 0) {
            while (i-- > 0)
                cli_give_up(order->fp, order->protocol, order->ports[i], NULL);
            return error;
        }
    }
    return 0;
}

static int get_ports(struct order *order, const struct fp_settings *settings) {
    order->owner = fp_owner_of(cli_caller());
    order->timeout_ms = settings->timeout_ms;
    order->start = fp_now_ms();
    order->ports = cli_need(calloc((size_t)order->count, sizeof *order->ports));
    int error = fill(order);
    for (long i = 0; error == 0 && i < order->count; i++)
        printf("%u\n", order->ports[i]);
    free(order->ports);
    return error == 0 ? CLI_OK : cli_no_port(settings, order->protocol, error);
}

/* The other protocol has one: perhaps that was meant. */
static int no_range(const struct cli_call *call, enum freeport_protocol protocol) {
    const char *name = cli_protocol_name(protocol);
    const char *range = protocol == FREEPORT_TCP ? "in --tcp or FREEPORT_TCP" : "in --udp or FREEPORT_UDP";
    if (call->operands > 0)
        cli_error("get: '%s': expected a range for it, %s", name, range);
    else
        cli_error("get: expected a range for %s, %s; or udp behind get, which has a range", name, range);
    return CLI_USAGE;
}

static int get(struct cli_call *call) {
    struct order order = {.protocol = FREEPORT_TCP, .count = 1};
    struct fp_settings settings;
    const char *count = cli_value(call, "count");
    if (count && !cli_number(count, 1, 65535, &order.count))
        return cli_bad_value("--count", count, "a number of ports, 1 to 65535");
    if (call->operands > 1)
        return cli_bad_value("get", call->operand[1], "one operand at most, tcp or udp");
    if (call->operands == 1 && !cli_protocol(call->operand[0], &order.protocol))
        return cli_bad_value("get", call->operand[0], "tcp or udp");
    if (!cli_settings(call, &settings, NULL))
        return CLI_USAGE;
    if (!settings.managed[cli_protocol_index(order.protocol)])
        return no_range(call, order.protocol);
    int code = cli_open(&settings, true, &order.fp);
    if (code != CLI_OK)
        return code;
    code = get_ports(&order, &settings);
    cli_close(order.fp);
    return code;
}

const struct cli_verb cli_get = {
    .name = "get",
    .synopsis = "[options] [tcp|udp]",
    .summary = "Prints free ports, one a line, reserved for the shell that asks.",
    .options = options,
    .inherited = inherited,
    .notes = "TCP unless udp is said. An option stands for the variable of its name, --tcp\n"
             "for FREEPORT_TCP. Nobody else is given the ports before the calling process (of\n"
             "a subshell: its shell) is gone, or gives them up with freeport release.\n"
             "Exit: 0 printed, 1 trouble, 2 usage, 3 no port left, 4 timed out, 5 segment\n"
             "can't be used. Where not all can be had, none is.\n",
    .run = get,
};
