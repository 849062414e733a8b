/* SPDX-License-Identifier: MIT */
/* Lines of text: put together as libc would have, and written without harm to whoever waits or went away. */
#include "line.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 639 }; /* of 640, the last is the newline's */

static void assert_text(const struct fp_line *line, const char *expected) {
    if (line->length != strlen(expected) || memcmp(line->text, expected, line->length) != 0)
        fail_msg("'%.*s' instead of '%s'", (int)line->length, line->text, expected);
}

/* Text */

static void text_is_added_behind_what_is_there(void **state) {
    (void)state;
    struct fp_line line = {.length = 0};
    fp_line_text(&line, "");
    assert_text(&line, "");
    fp_line_text(&line, "one ");
    fp_line_text(&line, "two");
    assert_text(&line, "one two");
}

static void a_value_is_shown_as_text_and_not_at_any_length(void **state) {
    (void)state;
    struct fp_line line = {.length = 0};
    fp_line_value(&line, "a b~\x1f\n\x7f\xc3\xa4");
    assert_text(&line, "a b~?????");
    char value[203], expected[204];
    for (size_t length = 199; length <= 202; length++) {
        memset(value, 'v', length);
        value[length] = 0;
        snprintf(expected, sizeof expected, "%.200s%s", value, length > 200 ? "..." : "");
        line.length = 0;
        fp_line_value(&line, value);
        assert_text(&line, expected);
    }
}

static void assert_number(uint64_t number) {
    char expected[32];
    struct fp_line line = {.length = 0};
    fp_line_number(&line, number);
    snprintf(expected, sizeof expected, "%" PRIu64, number);
    assert_text(&line, expected);
    line.length = 0;
    fp_line_hex(&line, number);
    snprintf(expected, sizeof expected, "%" PRIx64, number);
    assert_text(&line, expected);
}

static void numbers_read_as_printf_has_them(void **state) {
    (void)state;
    for (uint64_t number = 0; number <= 70000; number++)
        assert_number(number);
    for (unsigned bit = 0; bit < 64; bit++)
        for (int64_t near = -2; near <= 2; near++)
            assert_number((UINT64_C(1) << bit) + (uint64_t)near);
    uint64_t power = 1;
    for (unsigned digit = 0; digit < 20; digit++, power *= 10)
        for (int64_t near = -1; near <= 1; near++)
            assert_number(power + (uint64_t)near);
}

static void each_byte_reads_as_json_wants_it(void **state) {
    (void)state;
    for (unsigned c = 1; c < 256; c++) {
        char string[] = {'a', (char)c, 'b', 0}, expected[32];
        struct fp_line line = {.length = 0};
        fp_line_json(&line, string);
        if (c == '"' || c == '\\')
            snprintf(expected, sizeof expected, "\"a\\%cb\"", (int)c);
        else if (c < 0x20 || c > 0x7e)
            snprintf(expected, sizeof expected, "\"a\\u%04xb\"", c);
        else
            snprintf(expected, sizeof expected, "\"a%cb\"", (int)c);
        assert_text(&line, expected);
    }
    struct fp_line line = {.length = 0};
    fp_line_json(&line, "");
    assert_text(&line, "\"\"");
}

static void a_line_that_is_full_takes_no_more(void **state) {
    (void)state;
    struct {
        struct fp_line line;
        char behind[64];
    } guarded = {.line.length = 0};
    memset(guarded.behind, 0x5a, sizeof guarded.behind);
    for (unsigned i = 0; i < 700; i++)
        fp_line_text(&guarded.line, "x");
    assert_int_equal(guarded.line.length, ROOM);
    fp_line_number(&guarded.line, UINT64_MAX);
    fp_line_json(&guarded.line, "\"\n\"");
    assert_int_equal(guarded.line.length, ROOM);
    for (unsigned i = 0; i < sizeof guarded.behind; i++)
        assert_int_equal(guarded.behind[i], 0x5a);
}

/* Addresses */

