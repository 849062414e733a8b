/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* The structures of a 32-bit program. */
struct compat_msghdr {
    uint32_t name, name_length, vectors, vector_count, control, control_length, flags;
};

struct compat_iovec {
    uint32_t base, length;
};

struct compat_cmsghdr {
    uint32_t length;
    int32_t level, type;
};

static_assert(sizeof(struct compat_msghdr) == 28 && sizeof(struct compat_cmsghdr) == 12, "a 32-bit program's");

uint64_t fp_message_stride(const struct fp_notice *notice) {
    return notice->compat ? sizeof(struct compat_msghdr) + sizeof(uint32_t) : sizeof(struct mmsghdr);
}

static bool read_compat(const struct fp_notice *notice, uint64_t at, struct fp_message *message) {
    struct compat_msghdr header;
    if (!fp_notice_read(notice, at, &header, sizeof header))
        return false;
    *message = (struct fp_message){
        .at = at,
        .name = header.name,
        .name_length = header.name_length,
        .vectors = header.vectors,
        .vector_count = header.vector_count,
        .control = header.control,
        .control_length = header.control_length,
    };
    return true;
}

bool fp_message_read(const struct fp_notice *notice, uint64_t at, struct fp_message *message) {
    struct msghdr header;
    if (notice->compat)
        return read_compat(notice, at, message);
    if (!fp_notice_read(notice, at, &header, sizeof header))
        return false;
    *message = (struct fp_message){
        .at = at,
        .name = (uintptr_t)header.msg_name,
        .name_length = header.msg_namelen,
        .vectors = (uintptr_t)header.msg_iov,
        .vector_count = header.msg_iovlen,
        .control = (uintptr_t)header.msg_control,
        .control_length = header.msg_controllen,
    };
    return true;
}

/* Reads 32-bit vectors into the memory of the native ones, which are larger: so they are widened from the last one on.
 */
static bool read_compat_vectors(const struct fp_notice *notice, const struct fp_message *message) {
    struct compat_iovec few[64];
    struct iovec *vectors = notice->buffers->vectors;
    for (uint64_t done = 0; done < message->vector_count;) {
        uint64_t count = message->vector_count - done < 64 ? message->vector_count - done : 64;
        if (!fp_notice_read(notice, message->vectors + done * sizeof few[0], few, count * sizeof few[0]))
            return false;
        for (uint64_t i = 0; i < count; i++)
            vectors[done + i] = (struct iovec){.iov_base = (void *)(uintptr_t)few[i].base, .iov_len = few[i].length};
        done += count;
    }
    return true;
}

int64_t fp_message_vectors(const struct fp_notice *notice, const struct fp_message *message, size_t *count) {
    struct iovec *vectors = notice->buffers->vectors;
    if (message->vector_count > FP_MOST_VECTORS)
        return -EMSGSIZE;
    bool read = notice->compat
                    ? read_compat_vectors(notice, message)
                    : fp_notice_read(notice, message->vectors, vectors, message->vector_count * sizeof vectors[0]);
    if (!read)
        return -EFAULT;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < message->vector_count; i++) {
        if (vectors[i].iov_len > SSIZE_MAX)
            return -EINVAL;
        sum += vectors[i].iov_len > INT_MAX ? INT_MAX : vectors[i].iov_len;
    }
    *count = (size_t)message->vector_count;
    return (int64_t)sum;
}

int64_t fp_message_data(const struct fp_notice *notice, const struct fp_message *message) {
    struct fp_buffers *buffers = notice->buffers;
    size_t count;
    int64_t size = fp_message_vectors(notice, message, &count);
    if (size > FP_DATA_BYTES)
        return -EMSGSIZE;
    if (size <= 0)
        return size;
    struct iovec local = {.iov_base = buffers->data, .iov_len = (size_t)size};
    return process_vm_readv(notice->thread, &local, 1, buffers->vectors, count, 0) == size ? size : -EFAULT;
}

