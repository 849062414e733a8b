/* SPDX-License-Identifier: MIT */
/*
 * fpbench [OPTIONS] MEASURE [WORD...]
 *
 * Says "ready", then reads numbers, a line each: makes so many calls, and prints how many nanoseconds one took. So two
 * of them, one with the shim and one without, are measured in turns. MEASURE is one of calls.c's.
 *
 *     --range FROM-TO   the ports at stake; in a network namespace of its own, where the kernel's own range is the same
 *     --kernel FROM-TO  that one differs
 *     --socket-range    IP_LOCAL_PORT_RANGE on each socket
 *     --beside COMMAND  a shell command, in that network, that has said "ready" before anything is measured
 *     --count N         makes N calls, and prints nothing: for callgrind (--toggle-collect=measured) and strace
 *
 * fpbench [OPTIONS] exec COMMAND...: there, instead of a measure of ours. fpbench take|crowd|sessions|assignments: see
 * beside.c.
 */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "own_network.h"

/* What is timed, and what callgrind counts. A call through a pointer, or it would be inlined. */
__attribute__((noinline)) int measured(struct bench *bench, step *volatile call, unsigned count);

int measured(struct bench *bench, step *volatile call, unsigned count) {
    int result = 0;
    for (unsigned i = 0; i < count; i++)
        result |= call(bench, i);
    return result;
}

static int each(struct bench *bench, step *function, unsigned count) {
    int result = 0;
    for (unsigned i = 0; i < count; i++)
        result |= function(bench, i);
    return result;
}

/* What two looks at the clock cost, with nothing between them. */
static uint64_t clock_cost(void) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t began = nanoseconds(), took = nanoseconds() - began;
        if (took < least)
            least = took;
    }
    return least;
}

/* Nanoseconds for so many calls; negative where one failed. */
static double run(struct bench *bench, const struct measure *measure, unsigned count, uint64_t clock) {
    if (measure->whole)
        return measure->whole(bench, count);
    double sum = 0;
    for (unsigned left = count, chunk; left > 0; left -= chunk) {
        chunk = left < measure->chunk ? left : measure->chunk;
        if (each(bench, measure->before, chunk) != 0)
            return -1;
        uint64_t began = nanoseconds();
        int result = measured(bench, measure->call, chunk);
        uint64_t took = nanoseconds() - began;
        if (result != 0 || each(bench, measure->after, chunk) != 0)
            return -1;
        sum += (double)(took > clock ? took - clock : 0);
    }
    return sum;
}

static int answer(struct bench *bench, const struct measure *measure) {
    char line[32];
    uint64_t clock = clock_cost();
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        unsigned count = (unsigned)atoi(line);
        /* It has waited for its turn, and its caches are somebody else's: a few calls first, which do not count. */
        double took = measure->whole ? 0 : run(bench, measure, count / 8, clock);
        if (took >= 0)
            took = run(bench, measure, count, clock);
        if (took < 0) {
            perror(measure->name);
            return 1;
        }
        printf("%.1f lost=%ju twice=%ju\n", took / count, (uintmax_t)bench->lost, (uintmax_t)bench->twice);
    }
    return 0;
}

/* Until it has said so; it ends with this process. */
static bool start_beside(const char *command) {
    int ends[2];
    char said[6] = "";
    if (pipe(ends) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    close(ends[1]); /* the other end stays open: nobody gets a SIGPIPE */
    for (size_t have = 0; have < 5;) {
        ssize_t got = read(ends[0], said + have, 5 - have);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return pid > 0 && strcmp(said, "ready") == 0;
}

static bool read_range(const char *text, uint16_t *from, uint16_t *to) {
    return sscanf(text, "%hu-%hu", from, to) == 2 && *from <= *to;
}

static bool enter_network(uint16_t from, uint16_t to) {
    char range[32];
    snprintf(range, sizeof range, "%u %u", from, to);
    return own_network() && own_network_write("/proc/sys/net/ipv4/ip_local_port_range", range);
}

static int die(const char *what) {
    fprintf(stderr, "fpbench: %s: %s\n", what, strerror(errno));
    return 1;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"range", required_argument, NULL, 'r'},  {"kernel", required_argument, NULL, 'k'},
        {"socket-range", no_argument, NULL, 's'}, {"beside", required_argument, NULL, 'b'},
        {"count", required_argument, NULL, 'c'},  {NULL, 0, NULL, 0}};
    struct bench bench = {.client = -1, .server = -1};
    uint16_t from = 0, to = 0;
    const char *companion = NULL;
    unsigned count = 0;
    for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
        bool understood = option != '?';
        if (option == 'r')
            understood = read_range(optarg, &bench.from, &bench.to);
        else if (option == 'k')
            understood = read_range(optarg, &from, &to);
        else if (option == 's')
            bench.socket_range = true;
        else if (option == 'b')
            companion = optarg;
        else if (option == 'c')
            count = (unsigned)atoi(optarg);
        if (!understood)
            return 2;
    }
    if (!argv[optind])
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (bench.from && !enter_network(from ? from : bench.from, to ? to : bench.to))
        return die("a network of its own");
    if (companion && !start_beside(companion))
        return die(companion);

    bench.words = argv + optind + 1;
    if (strcmp(argv[optind], "exec") == 0) {
        execvp(bench.words[0], bench.words);
        return die(bench.words[0]);
    }
    int status = beside(argv + optind);
    if (status >= 0)
        return status;
    const struct measure *measure = measure_named(argv[optind]);
    if (!measure) {
        fprintf(stderr, "fpbench: no such measure: %s\n", argv[optind]);
        return 2;
    }
    if (measure->setup(&bench, 0) != 0)
        return die(measure->name);
    if (count == 0)
        return answer(&bench, measure);
    return run(&bench, measure, count, 0) < 0 ? die(measure->name) : 0;
}
