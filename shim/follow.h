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
 * Copies the variables that are put back later. Called once, when the shim is loaded, after its last change to the
 * environment. Without FREEPORT_FOLLOW=yes it does nothing.
 */
void fp_follow_start(const struct fp_settings *settings);

/* True if exec has to be looked at: FREEPORT_FOLLOW=yes, or there is a launcher. */
bool fp_follow_watches(void);

/* The path in an environment's FREEPORT_LAUNCHER; NULL without one. `environment` may be NULL, here and below. */
const char *fp_follow_launcher(char *const environment[]);

/* The same of its LD_PRELOAD. */
const char *fp_follow_preload(char *const environment[]);

/* The memory that fp_follow_environment() needs: pointers in the list, bytes of text. */
struct fp_follow_size {
    size_t list, text;
};

/*
 * Zero: the environment is passed on unchanged. It counts as cleaned if it has neither FREEPORT_TCP nor FREEPORT_UDP;
 * other variables may be missing because a freeport run inside of the session has removed them. With FREEPORT_FOLLOW=no
 * in it, it stays unchanged.
 */
struct fp_follow_size fp_follow_size(char *const environment[]);

/* Fills `list` with the environment and the missing variables, in the sizes above. `text` gets a new LD_PRELOAD. */
void fp_follow_environment(char *const environment[], char **list, char *text);

#endif
