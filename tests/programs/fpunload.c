/* SPDX-License-Identifier: MIT */
/* fpunload LIBRARY: loads a library, lets go of it, and looks at the environment then. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    if (!library) {
        fprintf(stderr, "fpunload: %s\n", count == 2 ? dlerror() : "expected LIBRARY");
        return 2;
    }
    dlclose(library);
    const char *session = getenv("FREEPORT_SESSION");
    printf("session %s\n", session ? session : "none");
    fflush(stdout);
    return system("echo \"child $FREEPORT_SESSION\"") == 0 ? 0 : 1;
}
