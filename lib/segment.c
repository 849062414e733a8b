/* SPDX-License-Identifier: MIT */
#include "segment.h"

#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Since Linux 5.14; older headers than the kernel lack it. */
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* Where shm_open(3) of glibc and musl keeps its objects; used as a directory, since shm_open can't link. */
#define SHM_DIRECTORY "/dev/shm"
#define DEFAULT_PREFIX "/freeport-"

enum { PATH_BYTES = sizeof SHM_DIRECTORY + NAME_MAX + 2 };

enum { OPEN_TRIES = 8, REPLACE_TRIES = 50, SMALLEST_PAGE = 4096 };

static char *append_text(char *at, const char *text) {
    while (*text)
        *at++ = *text++;
    *at = 0;
    return at;
}

static char *append_number(char *at, uint64_t number) {
    char digits[20];
    int n = 0;
    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (n > 0)
        *at++ = digits[--n];
    *at = 0;
    return at;
}

bool fp_segment_name_ok(const char *name) {
    size_t length = strnlen(name, NAME_MAX + 2);
    return name[0] == '/' && length >= 2 && length <= NAME_MAX && !strchr(name + 1, '/') && strcmp(name, "/.") != 0 &&
           strcmp(name, "/..") != 0;
}

/*
 * Identifies the network namespace by its cookie, which is never used again. Before Linux 5.14, or in a sandbox, by its
 * inode number, which another namespace may get later. 0 if neither can be read.
 */
static uint64_t network_namespace(void) {
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool known = fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) == 0;
    if (fd >= 0)
        close(fd);
    if (known)
        return cookie;
    return stat("/proc/self/ns/net", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* One for each user and network namespace: a port of another namespace is no conflict. */
static void default_name(char *name) {
    char *at = append_text(name, DEFAULT_PREFIX);
    at = append_number(at, geteuid());
    at = append_text(at, "-");
    append_number(at, network_namespace());
}

static int open_error(int error) {
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOENT:
    case EROFS:
    case EACCES:
    case ENOSPC:
        return -error;
    case EPERM:
        return -EACCES;
    case EDQUOT:
        return -ENOSPC;
    case ENOTDIR:
        return -ENOENT;
    case EWOULDBLOCK: /* freeport reset is about to remove it: look again */
        return -EAGAIN;
    default: /* ELOOP, EISDIR, ENXIO: the object of that name is no segment */
        return -EPROTO;
    }
}

