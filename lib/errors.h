/* SPDX-License-Identifier: MIT */
/* Texts of errnos that are constant and untranslated: glibc has those since 2.32 only, and musl has none. */
#ifndef FREEPORT_LIB_ERRORS_H
#define FREEPORT_LIB_ERRORS_H

/* The text of a positive errno, as glibc has it in English; "unknown error". Safe in threads and signal handlers. */
const char *fp_error_text(int error);

#endif
