/* SPDX-License-Identifier: MIT */
/* The segment's object in /dev/shm: made, found, refused, replaced; one for all who come at once; nothing left over. */
#include "segment.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 32, HEADER_BYTES = 144, NETNS_COOKIE = 71, NOBODY = 65534, SOMEBODY = 65533 };

/* Ours by its name (a damaged one may be replaced), and one that only a user would give. */
static char own_name[64], plain_name[64];

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "/dev/shm%s", name);
    return path;
}

static int no_object(void **state) {
    (void)state;
    unlink(path_of(own_name));
    unlink(path_of(plain_name));
    return 0;
}

static struct fp_segment_facts facts;

static int open_as(const char *name, mode_t mode, uid_t trusted, struct fp_segment **segment) {
    struct fp_segment_request request = {.name = name, .mode = mode, .trusted_owner = trusted};
    return fp_segment_open(&request, segment, &facts);
}

static int open_it(const char *name) {
    struct fp_segment *segment;
    int error = open_as(name, 0600, (uid_t)-1, &segment);
    assert_int_equal(segment != NULL, error == 0);
    fp_segment_close(segment);
    return error;
}

static struct stat object(const char *name) {
    struct stat st;
    assert_int_equal(lstat(path_of(name), &st), 0);
    return st;
}

