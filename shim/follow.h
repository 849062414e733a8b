/* SPDX-License-Identifier: MIT */
/*
 * The session follows a program that cleans the environment of what it executes (FREEPORT_FOLLOW=yes): LD_PRELOAD and
 * the FREEPORT_ variables of this process's start are put back. Nothing here allocates: it runs in vfork children.
 */
#ifndef FREEPORT_SHIM_FOLLOW_H
#define FREEPORT_SHIM_FOLLOW_H

#include "settings.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Copies what is to be put back. Called once, when the shim is loaded, behind the last change that it makes to its
 * environment. Without FREEPORT_FOLLOW=yes it does nothing.
 */
void fp_follow_start(const struct fp_settings *settings);

/* True if exec has to be looked at: the session follows, or has a launcher. */
bool fp_follow_watches(void);

/* The path in an environment's FREEPORT_LAUNCHER; NULL without one. `environment` may be NULL, here and below. */
const char *fp_follow_launcher(char *const environment[]);

/* The same of its LD_PRELOAD. */
const char *fp_follow_preload(char *const environment[]);

/* How large fp_follow_environment() wants its memory: the list, in pointers, and the text, in bytes. */
struct fp_follow_size {
    size_t list, text;
};

/*
 * Zero: the environment goes as it is. Only one with neither FREEPORT_TCP nor FREEPORT_UDP was cleaned: what else is
 * missing, a freeport run inside of the session has taken away. One that says FREEPORT_FOLLOW=no stays as it is.
 */
struct fp_follow_size fp_follow_size(char *const environment[]);

/* Fills `list` with the environment and what it lacks, by the sizes above; `text` holds an LD_PRELOAD that was made. */
void fp_follow_environment(char *const environment[], char **list, char *text);

#endif
