/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void cli_error(const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);

    /* Built first and written at once: another process's line must not end up in the middle of it. */
    char line[16 + 4 * sizeof text] = "freeport: ";
    size_t length = strlen(line);
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f)
            length += (size_t)sprintf(line + length, "\\x%02x", c);
        else
            line[length++] = *p;
    }
    line[length++] = '\n';
    fwrite(line, 1, length, stderr);
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

/* How many bytes at p make one well-formed character; 0: none. The ranges are those of the Unicode standard, 3-7. */
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
        low = 0xa0; /* shorter ways to write it exist */
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

char *cli_shell_word(const char *word) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=./,:@%";
    if (*word && word[strspn(word, plain)] == 0)
        return cli_text("%s", word);
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
