/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "network.h"
#include "sequence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, FAILED = 126 };

static void set_environment(const struct side *side) {
    if (!side->managed)
        return;
    setenv("FREEPORT_TCP", SEQUENCE_RANGE, 1);
    setenv("FREEPORT_UDP", SEQUENCE_RANGE, 1);
    setenv("FREEPORT_SENTINELS", side->sentinels, 1);
    setenv("FREEPORT_CONNECT", side->connect, 1);
    setenv("FREEPORT_SEGMENT", side->segment, 1);
    setenv("FREEPORT_LOG", "quiet", 1);
    if (side->shim)
        setenv("LD_PRELOAD", side->shim, 1);
}

/* Executes the player, with one or two words for it. */
static void become_player(const struct side *side, const char *first, const char *second) {
    const char *words[MOST_WORDS + 4];
    unsigned count = 0;
    if (dup2(side->output, STDOUT_FILENO) < 0)
        _exit(FAILED);
    set_environment(side);
    for (char *const *word = side->under; *word; word++)
        words[count++] = *word;
    words[count++] = side->player;
    words[count++] = first;
    words[count++] = second;
    words[count] = NULL;
    execvp(words[0], (char **)(uintptr_t)words);
    _exit(FAILED + 1);
}

static void become_single_player(const struct side *side, uint64_t seed, const char *chosen) {
    char number[32];
    snprintf(number, sizeof number, "%llu", (unsigned long long)seed);
    if (!network_enter())
        _exit(FAILED);
    become_player(side, number, chosen);
}

/* A player that waits for seeds; each is played by a child of it, in a namespace of its own. */
static bool start_server(struct side *side) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    side->pid = fork();
    if (side->pid == 0) {
        if (dup2(pair[1], STDIN_FILENO) < 0)
            _exit(FAILED);
        become_player(side, "--serve", NULL);
    }
    close(pair[1]);
    side->server = pair[0];
    return side->pid > 0;
}

bool side_open(struct side *side) {
    side->server = -1;
    side->output = memfd_create("output", MFD_CLOEXEC);
    return side->output >= 0 && (!side->serves || start_server(side));
}

void side_close(struct side *side) {
    if (!side->serves)
        return;
    close(side->server);
    waitpid(side->pid, NULL, 0);
}

void side_start(struct side *side, uint64_t seed, const char *chosen) {
    if (ftruncate(side->output, 0) != 0 || lseek(side->output, 0, SEEK_SET) != 0)
        abort();
    if (side->serves) {
        dprintf(side->server, "%llu %s", (unsigned long long)seed, chosen);
        return;
    }
    side->pid = fork();
    if (side->pid == 0)
        become_single_player(side, seed, chosen);
    if (side->pid < 0) {
        perror("fork");
        exit(2);
    }
}

/* How the player ended. */
static int status_of(struct side *side) {
    int status = FAILED << 8;
    if (!side->serves)
        while (waitpid(side->pid, &status, 0) < 0 && errno == EINTR)
            ;
    else if (read(side->server, &status, sizeof status) != sizeof status)
        status = FAILED << 8;
    return status;
}

char *side_finish(struct side *side) {
    int status = status_of(side);
    struct stat stat;
    if (fstat(side->output, &stat) != 0)
        abort();
    size_t size = (size_t)stat.st_size;
    char *text = malloc(size + 64);
    if (!text || pread(side->output, text, size, 0) != (ssize_t)size)
        abort();
    text[size] = 0;
    if (WIFSIGNALED(status))
        snprintf(text + size, 64, "the player ended with signal %d\n", WTERMSIG(status));
    else if (status != 0)
        snprintf(text + size, 64, "the player exited with %d\n", WEXITSTATUS(status));
    return text;
}

/* Of the new segment, the pages with something in them: few. Written in segment_keep(), read afterwards. */
static struct {
    char path[128];
    off_t size;
    unsigned count;
    unsigned *pages;
    unsigned char *bytes;
    int fd;
} kept = {.fd = -1};

static bool keep_page(unsigned page, const unsigned char *bytes) {
    static const unsigned char nothing[PAGE];
    if (memcmp(bytes, nothing, PAGE) == 0)
        return true;
    unsigned *pages = realloc(kept.pages, (kept.count + 1) * sizeof *pages);
    if (pages)
        kept.pages = pages;
    unsigned char *all = realloc(kept.bytes, ((size_t)kept.count + 1) * PAGE);
    if (all)
        kept.bytes = all;
    if (!pages || !all)
        return false;
    kept.pages[kept.count] = page;
    memcpy(kept.bytes + (size_t)kept.count++ * PAGE, bytes, PAGE);
    return true;
}

bool segment_keep(struct side *side) {
    struct stat stat;
    snprintf(kept.path, sizeof kept.path, "/dev/shm%s", side->segment);
    side_start(side, 0, "none");
    free(side_finish(side));
    kept.fd = open(kept.path, O_RDWR | O_CLOEXEC);
    if (kept.fd < 0) /* the shim makes one; what `under` names may do without */
        return errno == ENOENT && !side->shim;
    if (fstat(kept.fd, &stat) != 0)
        return false;
    kept.size = stat.st_size;
    unsigned char *bytes = mmap(NULL, (size_t)kept.size, PROT_READ, MAP_SHARED, kept.fd, 0);
    bool all = bytes != MAP_FAILED;
    for (unsigned page = 0; all && page < (unsigned)(kept.size / PAGE); page++)
        all = keep_page(page, bytes + (size_t)page * PAGE);
    if (bytes != MAP_FAILED)
        munmap(bytes, (size_t)kept.size);
    return all;
}

bool segment_renew(void) {
    if (kept.fd < 0)
        return true;
    if (fallocate(kept.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kept.size) != 0)
        return false;
    for (unsigned i = 0; i < kept.count; i++)
        if (pwrite(kept.fd, kept.bytes + (size_t)i * PAGE, PAGE, (off_t)kept.pages[i] * PAGE) != PAGE)
            return false;
    return true;
}

void segment_remove(void) {
    if (kept.fd >= 0)
        unlink(kept.path);
}
