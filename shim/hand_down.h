/* SPDX-License-Identifier: MIT */
/* What this process made up or found out, and its children are to find in their environment. */
#ifndef FREEPORT_SHIM_HAND_DOWN_H
#define FREEPORT_SHIM_HAND_DOWN_H

/*
 * Sets a variable for this process and its children. Strings are copied. Only when the shim is loaded: the program has
 * no threads yet, and has not looked at its environment.
 */
void fp_hand_down(const char *variable, const char *value);

#endif
