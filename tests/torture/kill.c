/* SPDX-License-Identifier: MIT */
/*
 * kill: a process is killed after its first instruction inside of a call, after its second, its third … to the last,
 * each time a fresh one on the very same segment; and each time the next process has to get a port at once, and every
 * port of the range. What a death leaves in the segment is kept, and the next process is killed at each of its
 * instructions on top of that.
 *
 * kill stop: the same with SIGSTOP. The others go on, then the stopped one does, and each has a port of its own.
 */
#include "image.h"
#include "scene.h"
#include "step.h"
#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>

enum { LIMIT_US = 50000, LOCK_WAIT_US = 250000, TRIES = 4 };

struct board *board;
int board_fd;
struct freeport *handle;
static struct fp_segment *segment;
static bool stopping;

/* The entries of the range, all of which anybody may change. */
static uint64_t entries_hash(void) {
    uint64_t hash = 1;
    for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++) {
        for (unsigned i = 0; i < range_count; i++) {
            const struct fp_entry *entry = fp_entry_at(segment, protocol, (uint16_t)(range_first + i));
            hash = (hash ^ atomic_load(&entry->owner)) * 1099511628211u;
            hash = (hash ^ atomic_load(&entry->meaning)) * 1099511628211u;
            hash ^= hash >> 29;
        }
    }
    return hash;
}

static void victim(void *context) {
    const struct deed *deed = context;
    struct ready ready = deed_ready(deed);
    step_begin();
    int error = deed_perform(deed, &ready);
    atomic_store(&board->inside, 0);
    atomic_store(&board->result, deed_outcome(error, &ready));
    pause_for_ever();
}

/* One process id for all victims, so that they are alike to the last instruction; where the kernel lets us. */
static pid_t fork_victim(const struct deed *deed) {
    enum { LAST_PID = 1999 };
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        dprintf(fd, "%d", LAST_PID);
        close(fd);
    }
    atomic_store(&board->inside, 0);
    atomic_store(&board->result, 0);
    return child(victim, (void *)(uintptr_t)deed);
}

/* Who comes next: the same deed where it makes sense, at once; and then every port there is. */
static void heir(void *context) {
    const struct deed *deed = context;
    static const struct deed any = {.verb = BIND};
    if (deed->verb == RELEASE || (deed->port != 0 && deed->port != SENTINEL))
        deed = &any;
    struct ready ready = deed_ready(deed);
    struct clock start = clock_start();
    int error = deed_perform(deed, &ready);
    board->haul.first_us = clock_us(&start);
    if (atomic_load(&board->started_us) != 0) /* from its constructor on */
        board->haul.first_us = now_us() - atomic_load(&board->started_us);
    haul_note(&board->haul, SOCK_STREAM, deed_outcome(error, &ready));
    haul_take(&board->haul, SOCK_STREAM, range_count + 1);
    haul_take(&board->haul, SOCK_DGRAM, range_count + 1);
}

static unsigned lost(const struct scene *scene, int type) {
    unsigned missing = haul_missing(&board->haul, type), strangers = type == SOCK_STREAM ? scene->strangers : 0;
    return missing > strangers ? missing - strangers : 0;
}

static void judge(struct tally *tally, const struct scene *scene) {
    const struct haul *haul = &board->haul;
    if (haul->error != 0)
        note(tally, "%s", strerror(-haul->error));
    tally->lost += lost(scene, SOCK_STREAM) + (haul->error != 0);
    tally->twice += haul_twice(haul);
}

/* The first use of all: the segment is created, from the constructor on. */

/* Under the shim. The marker library, which is loaded behind the shim, goes before it. */
static void start_with_marker(const char *role) {
    char preload[8192];
    snprintf(preload, sizeof preload, "%s %s", getenv("LD_PRELOAD"), getenv("TORTURE_MARKER"));
    setenv("LD_PRELOAD", preload, 1);
    personality(ADDR_NO_RANDOMIZE);
    start_again(role);
}

static void first_user(void *ignored) {
    (void)ignored;
    start_with_marker("first-use");
}

static void first_heir(void *ignored) {
    (void)ignored;
    start_with_marker("heir");
}

