/* SPDX-License-Identifier: MIT */
/* One line of text, made without stdio, and written in one write to a descriptor of any kind. */
#ifndef FREEPORT_SHIM_LINE_H
#define FREEPORT_SHIM_LINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct fp_line {
    unsigned length;
    char text[640]; /* less than PIPE_BUF: a pipe takes it whole or not at all */
};

void fp_line_text(struct fp_line *line, const char *text);
/* Appends a user's value for a message. Control characters are replaced, and a long value is cut off. */
void fp_line_value(struct fp_line *line, const char *value);
void fp_line_number(struct fp_line *line, uint64_t number);
void fp_line_hex(struct fp_line *line, uint64_t number);
/* A JSON string with its quotes. */
void fp_line_json(struct fp_line *line, const char *text);
/* An IPv4 or IPv6 address as RFC 5952 writes it, without its port. */
void fp_line_address(struct fp_line *line, const struct sockaddr *address);

/*
 * Writes the line, and waits for at most timeout_ms until the descriptor takes it. Raises neither SIGPIPE nor SIGXFSZ;
 * is no cancellation point. False if it was not written, with errno; EAGAIN if the time was over.
 */
bool fp_line_write(const struct fp_line *line, int fd, int timeout_ms);

#endif
