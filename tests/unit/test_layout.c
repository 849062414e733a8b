/* SPDX-License-Identifier: MIT */
/* The segment as bytes. The numbers here are the format: they are written down, not computed from the structs. */
#include "layout.h"
#include "segment.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT_BYTES = 10904208 };

static struct fp_segment *segment;

static void map_zeroes(void) {
    segment = mmap(NULL, sizeof *segment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(segment != MAP_FAILED);
}

/* Whether the bytes of a field, as they are stored through its name, stand at that place; and whether it is theirs. */
static void assert_place(const char *name, const void *field, size_t size, size_t offset) {
    const unsigned char *bytes = (const unsigned char *)segment + offset;
    if ((const unsigned char *)field != bytes)
        fail_msg("%s is at %td, not at %zu", name, (const unsigned char *)field - (const unsigned char *)segment,
                 offset);
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0xa5)
            fail_msg("%s: byte %zu of %zu was not stored", name, i, size);
    if ((offset > 0 && bytes[-1] != 0) || (offset + size < SEGMENT_BYTES && bytes[size] != 0))
        fail_msg("%s is larger than %zu bytes", name, size);
}

/* clang-format off */
#define ASSERT_FIELD(field, size, offset)                                                                              \
    do {                                                                                                               \
        memset((void *)&segment->field, 0xa5, sizeof segment->field);                                                  \
        assert_place(#field, (const void *)&segment->field, size, offset);                                             \
        memset((void *)&segment->field, 0, sizeof segment->field);                                                     \
    } while (0)
/* clang-format on */

static void the_header_is_144_bytes_of_these_fields(void **state) {
    (void)state;
    ASSERT_FIELD(header.magic, 8, 0);
    ASSERT_FIELD(header.version, 4, 8);
    ASSERT_FIELD(header.header_bytes, 4, 12);
    ASSERT_FIELD(header.segment_bytes, 8, 16);
    ASSERT_FIELD(header.entry_bytes, 4, 24);
    ASSERT_FIELD(header.label_bytes, 4, 28);
    ASSERT_FIELD(header.names, 4, 32);
    ASSERT_FIELD(header.sessions, 4, 36);
    ASSERT_FIELD(header.index_slots, 4, 40);
    ASSERT_FIELD(header.lock_bytes, 4, 44);
    ASSERT_FIELD(header.unused, 32, 48);
    ASSERT_FIELD(header.reach, 4, 80);
    ASSERT_FIELD(header.turn, 4, 84);
    ASSERT_FIELD(header.search, 4, 88);
    ASSERT_FIELD(header.reclaimed, 4, 92);
    ASSERT_FIELD(header.unused2, 48, 96);
    ASSERT_FIELD(header, 144, 0);
}

static void the_lock_is_512_bytes(void **state) {
    (void)state;
    ASSERT_FIELD(lock.state, 4, 144);
    ASSERT_FIELD(lock.unused, 4, 148);
    ASSERT_FIELD(lock.holder, 8, 152);
    ASSERT_FIELD(lock.unused2, 496, 160);
    ASSERT_FIELD(lock, 512, 144);
}

static void the_names_are_1024_labels_of_80_bytes(void **state) {
    (void)state;
    ASSERT_FIELD(names[0].writer, 8, 656);
    ASSERT_FIELD(names[0].sequence, 4, 664);
    ASSERT_FIELD(names[0].unused, 4, 668);
    ASSERT_FIELD(names[0].text, 64, 672);
    ASSERT_FIELD(names[0].text[7], 8, 728);
    ASSERT_FIELD(names[1], 80, 736);
    ASSERT_FIELD(names[1023].text, 64, 82512);
    ASSERT_FIELD(names, 81920, 656);
}

static void the_cursors_are_1024_of_16_bytes(void **state) {
    (void)state;
    ASSERT_FIELD(cursors[0].last[0], 4, 82576);
    ASSERT_FIELD(cursors[0].last[1], 4, 82580);
    ASSERT_FIELD(cursors[0].refreshed[0], 4, 82584);
    ASSERT_FIELD(cursors[0].refreshed[1], 4, 82588);
    ASSERT_FIELD(cursors[1023], 16, 98944);
    ASSERT_FIELD(cursors, 16384, 82576);
}

static void the_hints_are_a_bit_for_each_port_of_each_protocol(void **state) {
    (void)state;
    ASSERT_FIELD(taken[0], 8192, 98960);
    ASSERT_FIELD(taken[1], 8192, 107152);
    ASSERT_FIELD(held[0], 8192, 115344);
    ASSERT_FIELD(held[1], 8192, 123536);
    ASSERT_FIELD(held[1][1023], 8, 131720);
    ASSERT_FIELD(sentinels[0], 8192, 131728);
    ASSERT_FIELD(sentinels[1], 8192, 139920);
    ASSERT_FIELD(meant, 8192, 148112);
}

static void the_sessions_are_16384_labels_of_80_bytes(void **state) {
    (void)state;
    ASSERT_FIELD(sessions[0].writer, 8, 156304);
    ASSERT_FIELD(sessions[1].sequence, 4, 156392);
    ASSERT_FIELD(sessions[16383].text, 64, 1466960);
    ASSERT_FIELD(sessions, 1310720, 156304);
}

static void the_index_is_131072_slots_of_8_bytes(void **state) {
    (void)state;
    ASSERT_FIELD(index[0], 8, 1467024);
    ASSERT_FIELD(index[131071], 8, 2515592);
    ASSERT_FIELD(index, 1048576, 1467024);
}

static void the_entries_are_64_bytes_for_each_port_of_each_protocol(void **state) {
    (void)state;
    ASSERT_FIELD(entries[0][0].owner, 8, 2515600);
    ASSERT_FIELD(entries[0][0].meaning, 8, 2515608);
    ASSERT_FIELD(entries[0][0].patience, 8, 2515616);
    ASSERT_FIELD(entries[0][0].since, 4, 2515624);
    ASSERT_FIELD(entries[0][0].family, 4, 2515628);
    ASSERT_FIELD(entries[0][0].address[0], 8, 2515632);
    ASSERT_FIELD(entries[0][0].address[1], 8, 2515640);
    ASSERT_FIELD(entries[0][0].holder, 8, 2515648);
    ASSERT_FIELD(entries[0][0].socket, 8, 2515656);
    ASSERT_FIELD(entries[0][1], 64, 2515664);
    ASSERT_FIELD(entries[1][0], 64, 6709904);
    ASSERT_FIELD(entries[1][65535], 64, 10904144);
    ASSERT_FIELD(entries, 8388608, 2515600);
    assert_int_equal(sizeof(struct fp_segment), SEGMENT_BYTES);
}

/* Little-endian, as every machine is that runs this; another one's segment is another format. */
/* A segment lies in its machine's byte order: on one that is not little-endian, each field is turned round first. */
static void turn_round(unsigned char *bytes) {
    static const unsigned char widths[] = {8, 4, 4, 8, 4, 4, 4, 4, 4, 4};
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        return;
    unsigned char *at = bytes;
    for (size_t i = 0; i < sizeof widths; at += widths[i++])
        for (unsigned a = 0, b = widths[i] - 1u; a < b; a++, b--) {
            unsigned char byte = at[a];
            at[a] = at[b];
            at[b] = byte;
        }
    bytes[144] = bytes[147]; /* the lock's state */
    bytes[147] = 0;
}

static const unsigned char fresh_header[144] = {
    'f',  'r',  'e',  'e', 'p', 'o', 'r', 't', /* magic */
    2,    0,    0,    0,                       /* version */
    144,  0,    0,    0,                       /* header */
    0x90, 0x62, 0xa6, 0,   0,   0,   0,   0,   /* 10904208 bytes in all */
    64,   0,    0,    0,                       /* an entry */
    80,   0,    0,    0,                       /* a label */
    0,    4,    0,    0,                       /* 1024 names */
    0,    0x40, 0,    0,                       /* 16384 sessions */
    0,    0,    2,    0,                       /* 131072 slots */
    0,    2,    0,    0,                       /* a lock */
};

static void a_fresh_segment_is_stamped_with_these_bytes_and_zero_behind_its_lock(void **state) {
    (void)state;
    char name[64], path[80];
    snprintf(name, sizeof name, "/test-layout-%d", (int)getpid());
    snprintf(path, sizeof path, "/dev/shm%s", name);
    struct fp_segment_request request = {.name = name, .mode = 0600, .trusted_owner = (uid_t)-1};
    struct fp_segment_facts facts;
    struct fp_segment *fresh;
    assert_int_equal(fp_segment_open(&request, &fresh, &facts), 0);
    fp_segment_close(fresh);

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, SEGMENT_BYTES);
    static unsigned char bytes[SEGMENT_BYTES];
    assert_int_equal(read(fd, bytes, sizeof bytes), SEGMENT_BYTES);
    close(fd);

    turn_round(bytes);
    assert_memory_equal(bytes, fresh_header, sizeof fresh_header);
    static const unsigned char ready[4] = {2, 0, 0, 0};
    assert_memory_equal(bytes + 144, ready, sizeof ready);
    for (size_t i = 148; i < SEGMENT_BYTES; i++)
        if (bytes[i] != 0)
            fail_msg("byte %zu of a fresh segment is %u", i, bytes[i]);
}

int main(void) {
    map_zeroes();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_144_bytes_of_these_fields),
        cmocka_unit_test(the_lock_is_512_bytes),
        cmocka_unit_test(the_names_are_1024_labels_of_80_bytes),
        cmocka_unit_test(the_cursors_are_1024_of_16_bytes),
        cmocka_unit_test(the_hints_are_a_bit_for_each_port_of_each_protocol),
        cmocka_unit_test(the_sessions_are_16384_labels_of_80_bytes),
        cmocka_unit_test(the_index_is_131072_slots_of_8_bytes),
        cmocka_unit_test(the_entries_are_64_bytes_for_each_port_of_each_protocol),
        cmocka_unit_test(a_fresh_segment_is_stamped_with_these_bytes_and_zero_behind_its_lock),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
