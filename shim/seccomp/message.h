/* SPDX-License-Identifier: MIT */
/* A program's struct msghdr and struct mmsghdr, of 64-bit and 32-bit programs alike. */
#ifndef FREEPORT_SHIM_SECCOMP_MESSAGE_H
#define FREEPORT_SHIM_SECCOMP_MESSAGE_H

#include "notice.h"

/* All addresses and sizes are the program's. */
struct fp_message {
    uint64_t at; /* where the header itself stands */
    uint64_t name, vectors, vector_count, control, control_length;
    uint32_t name_length;
};

/* How far one struct mmsghdr stands from the next. */
uint64_t fp_message_stride(const struct fp_notice *notice);

/* Reads a header. False where it can't be. */
bool fp_message_read(const struct fp_notice *notice, uint64_t at, struct fp_message *message);

/*
 * Fills in the local message with the program's vectors, as addresses of the program's memory in buffers->vectors:
 * the sum of their sizes, or -EMSGSIZE where there are too many, -EFAULT.
 */
int64_t fp_message_vectors(const struct fp_notice *notice, const struct fp_message *message, size_t *count);

/* The data of a message, out of the program's memory into buffers->data: its size, -EMSGSIZE or -EFAULT. */
int64_t fp_message_data(const struct fp_notice *notice, const struct fp_message *message);

/* The control data, as the native layout has it, into buffers->control: its size, or -ENOBUFS, -EFAULT, -EINVAL. */
int64_t fp_message_control(const struct fp_notice *notice, const struct fp_message *message);

/* Writes what was received back: data of that size by the program's vectors, name, control data and flags. */
bool fp_message_write(const struct fp_notice *notice, const struct fp_message *message, const struct msghdr *received,
                      size_t size);

/* The number of bytes of a struct mmsghdr's message. */
bool fp_message_set_length(const struct fp_notice *notice, const struct fp_message *message, uint32_t length);

#endif