static void assert_address6(const unsigned char bytes[16]) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = 0xffff, .sin6_scope_id = 7};
    struct in6_addr back;
    char expected[INET6_ADDRSTRLEN], text[64];
    memcpy(&address.sin6_addr, bytes, 16);
    struct fp_line line = {.length = 0};
    fp_line_address(&line, (struct sockaddr *)&address);
    assert_true(line.length < sizeof text);
    memcpy(text, line.text, line.length);
    text[line.length] = 0;
    assert_int_equal(inet_pton(AF_INET6, text, &back), 1);
    assert_memory_equal(&back, bytes, 16);
    /* "::1.2.3.4" is inet_ntop's own: RFC 5952 has dots only behind prefixes that are known to hold IPv4, and ::/96 has
     * been given up. */
    inet_ntop(AF_INET6, bytes, expected, sizeof expected);
    if (!strchr(expected, '.') || strncmp(expected, "::ffff:", 7) == 0)
        assert_string_equal(text, expected);
    else
        assert_null(strchr(text, '.'));
}

static void every_pattern_of_zeroes_reads_as_inet_ntop_has_it(void **state) {
    (void)state;
    static const unsigned values[] = {1, 0xf, 0x10, 0xab, 0x100, 0xabcd, 0xffff};
    for (unsigned pattern = 0; pattern < 256; pattern++) {
        for (unsigned v = 0; v < sizeof values / sizeof *values; v++) {
            unsigned char bytes[16] = {0};
            for (unsigned group = 0; group < 8; group++) {
                if (!(pattern & (1 << group)))
                    continue;
                bytes[2 * group] = (unsigned char)(values[v] >> 8);
                bytes[2 * group + 1] = (unsigned char)values[v];
            }
            assert_address6(bytes);
        }
    }
}

static void random_addresses_read_as_inet_ntop_has_them(void **state) {
    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        unsigned char bytes[16];
        for (unsigned b = 0; b < 16; b++)
            bytes[b] = random() % 3 ? (unsigned char)random() : 0;
        for (unsigned group = 0; group < 8; group++)
            if (random() % 2)
                bytes[2 * group] = bytes[2 * group + 1] = 0;
        assert_address6(bytes);
    }
}

static void special_addresses_read_as_they_are_written_down(void **state) {
    (void)state;
    static const char *const texts[] = {
        "::",
        "::1",
        "1::",
        "1::8",
        "fe80::1",
        "ff02::1",
        "2001:db8::",
        "2001:db8::1:0:0:1", /* the first of two runs of one length */
        "1:0:1:0:1::",
        "1:0:1:0:1:0:1:0", /* one zero alone is no run */
        "1:2:3:4:5:6:7:0",
        "0:2:3:4:5:6:7:8",
        "1:0:0:2::3", /* the longest run */
        "::ffff:0.0.0.0",
        "::ffff:127.0.0.1",
        "::ffff:255.255.255.255",
        "::ffff:0:102:304",
        "64:ff9b::102:304",
        "::7f00:1",
        "1:2:3:4:5:6:7:8",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sockaddr_in6 address = {.sin6_family = AF_INET6};
        if (inet_pton(AF_INET6, texts[i], &address.sin6_addr) != 1)
            fail_msg("%s", texts[i]);
        struct fp_line line = {.length = 0};
        fp_line_address(&line, (struct sockaddr *)&address);
        assert_text(&line, texts[i]);
    }
}

static void ipv4_addresses_read_as_inet_ntop_has_them(void **state) {
    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        struct sockaddr_in address = {.sin_family = i % 2 ? AF_INET : AF_UNSPEC};
        char expected[INET_ADDRSTRLEN];
        address.sin_addr.s_addr = i < 65536 ? htonl(i * 65537) : (uint32_t)random() ^ (uint32_t)random() << 16;
        inet_ntop(AF_INET, &address.sin_addr, expected, sizeof expected);
        struct fp_line line = {.length = 0};
        fp_line_address(&line, (struct sockaddr *)&address);
        assert_text(&line, expected);
    }
}

/* Writing */

static struct fp_line hello(void) {
    struct fp_line line = {.length = 0};
    fp_line_text(&line, "hello");
    return line;
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void fill(int fd) {
    char block[4096] = {0};
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while (write(fd, block, sizeof block) > 0) {
    }
    while (write(fd, block, 1) > 0) {
    }
    fcntl(fd, F_SETFL, flags);
}

static void pair(bool is_pipe, int fds[2]) {
    if (is_pipe) {
        assert_int_equal(pipe(fds), 0);
    } else {
        int swapped[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, swapped), 0);
        fds[0] = swapped[1];
        fds[1] = swapped[0];
    }
}

