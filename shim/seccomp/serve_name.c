/* SPDX-License-Identifier: MIT */
#include "notice.h"
#include "rewrite.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <unistd.h>

typedef int get_name(int fd, struct sockaddr *address, socklen_t *length);
typedef void rewrite_name(const struct fp_caller *caller, int fd, struct sockaddr *address, socklen_t room,
                          socklen_t length);

struct name {
    struct sockaddr_storage address;
    socklen_t length;
};

/* The size of the program's buffer for a name; 0 if it can't be read, or has no room for any byte of the port. */
static socklen_t room_of(const struct fp_notice *notice, uint64_t at) {
    int32_t room = 0;
    return fp_notice_read(notice, at, &room, sizeof room) && room >= 3 ? (socklen_t)room : 0;
}

/* True if the name has a sentinel's port in this session; it is changed then. */
static bool renamed(struct fp_notice *notice, int fd, struct name *name, socklen_t room, rewrite_name *rewrite) {
    struct sockaddr *address = (struct sockaddr *)&name->address;
    if (!fp_guest_may_rename(notice->caller.guest, address, room, name->length))
        return false;
    uint16_t port = fp_address_port(address);
    rewrite(&notice->caller, fd, address, room, name->length);
    return fp_address_port(address) != port;
}

static bool write_name(const struct fp_notice *notice, const struct name *name, socklen_t room, uint64_t at,
                       uint64_t length_at) {
    return fp_notice_write(notice, at, &name->address, name->length < room ? name->length : room) &&
           fp_notice_write(notice, length_at, &name->length, sizeof name->length);
}

/* Answers with the changed name. Else the call goes on in the kernel, and the program's memory is not read. */
static int64_t serve(struct fp_notice *notice, get_name *get, rewrite_name *rewrite) {
    int fd = notice->caller.guest->renames ? fp_notice_socket(notice, notice->argument[0]) : -1;
    if (fd < 0)
        return FP_GOES_ON;
    struct name name = {.length = sizeof name.address};
    struct sockaddr *address = (struct sockaddr *)&name.address;
    socklen_t room = 0;
    if (get(fd, address, &name.length) == 0 &&
        fp_guest_may_rename(notice->caller.guest, address, name.length, name.length))
        room = room_of(notice, notice->argument[2]);
    bool ours = room > 0 && renamed(notice, fd, &name, room, rewrite) &&
                write_name(notice, &name, room, notice->argument[1], notice->argument[2]);
    close(fd);
    return ours ? 0 : FP_GOES_ON;
}

int64_t fp_serve_getsockname(struct fp_notice *notice) {
    return serve(notice, getsockname, fp_rewrite_own_name);
}

int64_t fp_serve_getpeername(struct fp_notice *notice) {
    return serve(notice, getpeername, fp_rewrite_peer_name);
}

/* True if the program surely has room for a descriptor: an accepted connection can't be put back. */
static bool has_room(const struct fp_notice *notice) {
    struct rlimit limit;
    return prlimit(notice->process->pid, RLIMIT_NOFILE, NULL, &limit) == 0 && limit.rlim_cur > 0 &&
           fp_process_descriptor(notice->process, (int)(limit.rlim_cur - 1)) == -EBADF;
}

static bool accepts_without_waiting(int fd) {
    int listens = 0;
    socklen_t length = sizeof listens;
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) && fp_inet_protocol(fd) == FP_TCP &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens;
}

/*
 * Accepts the connection in the supervisor and gives it to the program, with the peer's name as this session sees it.
 */
static int64_t accept_for(struct fp_notice *notice, int fd, int flags, socklen_t room) {
    struct name name = {.length = sizeof name.address};
    int accepted = accept4(fd, (struct sockaddr *)&name.address, &name.length, flags | SOCK_CLOEXEC);
    if (accepted < 0)
        return -errno;
    renamed(notice, accepted, &name, room, fp_rewrite_peer_name);
    bool written = write_name(notice, &name, room, notice->argument[1], notice->argument[2]);
    int64_t result = !written                                                 ? -EFAULT
                     : fp_notice_give(notice, accepted, flags & SOCK_CLOEXEC) ? FP_ANSWERED
                                                                              : -EMFILE;
    close(accepted);
    return result;
}

int64_t fp_serve_accept(struct fp_notice *notice) {
    int flags = notice->call == FP_CALL_ACCEPT4 ? (int)notice->argument[3] : 0;
    if (!notice->caller.guest->renames || (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)))
        return FP_GOES_ON;
    socklen_t room = room_of(notice, notice->argument[2]);
    int fd = room > 0 ? fp_notice_socket(notice, notice->argument[0]) : -1;
    if (fd < 0)
        return FP_GOES_ON;
    int64_t result = FP_GOES_ON;
    if (accepts_without_waiting(fd) && has_room(notice) && fp_notice_waits(notice))
        result = accept_for(notice, fd, flags, room);
    close(fd);
    return result;
}
