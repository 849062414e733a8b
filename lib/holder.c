/* SPDX-License-Identifier: MIT */
/* The /proc file system read with plain system calls and small buffers: this runs in a guest, maybe in a handler. */
#include "holder.h"

#include "clock.h"
#include "owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SOCKETS = 16, CHUNK = 1024, LINE = 512, PATH = 64 };

/* How long a search waits for processes that are ending, in all; and how many of them it can remember. */
enum { ENDING_MS = 30, MOST_ENDING = 16, PAUSE_NS = 1000000 };

struct sockets {
    uint64_t inodes[MOST_SOCKETS];
    unsigned count;
    bool waiting; /* there are connections without a socket, in TIME_WAIT */
};

static uint64_t number(const char **text, unsigned base) {
    uint64_t value = 0;
    for (;; (*text)++) {
        char c = **text;
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (unsigned)((c | 0x20) - 'a') + 10;
        else
            return value;
        if (digit >= base)
            return value;
        value = value * base + digit;
    }
}

static const char *field(const char *line, unsigned n) {
    for (;; n--) {
        while (*line == ' ')
            line++;
        if (n == 0)
            return line;
        while (*line && *line != ' ')
            line++;
    }
}

/* Reads a file line by line; `each` returns false to stop. A line that is too long is cut off. False: it can't be
 * opened. */
static bool each_line(int directory, const char *path, bool (*each)(const char *line, void *context), void *context) {
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    char chunk[CHUNK], line[LINE];
    unsigned length = 0;
    bool on = true;
    ssize_t got;
    while (on && (got = read(fd, chunk, sizeof chunk)) > 0) {
        for (ssize_t i = 0; on && i < got; i++) {
            if (chunk[i] != '\n') {
                if (length < sizeof line - 1)
                    line[length++] = chunk[i];
                continue;
            }
            line[length] = 0;
            length = 0;
            on = each(line, context);
        }
    }
    close(fd);
    return true;
}

struct port_search {
    uint16_t port;
    struct sockets *found;
};

/* "sl local_address rem_address st queues tr:when retrnsmt uid timeout inode …"; the port follows the last colon. */
static bool note_socket(const char *line, void *context) {
    struct port_search *search = context;
    const char *local = field(line, 1);
    while (*local && *local != ':')
        local++;
    if (*local != ':')
        return true; /* the heading */
    local++;
    if (number(&local, 16) != search->port)
        return true;
    const char *text = field(line, 9);
    uint64_t inode = number(&text, 10);
    if (inode != 0) /* 0: the kernel's own, such as a connection in TIME_WAIT */
        search->found->inodes[search->found->count++] = inode;
    else
        search->found->waiting = true;
    return search->found->count < MOST_SOCKETS;
}

static char *append(char *at, const char *text) {
    while (*text)
        *at++ = *text++;
    *at = 0;
    return at;
}

static void find_sockets(struct sockets *found, unsigned protocol, uint16_t port) {
    static const char *const tables[FP_PROTOCOL_COUNT][2] = {
        {"/proc/self/net/tcp", "/proc/self/net/tcp6"},
        {"/proc/self/net/udp", "/proc/self/net/udp6"},
    };
    struct port_search search = {.port = port, .found = found};
    found->count = 0;
    found->waiting = false;
    for (unsigned family = 0; family < 2 && found->count < MOST_SOCKETS; family++)
        each_line(AT_FDCWD, tables[protocol & 1][family], note_socket, &search);
}

static bool is_one_of(uint64_t inode, const struct sockets *sockets) {
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->inodes[i] == inode)
            return true;
    return false;
}

/* Of "socket:[inode]", the inode; 0 of anything else. */
static uint64_t socket_of_link(const char *target) {
    if (strncmp(target, "socket:[", 8) != 0)
        return 0;
    const char *text = target + 8;
    return number(&text, 10);
}

struct mapping {
    dev_t device;
    ino_t inode;
    bool any, found;
};

struct process_search {
    const struct sockets *sockets;
    struct mapping mapping;
    bool by_table;        /* the process has the port by the table, and needs no mapping: exec(2) takes that away */
    unsigned descriptors; /* how many the last task had that was looked at, up to one of the sockets */
    bool hidden;          /* a process that this one may not look into */
    bool blind;           /* something could not be looked at, and might have shown one of ours */
    unsigned ending;      /* how many tasks were ending, and which: none can be looked into before it has ended */
    pid_t ending_tasks[MOST_ENDING];
    struct fp_holder last; /* the socket last found among the sockets; its pid is that of the process at hand */
};

/* Not where a process is gone, or another user's: for want of a descriptor, in a sandbox and the like. */
static void note_failure(struct process_search *search) {
    search->blind |= errno != ENOENT && errno != ESRCH && errno != EACCES;
}

/* Calls `each` with the names in a directory that are numbers, until it returns true; then true. */
static bool any_number(int directory, bool (*each)(int directory, const char *name, struct process_search *search),
                       struct process_search *search) {
    _Alignas(uint64_t) char buffer[CHUNK];
    long got;
    while ((got = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < got;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
            if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && each(directory, entry->d_name, search))
                return true;
            at += entry->d_reclen;
        }
    }
    if (got < 0)
        note_failure(search);
    return false;
}