static void close_both(const int fds[2]) {
    close(fds[0]);
    close(fds[1]);
}

static void a_line_arrives_whole_with_its_newline(void **state) {
    (void)state;
    struct fp_line line = hello();
    for (unsigned is_pipe = 0; is_pipe < 2; is_pipe++) {
        int fds[2];
        char got[700];
        pair(is_pipe, fds);
        assert_true(fp_line_write(&line, fds[1], 0));
        assert_int_equal(read(fds[0], got, sizeof got), 6);
        assert_memory_equal(got, "hello\n", 6);
        struct fp_line full = {.length = 0};
        for (unsigned i = 0; i < 700; i++)
            fp_line_text(&full, "y");
        assert_true(fp_line_write(&full, fds[1], 0));
        assert_int_equal(read(fds[0], got, sizeof got), ROOM + 1);
        assert_int_equal(got[ROOM - 1], 'y');
        assert_int_equal(got[ROOM], '\n');
        close_both(fds);
    }
}

static void lines_are_added_to_a_file(void **state) {
    (void)state;
    char path[] = "/tmp/freeport-test-line-XXXXXX", got[64];
    struct fp_line line = hello();
    int fd = mkstemp(path);
    close(fd);
    fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    unlink(path);
    for (unsigned i = 0; i < 3; i++) {
        long before = now_ms();
        assert_true(fp_line_write(&line, fd, 5000));
        assert_true(now_ms() - before < 1000);
    }
    assert_int_equal(pread(fd, got, sizeof got, 0), 18);
    assert_memory_equal(got, "hello\nhello\nhello\n", 18);
    close(fd);
}

static void a_full_pipe_is_waited_for_no_longer_than_it_may(void **state) {
    (void)state;
    static const int timeouts[] = {0, 1, 50, 200};
    struct fp_line line = hello();
    for (unsigned is_pipe = 0; is_pipe < 2; is_pipe++) {
        int fds[2];
        pair(is_pipe, fds);
        fill(fds[1]);
        for (unsigned i = 0; i < 4; i++) {
            long before = now_ms();
            assert_false(fp_line_write(&line, fds[1], timeouts[i]));
            assert_in_range(now_ms() - before, timeouts[i] - (timeouts[i] > 0), timeouts[i] + 1000);
        }
        assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0); /* it is the program's, too */
        close_both(fds);
    }
}

static int reader_fd;

static void *read_later(void *ignored) {
    static char block[65536];
    struct timespec pause = {.tv_nsec = 50000000};
    nanosleep(&pause, NULL);
    fcntl(reader_fd, F_SETFL, fcntl(reader_fd, F_GETFL) | O_NONBLOCK);
    while (read(reader_fd, block, sizeof block) > 0) {
    }
    return ignored;
}

static void a_full_pipe_takes_the_line_when_it_is_read(void **state) {
    (void)state;
    struct fp_line line = hello();
    for (unsigned is_pipe = 0; is_pipe < 2; is_pipe++) {
        int fds[2];
        pthread_t thread;
        pair(is_pipe, fds);
        fill(fds[1]);
        reader_fd = fds[0];
        assert_int_equal(pthread_create(&thread, NULL, read_later, NULL), 0);
        assert_true(fp_line_write(&line, fds[1], 20000));
        pthread_join(thread, NULL);
        close_both(fds);
    }
}

static volatile sig_atomic_t pipes_broken;

static void count_pipe(int signal) {
    (void)signal;
    pipes_broken++;
}

static void assert_writes_to_closed_fail(unsigned is_pipe) {
    struct fp_line line = hello();
    int fds[2];
    pair(is_pipe, fds);
    close(fds[0]);
    long before = now_ms();
    assert_false(fp_line_write(&line, fds[1], 20000));
    assert_true(now_ms() - before < 5000);
    close(fds[1]);
}

