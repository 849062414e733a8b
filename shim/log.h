/* SPDX-License-Identifier: MIT */
/* Messages to standard error, one line each, "freeport: " first: what the user asked for in FREEPORT_LOG. */
#ifndef FREEPORT_SHIM_LOG_H
#define FREEPORT_SHIM_LOG_H

#include "line.h"
#include "settings.h"

/* Notes what standard error is, before the program can make it something else. Called once. */
void fp_log_start(void);

/* Begins a line of that level: false, and nothing to do, where the level is not wanted. */
bool fp_log_begin(struct fp_line *line, const struct fp_settings *settings, enum fp_log_level level);

/* Writes it, where descriptor 2 still is standard error. Keeps errno. */
void fp_log_end(const struct fp_line *line);

#endif
