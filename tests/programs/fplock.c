/* SPDX-License-Identifier: MIT */
/* fplock FLAGS...: calls mlockall() with each of the flags, and says what came of it: an error, or how much is locked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static long locked_kb(void) {
    char line[256];
    long kb = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && kb < 0 && fgets(line, sizeof line, status))
        if (sscanf(line, "VmLck: %ld", &kb) != 1)
            kb = -1;
    if (status)
        fclose(status);
    return kb;
}

int main(int count, char **arguments) {
    static char touched[64 * 1024];
    memset(touched, 1, sizeof touched);
    for (int i = 1; i < count; i++) {
        int flags = atoi(arguments[i]);
        if (mlockall(flags) != 0)
            perror(arguments[i]);
        else if (flags & MCL_CURRENT)
            printf("%d: %s\n", flags, locked_kb() >= 1024 ? "locked" : "not locked");
        else
            printf("%d: ok\n", flags);
        void *later = mmap(NULL, sizeof touched, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (later == MAP_FAILED)
            perror("mmap");
    }
    return 0;
}
