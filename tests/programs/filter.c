/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARGUMENTS = 4, MOST_ERRNO = 134 };

__attribute__((noreturn)) static void refuse(const char *what, const char *expected) {
    fprintf(stderr, "filter: '%s': expected %s\n", what, expected);
    exit(2);
}

static int number_of(const char *call) {
    int number = seccomp_syscall_resolve_name(call);
    if (number == __NR_SCMP_ERROR)
        refuse(call, "a system call");
    return number;
}

static int errno_of(const char *name) {
    for (int error = 1; error < MOST_ERRNO; error++) {
        const char *known = strerrorname_np(error);
        if (known && strcmp(known, name) == 0)
            return error;
    }
    refuse(name, "an errno");
}

/* "/1=6" or "/2&020200000" */
static struct scmp_arg_cmp condition_of(const char *text) {
    char *at;
    unsigned argument = (unsigned)strtoul(text, &at, 10);
    char sign = *at++;
    unsigned long long value = strtoull(at, &at, 0);
    if (*at || argument > 5 || (sign != '=' && sign != '&'))
        refuse(text, "N=VALUE or N&BITS");
    enum scmp_compare how = sign == '=' ? SCMP_CMP_EQ : SCMP_CMP_MASKED_EQ;
    return SCMP_CMP(argument, how, value, value); /* by the first the last one is not looked at */
}

static void allow_only(scmp_filter_ctx filter, char *list) {
    for (char *call; (call = strsep(&list, ","));)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, number_of(call), 0) != 0)
            refuse(call, "a call that can be allowed");
}

static void refuse_call(scmp_filter_ctx filter, char *rule) {
    struct scmp_arg_cmp conditions[MOST_ARGUMENTS];
    unsigned count = 0;
    char *error = rule, *rest = strsep(&error, ":"), *call = strsep(&rest, "/");
    if (!error)
        refuse(rule, "CALL:ERRNO");
    for (char *condition; count < MOST_ARGUMENTS && (condition = strsep(&rest, "/"));)
        conditions[count++] = condition_of(condition);
    if (seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)errno_of(error)), number_of(call), count, conditions) !=
        0)
        refuse(call, "a call that can be refused");
}

void filter_calls(const char *rules) {
    static const char only[] = "only:";
    bool strict = strncmp(rules, only, strlen(only)) == 0;
    scmp_filter_ctx filter = seccomp_init(strict ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW);
    char *copy = strdup(rules), *rest = copy;
    if (!filter || !copy)
        refuse(rules, "some memory");
    for (char *rule; (rule = strsep(&rest, " "));) {
        if (strict)
            allow_only(filter, rule + strlen(only));
        else
            refuse_call(filter, rule);
    }
    free(copy);
    int error = seccomp_load(filter);
    if (error != 0)
        refuse(rules, strerror(-error));
    seccomp_release(filter);
}
