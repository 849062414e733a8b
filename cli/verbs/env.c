/* SPDX-License-Identifier: MIT */
/* freeport env: a name's settings out of the configuration file, as lines for a shell. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cli_option options[] = {
    CLI_CONFIG_OPTION,
    CLI_HELP_OPTION,
    CLI_END_OF_OPTIONS,
};

/* All that a section may have. */
static const char *const inherited[] = {"FREEPORT_NAME",          "FREEPORT_LOG",          "FREEPORT_LENIENT",
                                        "FREEPORT_TCP",           "FREEPORT_UDP",          "FREEPORT_SENTINELS",
                                        "FREEPORT_SESSION",       "FREEPORT_REPORT_FD",    "FREEPORT_REPORT",
                                        "FREEPORT_REPORT_FORMAT", "FREEPORT_SOCKNAME",     "FREEPORT_CONNECT",
                                        "FREEPORT_VIA",           "FREEPORT_FOLLOW",       "FREEPORT_TIMEOUT",
                                        "FREEPORT_SEGMENT",       "FREEPORT_SEGMENT_MODE", NULL};

/* Where the section says nothing of these, the shell's own stay: they are the host's matter, not a name's. */
static const char *const hosts[] = {"FREEPORT_SEGMENT", "FREEPORT_SEGMENT_MODE", "FREEPORT_LOG", NULL};

static bool is_hosts(const char *variable) {
    for (const char *const *host = hosts; *host; host++)
        if (strcmp(*host, variable) == 0)
            return true;
    return false;
}

/* Between single quotes a shell takes everything as it is but the single quote. */
static void print_export(const char *variable, const char *value) {
    printf("export %s='", variable);
    for (const char *at = value; *at; at++)
        if (*at == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*at);
    puts("'");
}

/* The shell and its children are one session; without a name each child would be one of its own. */
static void print_session(void) {
    char session[CLI_SESSION_BYTES];
    cli_new_session(session, "env", getppid());
    print_export("FREEPORT_SESSION", session);
}

static void print_variable(const struct cli_call *call, const char *variable, bool default_range) {
    enum cli_origin origin;
    const char *value = cli_given(call, variable, &origin);
    if (strcmp(variable, "FREEPORT_NAME") == 0)
        print_export(variable, call->section);
    else if (value)
        print_export(variable, value);
    else if (default_range && (strcmp(variable, "FREEPORT_TCP") == 0 || strcmp(variable, "FREEPORT_UDP") == 0))
        print_export(variable, CLI_DEFAULT_RANGE);
    else if (strcmp(variable, "FREEPORT_SESSION") == 0)
        print_session();
    else if (getenv(variable) && !is_hosts(variable))
        printf("unset %s\n", variable);
}

static int env(struct cli_call *call) {
    struct fp_settings settings;
    char shim[CLI_SHIM_BYTES];
    bool default_range;
    const char *variable;
    enum cli_origin origin;
    if (call->operands > 1)
        return cli_bad_value("env", call->operand[1], "one NAME at most");
    call->name = call->operand[0];
    call->name_needs_section = call->operands > 0;
    if (!cli_settings(call, &settings, &default_range))
        return CLI_USAGE;
    if (!cli_find_shim(shim))
        return CLI_CANNOT_START;
    for (size_t i = 0; (variable = fp_settings_variable(i)); i++)
        print_variable(call, variable, default_range);
    /* What was noted about a descriptor and a segment that are not these. */
    if (getenv("FREEPORT_REPORT_ID"))
        puts("unset FREEPORT_REPORT_ID");
    if (getenv("FREEPORT_SEGMENT_OWNER") && cli_given(call, "FREEPORT_SEGMENT", &origin))
        puts("unset FREEPORT_SEGMENT_OWNER");
    if (getenv("FREEPORT_SEGMENT_ID") && cli_given(call, "FREEPORT_SEGMENT", &origin))
        puts("unset FREEPORT_SEGMENT_ID");
    char *preload = cli_preload(getenv("LD_PRELOAD"), shim);
    print_export("LD_PRELOAD", preload);
    free(preload);
    return CLI_OK;
}

const struct cli_verb cli_env = {
    .name = "env",
    .synopsis = "[options] [NAME]",
    .summary = "Prints the lines that make a shell's programs use a name's ports.",
    .options = options,
    .inherited = inherited,
    .file_alone = true,
    .notes = "For eval \"$(freeport env NAME)\". The file's section [NAME], else that of\n"
             "FREEPORT_NAME, else [default], with what holds for every name. Without a range\n"
             "in there, or without a file, ports are those of " CLI_DEFAULT_RANGE ". What is in the\n"
             "environment and not in there is unset, but for the segment and FREEPORT_LOG.\n"
             "The shell gets a session of its own, unless the section names one.\n"
             "Exit: 0 printed, 2 usage or the file, 125 there is no shim.\n",
    .run = env,
};
