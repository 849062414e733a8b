/* SPDX-License-Identifier: MIT */
/* What stands in for what a C library may lack. */
#include "compat.h"
#include "errors.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* strerror() is untranslated before setlocale(). */
static void each_text_is_the_one_of_the_c_library(void **state) {
    (void)state;
#ifdef __GLIBC__
    for (int error = 1; error < 200; error++)
        if (strncmp(strerror(error), "Unknown error", 13) != 0)
            assert_string_equal(fp_error_text(error), strerror(error));
#endif
    assert_string_equal(fp_error_text(ENOSPC), "No space left on device");
    assert_string_equal(fp_error_text(0), "unknown error");
    assert_string_equal(fp_error_text(-EINVAL), "unknown error");
}

static void a_write_without_waiting_goes_to_the_descriptor_s_own_place(void **state) {
    (void)state;
    int ends[2];
    char text[] = "one\n", got[16];
    struct iovec part = {text, sizeof text - 1};
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    ssize_t written = fp_write_nowait(ends[1], &part);
    if (written < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM))
        skip(); /* an older kernel, or a sandbox: the report has another way */
    assert_int_equal(written, 4);
    assert_int_equal(fp_write_nowait(ends[1], &part), 4);
    assert_int_equal(read(ends[0], got, sizeof got), 8);
    assert_memory_equal(got, "one\none\n", 8);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_text_is_the_one_of_the_c_library),
        cmocka_unit_test(a_write_without_waiting_goes_to_the_descriptor_s_own_place),
    };
    return cmocka_run_group_tests_name("compat", tests, NULL, NULL);
}
