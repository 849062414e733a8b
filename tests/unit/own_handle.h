/* SPDX-License-Identifier: MIT */
/* For tests of the public functions: a handle, sockets, strangers and children, in a network namespace of their own. */
#ifndef FREEPORT_TESTS_OWN_HANDLE_H
#define FREEPORT_TESTS_OWN_HANDLE_H

#include "assign.h"
#include "attempt.h"
#include "freeport.h"
#include "own_network.h"
#include "owner.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { NOBODY = 65534 };

static char segment_name[64], segment_path[80];
static struct freeport *fp;

static inline int no_segment(void **state) {
    (void)state;
    unlink(segment_path);
    fp = NULL;
    return 0;
}

static inline int close_it(void **state) {
    (void)state;
    freeport_close(fp);
    return no_segment(NULL);
}

static inline struct freeport_config config_of(const char *tcp, const char *udp, const char *session) {
    return (struct freeport_config){.tcp = tcp, .udp = udp, .session = session, .segment = segment_name};
}

/* Sessions of process trees, as the shim makes them up: their sentinels follow the name's sequence. */
#define TREE_A "1-000000000000000a"
#define TREE_B "1-000000000000000b"

static inline struct freeport *open_with(const char *tcp, const char *udp, const char *session) {
    struct freeport_config config = config_of(tcp, udp, session);
    struct freeport *handle;
    assert_int_equal(freeport_open(&handle, &config), 0);
    assert_non_null(handle);
    return handle;
}

static inline uint16_t get(enum freeport_protocol protocol) {
    uint16_t port = 0;
    int error = freeport_get(fp, protocol, 1000, &port);
    if (error != 0)
        fail_msg("get: %s", freeport_strerror(error));
    return port;
}

static inline void assert_no_more(enum freeport_protocol protocol) {
    uint16_t port = 4711;
    assert_int_equal(freeport_get(fp, protocol, 1000, &port), -EADDRINUSE);
    assert_int_equal(port, 4711);
}

static inline int new_socket(int family, int type) {
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

static inline struct sockaddr_in address4(const char *text, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, text, &address.sin_addr), 1);
    return address;
}

/* freeport_bind() of a fresh socket; a descriptor, or a negative errno. */
static inline int bind_fresh(struct freeport *handle, int type, uint16_t requested, uint16_t *port) {
    struct sockaddr_in address = address4("127.0.0.1", requested);
    int fd = new_socket(AF_INET, type);
    int error = freeport_bind(handle, fd, (struct sockaddr *)&address, sizeof address, 1000, port);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static inline uint16_t bound_port(int fd) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    return ntohs(((struct sockaddr_in *)&name)->sin_port);
}

static inline void set_flag(int fd, int option, int value) {
    assert_int_equal(setsockopt(fd, SOL_SOCKET, option, &value, sizeof value), 0);
}

static inline int flag(int fd, int option) {
    int value = -1;
    socklen_t length = sizeof value;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, option, &value, &length), 0);
    return value;
}

/* Somebody who knows nothing of freeport. */
static inline int stranger(int type, uint16_t port, int option) {
    struct sockaddr_in address = address4("0.0.0.0", port);
    int fd = new_socket(AF_INET, type);
    if (option)
        set_flag(fd, option, 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* Runs a body in a child, and hands back its exit code. */
static inline int in_child(int (*body)(void)) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A child that runs a body, which answers with one number, and then stays until it is killed. */
static inline pid_t stay(unsigned (*body)(void), unsigned *answer) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        unsigned number = body();
        if (write(pipes[1], &number, sizeof number) != sizeof number)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pipes[0], answer, sizeof *answer), sizeof *answer);
    close(pipes[0]);
    close(pipes[1]);
    return pid;
}

static inline void end(pid_t pid) {
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static inline fp_meaning meaning_here(enum fp_state state, uint16_t requested) {
    int name = fp_intern_name(fp->segment, &fp->name, fp_owner_self());
    int session = fp->has_session ? fp_intern_session(fp->segment, &fp->session, fp_owner_self()) : 0;
    assert_true(name >= 0 && session >= 0);
    return fp_meaning_of(state, requested, (unsigned)name, (unsigned)session);
}

static inline unsigned get_four(void) {
    unsigned sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint16_t port = 0;
        if (freeport_get(fp, FREEPORT_TCP, 1000, &port) != 0)
            return 0;
        sum += port;
    }
    return sum;
}

static inline unsigned nothing(void) {
    return 0;
}

/* A process that is there, until end(). */
static inline pid_t bystander(void) {
    unsigned ignored;
    return stay(nothing, &ignored);
}

/* Before anything else. False where the host does not let us. */
static inline bool own_handle(const char *test) {
    if (!own_network()) {
        fprintf(stderr, "no network namespace to be had: not tested\n");
        return false;
    }
    /* Not one of the names that only freeport gives: what is no segment would be replaced there. */
    snprintf(segment_name, sizeof segment_name, "/test-%s-%d", test, (int)getpid());
    snprintf(segment_path, sizeof segment_path, "/dev/shm%s", segment_name);
    return true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, no_segment, close_it)

#endif
