/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "../stress/own_network.h"
#include "sequence.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PAGE = 4096, FAILED = 126 };

/* The kernel's in6_ifreq, whose header does not go with every C library's. */
struct request6 {
    struct in6_addr address;
    uint32_t prefix_length;
    int interface;
};

/* Addresses of the host's own that are not loopback addresses: 10.99.0.1 and fd99::1. */
static bool add_addresses(void) {
    struct ifreq four = {.ifr_name = "lo:1"};
    struct sockaddr_in *address = (struct sockaddr_in *)(void *)&four.ifr_addr;
    struct request6 six = {.prefix_length = 128, .interface = 1}; /* lo is the first of a namespace */
    int fd4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address->sin_family = AF_INET;
    inet_pton(AF_INET, "10.99.0.1", &address->sin_addr);
    inet_pton(AF_INET6, "fd99::1", &six.address);
    bool added = ioctl(fd4, SIOCSIFADDR, &four) == 0;
    if (fd6 >= 0) { /* a host without IPv6 is without it on both sides */
        ioctl(fd6, SIOCSIFADDR, &six);
        close(fd6);
    }
    close(fd4);
    return added;
}

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

static void become_player(const struct side *side, uint64_t seed, const char *chosen) {
    char number[32];
    const char *words[MOST_WORDS + 4];
    unsigned count = 0;
    if (!own_network() || !add_addresses() || dup2(side->output, STDOUT_FILENO) < 0)
        _exit(FAILED);
    set_environment(side);
    snprintf(number, sizeof number, "%llu", (unsigned long long)seed);
    for (char *const *word = side->under; *word; word++)
        words[count++] = *word;
    words[count++] = side->player;
    words[count++] = number;
    words[count++] = chosen;
    words[count] = NULL;
    execvp(words[0], (char **)(uintptr_t)words);
    _exit(FAILED + 1);
}

bool side_open(struct side *side) {
    side->output = memfd_create("output", MFD_CLOEXEC);
    return side->output >= 0;
}

void side_start(struct side *side, uint64_t seed, const char *chosen) {
    if (ftruncate(side->output, 0) != 0 || lseek(side->output, 0, SEEK_SET) != 0)
        abort();
    side->pid = fork();
    if (side->pid == 0)
        become_player(side, seed, chosen);
    if (side->pid < 0) {
        perror("fork");
        exit(2);
    }
}

char *side_finish(struct side *side) {
    int status = 0;
    struct stat stat;
    while (waitpid(side->pid, &status, 0) < 0 && errno == EINTR)
        ;
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
    if (kept.fd < 0 || fstat(kept.fd, &stat) != 0)
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