/* Core dumps leave the mapping out, as all shared files by default. */
static int map(int fd, const struct stat *st, struct fp_segment **out, struct fp_segment_facts *facts) {
    void *memory = mmap(NULL, sizeof(struct fp_segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    facts->device = st->st_dev;
    facts->inode = st->st_ino;
    facts->owner = st->st_uid;
    facts->mode = st->st_mode & 07777;
    *out = memory;
    return 0;
}

static void stamp(struct fp_segment *segment) {
    struct fp_header *header = &segment->header;
    header->version = FP_VERSION;
    header->header_bytes = sizeof *header;
    header->segment_bytes = sizeof *segment;
    header->entry_bytes = sizeof(struct fp_entry);
    header->label_bytes = sizeof(struct fp_label);
    header->names = FP_NAMES;
    header->sessions = FP_SESSIONS;
    header->index_slots = FP_INDEX_SLOTS;
    header->lock_bytes = sizeof(struct fp_lock_word);
    fp_lock_prepare(segment);
    atomic_thread_fence(memory_order_release);
    header->magic = FP_MAGIC;
}

static bool stamped_right(const struct fp_header *header) {
    return header->magic == FP_MAGIC && header->version == FP_VERSION && header->header_bytes == sizeof *header &&
           header->segment_bytes == sizeof(struct fp_segment) && header->entry_bytes == sizeof(struct fp_entry) &&
           header->label_bytes == sizeof(struct fp_label) && header->names == FP_NAMES &&
           header->sessions == FP_SESSIONS && header->index_slots == FP_INDEX_SLOTS &&
           header->lock_bytes == sizeof(struct fp_lock_word);
}

/* Gives the finished object its name. -EEXIST if another object has got it first. */
static int publish(int fd, const char *temporary, const char *path) {
    if (temporary[0]) {
        if (link(temporary, path) == 0)
            return 0;
        return errno == EEXIST ? -EEXIST : open_error(errno);
    }
    char self[32];
    char *at = append_text(self, "/proc/self/fd/");
    append_number(at, (uint64_t)fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != EEXIST && linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH) == 0)
        return 0;
    return errno == EEXIST ? -EEXIST
                           : -EOPNOTSUPP; /* there is no /proc, and no privilege; or a sandbox refuses linkat */
}

/* Allocates all pages, so that a full /dev/shm is an error now and not a SIGBUS later. */
static int reserve(int fd) {
    if (fallocate(fd, 0, 0, sizeof(struct fp_segment)) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM)
        return -errno;
    /* Without fallocate (older kernels, sandboxes): writes a byte of each page; the last one first, which sets the
     * size. */
    for (off_t at = sizeof(struct fp_segment) - 1; at >= 0; at -= SMALLEST_PAGE)
        if (pwrite(fd, "", 1, at) != 1)
            return -errno;
    return 0;
}

static int fill(int fd, mode_t mode) {
    struct rlimit limit;
    /* Beyond the limit, the kernel would send SIGXFSZ, which ends the program. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < sizeof(struct fp_segment))
        return -EFBIG;
    if (fchmod(fd, mode) != 0) /* the program's umask must not change the mode that the user gave */
        return open_error(errno);
    int error = reserve(fd);
    return error == 0 ? 0 : open_error(-error);
}

/* Fills an empty object as a segment, and gives it its name. Closes the descriptor. */
static int build(int fd, const char *temporary, const char *path, mode_t mode, struct fp_segment **out,
                 struct fp_segment_facts *facts) {
    struct stat st;
    int error = fill(fd, mode);
    if (error == 0)
        error = fstat(fd, &st) == 0 ? map(fd, &st, out, facts) : open_error(errno);
    if (error == 0 && *out) {
        stamp(*out);
        error = publish(fd, temporary, path);
        if (error != 0) {
            fp_segment_close(*out);
            *out = NULL;
        }
    }
    close(fd);
    return error;
}

/* Creates the object without a name first: if this process is killed, nothing is left. -EOPNOTSUPP if impossible. */
static int create_unnamed(const char *path, mode_t mode, struct fp_segment **out, struct fp_segment_facts *facts) {
    int fd = open(SHM_DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    return fd < 0 ? -EOPNOTSUPP : build(fd, "", path, mode, out, facts);
}

static int create_by_temporary_name(const char *path, mode_t mode, struct fp_segment **out,
                                    struct fp_segment_facts *facts) {
    char temporary[PATH_BYTES];
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    char *at = append_text(temporary, SHM_DIRECTORY "/.freeport-");
    at = append_number(at, (uint64_t)getpid());
    at = append_text(at, "-");
    append_number(at, (uint64_t)now.tv_nsec);
    int fd = open(temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return errno == EEXIST ? -EEXIST : open_error(errno); /* the same name in another pid namespace: try again */
    int error = build(fd, temporary, path, mode, out, facts);
    unlink(temporary);
    return error;
}

static int create(const char *path, mode_t mode, struct fp_segment **out, struct fp_segment_facts *facts) {
    int error = create_unnamed(path, mode, out, facts);
    return error == -EOPNOTSUPP ? create_by_temporary_name(path, mode, out, facts) : error;
}

static void pause_ms(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/*
 * Removes a damaged segment's name, so that a valid segment can get it. A file lock on the damaged object makes this
 * happen once: a later process finds another object under the name. 0: look again.
 */
static int discard(int fd, const char *path, const struct stat *damaged) {
    int tries = 0;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (++tries == REPLACE_TRIES)
            return -EPROTO;
        pause_ms(5);
    }
    struct stat now;
    if (stat(path, &now) == 0 && now.st_dev == damaged->st_dev && now.st_ino == damaged->st_ino && unlink(path) != 0)
        return open_error(errno);
    return 0;
}

enum verdict { SOUND, DAMAGED, FOREIGN };

/* A damaged segment has freeport's magic, or a name that only freeport gives. Any other object is left alone. */
static enum verdict judge(int fd, const struct stat *st, struct fp_segment **out, struct fp_segment_facts *facts,
                          int *error) {
    struct fp_header header;
    *error = 0;
    ssize_t length = pread(fd, &header, sizeof header, 0);
    bool whole = length == (ssize_t)sizeof header;
    if (whole && st->st_size == (off_t)sizeof(struct fp_segment) && stamped_right(&header)) {
        *error = map(fd, st, out, facts);
        return SOUND;
    }
    bool magic = length >= (ssize_t)sizeof header.magic && header.magic == FP_MAGIC;
    if (magic && whole && header.version != FP_VERSION)
        return FOREIGN;
    if (length >= (ssize_t)sizeof header.magic && header.magic == FP_MAGIC_SWAPPED)
        return FOREIGN; /* made by a program of the other byte order (under qemu), and valid for that */
    return magic || strncmp(facts->name, DEFAULT_PREFIX, strlen(DEFAULT_PREFIX)) == 0 ? DAMAGED : FOREIGN;
}

static bool trusted(const struct fp_segment_request *request, uid_t owner) {
    return owner == 0 || (request->trusted_owner != (uid_t)-1 && owner == request->trusted_owner) || owner == geteuid();
}

/* 0 with *out set; 0 with *out NULL if the caller has to look again; -ENOENT if there is no such object. */
static int open_existing(const char *path, const struct fp_segment_request *request, struct fp_segment **out,
                         struct fp_segment_facts *facts) {
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int error = errno;
        if (error != ENOENT && lstat(path, &st) == 0) {
            facts->owner = st.st_uid;
            facts->mode = st.st_mode & 07777;
        }
        return open_error(error);
    }
    int error = -EPROTO;
    /* fstat() of glibc passes a path of its own, in a page that may not be mapped in yet: a page fault. */
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) == 0) {
        facts->owner = st.st_uid;
        facts->mode = st.st_mode & 07777;
        if (!trusted(request, st.st_uid)) {
            error = -EPERM;
        } else if (S_ISREG(st.st_mode)) {
            enum verdict verdict = judge(fd, &st, out, facts, &error);
            if (verdict == FOREIGN)
                error = -EPROTO;
            if (verdict == DAMAGED) {
                error = discard(fd, path, &st);
                facts->replaced = error == 0;
            }
        }
    }
    close(fd);
    return error;
}

int fp_segment_open(const struct fp_segment_request *request, struct fp_segment **out, struct fp_segment_facts *facts) {
    char path[PATH_BYTES];
    *out = NULL;
    facts->owner = (uid_t)-1;
    facts->mode = 0;
    facts->device = 0;
    facts->inode = 0;
    facts->replaced = false;
    if (request->name && request->name[0])
        append_text(facts->name, request->name);
    else
        default_name(facts->name);
    append_text(append_text(path, SHM_DIRECTORY), facts->name);

    int error = -EPROTO;
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        error = open_existing(path, request, out, facts);
        if (error == -EAGAIN) {
            pause_ms(1);
            error = -EPROTO;
            continue;
        }
        if (error == 0 && !*out)
            continue; /* a damaged segment was just removed */
        if (error != -ENOENT || request->existing_only)
            break;
        error = create(path, request->mode, out, facts);
        if (error != -EEXIST)
            break;
        error = -EPROTO; /* another process has created it meanwhile: open that one */
    }
    if (error == 0 && *out)
        return 0;
    *out = NULL;
    return error != 0 ? error : -EPROTO;
}

void fp_segment_close(struct fp_segment *segment) {
    if (segment)
        munmap(segment, sizeof *segment);
}