static void write_object(const char *name, const void *bytes, size_t length) {
    int fd = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

/* How many objects in /dev/shm, named or not, this process and its children are to blame for. */
static unsigned leftovers(void) {
    char ours[32], temporary[32];
    snprintf(ours, sizeof ours, "-%d", (int)getpid());
    snprintf(temporary, sizeof temporary, ".freeport-%d-", (int)getpid());
    unsigned count = 0;
    DIR *directory = opendir("/dev/shm");
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strstr(entry->d_name, ours) != NULL || strstr(entry->d_name, temporary) != NULL;
    closedir(directory);
    return count;
}

static unsigned open_descriptors(void) {
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void the_first_one_creates_it_and_the_next_finds_it(void **state) {
    (void)state;
    struct fp_segment *first, *second;
    assert_int_equal(open_as(own_name, 0600, (uid_t)-1, &first), 0);
    struct stat st = object(own_name);
    assert_string_equal(facts.name, own_name);
    assert_int_equal(facts.owner, geteuid());
    assert_int_equal(facts.mode, 0600);
    assert_true(facts.device == st.st_dev && facts.inode == st.st_ino);
    assert_false(facts.replaced);
    assert_int_equal(st.st_nlink, 1);

    assert_int_equal(open_as(own_name, 0666, (uid_t)-1, &second), 0);
    assert_true(facts.inode == st.st_ino);
    assert_int_equal(facts.mode, 0600); /* as it was created */
    atomic_store(&first->entries[1][8080].owner, 77);
    assert_int_equal(atomic_load(&second->entries[1][8080].owner), 77);
    fp_segment_close(first);
    fp_segment_close(second);
}

static void existing_only_creates_none(void **state) {
    (void)state;
    struct fp_segment_request request = {
        .name = own_name, .mode = 0600, .trusted_owner = (uid_t)-1, .existing_only = true};
    struct fp_segment *segment;
    assert_int_equal(fp_segment_open(&request, &segment, &facts), -ENOENT);
    assert_null(segment);
    assert_int_equal(leftovers(), 0);
    assert_int_equal(open_it(own_name), 0);
    assert_int_equal(fp_segment_open(&request, &segment, &facts), 0);
    fp_segment_close(segment);
}

static void its_mode_is_the_one_asked_for_whatever_the_umask(void **state) {
    (void)state;
    static const mode_t modes[] = {0600, 0660, 0666, 0640}, masks[] = {0, 022, 077, 0777};
    for (unsigned mode = 0; mode < 4; mode++) {
        for (unsigned mask = 0; mask < 4; mask++) {
            struct fp_segment *segment;
            mode_t before = umask(masks[mask]);
            int error = open_as(own_name, modes[mode], (uid_t)-1, &segment);
            umask(before);
            assert_int_equal(error, 0);
            fp_segment_close(segment);
            assert_int_equal(object(own_name).st_mode & 07777, modes[mode]);
            assert_int_equal(facts.mode, modes[mode]);
            no_object(NULL);
        }
    }
}

static void all_its_pages_are_there_from_the_start(void **state) {
    (void)state;
    assert_int_equal(open_it(own_name), 0);
    assert_true(object(own_name).st_blocks * 512 >= (blkcnt_t)sizeof(struct fp_segment));
}

static void without_a_name_it_is_the_users_own_in_this_network_namespace(void **state) {
    (void)state;
    unsigned long long network = 0;
    socklen_t length = sizeof network;
    struct stat st;
    char expected[64];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (getsockopt(fd, SOL_SOCKET, NETNS_COOKIE, &network, &length) != 0) { /* before Linux 5.14 */
        assert_int_equal(stat("/proc/self/ns/net", &st), 0);
        network = st.st_ino;
    }
    close(fd);
    snprintf(expected, sizeof expected, "/freeport-%u-%llu", (unsigned)geteuid(), network);
    struct fp_segment_request request = {.mode = 0600, .trusted_owner = (uid_t)-1, .existing_only = true};
    struct fp_segment *segment;
    int error = fp_segment_open(&request, &segment, &facts); /* others may use it: it is neither made nor harmed */
    assert_true(error == 0 || error == -ENOENT);
    assert_string_equal(facts.name, expected);
    fp_segment_close(segment);
    request.name = "";
    fp_segment_open(&request, &segment, &facts);
    assert_string_equal(facts.name, expected);
    fp_segment_close(segment);
}

static void names_are_one_component_behind_a_slash(void **state) {
    (void)state;
    static const char *const good[] = {"/a", "/.a", "/..a", "/...", "/a b", "/-"};
    static const char *const bad[] = {"", "/", "a", "ab", "/a/b", "//", "/a/", "/.", "/..", " /a"};
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(fp_segment_name_ok(good[i]));
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(fp_segment_name_ok(bad[i]));
    char name[300];
    for (size_t length = 2; length < sizeof name; length++) {
        memset(name, 'x', sizeof name);
        name[0] = '/';
        name[length] = 0;
        assert_int_equal(fp_segment_name_ok(name), length <= 255);
    }
}

/* Damage */

static void assert_replaced(const char *name, const char *what, size_t n) {
    ino_t before = object(name).st_ino;
    int old = open(path_of(name), O_RDONLY | O_CLOEXEC); /* or another file system would give its inode to the next */
    int error = open_it(name);
    close(old);
    if (error != 0 || !facts.replaced || object(name).st_ino == before)
        fail_msg("%s %zu: %s, %s", what, n, strerror(-error), facts.replaced ? "replaced" : "not replaced");
    assert_int_equal(open_it(name), 0);
    assert_false(facts.replaced);
}

static void assert_refused(const char *name, const char *what, size_t n) {
    struct stat before = object(name);
    int error = open_it(name);
    if (error != -EPROTO || facts.replaced || object(name).st_ino != before.st_ino ||
        object(name).st_size != before.st_size)
        fail_msg("%s %zu: %d, %s", what, n, error, facts.replaced ? "replaced" : "not replaced");
}

static void truncate_to(const char *name, size_t length) {
    assert_int_equal(truncate(path_of(name), (off_t)length), 0);
}

static void a_truncated_one_is_replaced_at_every_length(void **state) {
    (void)state;
    size_t whole = sizeof(struct fp_segment);
    for (size_t length = 0; length < HEADER_BYTES + 100; length++) {
        assert_int_equal(open_it(own_name), 0);
        truncate_to(own_name, length);
        assert_replaced(own_name, "length", length);
    }
    for (size_t length = whole - 100; length <= whole + 100; length++) {
        if (length == whole)
            continue;
        truncate_to(own_name, length);
        assert_replaced(own_name, "length", length);
    }
}

static void a_truncated_one_under_a_name_of_the_users_is_replaced_while_it_says_it_is_ours(void **state) {
    (void)state;
    for (size_t length = 0; length < HEADER_BYTES + 8; length++) {
        no_object(NULL);
        assert_int_equal(open_it(plain_name), 0);
        truncate_to(plain_name, length);
        if (length < 8)
            assert_refused(plain_name, "length", length);
        else
            assert_replaced(plain_name, "length", length);
    }
}

static void flip(const char *name, off_t offset, unsigned char bits) {
    int fd = open(path_of(name), O_RDWR | O_CLOEXEC);
    unsigned char byte;
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void each_bit_of_what_is_stamped_is_checked(void **state) {
    (void)state;
    for (unsigned byte = 0; byte < 48; byte++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            no_object(NULL);
            assert_int_equal(open_it(own_name), 0);
            flip(own_name, byte, (unsigned char)(1 << bit));
            if (byte >= 8 && byte < 12)
                assert_refused(own_name, "version bit", byte * 8 + bit); /* of another build: not ours to throw away */
            else
                assert_replaced(own_name, "bit", byte * 8 + bit);
        }
    }
}

/* As a program of the other byte order stamps it, which runs here under qemu. It is sound to that. */
static void one_of_the_other_byte_order_is_refused(void **state) {
    (void)state;
    static unsigned char bytes[sizeof(struct fp_segment)];
    assert_int_equal(open_it(own_name), 0);
    int fd = open(path_of(own_name), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, bytes, sizeof(struct fp_header)), sizeof(struct fp_header));
    close(fd);
    for (size_t at = 0; at < 4; at++) {
        unsigned char byte = bytes[at];
        bytes[at] = bytes[7 - at];
        bytes[7 - at] = byte;
    }
    for (size_t length = 8; length <= sizeof bytes; length = length == 8     ? 144
                                                             : length == 144 ? sizeof bytes
                                                                             : length + 1) {
        write_object(own_name, bytes, length);
        assert_refused(own_name, "length", length);
    }
}

static void what_changes_in_use_is_no_damage(void **state) {
    (void)state;
    assert_int_equal(open_it(own_name), 0);
    ino_t inode = object(own_name).st_ino;
    for (unsigned byte = 80; byte < 20000; byte += 7)
        flip(own_name, byte, 0xff);
    assert_int_equal(open_it(own_name), 0);
    assert_false(facts.replaced);
    assert_true(object(own_name).st_ino == inode);
}

static void zeroes_and_noise_are_replaced_under_our_name_and_refused_under_another(void **state) {
    (void)state;
    static unsigned char bytes[sizeof(struct fp_segment)];
    for (unsigned kind = 0; kind < 2; kind++) {
        if (kind == 1)
            for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (unsigned char)random();
        write_object(own_name, bytes, sizeof bytes);
        assert_replaced(own_name, "kind", kind);
        write_object(plain_name, bytes, sizeof bytes);
        assert_refused(plain_name, "kind", kind);
        write_object(plain_name, bytes, 3);
        assert_refused(plain_name, "kind", kind);
        no_object(NULL);
    }
}

static void who_has_a_damaged_one_mapped_keeps_it_and_its_bytes(void **state) {
    (void)state;
    struct fp_segment *old, *new;
    assert_int_equal(open_as(own_name, 0600, (uid_t)-1, &old), 0);
    old->header.entry_bytes++;
    assert_int_equal(open_as(own_name, 0600, (uid_t)-1, &new), 0);
    assert_true(facts.replaced);
    atomic_store(&old->entries[0][1].owner, 5);
    assert_int_equal(atomic_load(&new->entries[0][1].owner), 0);
    fp_segment_close(old);
    fp_segment_close(new);
}

/* Strangers */

static void what_is_no_file_is_refused_and_not_waited_for(void **state) {
    (void)state;
    assert_int_equal(mkfifo(path_of(own_name), 0600), 0);
    assert_int_equal(open_it(own_name), -EPROTO);
    no_object(NULL);

    assert_int_equal(mkdir(path_of(own_name), 0700), 0);
    assert_int_equal(open_it(own_name), -EPROTO);
    rmdir(path_of(own_name));

    assert_int_equal(open_it(plain_name), 0);
    assert_int_equal(symlink(plain_name + 1, path_of(own_name)), 0);
    assert_int_equal(open_it(own_name), -EPROTO);
    assert_true(S_ISLNK(object(own_name).st_mode));
}

/* Runs in a child as another user; its result is the open's, 0 or an errno. */
static int open_as_user(uid_t user, const char *name, uid_t trusted) {
    pid_t pid = fork();
    if (pid == 0) {
        struct fp_segment *segment;
        if (setgid(user) != 0 || setuid(user) != 0)
            _exit(255);
        _exit(-open_as(name, 0600, trusted, &segment));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Not in a chroot that has a folder of root's there. */
static bool everybody_makes_objects(void) {
    struct stat st;
    return stat("/dev/shm", &st) == 0 && (st.st_mode & S_IWOTH) != 0;
}

static void another_users_is_refused_unless_it_is_trusted_or_roots(void **state) {
    (void)state;
    if (geteuid() != 0 || !everybody_makes_objects())
        skip();
    assert_int_equal(open_as_user(NOBODY, own_name, (uid_t)-1), 0);
    assert_int_equal(object(own_name).st_uid, NOBODY);

    assert_int_equal(open_it(own_name), -EPERM); /* root trusts nobody else either */
    assert_int_equal(facts.owner, NOBODY);
    assert_int_equal(facts.mode, 0600);
    assert_int_equal(open_as_user(SOMEBODY, own_name, (uid_t)-1), EACCES);
    chmod(path_of(own_name), 0666);
    assert_int_equal(open_as_user(SOMEBODY, own_name, (uid_t)-1), EPERM);
    assert_int_equal(open_as_user(SOMEBODY, own_name, 0), EPERM);
    assert_int_equal(open_as_user(SOMEBODY, own_name, NOBODY), 0);
    struct fp_segment *segment;
    assert_int_equal(open_as(own_name, 0600, NOBODY, &segment), 0);
    fp_segment_close(segment);
    /* Damage in it is not ours to mend. */
    truncate_to(own_name, 0);
    assert_int_equal(open_it(own_name), -EPERM);
    assert_int_equal(object(own_name).st_size, 0);
}

static void roots_is_everybodys_as_far_as_its_mode_goes(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(open_it(own_name), 0);
    assert_int_equal(open_as_user(NOBODY, own_name, (uid_t)-1), EACCES);
    chmod(path_of(own_name), 0666);
    assert_int_equal(open_as_user(NOBODY, own_name, (uid_t)-1), 0);
}

/* Limits */

static int open_with_limits(rlim_t file_bytes, rlim_t descriptors) {
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit files = {file_bytes, file_bytes}, numbers = {descriptors, descriptors};
        struct fp_segment *segment;
        setrlimit(RLIMIT_FSIZE, &files);
        setrlimit(RLIMIT_NOFILE, &numbers);
        _exit(-open_as(own_name, 0600, (uid_t)-1, &segment));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status)); /* SIGXFSZ would have ended it */
    return WEXITSTATUS(status);
}

static void a_limit_on_files_or_descriptors_is_told_and_leaves_nothing(void **state) {
    (void)state;
    assert_int_equal(open_with_limits(sizeof(struct fp_segment) - 1, 64), EFBIG);
    assert_int_equal(leftovers(), 0);
    assert_int_equal(open_with_limits(RLIM_INFINITY, 0), EMFILE);
    assert_int_equal(leftovers(), 0);
    assert_int_equal(open_with_limits(sizeof(struct fp_segment), 64), 0);
}

static void no_descriptor_stays_open(void **state) {
    (void)state;
    unsigned before = open_descriptors();
    assert_int_equal(open_it(own_name), 0);
    assert_int_equal(open_it(own_name), 0);
    truncate_to(own_name, 10);
    assert_int_equal(open_it(own_name), 0);
    assert_int_equal(open_it("/freeport-test/none"), -ENOENT);
    write_object(plain_name, "x", 1);
    assert_int_equal(open_it(plain_name), -EPROTO);
    assert_int_equal(open_descriptors(), before);
}

/* All at once */

static struct {
    _Atomic unsigned ready, failed, marks;
    ino_t inodes[PROCESSES];
} * shared;

static void open_together(unsigned number, unsigned processes) {
    struct fp_segment *segment;
    atomic_fetch_add(&shared->ready, 1);
    while (atomic_load(&shared->ready) < processes)
        usleep(10);
    if (open_as(own_name, 0600, (uid_t)-1, &segment) != 0) {
        atomic_fetch_add(&shared->failed, 1);
        return;
    }
    shared->inodes[number] = facts.inode;
    /* Each one's mark is seen by all: it is one object, not only one name. */
    atomic_fetch_add(&segment->entries[0][0].owner, 1);
    atomic_fetch_add(&shared->marks, 1);
    while (atomic_load(&shared->marks) + atomic_load(&shared->failed) < processes)
        usleep(10);
    if (atomic_load(&segment->entries[0][0].owner) != processes)
        atomic_fetch_add(&shared->failed, 1);
}

static void assert_all_find_one(void) {
    memset(shared, 0, sizeof *shared);
    for (unsigned i = 0; i < PROCESSES; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            open_together(i, PROCESSES);
            _exit(0);
        }
        assert_true(pid > 0);
    }
    for (unsigned i = 0; i < PROCESSES; i++)
        wait(NULL);
    assert_int_equal(atomic_load(&shared->failed), 0);
    for (unsigned i = 0; i < PROCESSES; i++)
        assert_true(shared->inodes[i] == object(own_name).st_ino);
}

