/* SPDX-License-Identifier: MIT */
#include "step.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a system call and a breakpoint look like, and how far the latter moves the program counter. */
#if defined(__x86_64__)
static const unsigned long call_mask = 0xffff, call_code = 0x050f, trap_mask = 0xff, trap_code = 0xcc;
#else
#error "tests/torture steps through x86-64 alone"
#endif

_Atomic int *step_inside;
uint64_t (*step_watched)(void);

void step_begin(void) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        die("ptrace: %s", strerror(errno));
    atomic_store(step_inside, 1);
    STEP_TRAP();
}

static bool inside(void) {
    return atomic_load(step_inside) != 0;
}

/* Lets it go on to its next stop, which has to be one; its signal, 0x80 added for a system call. */
static int resume(pid_t pid, enum __ptrace_request request) {
    int status;
    if (ptrace(request, pid, NULL, NULL) != 0)
        die("ptrace: %s", strerror(errno));
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        die("the traced child has ended: status %x", (unsigned)status);
    return WSTOPSIG(status);
}

/* To its own breakpoint. */
static void enter(pid_t pid) {
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || !inside())
        die("the child has ended before it could be traced: status %x", (unsigned)status);
    if (ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
        die("ptrace: %s", strerror(errno));
}

static const size_t counter_offset = offsetof(struct user, regs.rip);

static uint64_t counter(pid_t pid) {
    errno = 0;
    long value = ptrace(PTRACE_PEEKUSER, pid, counter_offset, NULL);
    if (errno != 0)
        die("ptrace: %s", strerror(errno));
    return (uint64_t)value;
}

static unsigned long text_at(pid_t pid, uint64_t address) {
    errno = 0;
    long text = ptrace(PTRACE_PEEKTEXT, pid, address, NULL);
    if (errno != 0)
        die("ptrace: %s", strerror(errno));
    return (unsigned long)text;
}

/* Every address, with the stretch (the way between two system calls) in which it was met, and how often. */
enum { TABLE = 1 << 18 };
struct met {
    uint64_t address;
    unsigned stretch, times;
    bool call; /* it is a system call */
};

static struct met *meet(struct met *table, pid_t pid, uint64_t address, unsigned stretch) {
    size_t at = (size_t)(address * UINT64_C(0x9e3779b97f4a7c15) >> 46);
    while (table[at].address != 0 && table[at].address != address)
        at = (at + 1) % TABLE;
    if (table[at].address == 0)
        table[at] = (struct met){address, stretch, 0, (text_at(pid, address) & call_mask) == call_code};
    if (table[at].stretch != stretch) {
        table[at].stretch = stretch;
        table[at].times = 0;
    }
    return &table[at];
}

void step_walk(pid_t pid, struct walk *walk) {
    unsigned room = 0, anchor = 0;
    struct met *table = calloc(TABLE, sizeof *table);
    uint64_t before = step_watched();
    *walk = (struct walk){0};
    for (enter(pid); inside(); resume(pid, PTRACE_SINGLESTEP)) {
        if (walk->count == room) {
            room = room ? room * 2 : 4096;
            walk->places = realloc(walk->places, room * sizeof *walk->places);
        }
        if (!walk->places || !table)
            die("no memory");
        uint64_t address = counter(pid), now = step_watched();
        struct met *met = meet(table, pid, address, walk->calls);
        if (met->times == 0)
            anchor = walk->count;
        walk->places[walk->count] = (struct place){address, walk->calls, anchor, met->times++, now != before};
        before = now;
        walk->distinct += !step_in_loop(walk, walk->count);
        walk->calls += met->call;
        walk->count++;
    }
    free(table);
    step_kill(pid);
}

void step_walk_free(struct walk *walk) {
    free(walk->places);
    *walk = (struct walk){0};
}

/* To the next time that it comes to the address; not beyond its next system call. */
static bool run_to(pid_t pid, uint64_t address) {
    if (counter(pid) == address)
        return true;
    unsigned long text = text_at(pid, address);
    ptrace(PTRACE_POKETEXT, pid, address, (text & ~trap_mask) | trap_code);
    int signal = resume(pid, PTRACE_SYSCALL);
    ptrace(PTRACE_POKETEXT, pid, address, text);
    if (signal != SIGTRAP || counter(pid) != address + 1)
        return false;
    ptrace(PTRACE_POKEUSER, pid, counter_offset, address);
    return true;
}

bool step_to(pid_t pid, const struct walk *walk, unsigned instruction) {
    const struct place *place = &walk->places[instruction];
    enter(pid);
    for (unsigned i = 0; i < place->calls; i++) {
        resume(pid, PTRACE_SYSCALL); /* entry */
        resume(pid, PTRACE_SYSCALL); /* exit */
        if (!inside())
            return false;
    }
    if (!run_to(pid, walk->places[place->anchor].address))
        return false;
    for (unsigned i = place->anchor; i < instruction; i++)
        resume(pid, PTRACE_SINGLESTEP);
    return inside();
}

void step_kill(pid_t pid) {
    int status;
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
    }
}

void step_stop(pid_t pid) {
    int status;
    if (ptrace(PTRACE_DETACH, pid, NULL, SIGSTOP) != 0)
        die("ptrace: %s", strerror(errno));
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
        die("the child would not stop: status %x", (unsigned)status);
}
