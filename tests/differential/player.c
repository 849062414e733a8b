/* SPDX-License-Identifier: MIT */
/*
 * player SEED [all|none|INDEX,INDEX...]: plays a sequence of socket calls, or some of it, and says on standard output
 * how each went, a line a call. It knows nothing of freeport. Ports that nobody named are numbered as they turn up, so
 * that two runs can be compared line by line.
 *
 * It wants a network namespace of its own, with the loopback interface up, and no other descriptors than the first
 * three.
 */
#include "network.h"
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATE_FD = 3, PATIENCE_SECONDS = 20 };

struct play *play;

static char line[16384];
static size_t line_length;

void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + line_length, sizeof line - line_length, format, arguments);
    va_end(arguments);
    if (more > 0)
        line_length += (size_t)more;
    if (line_length >= sizeof line)
        line_length = sizeof line - 1;
}

void say_error(int error) {
    static const struct {
        int error;
        const char *name;
    } names[] = {
        {EACCES, "EACCES"},
        {EADDRINUSE, "EADDRINUSE"},
        {EADDRNOTAVAIL, "EADDRNOTAVAIL"},
        {EAFNOSUPPORT, "EAFNOSUPPORT"},
        {EAGAIN, "EAGAIN"},
        {EALREADY, "EALREADY"},
        {EBADF, "EBADF"},
        {ECONNABORTED, "ECONNABORTED"},
        {ECONNREFUSED, "ECONNREFUSED"},
        {ECONNRESET, "ECONNRESET"},
        {EDESTADDRREQ, "EDESTADDRREQ"},
        {EFAULT, "EFAULT"},
        {EINPROGRESS, "EINPROGRESS"},
        {EINVAL, "EINVAL"},
        {EISCONN, "EISCONN"},
        {EMSGSIZE, "EMSGSIZE"},
        {ENETUNREACH, "ENETUNREACH"},
        {ENOPROTOOPT, "ENOPROTOOPT"},
        {ENOTCONN, "ENOTCONN"},
        {EOPNOTSUPP, "EOPNOTSUPP"},
        {EPERM, "EPERM"},
        {EPIPE, "EPIPE"},
        {EPROTONOSUPPORT, "EPROTONOSUPPORT"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].error == error) {
            say("%s", names[i].name);
            return;
        }
    say("errno %d", error);
}

static void write_line(void) {
    line[line_length++] = '\n';
    for (size_t written = 0; written < line_length;) {
        ssize_t more = write(STDOUT_FILENO, line + written, line_length - written);
        if (more <= 0)
            _exit(2);
        written += (size_t)more;
    }
    line_length = 0;
}

static void play_here(const struct step *step, unsigned index) {
    static const char *const wheres[] = {"", " (forked)", " (executed)"};
    say("%u%s ", index, wheres[step->where]);
    play_step(step, index);
    write_line();
}

static void play_in_child(const struct step *step, unsigned index) {
    char seed[32], number[16];
    int fds[SLOTS], status;
    enum kind kinds[SLOTS];
    memcpy(fds, play->fds, sizeof fds);
    memcpy(kinds, play->kinds, sizeof kinds);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)play->seed);
    snprintf(number, sizeof number, "%u", index);
    pid_t child = fork();
    if (child == 0) {
        if (step->where == AFTER_AN_EXEC)
            execl("/proc/self/exe", "player", "--one", seed, number, (char *)NULL);
        else
            play_here(step, index);
        _exit(step->where == AFTER_AN_EXEC ? 127 : 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        exit(2);
    /* The child's descriptors went with it. */
    memcpy(play->fds, fds, sizeof fds);
    memcpy(play->kinds, kinds, sizeof kinds);
    if (status != 0) {
        say("%u the child ended with status %#x", index, (unsigned)status);
        write_line();
    }
}

static void play_one(const struct sequence *sequence, unsigned index) {
    const struct step *step = &sequence->steps[index];
    if (step->where == HERE)
        play_here(step, index);
    else
        play_in_child(step, index);
}

static void play_chosen(const struct sequence *sequence, const char *chosen) {
    if (strcmp(chosen, "none") == 0)
        return;
    if (strcmp(chosen, "all") == 0) {
        for (unsigned i = 0; i < sequence->count; i++)
            play_one(sequence, i);
        return;
    }
    for (char *at = (char *)(uintptr_t)chosen; *at;) {
        unsigned long index = strtoul(at, &at, 10);
        if (index < sequence->count)
            play_one(sequence, (unsigned)index);
        if (*at++ != ',')
            return;
    }
}

static bool map_state(bool fresh) {
    if (fresh) {
        int fd = memfd_create("play", 0);
        if (fd < 0 || dup2(fd, STATE_FD) < 0 || ftruncate(STATE_FD, sizeof *play) != 0)
            return false;
        if (fd != STATE_FD)
            close(fd);
    }
    play = mmap(NULL, sizeof *play, PROT_READ | PROT_WRITE, MAP_SHARED, STATE_FD, 0);
    return play != MAP_FAILED;
}

static int play_seed(uint64_t seed, const char *chosen) {
    static struct sequence sequence;
    if (!map_state(true))
        return 2;
    alarm(PATIENCE_SECONDS);
    play->seed = seed;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        play->fds[slot] = -1;
    sequence_make(&sequence, seed);
    play_chosen(&sequence, chosen);
    return 0;
}

/* After an exec in the midst of a sequence: the one call. */
static int play_single(uint64_t seed, unsigned index) {
    static struct sequence sequence;
    if (!map_state(false))
        return 2;
    sequence_make(&sequence, seed);
    play_here(&sequence.steps[index % MOST_STEPS], index);
    return 0;
}

static int serve(void) {
    static char command[MOST_STEPS * 4 + 32];
    ssize_t length;
    network_prepare();
    while ((length = recv(STDIN_FILENO, command, sizeof command - 1, 0)) > 0) {
        command[length] = 0;
        int status = 0;
        char *chosen;
        uint64_t seed = strtoull(command, &chosen, 10);
        pid_t child = fork();
        if (child == 0)
            _exit(network_enter() ? play_seed(seed, chosen + 1) : 2);
        if (child < 0 || waitpid(child, &status, 0) != child ||
            send(STDIN_FILENO, &status, sizeof status, MSG_NOSIGNAL) < 0)
            return 2;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--serve") == 0)
        return serve();
    if (argc == 4 && strcmp(argv[1], "--one") == 0)
        return play_single(strtoull(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10));
    if (argc == 3)
        return play_seed(strtoull(argv[1], NULL, 10), argv[2]);
    fprintf(stderr, "usage: %s SEED all|none|INDEX,INDEX...\n       %s --serve\n", argv[0], argv[0]);
    return 2;
}
