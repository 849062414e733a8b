/* SPDX-License-Identifier: MIT */
#include "scene.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Deeds. */

struct ready deed_ready(const struct deed *deed) {
    struct ready ready = {-1, 0};
    int on = 1;
    if (deed->verb == BIND || deed->verb == LISTEN)
        ready.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (deed->reuse)
        setsockopt(ready.fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (deed->verb == RELEASE && freeport_get(handle, FREEPORT_TCP, 0, &ready.port) != 0)
        die("no port to release");
    return ready;
}

int deed_perform(const struct deed *deed, struct ready *ready) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(deed->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    switch (deed->verb) {
    case BIND:
        return bind(ready->fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : -errno;
    case LISTEN:
        return listen(ready->fd, 1) == 0 ? 0 : -errno;
    case GET:
        return freeport_get(handle, FREEPORT_TCP, 0, &ready->port);
    default:
        return freeport_release(handle, FREEPORT_TCP, ready->port);
    }
}

int deed_outcome(int error, const struct ready *ready) {
    return error != 0 ? error : ready->fd >= 0 ? port_of(ready->fd) : ready->port;
}

/* This program once more, from its start. */
void start_again(const char *role) {
    char number[16], program[4096];
    snprintf(number, sizeof number, "%d", board_fd);
    setenv("TORTURE_BOARD_FD", number, 1);
    setenv("TORTURE_ROLE", role, 1);
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = 0;
    execl(program, "kill", role, (char *)NULL);
    die("exec: %s", strerror(errno));
}

/* Scenes. */

static pid_t living[4];
static unsigned living_count;

static void in_another(void (*body)(void *)) {
    reap(child(body, NULL));
}

/* Who stays until the scene is over; returns when it is ready. */
static void beside_another(void (*body)(void *)) {
    atomic_store(&board->done, 0);
    living[living_count++] = child(body, NULL);
    if (!comes_about(&board->done))
        die("somebody in a scene never got ready");
}

/* The socket of a server that is gone, which this process has still. */
static struct ready inherited = {-1, 0};
static const struct deed serve_inherited = {.verb = BIND, .port = SENTINEL, .reuse = true};

void scene_over(void) {
    while (living_count > 0)
        end(living[--living_count]);
    if (inherited.fd >= 0)
        close(inherited.fd);
    inherited.fd = -1;
}

static void __attribute__((noreturn)) stay(void) {
    atomic_store(&board->done, 1);
    pause_for_ever();
}

static void take_all(void *ignored) {
    (void)ignored;
    haul_take(&board->haul, SOCK_STREAM, range_count);
    haul_take(&board->haul, SOCK_DGRAM, range_count);
}

static void take_all_and_close(void *ignored) {
    take_all(ignored);
    for (int fd = 3; fd < 1024; fd++)
        if (fd != board_fd)
            close(fd);
    stay();
}

static void take_sentinel(void *ignored) {
    (void)ignored;
    if (take(SOCK_STREAM, SENTINEL) < 0)
        die("no sentinel in a scene");
}

static void serve_sentinel(void *ignored) {
    (void)ignored;
    static const struct deed deed = {.verb = BIND, .port = SENTINEL, .reuse = true};
    struct ready ready = deed_ready(&deed);
    if (deed_perform(&deed, &ready) != 0 || listen(ready.fd, 1) != 0)
        die("no server in a scene");
    stay();
}

/* Its owner is there, and has closed it: it is bound again under a claim, with the program's own flags. */
static void serve_sentinel_and_close(void *ignored) {
    (void)ignored;
    static const struct deed deed = {.verb = BIND, .port = SENTINEL};
    struct ready ready = deed_ready(&deed);
    if (deed_perform(&deed, &ready) != 0 || close(ready.fd) != 0)
        die("no server in a scene");
    stay();
}

static void serve_and_leave(void *ignored) {
    (void)ignored;
    if (deed_perform(&serve_inherited, &inherited) != 0 || listen(inherited.fd, 1) != 0)
        die("no server in a scene");
}

/* A program that never heard of freeport, and has no segment mapped. */
static void strangers(void *ignored) {
    (void)ignored;
    unsetenv("LD_PRELOAD");
    start_again("strangers");
}

void scene_strangers(void) {
    for (unsigned i = 0; i < 2; i++)
        if (take_as_stranger(SOCK_STREAM, (uint16_t)(range_first + i)) < 0)
            die("no stranger in a scene");
    stay();
}

/* Sentinels of other sessions, wherever there is a port. */
static void take_sessions(void *ignored) {
    (void)ignored;
    for (unsigned i = 0; i < range_count; i++) {
        char session[24];
        snprintf(session, sizeof session, "other-%u", i);
        struct freeport_config config = {.tcp = getenv("FREEPORT_TCP"),
                                         .udp = getenv("FREEPORT_TCP"),
                                         .session = session,
                                         .segment = getenv("FREEPORT_SEGMENT")};
        struct freeport *other;
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons(SENTINEL), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (freeport_open(&other, &config) != 0 ||
            freeport_bind(other, fd, (struct sockaddr *)&address, sizeof address, 0, NULL) != 0)
            die("no other session in a scene");
    }
}

static void die_with_lock(void *ignored) {
    (void)ignored;
    if (!segment_lock(segment_map()))
        die("the lock isn't to be had in a scene");
    raise(SIGKILL);
}

static void dead_had_all(void) {
    in_another(take_all);
}

static void living_closed_all(void) {
    beside_another(take_all_and_close);
}

static void strangers_are_there(void) {
    beside_another(strangers);
}

static void server_is_gone(void) {
    in_another(take_sentinel);
}

static void server_is_there(void) {
    beside_another(serve_sentinel);
}

static void server_closed_it(void) {
    beside_another(serve_sentinel_and_close);
}

/* It is refused where it is bound as if it were fresh, and its own flags join the socket then. */
static void server_left_its_socket(void) {
    inherited = deed_ready(&serve_inherited);
    in_another(serve_and_leave);
}

static void sessions_had_all(void) {
    in_another(take_sessions);
}

static void dead_has_lock(void) {
    in_another(die_with_lock);
}

static void dead_has_lock_and_all(void) {
    dead_had_all();
    dead_has_lock();
}

const struct scene scenes[] = {
    {.what = "bind 0, fresh ports", .deed = {BIND, 0, false}, .keep = true},
    {.what = "bind 0, ports of the dead", .deed = {BIND, 0, false}, .before = dead_had_all},
    {.what = "bind 0, ports that the living closed", .deed = {BIND, 0, false}, .before = living_closed_all},
    {.what = "bind 0, past strangers", .deed = {BIND, 0, false}, .before = strangers_are_there, .strangers = 2},
    {.what = "bind 0, the lock is a dead one's", .deed = {BIND, 0, false}, .before = dead_has_lock_and_all},
    {.what = "bind 0, other sessions' ports", .deed = {BIND, 0, false}, .before = sessions_had_all},
    {.what = "listen, never bound", .deed = {LISTEN, 0, false}},
    {.what = "sentinel, the first bind", .deed = {BIND, SENTINEL, false}, .keep = true},
    {.what = "sentinel, its server is gone", .deed = {BIND, SENTINEL, false}, .before = server_is_gone, .keep = true},
    {.what = "sentinel, beside its server", .deed = {BIND, SENTINEL, true}, .before = server_is_there},
    {.what = "sentinel, its server closed it", .deed = {BIND, SENTINEL, false}, .before = server_closed_it},
    {.what = "sentinel, its server left the socket", .deed = {BIND, SENTINEL, true}, .before = server_left_its_socket},
    {.what = "sentinel, past strangers",
     .deed = {BIND, SENTINEL, false},
     .before = strangers_are_there,
     .strangers = 2},
    {.what = "sentinel, the lock is a dead one's", .deed = {BIND, SENTINEL, false}, .before = dead_has_lock_and_all},
    {.what = "freeport_get", .deed = {GET, 0, false}, .keep = true},
    {.what = "freeport_get, ports of the dead", .deed = {GET, 0, false}, .before = dead_had_all},
    {.what = "freeport_release", .deed = {RELEASE, 0, false}, .keep = true},
};

const unsigned scene_count = sizeof scenes / sizeof scenes[0];
