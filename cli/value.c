/* SPDX-License-Identifier: MIT */
/* Values in options and operands: numbers, protocols, sentinels. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool cli_number(const char *text, long from, long to, long *number) {
    if (*text < '0' || *text > '9') /* strtol takes spaces and signs */
        return false;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || *end || value < from || value > to)
        return false;
    *number = value;
    return true;
}

bool cli_protocol(const char *text, enum freeport_protocol *protocol) {
    if (strcmp(text, "tcp") == 0)
        *protocol = FREEPORT_TCP;
    else if (strcmp(text, "udp") == 0)
        *protocol = FREEPORT_UDP;
    else
        return false;
    return true;
}

bool cli_sentinel(const char *text, uint16_t *sentinel, enum freeport_protocol *protocol) {
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    char digits[8];
    long number;
    if (length >= sizeof digits || (slash && !cli_protocol(slash + 1, protocol)))
        return false;
    memcpy(digits, text, length);
    digits[length] = 0;
    if (!cli_number(digits, 1, 65535, &number))
        return false;
    *sentinel = (uint16_t)number;
    return true;
}