static void assert_same_mask(const sigset_t *first, const sigset_t *second) {
    for (int signal = 1; signal < NSIG; signal++)
        assert_int_equal(sigismember(first, signal), sigismember(second, signal));
}

static bool pending(void) {
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, SIGPIPE);
}

static void a_closed_reader_raises_no_sigpipe(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = count_pipe}, before;
    sigaction(SIGPIPE, &action, &before);
    sigset_t mask, after;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    pipes_broken = 0;
    for (unsigned is_pipe = 0; is_pipe < 2; is_pipe++) {
        assert_writes_to_closed_fail(is_pipe);
        assert_int_equal(pipes_broken, 0);
        assert_false(pending());
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_same_mask(&mask, &after);
    raise(SIGPIPE); /* the program's own still come */
    assert_int_equal(pipes_broken, 1);
    sigaction(SIGPIPE, &before, NULL);
}

static void a_sigpipe_that_was_pending_stays_pending(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = count_pipe}, before;
    sigset_t pipe_set;
    sigaction(SIGPIPE, &action, &before);
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    for (unsigned is_pipe = 0; is_pipe < 2; is_pipe++) {
        pthread_sigmask(SIG_BLOCK, &pipe_set, NULL);
        pipes_broken = 0;
        assert_writes_to_closed_fail(is_pipe);
        assert_false(pending()); /* blocked or not, none of ours is left over */
        raise(SIGPIPE);
        assert_writes_to_closed_fail(is_pipe);
        assert_true(pending());
        assert_int_equal(pipes_broken, 0);
        pthread_sigmask(SIG_UNBLOCK, &pipe_set, NULL);
        assert_int_equal(pipes_broken, 1);
    }
    sigaction(SIGPIPE, &before, NULL);
}

static void what_cannot_be_written_to_is_told(void **state) {
    (void)state;
    struct fp_line line = hello();
    int fds[2];
    assert_false(fp_line_write(&line, -1, 20000));
    assert_int_equal(pipe(fds), 0);
    assert_false(fp_line_write(&line, fds[0], 20000));
    close_both(fds);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full >= 0)
        assert_false(fp_line_write(&line, full, 20000));
    close(full);
}

static void *write_for_ever(void *fd) {
    struct fp_line line = hello();
    fp_line_write(&line, *(int *)fd, 500);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return fd; /* not cancelled before this */
}

static void writing_is_no_cancellation_point(void **state) {
    (void)state;
    int fds[2];
    pthread_t thread;
    void *result;
    pair(true, fds);
    fill(fds[1]);
    assert_int_equal(pthread_create(&thread, NULL, write_for_ever, &fds[1]), 0);
    struct timespec pause = {.tv_nsec = 100000000};
    nanosleep(&pause, NULL);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    assert_ptr_equal(result, &fds[1]);
    close_both(fds);
}

int main(void) {
    alarm(50); /* an endless wait is a failure, too */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_added_behind_what_is_there),
        cmocka_unit_test(a_value_is_shown_as_text_and_not_at_any_length),
        cmocka_unit_test(numbers_read_as_printf_has_them),
        cmocka_unit_test(each_byte_reads_as_json_wants_it),
        cmocka_unit_test(a_line_that_is_full_takes_no_more),
        cmocka_unit_test(every_pattern_of_zeroes_reads_as_inet_ntop_has_it),
        cmocka_unit_test(random_addresses_read_as_inet_ntop_has_them),
        cmocka_unit_test(special_addresses_read_as_they_are_written_down),
        cmocka_unit_test(ipv4_addresses_read_as_inet_ntop_has_them),
        cmocka_unit_test(a_line_arrives_whole_with_its_newline),
        cmocka_unit_test(lines_are_added_to_a_file),
        cmocka_unit_test(a_full_pipe_is_waited_for_no_longer_than_it_may),
        cmocka_unit_test(a_full_pipe_takes_the_line_when_it_is_read),
        cmocka_unit_test(a_closed_reader_raises_no_sigpipe),
        cmocka_unit_test(a_sigpipe_that_was_pending_stays_pending),
        cmocka_unit_test(what_cannot_be_written_to_is_told),
        cmocka_unit_test(writing_is_no_cancellation_point),
    };
    return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
