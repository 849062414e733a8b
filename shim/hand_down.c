/* SPDX-License-Identifier: MIT */
/*
 * Not by setenv(): it allocates, and nearly every program that is started is one that would not have done so before
 * main(), or at all. The list of variables and those that are added stand here, as long as there is room, in a
 * page. The program's own setenv() takes any list for what it is.
 *
 * The last one stays a variable of the kernel's: programs that write a title into their arguments take the memory from
 * there up to the end of the last variable for theirs, and avahi-daemon even clears it.
 */
#include "hand_down.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_VARIABLES = 400, TEXT_BYTES = 768 };

/* A page together; most processes have no need of it. */
static struct {
    char *list[MOST_VARIABLES + 1];
    char text[TEXT_BYTES];
    size_t used;
} ours;

/* Where the variable stands in the list, or where its end is. */
static char **find(char **at, const char *variable, size_t length) {
    while (*at && (strncmp(*at, variable, length) != 0 || (*at)[length] != '='))
        at++;
    return at;
}

static char *append(char *at, const char *string, size_t length) {
    memcpy(at, string, length);
    return at + length;
}

/* Whether the list is ours to change. */
static bool own_list(void) {
    size_t count = 0;
    if (environ == ours.list)
        return true;
    while (environ && environ[count])
        if (++count == MOST_VARIABLES)
            return false;
    if (count > 0)
        memcpy(ours.list, environ, count * sizeof *ours.list);
    environ = ours.list;
    return true;
}

/* What the kernel has laid out stands above all that the program has pushed since; what was allocated does not. */
static bool is_kernels(const char *entry) {
    return (uintptr_t)entry > (uintptr_t)__builtin_frame_address(0);
}

/* The last one changes places with the nearest of the kernel's. */
static void end_with_kernels(char **first) {
    char **last = first;
    while (last[0] && last[1])
        last++;
    char **own = last;
    while (own > first && !is_kernels(*own))
        own--;
    char *entry = *own;
    *own = *last;
    *last = entry;
}

/* Where our own list, or its text, has no room. */
static void set_allocated(const char *variable, const char *value) {
    if (setenv(variable, value, 1) == 0)
        end_with_kernels(environ);
}

void fp_hand_down(const char *variable, const char *value) {
    size_t name_length = strlen(variable), value_length = strlen(value);
    if (name_length + value_length + 2 > sizeof ours.text - ours.used || !own_list()) {
        set_allocated(variable, value);
        return;
    }
    char **place = find(ours.list, variable, name_length);
    if (place == ours.list + MOST_VARIABLES) {
        set_allocated(variable, value);
        return;
    }
    char *entry = ours.text + ours.used, *end = append(entry, variable, name_length);
    *end++ = '=';
    end = append(end, value, value_length);
    *end++ = 0;
    ours.used = (size_t)(end - ours.text);
    *place = entry; /* behind the last one, the list has zeroes */
    end_with_kernels(ours.list);
}