static pid_t fork_first_user(void) {
    atomic_store(&board->inside, 0);
    return child(first_user, NULL);
}

/* Nothing but the segment may be left in /dev/shm, which is the torture's own. */
static unsigned stray_files(void) {
    unsigned count = 0;
    DIR *directory = opendir("/dev/shm");
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        count += entry->d_name[0] != '.' && strcmp(entry->d_name, getenv("FREEPORT_SEGMENT") + 1) != 0;
    if (directory)
        closedir(directory);
    return count;
}

static char first_name[64];

static bool kill_first_user(struct tally *tally, const struct scene *scene, const struct walk *walk,
                            unsigned instruction) {
    int64_t best = INT64_MAX;
    for (int tries = 0; tries < TRIES && best > LIMIT_US * slow; tries++) {
        shm_unlink(first_name);
        pid_t pid = fork_first_user();
        bool there = step_to(pid, walk, instruction);
        step_kill(pid);
        if (!there)
            return false;
        memset(&board->haul, 0, sizeof board->haul);
        atomic_store(&board->started_us, 0);
        reap(child(first_heir, NULL));
        best = board->haul.first_us < best ? board->haul.first_us : best;
    }
    tally->times++;
    tally_time(tally, best);
    tally->lost += best > LIMIT_US * slow;
    tally->lost += stray_files() + lost(scene, SOCK_DGRAM);
    judge(tally, scene);
    return true;
}

/* One death, or one stop, at a place. */

/* Whoever takes longer than it may is tried again: what is slow for a reason is so each time. */
static bool kill_at(struct tally *tally, const struct scene *scene, const struct walk *walk, unsigned instruction) {
    int64_t best = INT64_MAX;
    for (int tries = 0; tries < TRIES && best > LIMIT_US * slow; tries++) {
        image_restore(tally->times % 64 < 2);
        pid_t pid = fork_victim(&scene->deed);
        bool there = step_to(pid, walk, instruction);
        step_kill(pid);
        if (!there)
            return false;
        if (scene->keep)
            image_note_state(pid);
        memset(&board->haul, 0, sizeof board->haul);
        reap(child(heir, (void *)(uintptr_t)&scene->deed));
        best = board->haul.first_us < best ? board->haul.first_us : best;
    }
    tally->times++;
    tally_time(tally, best);
    tally->lost += best > LIMIT_US * slow;
    tally->lost += lost(scene, SOCK_DGRAM);
    judge(tally, scene);
    return true;
}

static void others(void *context) {
    const struct scene *scene = context;
    struct clock start = clock_start();
    haul_take(&board->haul, SOCK_STREAM, 1);
    board->haul.first_us = clock_us(&start);
    haul_take(&board->haul, SOCK_STREAM, range_count - scene->strangers - 3);
    atomic_store(&board->done, 1);
    pause_for_ever();
}

/* Comes when the stopped one has gone on: the last port, and the lock is as good as ever. */
static void latecomer(void *ignored) {
    (void)ignored;
    struct clock start = clock_start();
    haul_take(&board->haul, SOCK_STREAM, 1);
    board->haul.first_us = clock_us(&start);
    atomic_store(&board->done, 1);
    pause_for_ever();
}

static bool stop_at(struct tally *tally, const struct scene *scene, const struct walk *walk, unsigned instruction) {
    int64_t waited = INT64_MAX, after = INT64_MAX, limit = LIMIT_US * slow;
    for (int tries = 0; tries < TRIES && (waited > limit || after > LIMIT_US * slow); tries++) {
        image_restore(tally->times % 64 < 2);
        pid_t pid = fork_victim(&scene->deed);
        bool there = step_to(pid, walk, instruction);
        if (!there) {
            step_kill(pid);
            return false;
        }
        limit = (int64_t)LIMIT_US * slow + (segment_lock_holder(segment) == pid ? LOCK_WAIT_US : 0);
        step_stop(pid);
        memset(&board->haul, 0, sizeof board->haul);
        atomic_store(&board->done, 0);
        pid_t rest = child(others, (void *)(uintptr_t)scene);
        bool on = comes_about(&board->done);
        waited = board->haul.first_us < waited ? board->haul.first_us : waited;
        kill(pid, SIGCONT);
        on = on && comes_about(&board->result);
        haul_note(&board->haul, SOCK_STREAM, atomic_load(&board->result));
        atomic_store(&board->done, 0);
        pid_t late = child(latecomer, NULL);
        on = on && comes_about(&board->done);
        after = board->haul.first_us < after ? board->haul.first_us : after;
        end(pid);
        end(rest);
        end(late);
        if (!on)
            haul_note(&board->haul, SOCK_STREAM, -ETIMEDOUT);
    }
    tally->times++;
    tally_time(tally, waited);
    tally->lost += (unsigned)(waited > limit) + (unsigned)(after > LIMIT_US * slow);
    judge(tally, scene);
    return true;
}