static bool descriptor_matches(int directory, const char *name, struct process_search *search) {
    char target[PATH];
    search->descriptors++;
    ssize_t length = readlinkat(directory, name, target, sizeof target - 1);
    if (length < 0)
        note_failure(search);
    if (length <= 0)
        return false;
    target[length] = 0;
    uint64_t inode = socket_of_link(target);
    if (inode == 0 || !is_one_of(inode, search->sockets))
        return false;
    search->last.socket = inode;
    search->last.fd = (int)number(&name, 10);
    return true;
}

/* "from-to perms offset major:minor inode path" */
static bool note_mapping(const char *line, void *context) {
    struct mapping *mapping = context;
    mapping->any = true;
    const char *text = field(line, 3);
    uint64_t high = number(&text, 16);
    text += *text == ':';
    uint64_t low = number(&text, 16);
    text = field(line, 4);
    mapping->found = number(&text, 10) == (uint64_t)mapping->inode && high == major(mapping->device) &&
                     low == minor(mapping->device);
    return !mapping->found;
}

struct task_status {
    bool ours, has_memory;
    char state; /* as in proc(5) */
};

/* "State:\tS (sleeping)", "Uid:\treal\teffective\t…", "VmSize:\t…": that one where the task has memory. */
static bool note_status(const char *line, void *context) {
    struct task_status *status = context;
    if (strncmp(line, "State:\t", 7) == 0) {
        status->state = line[7];
    } else if (strncmp(line, "Uid:\t", 5) == 0) {
        const char *text = line + 5;
        number(&text, 10);
        text += *text == '\t';
        status->ours = number(&text, 10) == geteuid();
    } else if (strncmp(line, "VmSize:", 7) == 0) {
        status->has_memory = true;
    }
    return true;
}

/* Whether a task is one of this user's that has no memory any more. *running: it has not ended yet. */
static bool has_lost_memory(int directory, const char *id, bool *running) {
    char path[PATH];
    struct task_status status = {.state = 0};
    append(append(path, id), "/status");
    if (!each_line(directory, path, note_status, &status) || !status.ours || status.has_memory)
        return false;
    *running = status.state == 'R' || status.state == 'D';
    return true;
}

/*
 * A task of this user that has no memory any more is root's by /proc, and nobody else may look into it. One that has
 * ended has no descriptors either: other threads of its process may show them. One that is ending may still have some.
 */
static void look_at_hidden(int directory, const char *id, struct process_search *search) {
    bool running;
    if (!has_lost_memory(directory, id, &running))
        return;
    search->hidden = false;
    if (running && search->ending < MOST_ENDING)
        search->ending_tasks[search->ending++] = (pid_t)number(&id, 10);
    else if (running)
        search->blind = true;
}

/* What /proc/PID/status says of a process's place in the tree, and of its filters of system calls. */
struct place {
    pid_t parent;
    unsigned filters;
    bool supervisor; /* by its name */
};

static bool begins(const char *line, const char *word, const char **rest) {
    size_t length = strlen(word);
    if (strncmp(line, word, length) != 0)
        return false;
    *rest = line + length;
    return true;
}

static bool note_place(const char *line, void *context) {
    struct place *place = context;
    const char *rest;
    if (begins(line, "Name:\t", &rest))
        place->supervisor = strcmp(rest, "freeport") == 0;
    else if (begins(line, "PPid:\t", &rest))
        place->parent = (pid_t)number(&rest, 10);
    else if (begins(line, "Seccomp_filters:\t", &rest))
        place->filters = (unsigned)number(&rest, 10);
    return true;
}

static bool place_of(int proc, const char *pid, struct place *place) {
    char path[PATH];
    *place = (struct place){.parent = 0};
    append(append(path, pid), "/status");
    return strlen(pid) <= 10 && each_line(proc, path, note_place, place);
}

static bool has_mapped(int directory, const char *id, struct process_search *search) {
    char path[PATH];
    append(append(path, id), "/maps");
    search->mapping.any = search->mapping.found = false;
    if (each_line(directory, path, note_mapping, &search->mapping))
        return search->mapping.found;
    note_failure(search);
    search->mapping.any = true; /* as far as can be told */
    return false;
}

static char *append_number(char *text, unsigned value);

/*
 * Whether a supervisor serves the process: one that it descends from, with the segment mapped and a filter less. A
 * program that never calls libc has nothing mapped itself.
 */
static bool is_served(const char *pid, struct process_search *search) {
    enum { MOST_ANCESTORS = 256 };
    struct place own, above;
    char text[12];
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool served = false;
    if (proc >= 0 && place_of(proc, pid, &own) && own.filters > 0) {
        above = own;
        for (int i = 0; i < MOST_ANCESTORS && above.parent > 0 && !served; i++) {
            append_number(text, (unsigned)above.parent);
            if (!place_of(proc, text, &above))
                break;
            served = above.supervisor && above.filters < own.filters && has_mapped(proc, text, search);
        }
    }
    if (proc >= 0)
        close(proc);
    return served;
}

