/* SPDX-License-Identifier: MIT */
/*
 * Plays sequences of socket calls on the plain kernel and under freeport, and compares them call by call. A difference
 * is repeated, shortened and printed. Exits with 1 where there is one, with 77 where there are no network namespaces.
 */
#include "intended.h"
#include "sequence.h"
#include "world.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REPEATS = 3, MPTCP_REPEATS = 12, MOST_KINDS = 256, NO_NETWORK = 77 };

struct tally {
    unsigned long sequences, calls, differences, unstable, intended;
    struct {
        char text[300];
        unsigned long count;
    } kinds[MOST_KINDS], reasons[MOST_KINDS];
};

struct job {
    struct side kernel, freeport;
    uint64_t seed;
    unsigned long count;
    double seconds; /* instead of a count */
    const char *calls;
    bool verbose;
    unsigned long plays;
    struct tally tally;
};

static const char usage[] =
    "usage: differential --player PROGRAM (--shim LIBRARY | --under COMMAND) [option...]\n"
    "  --seed N          the first seed (1)\n"
    "  --count N         how many sequences (1000)\n"
    "  --seconds N       so long instead\n"
    "  --hours N         so long instead\n"
    "  --connect MODE    FREEPORT_CONNECT (session)\n"
    "  --sentinels LIST  FREEPORT_SENTINELS\n"
    "  --under COMMAND   what starts the player under freeport, in words; for example \"freeport run --\"\n"
    "  --calls LIST      these calls of the first seed alone; the output of both sides is printed\n"
    "  --verbose         also the differences of a kind that was printed already, and the intended ones\n"
    "  --reasons         prints what differs on purpose, and plays nothing\n";

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* What both sides say of the same calls. */
struct pair {
    char *kernel, *freeport;
};

static struct pair play(struct job *job, uint64_t seed, const char *chosen) {
    struct pair pair;
    if (!segment_renew()) {
        perror("the segment can't be renewed");
        exit(2);
    }
    /* In turns: what is a matter of which side was first does not hold then. */
    bool turn = job->plays++ % 2;
    side_start(turn ? &job->freeport : &job->kernel, seed, chosen);
    side_start(turn ? &job->kernel : &job->freeport, seed, chosen);
    pair.kernel = side_finish(&job->kernel);
    pair.freeport = side_finish(&job->freeport);
    return pair;
}

static void drop(struct pair pair) {
    free(pair.kernel);
    free(pair.freeport);
}

static void copy_line(char *to, size_t room, const char *from) {
    size_t length = strcspn(from, "\n");
    snprintf(to, room, "%.*s", (int)length, from);
}

/* The first line that differs; false where all are equal. */
static bool first_difference(const struct pair *pair, struct difference *difference) {
    const char *kernel = pair->kernel, *freeport = pair->freeport;
    for (;;) {
        size_t length = strcspn(kernel, "\n");
        if (length != strcspn(freeport, "\n") || memcmp(kernel, freeport, length) != 0)
            break;
        if (!kernel[length] || !freeport[length]) {
            if (kernel[length] == freeport[length])
                return false;
            break;
        }
        kernel += length + 1;
        freeport += length + 1;
    }
    difference->played = pair->kernel;
    difference->index = (unsigned)strtoul(*kernel ? kernel : freeport, NULL, 10);
    copy_line(difference->kernel, sizeof difference->kernel, kernel);
    copy_line(difference->freeport, sizeof difference->freeport, freeport);
    return true;
}

/* Some of a sequence's calls. */
struct choice {
    unsigned count;
    unsigned calls[MOST_STEPS];
};

