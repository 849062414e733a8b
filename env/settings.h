/* SPDX-License-Identifier: MIT */
/*
 * The environment, read once into plain memory. No pointer leads into the environment, since programs overwrite theirs
 * (process titles) and change it. No malloc, no stdio: this runs in the shim's constructor.
 */
#ifndef FREEPORT_ENV_SETTINGS_H
#define FREEPORT_ENV_SETTINGS_H

#include "portset.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum fp_log_level { FP_LOG_QUIET, FP_LOG_ERROR, FP_LOG_WARN, FP_LOG_INFO, FP_LOG_DEBUG };
enum fp_report_format { FP_REPORT_TEXT, FP_REPORT_JSON };
enum fp_sockname { FP_SOCKNAME_VIRTUAL, FP_SOCKNAME_REAL };
enum fp_connect { FP_CONNECT_SESSION, FP_CONNECT_FALLTHROUGH, FP_CONNECT_OFF };
enum fp_via { FP_VIA_AUTO, FP_VIA_PRELOAD, FP_VIA_SECCOMP };

enum fp_follow { FP_FOLLOW_NO, FP_FOLLOW_YES };

/* The two protocols as indices, here and in the table. */
enum { FP_TCP = 0, FP_UDP = 1, FP_PROTOCOLS = 2 };

struct fp_settings {
    char name[33];
    char session[65];                     /* empty: none given */
    int report_fd;                        /* -1: none */
    uint64_t report_device, report_inode; /* its identity, from the parent (FREEPORT_REPORT_ID); 0, 0: none */
    enum fp_report_format report_format;
    enum fp_sockname sockname;
    enum fp_connect connect;
    enum fp_via via; /* how freeport run reaches programs */
    int timeout_ms;
    char segment[NAME_MAX + 1]; /* empty: the user's default; else '/' first */
    mode_t segment_mode;
    uid_t segment_owner;                    /* from the parent (FREEPORT_SEGMENT_OWNER); (uid_t)-1: none */
    uint64_t segment_device, segment_inode; /* its identity, from the parent (FREEPORT_SEGMENT_ID); 0, 0: unknown */
    enum fp_log_level log;
    bool lenient;
    enum fp_follow follow;
    bool bad;                   /* a value could not be read: each managed bind fails with EINVAL */
    bool managed[FP_PROTOCOLS]; /* the protocol has a range variable, readable or not */
    bool sentinels_any;         /* FREEPORT_SENTINELS is not empty */
    bool all[FP_PROTOCOLS];     /* it has "all" in it, for that protocol */
    bool tell;                  /* tells a person at the terminal the address of each server (FREEPORT_TELL) */
    bool has_report;            /* `report` is not empty. Asked first, since its page may not be mapped in yet */

    /* Large members come last: their pages are not touched without need. */

    /*
     * The ranges as text; empty if the variable is unset. A range that can't be read is empty too, but its protocol is
     * in `managed` and `bad` is set: its managed binds fail with EINVAL.
     */
    char range[FP_PROTOCOLS][1024];
    struct fp_range ranges[FP_PROTOCOLS]; /* the same as sets, without the named sentinels */

    /*
     * The sentinels that were named, by PORT or FROM-TO; none for a protocol without a range variable. A client of a
     * port that only "all" makes a sentinel is let through if the session has no server. A list that can't be read
     * counts as "all": `bad` makes binds fail, and connections go where they would have gone.
     */
    struct fp_portset named[FP_PROTOCOLS];
    struct fp_pins pins;   /* PORT=REAL */
    char report[PATH_MAX]; /* empty: none */
};

/*
 * True if a port is a sentinel of that protocol by the settings: named, or by "all". With "all", a port that the
 * session was given is no sentinel; the table knows those.
 */
static inline bool fp_settings_has_sentinel(const struct fp_settings *settings, unsigned protocol, uint16_t port) {
    return fp_portset_has(&settings->named[protocol], port) || (settings->all[protocol] && port != 0);
}

/*
 * Returns a variable's value: from the environment (secure_getenv), a file's section, or a test. NULL if it is unset.
 * The string is valid until the next call. A variable may be asked for twice.
 */
typedef const char *fp_settings_source(const char *variable, void *context);

/*
 * Called once for each value that can't be read. `variable` and `value` as they stand, `expected` a phrase such as
 * "FROM-TO or PORT, several with commas, 1 to 65535". The settings' log level is valid by then. Strings are valid
 * during the call.
 */
typedef void fp_settings_complaint(const struct fp_settings *settings, const char *variable, const char *value,
                                   const char *expected, void *context);

/*
 * Fills *settings, which must be zeroed memory. True if freeport has work to do: FREEPORT_TCP or FREEPORT_UDP is set.
 * Without either, no other variable is read. A value that can't be read leaves its variable's default and sets `bad`.
 * An empty value can't be read, except in FREEPORT_SENTINELS. Variables that freeport writes for children are ignored
 * in silence if they can't be read, since the user has not set them.
 */
bool fp_settings_read(struct fp_settings *settings, fp_settings_source *source, fp_settings_complaint *complaint,
                      void *context);

/* The variables that people set, by number from 0 on; NULL behind the last. */
const char *fp_settings_variable(size_t number);

/* 1 to 32 of A-Z a-z 0-9 _ . - */
bool fp_settings_name_ok(const char *name);

#endif
