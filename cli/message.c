/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The length of the well-formed UTF-8 character at p; 0: there is none. Ranges: Unicode standard, table 3-7. */
static size_t utf8_length(const unsigned char *p) {
    unsigned char low = 0x80, high = 0xbf;
    size_t length;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        length = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        length = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0; /* below: overlong forms */
    else if (p[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f; /* past U+10FFFF */
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf)
        if (p[i] < low || p[i] > high)
            return 0;
    return length;
}

/*
 * The length of a character that a terminal shows; 0 for a control character and for malformed text. Control characters
 * are those of ASCII, and those from U+0080 on: U+009B begins an escape sequence.
 */
static size_t shown_length(const unsigned char *p) {
    size_t length = utf8_length(p);
    bool control = p[0] < 0x20 || p[0] == 0x7f || (length == 2 && p[0] == 0xc2 && p[1] < 0xa0);
    return control ? 0 : length;
}

/* Appends the text at `at`, with \xNN for each byte that is not shown: up to 4 bytes for one. Returns the end. */
static char *append_shown(char *at, const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t length = shown_length(p);
        if (length == 0)
            at += sprintf(at, "\\x%02x", *p++);
        for (; length > 0; length--)
            *at++ = (char)*p++;
    }
    *at = 0;
    return at;
}

void cli_error(const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);

    /* Written by one call, so that no line of another process gets into the middle of it. */
    char line[16 + 4 * sizeof text] = "freeport: ", *end = append_shown(line + strlen(line), text);
    *end++ = '\n';
    fwrite(line, 1, (size_t)(end - line), stderr);
}

int cli_bad_value(const char *where, const char *value, const char *expected) {
    cli_error("%s: '%s': expected %s", where, value, expected);
    return CLI_USAGE;
}

char *cli_text(const char *format, ...) {
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return cli_need(text);
}

void *cli_need(void *memory) {
    if (!memory) {
        cli_error("out of memory");
        exit(CLI_FAILED);
    }
    return memory;
}

char *cli_valid_utf8(const char *text) {
    char *out = malloc(3 * strlen(text) + 1);
    if (!out)
        return NULL;
    char *at = out;
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t length = utf8_length(p);
        if (length > 0) {
            memcpy(at, p, length);
            at += length;
            p += length;
        } else {
            memcpy(at, "\xef\xbf\xbd", 3);
            at += 3;
            p++;
        }
    }
    *at = 0;
    return out;
}

char *cli_shown(const char *text) {
    char *shown = cli_need(malloc(4 * strlen(text) + 1));
    append_shown(shown, text);
    return shown;
}

static bool all_shown(const char *text) {
    const unsigned char *p = (const unsigned char *)text;
    while (*p && shown_length(p) > 0)
        p += shown_length(p);
    return !*p;
}

static char *quoted(const char *word) {
    char *quoted = cli_need(malloc(4 * strlen(word) + 3)), *at = quoted;
    *at++ = '\'';
    for (; *word; word++)
        if (*word == '\'')
            at = stpcpy(at, "'\\''");
        else
            *at++ = *word;
    *at++ = '\'';
    *at = 0;
    return quoted;
}

/* The word as $'...', which all shells but dash know. */
static char *escaped(const char *word) {
    char *escaped = cli_need(malloc(4 * strlen(word) + 4)), *at = stpcpy(escaped, "$'");
    for (const unsigned char *p = (const unsigned char *)word; *p;) {
        size_t length = shown_length(p);
        if (length == 0)
            at += sprintf(at, "\\%03o", *p++);
        else if (*p == '\'' || *p == '\\')
            *at++ = '\\';
        for (; length > 0; length--)
            *at++ = (char)*p++;
    }
    *at++ = '\'';
    *at = 0;
    return escaped;
}

char *cli_shell_word(const char *word) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=./,:@%";
    if (*word && word[strspn(word, plain)] == 0)
        return cli_text("%s", word);
    return all_shown(word) ? quoted(word) : escaped(word);
}

void cli_new_session(char session[static CLI_SESSION_BYTES], const char *kind, pid_t pid) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(session, CLI_SESSION_BYTES, "%s-%d-%08x", kind, (int)pid,
             (unsigned)((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec));
}

char *cli_ports(const struct fp_portset *set) {
    char *text = NULL;
    size_t size;
    FILE *out = cli_need(open_memstream(&text, &size));
    for (unsigned port = 1; port < 65536; port++) {
        unsigned from = port;
        if (!fp_portset_has(set, (uint16_t)port))
            continue;
        while (port < 65535 && fp_portset_has(set, (uint16_t)(port + 1)))
            port++;
        fprintf(out, from == port ? "%s%u" : "%s%u-%u", ftell(out) > 0 ? "," : "", from, port);
    }
    fclose(out);
    return cli_need(text);
}
