/* SPDX-License-Identifier: MIT */
/* Who holds a session's port, when a bind of its sentinel is refused: one of ours, or a stranger. */
#include "clock.h"
#include "holder.h"
#include "own_handle.h"

#include <grp.h>
#include <sched.h>

static struct fp_calls real_calls;

/* Without the segment, it is no process of ours. */
static unsigned be_a_stranger(void) {
    freeport_close(fp);
    return (unsigned)stranger(SOCK_STREAM, 30000, 0);
}

/* Whoever gave it up was killed half way: it is nobody's, and says still whose it was. And a stranger has come. */
static void a_port_for_a_sentinel_is_found_where_the_sessions_own_was_given_up_half_way(void **state) {
    (void)state;
    fp = open_with("30000-30001", NULL, TREE_A);
    fp_meaning meaning = meaning_here(FP_BOUND, 8080) | FP_HAD;
    atomic_store(&fp_entry_at(fp->segment, FP_TCP_INDEX, 30000)->meaning, meaning);
    fp_index_add(fp->segment, &fp->session, FP_TCP_INDEX, 8080, 30000);
    unsigned ignored;
    pid_t other = stay(be_a_stranger, &ignored);
    uint16_t port = 0;
    struct fp_bind pledge = {.fp = fp, .protocol = FP_TCP_INDEX, .sentinel = 8080, .timeout_ms = 1000};
    assert_int_equal(fp_pledge(&pledge, true, &port), 0);
    assert_int_equal(port, 30001);
    end(other);
}

static fp_meaning claimed; /* what the second port's entry said while it was bound */

static int bind_and_look(int fd, const struct sockaddr *address, socklen_t length) {
    if (address->sa_family == AF_INET && fp_address_port(address) == 30001)
        claimed = fp_entry_meaning(fp->segment, FP_TCP_INDEX, 30001);
    return real_calls.bind(fd, address, length);
}

/* Where its claimant dies, it is to be given up like any other that was never had. */
static void a_port_in_place_of_one_that_a_stranger_took_counts_as_never_had(void **state) {
    (void)state;
    unsigned ignored;
    uint16_t port = 0;
    fp = open_with("30000-30001", NULL, TREE_A);
    close(bind_fresh(fp, SOCK_STREAM, 8080, &port));
    assert_int_equal(port, 30000);
    pid_t other = stay(be_a_stranger, &ignored);
    real_calls = fp->calls;
    fp->calls.bind = bind_and_look;
    struct sockaddr_in address = address4("127.0.0.1", 8080);
    int fd = new_socket(AF_INET, SOCK_STREAM);
    set_flag(fd, SO_REUSEPORT, 1); /* it might join whoever is there, which is looked at therefore */
    assert_int_equal(freeport_bind(fp, fd, (struct sockaddr *)&address, sizeof address, 1000, &port), 0);
    assert_int_equal(port, 30001);
    assert_int_equal(fp_state(claimed), FP_CLAIMED);
    assert_false(claimed & FP_HAD);
    close(fd);
    end(other);
}

static unsigned serve_sentinel(void) {
    uint16_t port = 0;
    int fd = bind_fresh(fp, SOCK_STREAM, 8080, &port);
    return fd >= 0 && listen(fd, 1) == 0 ? port : 0;
}

/* Its memory goes first, and its sockets are there for a while: it is no stranger for that. */
static void a_server_that_is_being_killed_does_not_cost_the_session_its_port(void **state) {
    (void)state;
    fp = open_with("30000-30010", NULL, TREE_A);
    for (unsigned i = 0; i < 100; i++) {
        unsigned served;
        pid_t server = stay(serve_sentinel, &served);
        assert_int_equal(served, 30000);
        kill(server, SIGKILL);
        uint16_t port = 30000;
        int fd = bind_fresh(fp, SOCK_STREAM, 8080, &port);
        assert_true(fd >= 0 || fd == -EADDRINUSE);
        assert_int_equal(port, 30000);
        if (fd >= 0)
            close(fd);
        assert_int_equal(waitpid(server, NULL, 0), server);
    }
}

enum { MUCH = 256 << 20, SOME = 96 << 20, WAITED_MS = 30 };

