/* SPDX-License-Identifier: MIT */
/* A fuzzer's input, eaten from the front; zeroes once it is empty. */
#ifndef FREEPORT_TESTS_FUZZ_INPUT_H
#define FREEPORT_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

struct input {
    const uint8_t *bytes;
    size_t left;
};

static inline uint8_t input_byte(struct input *input) {
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->bytes++;
}

static inline uint64_t input_word(struct input *input, unsigned bytes) {
    uint64_t word = 0;
    for (unsigned i = 0; i < bytes; i++)
        word |= (uint64_t)input_byte(input) << (8 * i);
    return word;
}

#endif
