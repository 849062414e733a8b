/* SPDX-License-Identifier: MIT */
/* Hands variables down to children: what this process has made up (a session) or found out (a descriptor's identity).
 */
#ifndef FREEPORT_SHIM_HAND_DOWN_H
#define FREEPORT_SHIM_HAND_DOWN_H

/*
 * Sets a variable for this process and its children. Strings are copied. To be called only while the shim is loaded,
 * when the program has no threads and has not read its environment.
 */
void fp_hand_down(const char *variable, const char *value);

#endif