typedef bool (*one_go)(struct tally *, const struct scene *, const struct walk *, unsigned instruction);

/*
 * Places that nobody reached, because the way went otherwise this time (a clock that was read twice, a process id of
 * more digits), may be few.
 */
static void note_missed(struct tally *tally, unsigned missed) {
    if (missed > 2 + tally->times / 20) {
        tally->lost += missed;
        note(tally, "%u places were not reached", missed);
    }
}

/* Every instruction from the first to the last. To be stopped takes longer: of a loop's turns the first, and a few. */
static void all_places(struct tally *tally, const struct scene *scene, const struct walk *walk, one_go go) {
    enum { OTHERS = 100 };
    unsigned missed = 0, left_out = walk->count - walk->distinct;
    for (unsigned i = 0; i < walk->count; i++)
        if (!stopping || !step_in_loop(walk, i) || chance(left_out) < OTHERS)
            missed += !go(tally, scene, walk, i);
    note_missed(tally, missed);
}

static void some_places(struct tally *tally, const struct scene *scene, const struct walk *walk, unsigned count,
                        one_go go) {
    unsigned missed = 0;
    for (unsigned i = 0; i < count;) {
        unsigned instruction = chance(walk->count);
        if (step_in_loop(walk, instruction))
            continue;
        missed += !go(tally, scene, walk, instruction);
        i++;
    }
    note_missed(tally, missed);
}

/* Between two changes of the table: where a death leaves something half done, be it for three instructions. */
static void places_of_change(struct tally *tally, const struct scene *scene, const struct walk *walk, one_go go) {
    unsigned missed = 0;
    for (unsigned i = 0; i < walk->count; i++)
        if (walk->places[i].changed)
            missed += !go(tally, scene, walk, i);
    note_missed(tally, missed);
}

static const struct scene first_use = {.what = "the first use of all", .deed = {BIND, 0, false}};

static void print_note(struct tally *tally, const struct walk *walk) {
    unsigned loops = walk->count - walk->distinct;
    if (tally->note[0] != 0)
        return;
    if (full && !stopping)
        note(tally, "%u instructions, %lu not reached", walk->count, walk->count - tally->times);
    else
        note(tally, "%u instructions, %u of them in loops", walk->count, loops);
}

static bool torment(const struct scene *scene, const char *what, unsigned sample) {
    struct walk walk;
    one_go go = stopping ? stop_at : kill_at;
    struct tally tally = {.what = what};
    step_walk(fork_victim(&scene->deed), &walk);
    if (full)
        all_places(&tally, scene, &walk, go);
    else
        some_places(&tally, scene, &walk, sample, go);
    if (!full && !stopping)
        places_of_change(&tally, scene, &walk, go);
    print_note(&tally, &walk);
    step_walk_free(&walk);
    return tally_print(&tally);
}

/* On top of what each death left. */
static bool torment_again(const struct scene *scene) {
    struct walk walk;
    struct scene again = *scene;
    struct tally tally = {.what = "  and again, on what each death left"};
    unsigned instructions = 0;
    again.keep = false;
    for (unsigned i = 0; i < image_states() && (full || i < 4); i++) {
        image_begin_state(i);
        step_walk(fork_victim(&again.deed), &walk);
        instructions += walk.count;
        some_places(&tally, &again, &walk, full ? 500 : 2, kill_at);
        step_walk_free(&walk);
        image_end_state(i);
    }
    if (tally.note[0] == 0)
        note(&tally, "%u states, %u instructions", image_states(), instructions);
    image_forget_states();
    return tally_print(&tally);
}

