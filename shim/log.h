/* SPDX-License-Identifier: MIT */
/* Messages to standard error, one line each, "freeport: " first, by the level in FREEPORT_LOG. */
#ifndef FREEPORT_SHIM_LOG_H
#define FREEPORT_SHIM_LOG_H

#include "caller.h"
#include "line.h"
#include "settings.h"

/* Notes the identity of standard error before the program can replace it. Called once. */
void fp_log_start(void);
extern struct fp_stream fp_log_standard_error;

/* Begins a line of that level. False if FREEPORT_LOG does not want it. */
bool fp_log_begin(struct fp_line *line, const struct fp_settings *settings, enum fp_log_level level);

/* Writes the line, if the caller's descriptor 2 is still standard error. Keeps errno. */
void fp_log_end(const struct fp_caller *caller, const struct fp_line *line);

#endif
