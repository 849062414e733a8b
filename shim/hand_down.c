/* SPDX-License-Identifier: MIT */
/*
 * Changes the environment without setenv(), which allocates memory: most programs do not do that before main(). The
 * list of variables and the new ones are kept in a page here, as long as there is room. The program's own setenv()
 * works with any list.
 *
 * The last entry of the list stays one that the kernel has laid out. Programs that set their title take the memory from
 * their arguments up to the end of the last variable as their own; avahi-daemon clears it.
 */
#include "hand_down.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_VARIABLES = 400, TEXT_BYTES = 768 };

/* One page, which most processes never touch. */
static struct {
    char *list[MOST_VARIABLES + 1];
    char text[TEXT_BYTES];
    size_t used;
} ours;

/* The variable's place in the list, or the list's end. */
static char **find(char **at, const char *variable, size_t length) {
    while (*at && (strncmp(*at, variable, length) != 0 || (*at)[length] != '='))
        at++;
    return at;
}

static char *append(char *at, const char *string, size_t length) {
    memcpy(at, string, length);
    return at + length;
}

/* True if the environment's list is the one in this file. */
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

/* True if the kernel has laid the entry out: it is above everything on the stack. Allocated memory is below. */
static bool is_kernels(const char *entry) {
    return (uintptr_t)entry > (uintptr_t)__builtin_frame_address(0);
}

/* Swaps the last entry with the nearest one that the kernel has laid out. */
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

/* For when there is no room in this file's list or text. */
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
    *place = entry; /* the list is zeroed behind its last entry */
    end_with_kernels(ours.list);
}
