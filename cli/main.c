/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct cli_verb *const cli_verbs[] = {&cli_run,   &cli_list,   &cli_url,     &cli_port,  &cli_stop,
                                            &cli_get,   &cli_serve,  &cli_release, &cli_reset, &cli_env,
                                            &cli_learn, &cli_doctor, &cli_probe,   NULL};

#define EXPECTED_VERB                                                                                                  \
    "expected a verb: run, list, url, port, stop, get, serve, release, reset, env, learn or doctor; see freeport "     \
    "--help"

static void print_help(void) {
    puts("Usage: freeport VERB [options] ...\n"
         "Gives programs free TCP and UDP ports, without changing them.\n");
    for (const struct cli_verb *const *verb = cli_verbs; *verb; verb++)
        if ((*verb)->summary)
            printf("  %-10s %s\n", (*verb)->name, (*verb)->summary);
    puts("\n"
         "  -h, --help     print this and exit; freeport help VERB: the verb's own\n"
         "  -V, --version  print the version and exit\n"
         "\n"
         "Two servers with one hard-coded port, side by side:\n"
         "  freeport run --session red python3 -m http.server 8080 &\n"
         "  freeport run --session blue python3 -m http.server 8080 &\n"
         "  freeport list");
}

static int run_verb(const struct cli_verb *verb, int argc, char **argv) {
    struct cli_call call;
    int code;
    if (cli_parse(verb, argc, argv, &call, &code))
        code = verb->run(&call);
    fp_file_free(call.file);
    fp_file_free(call.project);
    return code;
}

static const struct cli_verb *find_verb(const char *word) {
    if (strcmp(word, "ls") == 0)
        word = "list";
    for (const struct cli_verb *const *verb = cli_verbs; *verb; verb++)
        if (strcmp(word, (*verb)->name) == 0)
            return *verb;
    cli_error("'%s': " EXPECTED_VERB, word);
    return NULL;
}

/* `freeport help VERB` is `freeport VERB --help`. */
static int help(int argc, char **argv) {
    char option[] = "--help";
    if (argc < 3) {
        print_help();
        return CLI_OK;
    }
    const struct cli_verb *verb = find_verb(argv[2]);
    char *words[] = {argv[2], option, NULL};
    return verb ? run_verb(verb, 2, words) : CLI_USAGE;
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        cli_error(EXPECTED_VERB);
        return CLI_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return CLI_OK;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        puts("freeport " FREEPORT_VERSION);
        return CLI_OK;
    }
    if (strcmp(word, "help") == 0)
        return help(argc, argv);
    const struct cli_verb *verb = find_verb(word);
    return verb ? run_verb(verb, argc - 1, argv + 1) : CLI_USAGE;
}

/*
 * If a standard descriptor is closed, the next file that is opened gets its number, and output would go there. So each
 * is filled with a descriptor that can't be used. It closes on exec: the command gets the descriptor closed, as it was.
 */
static void fill_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC) < 0)
            return; /* without /dev/null it stays closed */
}

int main(int argc, char **argv) {
    fill_standard_descriptors();
    setlocale(LC_CTYPE, ""); /* for the width of characters in the table */
    int code = dispatch(argc, argv);
    /* The output is the result: if it could not be written, the verb has failed. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        cli_error("standard output: %s", strerror(errno));
        return CLI_FAILED;
    }
    return code;
}
