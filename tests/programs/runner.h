/* SPDX-License-Identifier: MIT */
/*
 * What fpsock and fpclient are made of: words that are run one after the other, on sockets of which one is the current
 * one, and memory in which each byte that is read or written too far shows.
 */
#ifndef FREEPORT_TESTS_RUNNER_H
#define FREEPORT_TESTS_RUNNER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum {
    MARKER = EL3RST, /* what errno is before each call; no socket call fails with it */
    CANARY = 0xa5,   /* what is to stay as it is */
    MOST_SOCKETS = 16,
    MOST_DATA = 2048,
    NO_ROOM = -1, /* of a name that is NULL */
};

/* One sequence of words under way. Each thread and process has its own. */
struct runner {
    char **words;
    int sockets[MOST_SOCKETS];
    unsigned count, current;
    bool joined; /* the word `join` ends a forked part */
};

struct word {
    const char *name;
    unsigned arguments;
    void (*run)(struct runner *runner, char **arguments);
};

/* The program's own words, the last without a name. Those that all programs have stand in runner.c. */
extern const struct word own_words[];

void run_words(struct runner *runner);

/* Trouble of the test's own, which no word's line tells. */
__attribute__((noreturn)) void die(const char *what);

__attribute__((noreturn, format(printf, 1, 2))) void misused(const char *format, ...);

long number(const char *text);

/* A line, in one write: threads and processes share standard output. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

const char *error_name(int error);

/* The line of a call that was made with errno at MARKER, and was to return `expected`. */
void say_result(long result, long expected);

/* Memory that ends where the next page can't be read, full of canaries. */
struct memory {
    unsigned char *base, *at;
    size_t size; /* of what can be accessed, in whole pages */
};

void *memory_make(struct memory *memory, size_t bytes);
void *memory_copy(struct memory *memory, const void *from, size_t bytes); /* and read-only */
void memory_seal(const struct memory *memory);
void memory_free(const struct memory *memory);

/* Whether nothing was written but the first `written` of the `room` bytes that were asked for. */
bool memory_untouched(const struct memory *memory, size_t room, size_t written);

/* The current socket, or -1. */
int current(const struct runner *runner);

/* The socket becomes the current one; a failure is a line. */
void adopt(struct runner *runner, int fd);

void set_option(const struct runner *runner, int level, int option, int value);

/* IPv4, or IPv6 with or without %INTERFACE, in zeroed memory; returns its length. */
socklen_t parse_address(struct sockaddr_storage *address, const char *text, const char *port);

enum { MOST_TEXT = 128 };

/* Writes " ADDRESS PORT" (or what else there is) of a name of that length that came back into that room. */
void describe(char text[static MOST_TEXT], const void *name, int room, socklen_t length);

/* A descriptor, over an AF_UNIX socket. */
bool send_descriptor(int socket, int fd);
int receive_descriptor(int socket); /* -1: none came */

#endif