static void use_memory(size_t size) {
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

/* A worker that has the socket of a server which has ended, and whose memory takes a while to be given up. */
static unsigned leave_a_worker(void) {
    if (serve_sentinel() != 30000)
        return 0;
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        return 0;
    pid_t worker = fork();
    if (worker == 0) {
        use_memory(MUCH);
        if (write(ready[1], "", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    return read(ready[0], &byte, 1) == 1 ? (unsigned)worker : 0;
}

static void a_worker_that_is_being_killed_does_not_cost_the_session_its_port(void **state) {
    (void)state;
    fp = open_with("30000-30010", NULL, TREE_A);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (unsigned i = 0; i < 6; i++) {
        unsigned worker;
        end(stay(leave_a_worker, &worker));
        assert_true(worker > 1);
        kill((pid_t)worker, SIGKILL);
        /* Until it has got the port: all the time that the worker takes to end. */
        int fd = -EADDRINUSE;
        for (uint16_t port = 30000; fd == -EADDRINUSE; assert_int_equal(port, 30000))
            fd = bind_fresh(fp, SOCK_STREAM, 8080, &port);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(waitpid((pid_t)worker, NULL, 0), worker);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static int answer_here;

static void *serve_in_thread(void *unused) {
    (void)unused;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", answer_here); /* of the first thread */
    while (access(path, F_OK) == 0)
        sched_yield();
    unsigned served = serve_sentinel();
    if (write(answer_here, &served, sizeof served) == sizeof served)
        for (;;)
            pause();
    _exit(1);
}

/* What /proc shows of a process by its id alone is its first thread's. */
static void a_server_whose_first_thread_has_ended_is_no_stranger(void **state) {
    (void)state;
    int pipes[2];
    unsigned served = 0;
    fp = open_with("30000-30010", NULL, TREE_A);
    assert_int_equal(pipe(pipes), 0);
    pid_t server = fork();
    if (server == 0) {
        pthread_t thread;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        answer_here = pipes[1];
        pthread_create(&thread, NULL, serve_in_thread, NULL);
        pthread_exit(NULL);
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &served, sizeof served), sizeof served);
    assert_int_equal(served, 30000);
    assert_int_equal(bind_fresh(fp, SOCK_STREAM, 8080, NULL), -EADDRINUSE);
    close(pipes[0]);
    end(server);
}

static unsigned serve_sentinel_and_forget_the_segment(void) {
    unsigned served = serve_sentinel();
    freeport_close(fp);
    return served;
}

/* As one that executed a static program, and handed its socket to that: the port is its own by the table. */
static void a_server_that_has_the_segment_no_more_is_no_stranger(void **state) {
    (void)state;
    unsigned served;
    fp = open_with("30000-30010", NULL, TREE_A);
    pid_t server = stay(serve_sentinel_and_forget_the_segment, &served);
    assert_int_equal(served, 30000);
    assert_int_equal(bind_fresh(fp, SOCK_STREAM, 8080, NULL), -EADDRINUSE);
    end(server);
}

static unsigned have_some_memory(void) {
    use_memory(SOME);
    return 1;
}

/* While it ends, an ordinary user may not look into it; it has no socket, and the stranger's is found all the same. */
static void a_process_that_is_ending_hides_no_stranger(void **state) {
    (void)state;
    fp = open_with("30000-30010", NULL, TREE_A);
    unsigned ignored;
    pid_t other = stay(be_a_stranger, &ignored);
    for (unsigned i = 0; i < 20; i++) {
        char path[64];
        struct fp_holder found;
        pid_t ending = stay(have_some_memory, &ignored);
        snprintf(path, sizeof path, "/proc/%d/fd", ending);
        kill(ending, SIGKILL);
        siginfo_t ended = {.si_pid = 0};
        for (int shown; ended.si_pid == 0 && (shown = open(path, O_RDONLY | O_CLOEXEC)) >= 0; close(shown))
            waitid(P_PID, (id_t)ending, &ended, WEXITED | WNOHANG | WNOWAIT);
        int64_t begin = fp_now_ms();
        bool held = fp_held_by_stranger(FP_TCP_INDEX, 30000, 0, fp->facts.device, fp->facts.inode, &found);
        assert_true(held || fp_now_ms() - begin >= WAITED_MS); /* on a slow machine the end may take longer */
        assert_int_equal(waitpid(ending, NULL, 0), ending);
    }
    end(other);
}

/* An ordinary user may look into less of /proc. */
static bool become_user(void) {
    enum { USER = 65534 };
    return setgroups(0, NULL) == 0 && setgid(USER) == 0 && setuid(USER) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
}

int main(int argc, char **argv) {
    bool as_user = argc == 2 && strcmp(argv[1], "--as-user") == 0;
    if (as_user && geteuid() == 0 && !become_user())
        return OWN_NETWORK_NONE;
    if (!own_handle("holder"))
        return OWN_NETWORK_NONE;
    const struct CMUnitTest tests[] = {
        TEST(a_port_for_a_sentinel_is_found_where_the_sessions_own_was_given_up_half_way),
        TEST(a_port_in_place_of_one_that_a_stranger_took_counts_as_never_had),
        TEST(a_server_that_is_being_killed_does_not_cost_the_session_its_port),
        TEST(a_worker_that_is_being_killed_does_not_cost_the_session_its_port),
        TEST(a_server_whose_first_thread_has_ended_is_no_stranger),
        TEST(a_server_that_has_the_segment_no_more_is_no_stranger),
        TEST(a_process_that_is_ending_hides_no_stranger),
    };
    return cmocka_run_group_tests_name("holder", tests, NULL, NULL);
}
