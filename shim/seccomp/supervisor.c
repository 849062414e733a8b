/* SPDX-License-Identifier: MIT */
#include "supervisor.h"

#include "notice.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_ADDFD_FLAG_SEND /* headers before Linux 5.14 */
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

enum {
    MOST_THREADS = 32,
    STACK_BYTES = 256 * 1024,
    RESERVED_DESCRIPTORS =
        400, /* for the pidfds of kept processes, and for descriptors that threads have open for a moment */
    MOST_ANCESTORS = 4096,
    IDLE_SECONDS = 10,
};

/* The source of notifications of one program and its descendants. */
struct fp_listener {
    struct fp_source source;
    struct fp_stream standard_error; /* the identity of its descriptor 2 when it was launched */
    atomic_uint uses;                /* the number of unanswered calls, and one more while it is listened to */
};

/* A launcher that has connected, and is not served yet. */
struct guest_at_door {
    struct fp_source source;
    pid_t pid;
    int pidfd;
};

struct fp_supervisor {
    struct fp_guest *guest;
    struct fp_source door;
    int epoll;
    int32_t id;
    char name[FP_SUPERVISOR_NAME_BYTES];
    pthread_mutex_t lead; /* held by the thread that receives */
    atomic_uint threads, idle;
    atomic_uint listeners;
    struct fp_hello hello; /* the message for launchers; the filter in it is built for the first one */
    bool has_filter;
    rlim_t descriptors;
};

/* Threads. */

static void *serve(void *context);

