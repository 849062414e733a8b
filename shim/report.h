/* SPDX-License-Identifier: MIT */
/* Reports: a line for each assignment, on a descriptor and in a file, for the process that started the program. */
#ifndef FREEPORT_SHIM_REPORT_H
#define FREEPORT_SHIM_REPORT_H

#include "caller.h"
#include "settings.h"

#include <sys/socket.h>

/*
 * Notes the identity of the report descriptor, unless the parent has handed it down, and hands it down. Makes a
 * relative FREEPORT_REPORT absolute, for this process and its children. Called once.
 */
void fp_report_start(struct fp_settings *settings);

/* Reports an assignment after its bind has succeeded. A report that can't be written is lost, and that is logged. */
void fp_report(const struct fp_caller *caller, unsigned protocol, uint16_t requested, uint16_t port,
               const struct sockaddr *address);

#endif
