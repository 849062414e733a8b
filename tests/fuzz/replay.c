/* SPDX-License-Identifier: MIT */
/* replay FOLDER...: a fuzzer's inputs once more, for compilers that have no libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* False where it can't be read. */
static int run_file(const char *path) {
    struct stat st;
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    int whole = 0;
    if (fstat(fileno(file), &st) == 0) {
        size_t size = (size_t)st.st_size;
        uint8_t *bytes = malloc(size ? size : 1); /* of its own size: ASan sees who reads on */
        whole = bytes && fread(bytes, 1, size, file) == size;
        if (whole)
            LLVMFuzzerTestOneInput(bytes, size);
        free(bytes);
    }
    fclose(file);
    return whole;
}

static unsigned run_folder(const char *folder) {
    unsigned count = 0;
    DIR *directory = opendir(folder);
    if (!directory)
        return 0;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        struct stat st;
        if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (!run_file(path)) {
            fprintf(stderr, "%s: can't be read\n", path);
            exit(1);
        }
        count++;
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        unsigned count = run_folder(argv[i]);
        printf("%s: %u inputs\n", argv[i], count);
        if (count == 0)
            return 1;
    }
    return argc > 1 ? 0 : 2;
}
