/* SPDX-License-Identifier: MIT */
/*
 * Finding, creating, checking and mapping the shared segment. It is published whole: built under no name, and linked
 * into place when its last byte is written, so no process ever sees half of one. No descriptor stays open.
 */
#ifndef FREEPORT_LIB_SEGMENT_H
#define FREEPORT_LIB_SEGMENT_H

#include "layout.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct fp_segment_request {
    const char *name;    /* '/' first; NULL or "": the user's own in this network namespace */
    mode_t mode;         /* of a segment that is created */
    uid_t trusted_owner; /* a user whose segment is accepted, besides this user and root; (uid_t)-1: none */
    bool existing_only;  /* create none: -ENOENT where there is none */
};

/* What is known about the segment, for messages and for the environment of children. Filled in on failure, too. */
struct fp_segment_facts {
    char name[NAME_MAX + 2];
    uid_t owner; /* (uid_t)-1: unknown */
    mode_t mode;
    dev_t device; /* with the inode: identifies the object, even if its name is given to another later */
    ino_t inode;
    bool replaced; /* a damaged segment was removed */
};

/*
 * 0, or:
 * -EACCES  it exists and its mode does not let this user in     -EPERM   its owner is not a trusted user
 * -EPROTO  no freeport segment, or of another version           -ENOENT  no /dev/shm (or none there: existing_only)
 * -EROFS   /dev/shm is read-only                                -ENOSPC  /dev/shm is full
 * -EFBIG   RLIMIT_FSIZE is smaller than a segment               -ENOMEM  no address space
 * -EMFILE, -ENFILE  no descriptor left
 */
int fp_segment_open(const struct fp_segment_request *request, struct fp_segment **out, struct fp_segment_facts *facts);

void fp_segment_close(struct fp_segment *segment);

/* '/' first, no other, 2 to NAME_MAX bytes, neither "/." nor "/..". */
bool fp_segment_name_ok(const char *name);

#endif