/* Widens 32-bit control messages to native ones, which have a larger header and alignment. */
static int64_t widen_control(const char *from, size_t size, char *to) {
    size_t at = 0, out = 0;
    while (at + sizeof(struct compat_cmsghdr) <= size) {
        struct compat_cmsghdr compat;
        memcpy(&compat, from + at, sizeof compat);
        if (compat.length < sizeof compat || compat.length > size - at)
            return -EINVAL;
        size_t data = compat.length - sizeof compat;
        if (out + CMSG_SPACE(data) > FP_CONTROL_BYTES)
            return -ENOBUFS;
        struct cmsghdr wide = {.cmsg_len = CMSG_LEN(data), .cmsg_level = compat.level, .cmsg_type = compat.type};
        memset(to + out, 0, CMSG_SPACE(data));
        memcpy(to + out, &wide, sizeof wide);
        memcpy(to + out + CMSG_LEN(0), from + at + sizeof compat, data);
        out += CMSG_SPACE(data);
        at += (compat.length + 3) & ~(size_t)3;
    }
    return (int64_t)out;
}

int64_t fp_message_control(const struct fp_notice *notice, const struct fp_message *message) {
    struct fp_buffers *buffers = notice->buffers;
    size_t size = (size_t)message->control_length;
    if (message->control == 0 || size == 0)
        return 0;
    if (message->control_length > FP_CONTROL_BYTES)
        return -ENOBUFS;
    char *into = notice->compat ? buffers->control2 : buffers->control;
    if (!fp_notice_read(notice, message->control, into, size))
        return -EFAULT;
    return notice->compat ? widen_control(into, size, buffers->control) : (int64_t)size;
}

static bool write_data(const struct fp_notice *notice, const struct fp_message *message, size_t size) {
    struct fp_buffers *buffers = notice->buffers;
    size_t count = 0;
    if (size == 0)
        return true;
    if (fp_message_vectors(notice, message, &count) < (int64_t)size)
        return false;
    struct iovec local = {.iov_base = buffers->data, .iov_len = size};
    return process_vm_writev(notice->thread, &local, 1, buffers->vectors, count, 0) == (ssize_t)size;
}

static bool write_name(const struct fp_notice *notice, const struct fp_message *message,
                       const struct msghdr *received) {
    socklen_t length = received->msg_namelen < message->name_length ? received->msg_namelen : message->name_length;
    return message->name == 0 || length == 0 || fp_notice_write(notice, message->name, received->msg_name, length);
}

static bool write_header(const struct fp_notice *notice, const struct fp_message *message,
                         const struct msghdr *received) {
    uint32_t name_length = received->msg_namelen, flags = (uint32_t)received->msg_flags;
    if (notice->compat) {
        uint32_t control = (uint32_t)received->msg_controllen;
        return fp_notice_write(notice, message->at + offsetof(struct compat_msghdr, name_length), &name_length, 4) &&
               fp_notice_write(notice, message->at + offsetof(struct compat_msghdr, control_length), &control, 4) &&
               fp_notice_write(notice, message->at + offsetof(struct compat_msghdr, flags), &flags, 4);
    }
    uint64_t control = received->msg_controllen;
    return fp_notice_write(notice, message->at + offsetof(struct msghdr, msg_namelen), &name_length, 4) &&
           fp_notice_write(notice, message->at + offsetof(struct msghdr, msg_controllen), &control,
                           sizeof received->msg_controllen) &&
           fp_notice_write(notice, message->at + offsetof(struct msghdr, msg_flags), &flags, 4);
}

bool fp_message_write(const struct fp_notice *notice, const struct fp_message *message, const struct msghdr *received,
                      size_t size) {
    return write_data(notice, message, size) && write_name(notice, message, received) &&
           (received->msg_controllen == 0 ||
            fp_notice_write(notice, message->control, received->msg_control, received->msg_controllen)) &&
           write_header(notice, message, received);
}

bool fp_message_set_length(const struct fp_notice *notice, const struct fp_message *message, uint32_t length) {
    uint64_t offset = notice->compat ? sizeof(struct compat_msghdr) : offsetof(struct mmsghdr, msg_len);
    return fp_notice_write(notice, message->at + offset, &length, sizeof length);
}
