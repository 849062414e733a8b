/* SPDX-License-Identifier: MIT */
/* Messages to standard error, one line each, "freeport: " first: what the user asked for in FREEPORT_LOG. */
#ifndef FREEPORT_SHIM_LOG_H
#define FREEPORT_SHIM_LOG_H

#include "caller.h"
#include "line.h"
#include "settings.h"

/* Notes what this process's standard error is, before the program can make it something else. Called once. */
void fp_log_start(void);
extern struct fp_stream fp_log_standard_error;

/* Begins a line of that level: false, and nothing to do, where the level is not wanted. */
bool fp_log_begin(struct fp_line *line, const struct fp_settings *settings, enum fp_log_level level);

/* Writes it, where the caller's descriptor 2 still is standard error. Keeps errno. */
void fp_log_end(const struct fp_caller *caller, const struct fp_line *line);

#endif