/*
 * Whether a task holds one of the sockets and has the segment mapped, or no memory any more: it is ending, and nobody
 * can tell what it was. That memory goes first, and sockets later.
 */
static bool task_is_ours(int directory, const char *id, struct process_search *search) {
    char path[PATH];
    search->descriptors = 0;
    if (strlen(id) > 10)
        return false;
    append(append(path, id), "/fd");
    int descriptors = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* One that has the port by the table was there a moment ago. */
    search->hidden = descriptors < 0 && (errno == EACCES || (errno == ENOENT && search->by_table));
    if (descriptors < 0) {
        note_failure(search);
        if (search->hidden)
            look_at_hidden(directory, id, search);
        return false;
    }
    bool holds = any_number(descriptors, descriptor_matches, search);
    close(descriptors);
    if (!holds || search->by_table)
        return holds;
    return has_mapped(directory, id, search) || !search->mapping.any || is_served(id, search);
}

/* Its first thread shows what all have; where that one has ended, the others do. */
static bool process_is_ours(int proc, const char *pid, struct process_search *search) {
    char path[PATH];
    const char *digits = pid;
    search->last.pid = (pid_t)number(&digits, 10);
    if (task_is_ours(proc, pid, search))
        return true;
    if (search->hidden || search->descriptors > 0 || strlen(pid) > 10)
        return false;
    append(append(path, pid), "/task");
    int tasks = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tasks < 0) {
        note_failure(search);
        return false;
    }
    bool ours = any_number(tasks, task_is_ours, search);
    close(tasks);
    return ours;
}

/* A number of at most ten digits; returns where it ends. */
static char *append_number(char *text, unsigned value) {
    char digits[12];
    int n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0)
        *text++ = digits[--n];
    *text = 0;
    return text;
}

bool fp_holder_here(struct fp_holder *holder, int fd) {
    struct stat st;
    /* Not fstat(): to ThreadSanitizer that is a race with the thread that opens a descriptor of that number. */
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    *holder = (struct fp_holder){.pid = fp_owner_pid(fp_owner_self()), .fd = fd, .socket = (uint64_t)st.st_ino};
    return true;
}

bool fp_holder_proved(const struct fp_holder *holder) {
    struct fp_holder here;
    if (holder->socket == 0 || holder->fd < 0 || holder->pid <= 0)
        return false;
    if (holder->pid == fp_owner_pid(fp_owner_self()))
        return fp_holder_here(&here, holder->fd) && here.socket == holder->socket;
    char path[PATH], target[PATH];
    append_number(append(append_number(append(path, "/proc/"), (unsigned)holder->pid), "/fd/"), (unsigned)holder->fd);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0)
        return false;
    target[length] = 0;
    return socket_of_link(target) == holder->socket;
}

/* Waits until the tasks that were ending have ended: then a socket that is still there is none of theirs. */
static void wait_for_ending(int proc, struct process_search *search) {
    int64_t until = search->ending > 0 ? fp_now_ms() + ENDING_MS : 0;
    for (unsigned i = 0; i < search->ending && !search->blind; i++) {
        char id[12];
        bool running;
        append_number(id, (unsigned)search->ending_tasks[i]);
        while (has_lost_memory(proc, id, &running) && running && !search->blind) {
            const struct timespec pause = {.tv_nsec = PAUSE_NS};
            search->blind = fp_now_ms() >= until;
            nanosleep(&pause, NULL);
        }
    }
}

bool fp_held_by_stranger(unsigned protocol, uint16_t port, pid_t likely, dev_t device, ino_t inode,
                         struct fp_holder *found) {
    struct sockets sockets, later;
    found->socket = 0;
    find_sockets(&sockets, protocol, port);
    if (sockets.count == 0)
        return false;

    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0)
        return false;
    struct process_search search = {
        .sockets = &sockets, .mapping = {.device = device, .inode = inode}, .by_table = likely > 0};
    char pid[12];
    append_number(pid, (unsigned)(likely > 0 ? likely : getpid()));
    /* The likely one is another user's: it has the port by the table, and nothing says otherwise. */
    bool ours = process_is_ours(proc, pid, &search) || search.hidden;
    search.by_table = false;
    if (!ours)
        ours = any_number(proc, process_is_ours, &search);
    if (!ours && !search.blind)
        wait_for_ending(proc, &search);
    close(proc);
    if (ours && !search.hidden)
        *found = search.last;
    if (ours || search.blind)
        return false;
    /* Nobody's of ours, and there still: not of one who has ended since. */
    find_sockets(&later, protocol, port);
    for (unsigned i = 0; i < later.count; i++)
        if (is_one_of(later.inodes[i], &sockets))
            return true;
    return false;
}

bool fp_port_lingers(uint16_t port) {
    struct sockets sockets;
    find_sockets(&sockets, FP_TCP_INDEX, port);
    return sockets.count == 0 && sockets.waiting;
}
