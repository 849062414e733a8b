/* SPDX-License-Identifier: MIT */
/* A program's struct msghdr and struct mmsghdr, of 64-bit and 32-bit programs alike. */
#ifndef FREEPORT_SHIM_SECCOMP_MESSAGE_H
#define FREEPORT_SHIM_SECCOMP_MESSAGE_H

#include "notice.h"

/* Addresses in the program's memory, and sizes. */
struct fp_message {
    uint64_t at; /* the address of the header itself */
    uint64_t name, vectors, vector_count, control, control_length;
    uint32_t name_length;
};

/* The size of one of the program's struct mmsghdr. */
uint64_t fp_message_stride(const struct fp_notice *notice);

/* Reads a header. False if it can't be read. */
bool fp_message_read(const struct fp_notice *notice, uint64_t at, struct fp_message *message);

/*
 * Reads the message's vectors into buffers->vectors; their addresses are of the program's memory. Returns the sum of
 * their sizes, -EMSGSIZE if there are too many, or -EFAULT.
 */
int64_t fp_message_vectors(const struct fp_notice *notice, const struct fp_message *message, size_t *count);

/* The data of a message, out of the program's memory into buffers->data: its size, -EMSGSIZE or -EFAULT. */
int64_t fp_message_data(const struct fp_notice *notice, const struct fp_message *message);

/* The control data, as the native layout has it, into buffers->control: its size, or -ENOBUFS, -EFAULT, -EINVAL. */
int64_t fp_message_control(const struct fp_notice *notice, const struct fp_message *message);

/* Writes what was received back: data of that size by the program's vectors, name, control data and flags. */
bool fp_message_write(const struct fp_notice *notice, const struct fp_message *message, const struct msghdr *received,
                      size_t size);

/* Writes msg_len of a struct mmsghdr. */
bool fp_message_set_length(const struct fp_notice *notice, const struct fp_message *message, uint32_t length);

#endif
