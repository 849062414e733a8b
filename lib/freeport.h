/* SPDX-License-Identifier: MIT */
/*
 * libfreeport: free TCP and UDP ports, in one sequence for all processes of a host.
 *
 * Ports are in host byte order, times in milliseconds. Functions return 0 or a negative errno out of the set that each
 * lists; one number means one thing, and freeport_strerror() says which. The library has no globals, writes to no
 * descriptor but those it is given, reads no environment variable and never ends the process.
 *
 * Threads: every function may be called from any thread, on one handle at once, freeport_close() excepted. Signal
 * handlers: freeport_get(), _get_many(), _bind(), _release(), _lookup() and _pledge() allocate nothing and may be
 * called from one. fork: a handle stays usable in the child, where what it assigns belongs to the child.
 */
#ifndef FREEPORT_H
#define FREEPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(FREEPORT_BUILD)
#define FREEPORT_API __attribute__((visibility("default")))
#else
#define FREEPORT_API
#endif

/* The version of this header, and as one number, which grows with each version. */
#define FREEPORT_VERSION_MAJOR 0
#define FREEPORT_VERSION_MINOR 2
#define FREEPORT_VERSION_PATCH 0
#define FREEPORT_VERSION_NUMBER                                                                                        \
    ((FREEPORT_VERSION_MAJOR << 16) | (FREEPORT_VERSION_MINOR << 8) | FREEPORT_VERSION_PATCH)

/* FREEPORT_VERSION_NUMBER of the library that the program runs with. */
FREEPORT_API unsigned freeport_version(void);

enum freeport_protocol { FREEPORT_TCP = 6, FREEPORT_UDP = 17 }; /* IPPROTO_TCP, IPPROTO_UDP */

/* freeport_config.flags. Others are refused, so that they can get a meaning later. */
enum freeport_flags {
    /* As inet_free_port has it: a range that cannot be read, and both ranges where neither is given, is 1-65535. */
    FREEPORT_LENIENT = 1 << 0,
};

/*
 * A zeroed config with a range is a good start. The strings are copied.
 *
 * It grows into `reserved`, by which its size and the place of each member stay as they are: no size has to be passed,
 * programs that were built before go on working, and other languages can declare it once and for all. What is reserved
 * has to be zero. A library that is older than the program refuses what it doesn't know, rather than to ignore it.
 */
struct freeport_config {
    const char *name;    /* NULL: "default" */
    const char *tcp;     /* as FREEPORT_TCP; NULL: none */
    const char *udp;     /* as FREEPORT_UDP; NULL: none */
    const char *session; /* NULL: none */
    const char *segment; /* NULL: the user's own */
    unsigned flags;      /* FREEPORT_LENIENT */
    unsigned mode;       /* permissions of a segment that is created, 0600 to 0666; 0: 0600 */
    uid_t owner;         /* whose segment is trusted, beside the user's own and root's; 0: nobody's */
    void *reserved[8];   /* NULL */
};

struct freeport;

/*
 * Takes from the environment what the config leaves open: name, ranges, session, segment, its mode and owner, as
 * FREEPORT_NAME and so on say it. A program that is run in a session, by `freeport run` or under the shim, opens that
 * session's handle so. The library itself reads no environment: `source` is getenv(), or secure_getenv(), or a function
 * of the caller's own for another source. Its strings have to live until freeport_open() has copied them.
 *
 * -EINVAL  config or source is NULL; or FREEPORT_SEGMENT_MODE or FREEPORT_SEGMENT_OWNER cannot be read
 */
FREEPORT_API int freeport_join(struct freeport_config *config, char *(*source)(const char *name));

/*
 * Opens a name's sequence, in a segment that is created where there is none.
 *
 * *out is the caller's, to be given back with freeport_close(); NULL on failure.
 *
 * -EINVAL    out or config is NULL, a flag is unknown, the mode is none, or something reserved is not zero
 * -ERANGE    a range cannot be read               -ENODATA       there is no range
 * -EILSEQ    the name cannot be read              -EBADMSG       the session cannot be read
 * -ENAMETOOLONG  the segment's name cannot be read
 * -EACCES    the segment's mode does not let this user in
 * -EPERM     the segment belongs to another user, who is not root
 * -EPROTO    the object under that name is no freeport segment, or one of another version
 * -ENOSPC    /dev/shm is full      -ENOENT  there is no /dev/shm      -EROFS  it is read-only
 * -EFBIG     RLIMIT_FSIZE is smaller than a segment
 * -ENOMEM    no memory, or no address space for the segment
 * -EMFILE    no descriptor left while the segment was opened
 */
FREEPORT_API int freeport_open(struct freeport **out, const struct freeport_config *config);

/* Gives the handle back; NULL is allowed. Assignments and reservations stay with the process. */
FREEPORT_API void freeport_close(struct freeport *fp);

/*
 * Reserves the next free port for the calling process: nobody else is given it before that process is gone or calls
 * freeport_release(). It was free on every address, over IPv4 and IPv6, when it was chosen; no socket holds it.
 *
 * timeout_ms bounds the call: 0 does not wait for anybody, a negative one is no bound.
 *
 * -EADDRINUSE  one pass round the range found no port
 * -ETIMEDOUT   the time was up before the pass was
 * -EINVAL      fp or port is NULL
 * -EPROTONOSUPPORT  protocol is neither TCP nor UDP       -ENODATA  it has no range
 * -ENOSPC      too many names or sessions are in use
 * others       the kernel's word on the first probe: -EACCES (a port below 1024), -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM
 */
