/* SPDX-License-Identifier: MIT */
/* Telling whoever started the program which port it got: a line on a descriptor, and one in a file. */
#ifndef FREEPORT_SHIM_REPORT_H
#define FREEPORT_SHIM_REPORT_H

#include "caller.h"
#include "settings.h"

#include <sys/socket.h>

/*
 * Notes which object the report descriptor is, unless the parent has handed that down, and hands it down; makes a
 * relative FREEPORT_REPORT absolute, for this process and its children. Called once.
 */
void fp_report_start(struct fp_settings *settings);

/* Reports an assignment, after the bind has succeeded. A report that can't be written is logged, and lost. */
void fp_report(const struct fp_caller *caller, unsigned protocol, uint16_t requested, uint16_t port,
               const struct sockaddr *address);

#endif
