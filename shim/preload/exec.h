/* SPDX-License-Identifier: MIT */
#ifndef FREEPORT_SHIM_PRELOAD_EXEC_H
#define FREEPORT_SHIM_PRELOAD_EXEC_H

/* Resolves the real calls of exec.c. Called once, in the constructor. */
void fp_exec_resolve(void);

#endif