static bool play(const struct scene *scene, const unsigned char *pristine) {
    char what[80];
    memcpy(segment, pristine, sizeof *segment);
    if (scene->before)
        scene->before();
    image_keep();
    snprintf(what, sizeof what, "%s: %s", stopping ? "stopped" : "killed", scene->what);
    bool well = torment(scene, what, stopping ? 8 : 30);
    if (scene->keep && !stopping)
        well = torment_again(scene) && well;
    scene_over();
    return well;
}

/* A segment of another name each time, and a fresh program from its shim's constructor on. */
static bool play_first_use(void) {
    struct walk walk;
    const char *own = getenv("FREEPORT_SEGMENT");
    char copy[64];
    snprintf(copy, sizeof copy, "%s", own);
    snprintf(first_name, sizeof first_name, "%.50s-first", own);
    setenv("FREEPORT_SEGMENT", first_name, 1);
    shm_unlink(copy); /* the only file is the one that is looked at */
    step_walk(fork_first_user(), &walk);
    struct tally tally = {.what = "killed: the first use, constructor and all"};
    if (full) {
        all_places(&tally, &first_use, &walk, kill_first_user);
    } else {
        some_places(&tally, &first_use, &walk, 30, kill_first_user);
    }
    print_note(&tally, &walk);
    step_walk_free(&walk);
    shm_unlink(first_name);
    return tally_print(&tally);
}

static int play_role(const char *role) {
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(getenv("TORTURE_BOARD_FD")), 0);
    if (board == MAP_FAILED)
        die("no board");
    if (strcmp(role, "strangers") == 0)
        scene_strangers();
    if (strcmp(role, "heir") == 0) {
        heir((void *)(uintptr_t)&first_use.deed);
        return 0;
    }
    struct ready ready = deed_ready(&first_use.deed);
    deed_perform(&first_use.deed, &ready);
    atomic_store(&board->inside, 0);
    pause_for_ever();
}

static void open_all(void) {
    board_fd = memfd_create("board", 0);
    if (board_fd < 0 || ftruncate(board_fd, sizeof *board) != 0)
        die("no memory: %s", strerror(errno));
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, board_fd, 0);
    if (board == MAP_FAILED)
        die("no memory: %s", strerror(errno));
    step_inside = &board->inside;
    step_watched = entries_hash;
    segment = segment_map();
    image_of(segment);
    struct freeport_config config = {
        .tcp = getenv("FREEPORT_TCP"), .udp = getenv("FREEPORT_TCP"), .segment = getenv("FREEPORT_SEGMENT")};
    int error = freeport_open(&handle, &config);
    if (error != 0)
        die("freeport_open: %s", freeport_strerror(error));
}

/* Tracer and traced go by turns, which is several times faster on one processor; stop may run beside kill. */
static void stay_on_one_processor(void) {
    cpu_set_t allowed, one;
    size_t chosen = CPU_SETSIZE;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return; /* more processors than fit: without, then */
    for (size_t at = 0; at < CPU_SETSIZE; at++)
        if (CPU_ISSET(at, &allowed) && (chosen == CPU_SETSIZE || stopping))
            chosen = at;
    CPU_ZERO(&one);
    CPU_SET(chosen, &one);
    sched_setaffinity(0, sizeof one, &one);
}

int main(int argc, char **argv) {
    torture_start();
    if (argc > 1 && strcmp(argv[1], "stop") != 0)
        return play_role(argv[1]);
    stopping = argc > 1;
    stay_on_one_processor();
    open_all();
    unsigned char *pristine = shared_memory(sizeof *segment);
    memcpy(pristine, segment, sizeof *segment);
    bool well = true;
    for (size_t i = 0; i < scene_count; i++) {
        const char *only = getenv("TORTURE_ONLY");
        if ((only && !strstr(scenes[i].what, only)) || (stopping && scenes[i].deed.verb == RELEASE))
            continue;
        well = play(&scenes[i], pristine) && well;
    }
    if (!stopping && (!getenv("TORTURE_ONLY") || strstr(first_use.what, getenv("TORTURE_ONLY"))))
        well = play_first_use() && well;
    return well ? 0 : 1;
}
