/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

/* getopt_long() returns this plus the option's index, which is above all letters. */
enum { FIRST_CODE = 256 };

static size_t count_of(const struct cli_verb *verb) {
    size_t n = 0;
    while (verb->options[n].name)
        n++;
    return n;
}

static void print_help(const struct cli_verb *verb) {
    printf("Usage: freeport %s %s\n%s\n\n", verb->name, verb->synopsis, verb->summary);
    for (const struct cli_option *option = verb->options; option[1].name; option++) { /* the last one is --help */
        char left[64], letter[8] = "", shared[32] = "";
        if (option->letter)
            snprintf(letter, sizeof letter, "-%c, ", option->letter);
        if (!option->help) {
            snprintf(shared, sizeof shared, "--%s, ", option->name);
            option++;
        }
        snprintf(left, sizeof left, "%s%s--%s%s%s", letter, shared, option->name, option->argument ? " " : "",
                 option->argument ? option->argument : "");
        printf("  %-22s %s\n", left, option->help);
    }
    if (verb->notes)
        printf("\n%s", verb->notes);
}

/* Makes getopt's tables from a verb's options. */
static void tables(const struct cli_verb *verb, struct option *longs, char *shorts) {
    if (verb->command)
        *shorts++ = '+';
    *shorts++ = ':';
    size_t n = count_of(verb);
    for (size_t i = 0; i < n; i++) {
        const struct cli_option *option = &verb->options[i];
        longs[i] = (struct option){.name = option->name,
                                   .has_arg = option->argument ? required_argument : no_argument,
                                   .val = FIRST_CODE + (int)i};
        if (option->letter) {
            *shorts++ = option->letter;
            if (option->argument)
                *shorts++ = ':';
        }
    }
    longs[n] = (struct option){0};
    *shorts = 0;
}

static const struct cli_option *by_code(const struct cli_verb *verb, int code) {
    size_t n = count_of(verb);
    for (size_t i = 0; i < n; i++)
        if (code == FIRST_CODE + (int)i || (verb->options[i].letter && code == verb->options[i].letter))
            return &verb->options[i];
    return NULL;
}

/* `word`: the argument that getopt has refused. */
static int complain(const struct cli_verb *verb, int result, const char *word) {
    const struct cli_option *option = by_code(verb, optopt);
    char letter[3] = {'-', (char)optopt, 0};
    bool is_long = strncmp(word, "--", 2) == 0;
    const char *shown = is_long ? word : letter;
    if (result == ':')
        cli_error("%s: %s: expected a value, %s; see freeport %s --help", verb->name, shown, option->argument,
                  verb->name);
    else if (option)
        cli_error("%s: %s: expected no value; see freeport %s --help", verb->name, shown, verb->name);
    else
        cli_error("%s: %s: expected an option of this verb; see freeport %s --help", verb->name, shown, verb->name);
    return CLI_USAGE;
}

static const char *joined(const char *list, const char *more) {
    char *longer = NULL;
    if (asprintf(&longer, "%s,%s", list, more) < 0)
        cli_need(NULL);
    return longer;
}

bool cli_parse(const struct cli_verb *verb, int argc, char **argv, struct cli_call *call, int *code) {
    struct option longs[CLI_OPTIONS_MAX + 1];
    char shorts[2 * CLI_OPTIONS_MAX + 3];
    tables(verb, longs, shorts);
    *call = (struct cli_call){.verb = verb};
    opterr = 0;
    optind = 1;
    int result;
    while ((result = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct cli_option *option = result == ':' || result == '?' ? NULL : by_code(verb, result);
        if (!option) {
            *code = complain(verb, result, argv[optind - 1]);
            return false;
        }
        if (strcmp(option->name, "help") == 0) {
            print_help(verb);
            *code = CLI_OK;
            return false;
        }
        const char **value = &call->values[option - verb->options];
        if (*value && verb->repeats && strcmp(verb->repeats, option->name) == 0)
            *value = joined(*value, optarg);
        else
            *value = option->argument ? optarg : "1";
    }
    call->operands = argc - optind;
    call->operand = argv + optind;
    return true;
}

static size_t place_of(const struct cli_verb *verb, const char *name) {
    size_t i = 0;
    while (strcmp(verb->options[i].name, name) != 0)
        i++;
    return i;
}

const char *cli_value(const struct cli_call *call, const char *option) {
    return call->values[place_of(call->verb, option)];
}

void cli_set_value(struct cli_call *call, const char *option, const char *value) {
    call->values[place_of(call->verb, option)] = value;
}

const struct cli_option *cli_given_for(const struct cli_call *call, const char *variable) {
    size_t n = count_of(call->verb);
    for (size_t i = 0; i < n; i++) {
        const struct cli_option *option = &call->verb->options[i];
        if (option->variable && strcmp(option->variable, variable) == 0 && call->values[i])
            return option;
    }
    return NULL;
}
