/* SPDX-License-Identifier: MIT */
/*
 * Finds the program that a JavaScript launcher starts: npx by its name, npm run by the script of that name in
 * package.json. The program is searched for as they do it: in node_modules/.bin of the directory and those above it,
 * then along PATH. Anything that is not understood is ignored, since only a message depends on it.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES = 1 << 20, SCRIPT_BYTES = 1024 };

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_one_of(const char *word, const char *const *words) {
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

/* Finds a file in the working directory, or in the nearest directory above that has it. */
static bool find_above(const char *name, int mode, char path[static CLI_PATH_BYTES]) {
    char directory[CLI_PATH_BYTES];
    if (!getcwd(directory, sizeof directory))
        return false;
    for (;;) {
        if (snprintf(path, CLI_PATH_BYTES, "%s/%s", directory, name) < CLI_PATH_BYTES && access(path, mode) == 0)
            return true;
        char *slash = strrchr(directory, '/');
        if (!slash)
            return false;
        *slash = 0;
    }
}

/* JSON, as far as a package.json's scripts need it. */

static const char *skip_blanks(const char *at) {
    return at + strspn(at, " \t\r\n");
}

/* Reads a string at *at, and decodes its escapes; *at is moved behind it. False if there is none. */
static bool read_string(const char **at, char *text, size_t size) {
    const char *from = *at;
    size_t length = 0;
    if (*from++ != '"')
        return false;
    for (; *from && *from != '"'; from++) {
        if (*from == '\\' && from[1])
            from++;
        if (length + 1 < size)
            text[length++] = *from;
    }
    text[length] = 0;
    *at = *from ? from + 1 : from;
    return *from == '"';
}

/* The place behind any other value: the comma or brace that ends it. */
static const char *skip_value(const char *at) {
    char ignored[2];
    for (int depth = 0; *at; at++) {
        if (*at == '"') {
            if (!read_string(&at, ignored, sizeof ignored))
                return at;
            at--;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (depth == 0 && (*at == ',' || *at == '}' || *at == ']')) {
            return at;
        } else if (*at == '}' || *at == ']') {
            depth--;
        }
    }
    return at;
}

/* The value of a key in the object at `at`; NULL without one. */
static const char *member(const char *at, const char *key) {
    char name[256];
    at = skip_blanks(at);
    if (*at != '{')
        return NULL;
    do {
        at = skip_blanks(at + 1);
        if (!read_string(&at, name, sizeof name))
            return NULL;
        at = skip_blanks(at);
        if (*at++ != ':')
            return NULL;
        at = skip_blanks(at);
        if (strcmp(name, key) == 0)
            return at;
        at = skip_blanks(skip_value(at));
    } while (*at == ',');
    return NULL;
}

static bool find_script(const char *name, char script[static SCRIPT_BYTES]) {
    char path[CLI_PATH_BYTES];
    FILE *file = find_above("package.json", R_OK, path) ? fopen(path, "re") : NULL;
    if (!file)
        return false;
    char *text = cli_need(calloc(1, FILE_BYTES));
    text[fread(text, 1, FILE_BYTES - 1, file)] = 0;
    fclose(file);
    const char *scripts = member(text, "scripts"), *value = scripts ? member(scripts, name) : NULL;
    bool found = value && read_string(&value, script, SCRIPT_BYTES);
    free(text);
    return found;
}

/* Launchers. */

/* The first operand behind the launcher's options; NULL without one. */
static char **operand(char **words) {
    while (*words && (*words)[0] == '-')
        words += strcmp(*words, "-p") == 0 && words[1] ? 2 : 1;
    return *words ? words : NULL;
}

/* The name of the script that the npm command runs; NULL if it runs none. */
static const char *script_of(char **words) {
    static const char *const run[] = {"run", "run-script", NULL};
    static const char *const own[] = {"start", "test", "stop", "restart", NULL};
    char **verb = operand(words);
    char **name = verb && is_one_of(*verb, run) ? operand(verb + 1) : NULL;
    if (name)
        return *name;
    return verb && is_one_of(*verb, own) ? *verb : NULL;
}

/* The program that a script's text starts, behind assignments and words such as "exec" and "cross-env". */
static bool program_of(char *script, char word[static SCRIPT_BYTES]) {
    static const char *const leading[] = {"exec", "env", "cross-env", "npx", "time", "nohup", NULL};
    for (char *at = strtok(script, " \t\n;&|"); at; at = strtok(NULL, " \t\n;&|"))
        if (!strchr(at, '=') && at[0] != '-' && !is_one_of(at, leading)) {
            snprintf(word, SCRIPT_BYTES, "%s", at);
            return true;
        }
    return false;
}

/* One step: stores the program that the command starts in `word`. */
static bool started(char **words, char word[static SCRIPT_BYTES]) {
    static const char *const runners[] = {"npx", "bunx", "pnpx", NULL};
    static const char *const managers[] = {"npm", "pnpm", "yarn", "bun", NULL};
    static const char *const execs[] = {"exec", "x", "dlx", NULL};
    const char *launcher = base_of(words[0]);
    char script[SCRIPT_BYTES];
    char **first = operand(words + 1);
    if (is_one_of(launcher, managers) && first && is_one_of(*first, execs))
        first = operand(first + 1);
    else if (!is_one_of(launcher, runners))
        first = NULL;
    if (first) {
        snprintf(word, SCRIPT_BYTES, "%s", *first);
        return true;
    }
    const char *name = is_one_of(launcher, managers) ? script_of(words + 1) : NULL;
    return name && find_script(name, script) && program_of(script, word);
}

bool cli_look_through(char **command, struct cli_program *program) {
    char word[SCRIPT_BYTES], place[SCRIPT_BYTES + 32], path[CLI_PATH_BYTES];
    if (!started(command, word))
        return false;
    snprintf(place, sizeof place, "node_modules/.bin/%s", word);
    cli_look_at(!strchr(word, '/') && find_above(place, X_OK, path) ? path : word, program);
    return program->path[0] != 0;
}
