/* SPDX-License-Identifier: MIT */
/*
 * A segment in use of which a byte has changed, whoever wrote it: every byte of the header and the lock, and every
 * byte that stands for what is assigned. The library goes on with it: a port of the range or a known error, and soon;
 * and what is bound stays its owner's, since the kernel has the last word.
 */
#include "assign.h"
#include "freeport.h"
#include "own_network.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

enum { FIRST = 20000, LAST = 20007, SENTINEL = 8080, PATIENCE_MS = 2000, TRIES = 5 };

static char segment_name[64], segment_path[80];
static struct freeport *fp;
static uint16_t held_port, session_port, reserved_port;
static ino_t inode;

static int bind_socket(uint16_t sentinel, uint16_t *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(sentinel)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int error = freeport_bind(fp, fd, (struct sockaddr *)&address, sizeof address, -1, port);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

/* From here on the handle's segment is this process's own copy of it, of which what was written can be dropped. */
static void make_private(void) {
    int fd = open(segment_path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    void *memory = mmap(fp->segment, sizeof *fp->segment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
    assert_ptr_equal(memory, fp->segment);
    close(fd);
}

/* As it was before. */
static void mend(void) {
    assert_int_equal(madvise(fp->segment, sizeof *fp->segment, MADV_DONTNEED), 0);
}

static int set_up(void **state) {
    (void)state;
    struct freeport_config config = {
        .tcp = "20000-20007", .udp = "20000-20007", .session = "one", .segment = segment_name};
    struct stat st;
    assert_int_equal(freeport_open(&fp, &config), 0);
    assert_true(bind_socket(0, &held_port) >= 0);
    /* Closed: a look at who holds it takes milliseconds, and there are thousands of bytes. */
    int session = bind_socket(SENTINEL, &session_port);
    assert_true(session >= 0);
    close(session);
    assert_int_equal(freeport_get(fp, FREEPORT_TCP, 1000, &reserved_port), 0);
    assert_int_equal(stat(segment_path, &st), 0);
    inode = st.st_ino;
    make_private();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    freeport_close(fp);
    unlink(segment_path);
    return 0;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void check(const char *call, size_t at, int error, uint16_t port) {
    bool known = error >= 0 || error == -EADDRINUSE || error == -ENOSPC || error == -ENOENT || error == -EPERM;
    if (!known)
        fail_msg("byte %zu: %s: %s", at, call, freeport_strerror(error));
    if (error >= 0 && (port < FIRST || port > LAST || port == held_port))
        fail_msg("byte %zu: %s: port %u", at, call, port);
}

static int count(const struct freeport_assignment *assignment, void *context) {
    (void)assignment;
    ++*(unsigned *)context;
    return 0;
}

/* Everything the library can do, once. Whether it was in time. */
static bool use_it(size_t at) {
    int64_t begin = now_ms();
    uint16_t port = FIRST;
    int error = freeport_get(fp, FREEPORT_TCP, -1, &port);
    check("get", at, error, port);
    if (error == 0)
        check("release", at, freeport_release(fp, FREEPORT_TCP, port), port);
    error = freeport_lookup(fp, FREEPORT_TCP, SENTINEL, &port);
    check("lookup", at, error, port);

    static const uint16_t requested[] = {0, SENTINEL};
    for (unsigned i = 0; i < 2; i++) {
        int fd = bind_socket(requested[i], &port);
        check(i == 0 ? "bind" : "bind of a sentinel", at, fd, port);
        if (fd >= 0)
            close(fd);
    }
    unsigned assignments = 0;
    assert_int_equal(freeport_each(fp, count, &assignments), 0);
    if (assignments > 2u * (FP_PORTS - 1))
        fail_msg("byte %zu: %u assignments", at, assignments);
    return now_ms() - begin <= PATIENCE_MS;
}

/* The next process finds the same object, or, where what is stamped has changed, a fresh one in its place. */
static void open_it(size_t at, bool same) {
    struct fp_segment_request request = {.name = segment_name, .mode = 0600, .trusted_owner = (uid_t)-1};
    struct fp_segment *segment;
    struct fp_segment_facts facts;
    int error = fp_segment_open(&request, &segment, &facts);
    if (error != 0 || facts.replaced || (facts.inode == inode) != same)
        fail_msg("byte %zu: open: %d%s", at, error, facts.replaced ? ", replaced" : "");
    fp_segment_close(segment);
}

static void flip_bytes(size_t from, size_t length) {
    static const unsigned char flips[] = {0xff, 0x01};
    unsigned char *bytes = (unsigned char *)fp->segment;
    for (size_t at = from; at < from + length; at++) {
        for (unsigned i = 0; i < sizeof flips; i++) {
            bool in_time = false;
            for (unsigned tries = 0; tries < TRIES && !in_time; tries++) {
                bytes[at] ^= flips[i];
                in_time = use_it(at);
                mend();
            }
            if (!in_time)
                fail_msg("byte %zu: took longer than %d ms each time", at, PATIENCE_MS);
        }
    }
}

static void flip_object(const void *object, size_t length) {
    flip_bytes((size_t)((const char *)object - (const char *)fp->segment), length);
}

static void every_byte_of_the_header_and_the_lock(void **state) {
    (void)state;
    flip_bytes(0, offsetof(struct fp_segment, names));
}

static void what_is_not_stamped_is_no_reason_to_refuse_it(void **state) {
    (void)state;
    int fd = open(segment_path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t at = offsetof(struct fp_header, reach); at < offsetof(struct fp_segment, names); at++) {
        unsigned char byte, other;
        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        other = byte ^ 0xff;
        assert_int_equal(pwrite(fd, &other, 1, (off_t)at), 1);
        open_it(at, true);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    }
    close(fd);
}

static void every_byte_of_a_name_and_its_cursor(void **state) {
    (void)state;
    unsigned name = fp_name(fp_entry_meaning(fp->segment, FP_TCP_INDEX, held_port));
    flip_object(&fp->segment->names[name], sizeof(struct fp_label));
    flip_object(&fp->segment->cursors[name], sizeof(struct fp_cursor));
}

static void every_byte_of_a_session_and_its_place_in_the_index(void **state) {
    (void)state;
    struct fp_segment *segment = fp->segment;
    flip_object(&segment->sessions[fp_session(fp_entry_meaning(segment, FP_TCP_INDEX, session_port))],
                sizeof(struct fp_label));
    unsigned slots = 0;
    for (unsigned i = 0; i < FP_INDEX_SLOTS; i++) {
        if (atomic_load(&segment->index[i]) == 0)
            continue;
        flip_object(&segment->index[i], sizeof segment->index[i]);
        slots++;
    }
    assert_int_equal(slots, 2); /* TCP's, and what is kept of UDP's */
}

static void every_byte_of_the_range(void **state) {
    (void)state;
    struct fp_segment *segment = fp->segment;
    for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++) {
        flip_object(&segment->taken[protocol][FIRST / 64], sizeof(uint64_t));
        flip_object(&segment->held[protocol][FIRST / 64], sizeof(uint64_t));
    }
    for (uint16_t port = FIRST; port <= LAST; port++)
        flip_object(fp_entry_at(segment, FP_TCP_INDEX, port), sizeof(struct fp_entry));
}

int main(void) {
    if (!own_network())
        return OWN_NETWORK_NONE;
    snprintf(segment_name, sizeof segment_name, "/freeport-test-damage-%d", (int)getpid());
    snprintf(segment_path, sizeof segment_path, "/dev/shm%s", segment_name);
    unlink(segment_path);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_of_the_header_and_the_lock),
        cmocka_unit_test(what_is_not_stamped_is_no_reason_to_refuse_it),
        cmocka_unit_test(every_byte_of_a_name_and_its_cursor),
        cmocka_unit_test(every_byte_of_a_session_and_its_place_in_the_index),
        cmocka_unit_test(every_byte_of_the_range),
    };
    return cmocka_run_group_tests_name("damage", tests, set_up, tear_down);
}