static const char *choice_text(const struct choice *choice) {
    static char text[MOST_STEPS * 4];
    size_t length = 0;
    strcpy(text, "none");
    for (unsigned i = 0; i < choice->count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%u", i ? "," : "", choice->calls[i]);
    return text;
}

/* The first word of a result. */
static void copy_result(char *to, size_t room, const char *text) {
    const char *result = strstr(text, " = ");
    snprintf(to, room, "%.*s", result ? (int)strcspn(result + 3, " ") : 0, result ? result + 3 : "");
}

/* What makes two differences one of a kind: the call, and what it came to on either side. */
static void kind_text(const struct difference *difference, char *text, size_t room) {
    char kernel[32], freeport[32];
    const struct step *step = &difference->sequence->steps[difference->index % MOST_STEPS];
    copy_result(kernel, sizeof kernel, difference->kernel);
    copy_result(freeport, sizeof freeport, difference->freeport);
    snprintf(text, room, "%s of %s: %s, %s under freeport", sequence_operation_names[step->op],
             sequence_kind_names[step->kind], kernel, freeport);
}

static bool differs(struct job *job, const struct sequence *sequence, uint64_t seed, const struct choice *choice) {
    struct difference difference = {.sequence = sequence, .connect = job->freeport.connect};
    struct pair pair = play(job, seed, choice_text(choice));
    bool yes = first_difference(&pair, &difference) && !intended_reason(&difference);
    drop(pair);
    return yes;
}

static struct choice without(const struct choice *choice, unsigned from, unsigned count) {
    struct choice rest = {.count = 0};
    for (unsigned i = 0; i < choice->count; i++)
        if (i < from || i >= from + count)
            rest.calls[rest.count++] = choice->calls[i];
    return rest;
}

/* Leaves calls out, many at once and then one by one, for as long as what is left differs. */
static void shorten(struct job *job, const struct sequence *sequence, uint64_t seed, struct choice *choice) {
    for (unsigned size = choice->count / 2; size > 0;) {
        bool shorter = false;
        for (unsigned from = 0; from < choice->count;) {
            struct choice rest = without(choice, from, size);
            if (differs(job, sequence, seed, &rest)) {
                *choice = rest;
                shorter = true;
            } else {
                from += size;
            }
        }
        if (!shorter || size > 1)
            size = size > 1 ? size / 2 : 0;
    }
}

static void print_pair(const struct pair *pair) {
    const char *kernel = pair->kernel, *freeport = pair->freeport;
    while (*kernel || *freeport) {
        size_t a = strcspn(kernel, "\n"), b = strcspn(freeport, "\n");
        if (a == b && memcmp(kernel, freeport, a) == 0)
            printf("              %.*s\n", (int)a, kernel);
        else
            printf("    kernel:   %.*s\n    freeport: %.*s\n", (int)a, kernel, (int)b, freeport);
        kernel += a + (kernel[a] != 0);
        freeport += b + (freeport[b] != 0);
    }
}

static bool count_kind(struct tally *tally, bool reason, const char *text) {
    for (unsigned i = 0; i < MOST_KINDS; i++) {
        char *known = reason ? tally->reasons[i].text : tally->kinds[i].text;
        unsigned long *count = reason ? &tally->reasons[i].count : &tally->kinds[i].count;
        if (*count == 0)
            snprintf(known, sizeof tally->kinds[i].text, "%s", text);
        if (strcmp(known, text) == 0)
            return ++*count == 1;
    }
    return false;
}

/* MPTCP closes and acknowledges by a worker of the kernel's, in its own time. */
static unsigned repeats(const struct sequence *sequence) {
    for (unsigned i = 0; i < sequence->count; i++)
        if (sequence->steps[i].kind == KIND_MPTCP4 || sequence->steps[i].kind == KIND_MPTCP6)
            return MPTCP_REPEATS;
    return REPEATS;
}

/* The same difference, each of three times; what varies by itself says nothing. */
static bool holds(struct job *job, uint64_t seed, const struct difference *first) {
    for (unsigned i = repeats(first->sequence); i > 0; i--) {
        struct difference again = {.sequence = first->sequence, .connect = job->freeport.connect};
        struct pair pair = play(job, seed, "all");
        bool same = first_difference(&pair, &again) && strcmp(again.kernel, first->kernel) == 0 &&
                    strcmp(again.freeport, first->freeport) == 0;
        drop(pair);
        if (!same)
            return false;
    }
    return true;
}

static void report(struct job *job, const struct sequence *sequence, uint64_t seed, unsigned last) {
    struct choice choice = {.count = 0};
    for (unsigned i = 0; i <= last && i < sequence->count; i++)
        choice.calls[choice.count++] = i;
    if (!differs(job, sequence, seed, &choice)) /* it is a later call's, of a child say */
        while (choice.count < sequence->count) {
            choice.calls[choice.count] = choice.count;
            choice.count++;
        }
    shorten(job, sequence, seed, &choice);
    struct pair pair = play(job, seed, choice_text(&choice));
    printf("difference: --seed %llu --calls %s --connect %s\n", (unsigned long long)seed, choice_text(&choice),
           job->freeport.connect);
    print_pair(&pair);
    fflush(stdout);
    drop(pair);
}

static void judge(struct job *job, const struct sequence *sequence, uint64_t seed,
                  const struct difference *difference) {
    struct tally *tally = &job->tally;
    char kind[300];
    const char *reason = intended_reason(difference);
    if (!holds(job, seed, difference)) {
        tally->unstable++;
        if (job->verbose)
            printf("unstable: --seed %llu: %s\n", (unsigned long long)seed, difference->kernel);
        return;
    }
    if (reason) {
        tally->intended++;
        count_kind(tally, true, reason);
        if (job->verbose)
            report(job, sequence, seed, difference->index);
        return;
    }
    tally->differences++;
    kind_text(difference, kind, sizeof kind);
    if (count_kind(tally, false, kind) || job->verbose)
        report(job, sequence, seed, difference->index);
}

static void play_seed(struct job *job, uint64_t seed) {
    static struct sequence sequence;
    struct difference difference = {.sequence = &sequence, .connect = job->freeport.connect};
    sequence_make(&sequence, seed);
    struct pair pair = play(job, seed, "all");
    job->tally.sequences++;
    job->tally.calls += sequence.count;
    if (first_difference(&pair, &difference))
        judge(job, &sequence, seed, &difference);
    drop(pair);
}

static void print_tally(const struct tally *tally, const struct job *job, double seconds) {
    printf(
        "%lu sequences, %lu calls, FREEPORT_CONNECT=%s, in %.0f seconds: %lu differences, %lu intended, %lu that don't "
        "hold\n",
        tally->sequences, tally->calls, job->freeport.connect, seconds, tally->differences, tally->intended,
        tally->unstable);
    for (unsigned i = 0; i < MOST_KINDS && tally->kinds[i].count; i++)
        printf("%8lu %s\n", tally->kinds[i].count, tally->kinds[i].text);
    for (unsigned i = 0; i < MOST_KINDS && tally->reasons[i].count; i++)
        printf("%8lu intended: %s\n", tally->reasons[i].count, tally->reasons[i].text);
}

static int run(struct job *job) {
    double start = now();
    if (job->calls) {
        struct pair pair = play(job, job->seed, job->calls);
        struct difference difference = {.index = 0};
        bool differ = first_difference(&pair, &difference);
        print_pair(&pair);
        drop(pair);
        return differ;
    }
    for (uint64_t i = 0; job->seconds > 0 ? now() - start < job->seconds : i < job->count; i++)
        play_seed(job, job->seed + i);
    print_tally(&job->tally, job, now() - start);
    return job->tally.differences > 0;
}

static void split(char *text, char **words) {
    unsigned count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word && count < MOST_WORDS - 1; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
}

static void bad_usage(const char *what) {
    fprintf(stderr, "differential: %s\n%s", what, usage);
    exit(2);
}

static void read_options(struct job *job, int argc, char **argv) {
    static const struct option options[] = {
        {"player", required_argument, NULL, 'p'},
        {"shim", required_argument, NULL, 's'},
        {"under", required_argument, NULL, 'u'},
        {"seed", required_argument, NULL, 'e'},
        {"count", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 't'},
        {"hours", required_argument, NULL, 'h'},
        {"connect", required_argument, NULL, 'c'},
        {"calls", required_argument, NULL, 'l'},
        {"sentinels", required_argument, NULL, 'S'},
        {"verbose", no_argument, NULL, 'v'},
        {"reasons", no_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'p':
            job->kernel.player = job->freeport.player = optarg;
            break;
        case 's':
            job->freeport.shim = optarg;
            break;
        case 'u':
            split(optarg, job->freeport.under);
            break;
        case 'e':
            job->seed = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            job->count = strtoul(optarg, NULL, 10);
            break;
        case 't':
            job->seconds = strtod(optarg, NULL);
            break;
        case 'h':
            job->seconds = 3600 * strtod(optarg, NULL);
            break;
        case 'c':
            job->freeport.connect = optarg;
            break;
        case 'S':
            job->freeport.sentinels = optarg;
            break;
        case 'l':
            job->calls = optarg;
            break;
        case 'r':
            intended_print();
            exit(0);
        case 'v':
            job->verbose = true;
            break;
        default:
            bad_usage("see above");
        }
    if (optind != argc)
        bad_usage("an argument too many");
    if (!job->kernel.player)
        bad_usage("--player: expected the program that plays");
    if (!job->freeport.shim == !job->freeport.under[0])
        bad_usage("expected --shim or --under");
}

static void end(int signal_number) {
    segment_remove();
    _exit(128 + signal_number);
}

static void clear_environment(void) {
    static const char *const ours[] = {
        "FREEPORT_NAME",          "FREEPORT_SESSION",   "FREEPORT_REPORT",   "FREEPORT_REPORT_FD",
        "FREEPORT_REPORT_FORMAT", "FREEPORT_REPORT_ID", "FREEPORT_SOCKNAME", "FREEPORT_TIMEOUT",
        "FREEPORT_SEGMENT_MODE",  "FREEPORT_LENIENT",   "FREEPORT_TCP",      "FREEPORT_UDP",
        "FREEPORT_SENTINELS",     "FREEPORT_CONNECT",   "FREEPORT_SEGMENT",  "FREEPORT_SEGMENT_OWNER"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        unsetenv(ours[i]);
    unsetenv("LD_PRELOAD");
}

int main(int argc, char **argv) {
    static struct job job = {
        .freeport = {.managed = true, .connect = "session", .sentinels = SEQUENCE_SENTINELS},
        .seed = 1,
        .count = 1000,
    };
    char segment[64];
    read_options(&job, argc, argv);
    clear_environment();
    snprintf(segment, sizeof segment, "/freeport-differential-%ld", (long)getpid());
    job.freeport.segment = segment;
    job.kernel.serves = true;
    job.freeport.serves = job.freeport.shim != NULL;
    if (!side_open(&job.kernel) || !side_open(&job.freeport))
        return 2;
    side_start(&job.kernel, 0, "none");
    char *text = side_finish(&job.kernel);
    if (*text) {
        fprintf(stderr, "differential: no network namespace to be had: %s", text);
        return NO_NETWORK;
    }
    free(text);
    if (!segment_keep(&job.freeport)) {
        segment_remove();
        fprintf(stderr, "differential: no player under freeport with a segment of its own\n");
        return 2;
    }
    signal(SIGINT, end);
    signal(SIGTERM, end);
    int result = run(&job);
    side_close(&job.kernel);
    side_close(&job.freeport);
    segment_remove();
    return result;
}