static void processes_that_come_first_at_once_find_one_object(void **state) {
    (void)state;
    for (int round = 0; round < 5; round++) {
        no_object(NULL);
        assert_all_find_one();
    }
    no_object(NULL);
    assert_int_equal(leftovers(), 0);
}

static void processes_that_replace_a_damaged_one_at_once_find_one_object(void **state) {
    (void)state;
    for (size_t length = 0; length < 5; length++) {
        no_object(NULL);
        write_object(own_name, "damaged", length);
        assert_all_find_one();
    }
    no_object(NULL);
    assert_int_equal(leftovers(), 0);
}

int main(void) {
    snprintf(own_name, sizeof own_name, "/freeport-test-segment-%d", (int)getpid());
    snprintf(plain_name, sizeof plain_name, "/test-segment-%d", (int)getpid());
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
/* clang-format off */
#define TEST(name) cmocka_unit_test_setup_teardown(name, no_object, no_object)
    /* clang-format on */
    const struct CMUnitTest tests[] = {
        TEST(the_first_one_creates_it_and_the_next_finds_it),
        TEST(existing_only_creates_none),
        TEST(its_mode_is_the_one_asked_for_whatever_the_umask),
        TEST(all_its_pages_are_there_from_the_start),
        TEST(without_a_name_it_is_the_users_own_in_this_network_namespace),
        TEST(names_are_one_component_behind_a_slash),
        TEST(a_truncated_one_is_replaced_at_every_length),
        TEST(a_truncated_one_under_a_name_of_the_users_is_replaced_while_it_says_it_is_ours),
        TEST(each_bit_of_what_is_stamped_is_checked),
        TEST(one_of_the_other_byte_order_is_refused),
        TEST(what_changes_in_use_is_no_damage),
        TEST(zeroes_and_noise_are_replaced_under_our_name_and_refused_under_another),
        TEST(who_has_a_damaged_one_mapped_keeps_it_and_its_bytes),
        TEST(what_is_no_file_is_refused_and_not_waited_for),
        TEST(another_users_is_refused_unless_it_is_trusted_or_roots),
        TEST(roots_is_everybodys_as_far_as_its_mode_goes),
        TEST(a_limit_on_files_or_descriptors_is_told_and_leaves_nothing),
        TEST(no_descriptor_stays_open),
        TEST(processes_that_come_first_at_once_find_one_object),
        TEST(processes_that_replace_a_damaged_one_at_once_find_one_object),
    };
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