FREEPORT_API int freeport_get(struct freeport *fp, enum freeport_protocol protocol, int timeout_ms, uint16_t *port);

/*
 * The same for `count` ports, which are different ones: all of them, or none. timeout_ms bounds the whole call. The
 * array is changed in either case.
 *
 * -EADDRINUSE  one pass round the range found no port
 * -ETIMEDOUT   the time was up before there were so many
 * -EINVAL      fp or ports is NULL, or count is 0
 * -EPROTONOSUPPORT  protocol is neither TCP nor UDP       -ENODATA  it has no range
 * -ENOSPC      too many names or sessions are in use
 * others       the kernel's word on the first probe: -EACCES (a port below 1024), -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM
 */
FREEPORT_API int freeport_get_many(struct freeport *fp, enum freeport_protocol protocol, int timeout_ms,
                                   uint16_t *ports, size_t count);

/*
 * Binds fd, a TCP, MPTCP or UDP socket, to the next free port of the range, on the address given. There is no race: the
 * socket holds the port when the call returns.
 *
 * A port of the range in the address is bound by its number, and noted as in use. Any other port is a sentinel: the
 * session's port for it is bound, and chosen first where the session has none.
 *
 * The socket is the caller's before and after. SO_REUSEADDR and SO_REUSEPORT are switched off for the moment of the
 * bind where the port is a fresh one, and put back. port, where not NULL, receives the real port.
 *
 * -EADDRINUSE  one pass found no port; or the kernel's word on a port of the range, or on a sentinel's
 * -ETIMEDOUT   the time was up before the pass was
 * -EINVAL      fp or address is NULL; or the kernel's word on the address
 * -EALREADY    fd is bound already
 * -ENODATA     its protocol has no range
 * -ENOTCONN    the address names a sentinel, and the handle has no session
 * -ENOSPC      too many names or sessions are in use
 * -EPROTONOSUPPORT  fd is no TCP, MPTCP or UDP socket
 * -EAFNOSUPPORT     the address is too short, or of another family than the socket
 * others       the kernel's word: -EBADF, -ENOTSOCK, -EADDRNOTAVAIL, -EACCES
 */
FREEPORT_API int freeport_bind(struct freeport *fp, int fd, const struct sockaddr *address, socklen_t length,
                               int timeout_ms, uint16_t *port);

/*
 * Gives up a reservation of the calling process, or its assignment of a port that it has closed.
 *
 * -ENOENT  the port is not assigned
 * -EPERM   it is assigned to another process, and that process is there
 * -EBUSY   a socket is bound to it; close that first
 * -EINVAL  fp is NULL, or port is 0                       -EPROTONOSUPPORT  protocol is neither TCP nor UDP
 */
FREEPORT_API int freeport_release(struct freeport *fp, enum freeport_protocol protocol, uint16_t port);

/*
 * The real port behind a sentinel of the handle's session. Takes no lock.
 *
 * -ENOENT    the session has none
 * -ENOTCONN  the handle has no session
 * -EINVAL    fp or port is NULL, or sentinel is 0         -EPROTONOSUPPORT  protocol is neither TCP nor UDP
 */
FREEPORT_API int freeport_lookup(struct freeport *fp, enum freeport_protocol protocol, uint16_t sentinel,
                                 uint16_t *port);

/*
 * The same, and where the session has none, a port is chosen and kept for the sentinel: its number can be handed on
 * before the server is started. The server gets it, whichever program of the session that is; nothing is bound here.
 *
 * -ENOTCONN    the handle has no session
 * -EADDRINUSE  one pass round the range found no port
 * -ETIMEDOUT   the time was up before the pass was
 * -EINVAL      fp or port is NULL, or sentinel is 0
 * -EPROTONOSUPPORT  protocol is neither TCP nor UDP       -ENODATA  it has no range
 * -ENOSPC      too many names or sessions are in use
 */
FREEPORT_API int freeport_pledge(struct freeport *fp, enum freeport_protocol protocol, uint16_t sentinel,
                                 int timeout_ms, uint16_t *port);

enum freeport_state {
    FREEPORT_ASSIGNED = 1, /* bound by a managed bind; its process may have closed it since */
    FREEPORT_RESERVED = 2, /* handed out by freeport_get() */
    FREEPORT_EXPLICIT = 3, /* inside the range, bound by its number */
    FREEPORT_PLEDGED = 4,  /* the other protocol's half of a session's sentinel: kept for it, never bound so far */
};

/* One row of the table, as it stood a moment ago. The strings live until the visit returns. */
struct freeport_assignment {
    enum freeport_protocol protocol;
    uint16_t port;
    uint16_t requested; /* 0, or the sentinel; the port itself where it was asked for by number */
    enum freeport_state state;
    int alive;           /* whether its owner is there */
    pid_t pid;           /* its owner */
    int64_t since;       /* seconds since the epoch */
    const char *address; /* as text; "" where none was bound */
    const char *name;
    const char *session; /* "" without one */
};

/*
 * Visits every assignment of the segment, of all names, TCP first, in the order of ports. Takes no lock: what changes
 * meanwhile may be seen or missed. A visit that returns something else than 0 ends the walk, and that is the result.
 *
 * -EINVAL  fp or visit is NULL
 */
FREEPORT_API int freeport_each(struct freeport *fp, int (*visit)(const struct freeport_assignment *, void *),
                               void *context);

/* What an error of this library means, in English, without a newline; static memory. Any number may be asked for. */
FREEPORT_API const char *freeport_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
