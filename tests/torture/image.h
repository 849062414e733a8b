/* SPDX-License-Identifier: MIT */
/* The segment as each process is to find it, and what deaths have left of it: states that it may be found in, too. */
#ifndef FREEPORT_TESTS_IMAGE_H
#define FREEPORT_TESTS_IMAGE_H

#include "layout.h"

#include <stdbool.h>
#include <sys/types.h>

/* Which segment. Once, before anything else. */
void image_of(struct fp_segment *segment);

/* As it is now, so it is to be found. */
void image_keep(void);

/* Makes it so again. Where nobody has looked for a while, everywhere; else in the pages that were seen to change. */
void image_restore(bool look_everywhere);

/* Keeps what it is now, unless a death of another process has left the same. */
void image_note_state(pid_t victim);

unsigned image_states(void);

/* From here on it is to be found in that state, and is; and no more. */
void image_begin_state(unsigned number);
void image_end_state(unsigned number);

void image_forget_states(void);

#endif