static bool start_thread(struct fp_supervisor *supervisor) {
    pthread_attr_t attributes;
    pthread_t thread;
    if (atomic_load(&supervisor->threads) >= MOST_THREADS || pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    atomic_fetch_add(&supervisor->threads, 1);
    bool started = pthread_create(&thread, &attributes, serve, supervisor) == 0;
    pthread_attr_destroy(&attributes);
    if (!started)
        atomic_fetch_sub(&supervisor->threads, 1);
    return started;
}

void fp_notice_may_wait(struct fp_notice *notice) {
    struct fp_supervisor *supervisor = notice->supervisor;
    if (!notice->leads || (atomic_load(&supervisor->idle) == 0 && !start_thread(supervisor)))
        return;
    notice->leads = false;
    pthread_mutex_unlock(&supervisor->lead);
}

/* Reading and answering a notice. */

bool fp_notice_read(const struct fp_notice *notice, uint64_t address, void *out, size_t size) {
    struct iovec local = {.iov_base = out, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    return size == 0 || process_vm_readv(notice->thread, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

bool fp_notice_write(const struct fp_notice *notice, uint64_t address, const void *data, size_t size) {
    struct iovec local = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    return size == 0 || process_vm_writev(notice->thread, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

bool fp_notice_address(const struct fp_notice *notice, uint64_t at, uint64_t length, struct sockaddr_storage *out) {
    return length >= sizeof(struct sockaddr) && length <= sizeof *out &&
           fp_notice_read(notice, at, out, (size_t)length) &&
           fp_address_ok((const struct sockaddr *)out, (socklen_t)length);
}

bool fp_notice_waits(const struct fp_notice *notice) {
    uint64_t id = notice->id;
    return ioctl(notice->listener->source.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static int descriptor_of(struct fp_notice *notice, int number) {
    for (int tries = 0; tries < 2; tries++) {
        if (!notice->process)
            notice->process = fp_process_get(notice->thread);
        if (!notice->process)
            return -errno;
        int fd = fp_process_descriptor(notice->process, number);
        if (fd == -ESRCH) { /* the kept pidfd was of an earlier thread with that id */
            fp_process_forget(notice->process);
            fp_process_put(notice->process);
            notice->process = NULL;
        } else if (fd == -EMFILE || fd == -ENFILE) {
            fp_process_trim();
        } else {
            return fd;
        }
    }
    return -ESRCH;
}

int fp_notice_socket(struct fp_notice *notice, uint64_t number) {
    int fd = descriptor_of(notice, (int)number);
    if (fd < 0)
        return fd;
    /*
     * The memory that was read so far was this program's if the program still waits. A thread that was known before was
     * alive when its descriptor was duplicated, which proves the same.
     */
    if ((notice->process->fresh || notice->process->whole) && !fp_notice_waits(notice)) {
        close(fd);
        return -ESRCH;
    }
    notice->caller.owner = notice->process->owner;
    notice->caller.pid = notice->process->pid;
    notice->caller.process = notice->process->pidfd;
    notice->caller.standard_error = &notice->listener->standard_error;
    notice->caller.usage = fp_process_usage(notice->process);
    return fd;
}

bool fp_notice_give(struct fp_notice *notice, int fd, bool close_on_exec) {
    int listener = notice->listener->source.fd;
    struct seccomp_notif_addfd give = {.id = notice->id,
                                       .flags = SECCOMP_ADDFD_FLAG_SEND,
                                       .srcfd = (uint32_t)fd,
                                       .newfd_flags = close_on_exec ? O_CLOEXEC : 0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &give) >= 0)
        return true;
    if (errno != EINVAL)
        return false;
    give.flags = 0; /* before Linux 5.14, giving the descriptor and answering are two steps */
    int number = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &give);
    struct seccomp_notif_resp answer = {.id = notice->id, .val = number};
    return number >= 0 && ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0;
}

/* Answers. */

static int64_t (*const served[FP_CALLS])(struct fp_notice *) = {
    [FP_CALL_BIND] = fp_serve_bind,
    [FP_CALL_LISTEN] = fp_serve_listen,
    [FP_CALL_CONNECT] = fp_serve_connect,
    [FP_CALL_GETSOCKNAME] = fp_serve_getsockname,
    [FP_CALL_GETPEERNAME] = fp_serve_getpeername,
    [FP_CALL_ACCEPT] = fp_serve_accept,
    [FP_CALL_ACCEPT4] = fp_serve_accept,
    [FP_CALL_SENDTO] = fp_serve_sendto,
    [FP_CALL_SENDMSG] = fp_serve_sendmsg,
    [FP_CALL_SENDMMSG] = fp_serve_sendmmsg,
    [FP_CALL_RECVFROM] = fp_serve_recvfrom,
    [FP_CALL_RECVMSG] = fp_serve_recvmsg,
    [FP_CALL_RECVMMSG] = fp_serve_recvmmsg,
};

/* Replaces socketcall(2) of 32-bit x86 by the call behind it. */
static void unfold_socketcall(struct fp_notice *notice) {
    uint32_t arguments[6] = {0};
    static const unsigned char counts[FP_CALLS] = {
        [FP_CALL_BIND] = 3,    [FP_CALL_LISTEN] = 2,   [FP_CALL_CONNECT] = 3,  [FP_CALL_GETSOCKNAME] = 3,
        [FP_CALL_ACCEPT] = 3,  [FP_CALL_ACCEPT4] = 4,  [FP_CALL_SENDTO] = 6,   [FP_CALL_GETPEERNAME] = 3,
        [FP_CALL_SENDMSG] = 3, [FP_CALL_SENDMMSG] = 4, [FP_CALL_RECVFROM] = 6, [FP_CALL_RECVMSG] = 3,
        [FP_CALL_RECVMMSG] = 5};
    notice->call = fp_filter_socketcall(notice->argument[0]);
    if (!fp_notice_read(notice, notice->argument[1], arguments, counts[notice->call] * sizeof arguments[0]))
        notice->call = FP_CALL_NONE;
    for (unsigned i = 0; i < 6; i++)
        notice->argument[i] = arguments[i];
}

static int64_t result_of(struct fp_notice *notice) {
    if (notice->call == FP_CALL_SOCKETCALL)
        unfold_socketcall(notice);
    if (notice->call == FP_CALL_LISTEN && (int)notice->argument[0] == -1 &&
        (int)notice->argument[1] == FP_PROBE_BACKLOG)
        return notice->supervisor->id;
    return served[notice->call] ? served[notice->call](notice) : FP_GOES_ON;
}

static void answer(const struct fp_notice *notice, int64_t result) {
    struct seccomp_notif_resp answer = {.id = notice->id};
    if (result == FP_GOES_ON)
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else if (result < 0)
        answer.error = (int32_t)result;
    else
        answer.val = result;
    /* Fails if the program was killed meanwhile, which needs no answer. */
    ioctl(notice->listener->source.fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/* Listeners. */

static void let_go(struct fp_listener *listener) {
    if (atomic_fetch_sub(&listener->uses, 1) != 1)
        return;
    atomic_fetch_sub(&listener->source.supervisor->listeners, 1);
    close(listener->source.fd);
    free(listener);
}

/* This thread's buffers. */
static _Thread_local struct fp_buffers *own_buffers;
static _Thread_local bool leads;

static void serve_notice(struct fp_listener *listener, const struct seccomp_notif *received) {
    struct fp_supervisor *supervisor = listener->source.supervisor;
    struct fp_notice notice = {.supervisor = supervisor,
                               .listener = listener,
                               .id = received->id,
                               .thread = (pid_t)received->pid,
                               .leads = true,
                               .caller = {.guest = supervisor->guest, .process = -1},
                               .buffers = own_buffers};
    notice.call = fp_filter_call(received->data.arch, received->data.nr, &notice.compat);
    for (unsigned i = 0; i < 6; i++)
        notice.argument[i] = received->data.args[i];
    int64_t result = result_of(&notice);
    if (result != FP_ANSWERED)
        answer(&notice, result);
    if (notice.process)
        fp_process_put(notice.process);
    leads = notice.leads;
}

static void take_notice(struct fp_source *source, uint32_t events) {
    struct fp_listener *listener = (struct fp_listener *)source;
    union {
        struct seccomp_notif notice;
        char room[256]; /* the kernel's may be longer by now */
    } received;
    atomic_fetch_add(&listener->uses, 1);
    if (events & EPOLLIN) {
        memset(&received, 0, sizeof received);
        if (ioctl(source->fd, SECCOMP_IOCTL_NOTIF_RECV, &received.notice) == 0)
            serve_notice(listener, &received.notice);
    } else if (events & (EPOLLHUP | EPOLLERR)) { /* the last program under this filter has ended */
        fp_supervisor_forget(source->supervisor, source);
        let_go(listener);
    }
    let_go(listener); /* NOLINT(clang-analyzer-unix.Malloc): this call's own use kept it */
}

static int add_listener(struct fp_supervisor *supervisor, int fd, int pidfd) {
    struct fp_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return -ENOMEM;
    listener->source = (struct fp_source){.fd = fd, .ready = take_notice};
    listener->uses = 1;
    int error_fd = (int)syscall(SYS_pidfd_getfd, pidfd, STDERR_FILENO, 0);
    if (error_fd >= 0) {
        fp_stream_note(&listener->standard_error, error_fd);
        close(error_fd);
    }
    ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP); /* since Linux 6.6 */
    int error = fp_supervisor_watch(supervisor, &listener->source);
    if (error != 0)
        free(listener);
    else
        atomic_fetch_add(&supervisor->listeners, 1); /* NOLINT(clang-analyzer-unix.Malloc): let_go() frees it */
    return error;
}

/* Launchers. */

static void show_out(struct guest_at_door *launcher) {
    fp_supervisor_forget(launcher->source.supervisor, &launcher->source);
    close(launcher->source.fd);
    if (launcher->pidfd >= 0)
        close(launcher->pidfd);
    free(launcher);
}

static void take_request(struct fp_source *source, uint32_t events) {
    (void)events;
    struct guest_at_door *launcher = (struct guest_at_door *)source;
    struct fp_supervisor *supervisor = source->supervisor;
    struct fp_request request = {.listener = -1};
    ssize_t got = recv(source->fd, &request, sizeof request, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got == (ssize_t)sizeof request && request.listener < 0)
        supervisor->hello.said = 1;
    if (got == (ssize_t)sizeof request && request.listener >= 0) {
        int fd = (int)syscall(SYS_pidfd_getfd, launcher->pidfd, request.listener, 0);
        int32_t error = fd < 0 ? -errno : add_listener(supervisor, fd, launcher->pidfd);
        if (error != 0 && fd >= 0)
            close(fd);
        send(source->fd, &error, sizeof error, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    show_out(launcher);
}

static pid_t parent_of(pid_t pid) {
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return 0;
    text[length] = 0;
    const char *behind_name = strrchr(text, ')');
    int parent = 0;
    return behind_name && sscanf(behind_name + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static bool descends(pid_t pid) {
    for (int i = 0; i < MOST_ANCESTORS && pid > 1; i++) {
        if (pid == getpid())
            return true;
        pid = parent_of(pid);
    }
    return false;
}

static int fail(struct fp_hello *hello, enum fp_step step, int error) {
    hello->step = step;
    hello->error = error;
    return error;
}

/* Checks that the launcher can be served, by calls that must fail: with EBADF or EFAULT, the kernel allows them. */
static int look_at(struct fp_supervisor *supervisor, struct guest_at_door *launcher, struct fp_hello *hello) {
    char byte;
    struct iovec local = {.iov_base = &byte, .iov_len = 1}, remote = {.iov_base = NULL, .iov_len = 1};
    if (!descends(launcher->pid))
        return fail(hello, FP_STEP_DESCENT, -EPERM);
    if (atomic_load(&supervisor->listeners) + RESERVED_DESCRIPTORS >= supervisor->descriptors)
        return fail(hello, FP_STEP_ROOM, -EMFILE);
    launcher->pidfd = (int)syscall(SYS_pidfd_open, launcher->pid, 0);
    if (launcher->pidfd < 0)
        return fail(hello, FP_STEP_PIDFD, -errno);
    if (syscall(SYS_pidfd_getfd, launcher->pidfd, -1, 0) < 0 && errno != EBADF)
        return fail(hello, FP_STEP_GETFD, -errno);
    if (process_vm_readv(launcher->pid, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT)
        return fail(hello, FP_STEP_MEMORY, -errno);
    if (!supervisor->has_filter) {
        int error = fp_filter_build(&supervisor->hello.filter);
        if (error != 0)
            return fail(hello, FP_STEP_FILTER, error);
        supervisor->has_filter = true;
    }
    return 0;
}

static void open_door(struct fp_source *door, uint32_t events) {
    (void)events;
    struct fp_supervisor *supervisor = door->supervisor;
    struct ucred peer;
    socklen_t length = sizeof peer;
    int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct guest_at_door *launcher = fd >= 0 ? calloc(1, sizeof *launcher) : NULL;
    if (!launcher || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
        free(launcher);
        if (fd >= 0)
            close(fd);
        return;
    }
    *launcher = (struct guest_at_door){.source = {.fd = fd, .ready = take_request}, .pid = peer.pid, .pidfd = -1};
    struct fp_hello failed = {.step = FP_STEP_NONE};
    int error = look_at(supervisor, launcher, &failed);
    struct fp_hello hello = supervisor->hello;
    hello.step = failed.step;
    hello.error = failed.error;
    if (error != 0)
        supervisor->hello.said = 1;
    launcher->source.supervisor = supervisor;
    bool told = send(fd, &hello, sizeof hello, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof hello;
    if (!told || error != 0 || fp_supervisor_watch(supervisor, &launcher->source) != 0)
        show_out(launcher);
} /* NOLINT(clang-analyzer-unix.Malloc): epoll has it, until show_out() */

/* The whole. */

struct fp_supervisor *fp_supervisor_new(struct fp_guest *guest) {
    struct fp_supervisor *supervisor = calloc(1, sizeof *supervisor);
    uint32_t random[2];
    if (!supervisor || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        free(supervisor);
        return NULL;
    }
    supervisor->guest = guest;
    supervisor->door.fd = supervisor->epoll = -1;
    supervisor->id = (int32_t)(random[0] >> 1) | 1;
    supervisor->hello = (struct fp_hello){.version = FP_PROTOCOL_VERSION, .id = supervisor->id};
    snprintf(supervisor->name, sizeof supervisor->name, "freeport-%d-%08x", (int)getpid(), random[1]);
    pthread_mutex_init(&supervisor->lead, NULL);
    return supervisor;
}

const char *fp_supervisor_name(const struct fp_supervisor *supervisor) {
    return supervisor->name;
}

static rlim_t raise_descriptors(void) {
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

int fp_supervisor_open(struct fp_supervisor *supervisor) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(supervisor->name);
    memcpy(address.sun_path + 1, supervisor->name, length);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    supervisor->descriptors = raise_descriptors();
    supervisor->epoll = epoll_create1(EPOLL_CLOEXEC);
    supervisor->door =
        (struct fp_source){.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), .ready = open_door};
    if (supervisor->epoll < 0 || supervisor->door.fd < 0 ||
        bind(supervisor->door.fd, (struct sockaddr *)&address, size) != 0 || listen(supervisor->door.fd, 1024) != 0)
        return -errno;
    return fp_supervisor_watch(supervisor, &supervisor->door);
}

int fp_supervisor_watch(struct fp_supervisor *supervisor, struct fp_source *source) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    source->supervisor = supervisor;
    return epoll_ctl(supervisor->epoll, EPOLL_CTL_ADD, source->fd, &event) == 0 ? 0 : -errno;
}

void fp_supervisor_forget(struct fp_supervisor *supervisor, struct fp_source *source) {
    epoll_ctl(supervisor->epoll, EPOLL_CTL_DEL, source->fd, NULL);
}

static void lead(struct fp_supervisor *supervisor) {
    struct epoll_event event;
    if (epoll_wait(supervisor->epoll, &event, 1, -1) != 1)
        return;
    struct fp_source *source = event.data.ptr;
    source->ready(source, event.events);
}

/* Waits until this thread is the leader. False if it was idle for long and another thread is idle: it may end. */
static bool take_the_lead(struct fp_supervisor *supervisor, bool stays) {
    int error;
    atomic_fetch_add(&supervisor->idle, 1);
    do {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += IDLE_SECONDS;
        error = pthread_mutex_timedlock(&supervisor->lead, &until);
    } while (error != 0 && (stays || atomic_load(&supervisor->idle) == 1));
    atomic_fetch_sub(&supervisor->idle, 1);
    return error == 0;
}

static void serve_on(struct fp_supervisor *supervisor, bool stays) {
    while (!(own_buffers = malloc(sizeof *own_buffers)))
        sleep(1);
    while (take_the_lead(supervisor, stays))
        for (leads = true; leads;)
            lead(supervisor);
    free(own_buffers);
    atomic_fetch_sub(&supervisor->threads, 1);
}

static void *serve(void *context) {
    serve_on(context, false);
    return NULL;
}

void fp_supervisor_serve(struct fp_supervisor *supervisor) {
    atomic_fetch_add(&supervisor->threads, 1);
    fp_process_watch(supervisor);
    serve_on(supervisor, true); /* the first thread stays, since without it /proc says nothing about the process */
    abort();
}
