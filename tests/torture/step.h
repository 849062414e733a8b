/* SPDX-License-Identifier: MIT */
/*
 * A child that is run instruction by instruction, with ptrace.
 *
 * One child is walked through the whole way, and each of its instructions noted. To a place on that way others are then
 * taken quickly: from system call to system call, by a breakpoint from there to the last instruction before the place
 * that is executed for the first time since, and by single steps over the rest, which is the inside of a loop.
 */
#ifndef FREEPORT_TESTS_STEP_H
#define FREEPORT_TESTS_STEP_H

#include "torture.h"

/* Shared with the child: set between what is to be stepped through. */
extern _Atomic int *step_inside;

/* A hash of what is watched while a child is walked. */
extern uint64_t (*step_watched)(void);

/* In the child: sets it, and waits for the tracer at a breakpoint of its own, so that no step is needed to get there.
 */
void step_begin(void);
#define STEP_TRAP() __asm__ volatile("int3" ::: "memory")

/* Where an instruction of a walk stands. */
struct place {
    uint64_t address;
    unsigned calls;  /* system calls before it */
    unsigned anchor; /* the instruction of this number is reached by a breakpoint */
    unsigned turn;   /* how often it was executed before, since the last system call */
    bool changed;    /* the instruction before it has changed what step_watched() looks at */
};

struct walk {
    unsigned count, calls;
    unsigned distinct; /* places that are no loop's turn but one of its first: see step_in_loop() */
    struct place *places;
};

/* Walks the child to its end, and it is no more. */
void step_walk(pid_t pid, struct walk *walk);
void step_walk_free(struct walk *walk);

/* Whether it is one more turn of a loop, like those before. */
static inline bool step_in_loop(const struct walk *walk, unsigned instruction) {
    enum { TURNS = 3 };
    return walk->places[instruction].turn >= TURNS;
}

/* Takes a child to right before that instruction. False where it went another way; it is stopped in both cases. */
bool step_to(pid_t pid, const struct walk *walk, unsigned instruction);

/* Kills it where it is. */
void step_kill(pid_t pid);
/* Lets it go, stopped by SIGSTOP. */
void step_stop(pid_t pid);

#endif
