/* SPDX-License-Identifier: MIT */
/* The public functions: arguments checked, enums turned into indices; the work is done in assign.c. */
#include "freeport.h"

#include "assign.h"
#include "attempt.h"
#include "clock.h"
#include "errors.h"
#include "owner.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static void *behind_us(const char *name, void *otherwise) {
    void *address = dlsym(RTLD_NEXT, name);
    return address ? address : otherwise;
}

/*
 * libc's own calls, also where the shim is preloaded: a probe of the library is not a bind of the program. RTLD_NEXT
 * finds the libraries behind this one.
 */
static struct fp_calls real_calls(void) {
    struct fp_calls calls = {.bind = bind, .getsockname = getsockname};
    void *found[2];
    memcpy(&found[0], &calls.bind, sizeof found[0]);
    memcpy(&found[1], &calls.getsockname, sizeof found[1]);
    found[0] = behind_us("bind", found[0]);
    found[1] = behind_us("getsockname", found[1]);
    memcpy(&calls.bind, &found[0], sizeof found[0]);
    memcpy(&calls.getsockname, &found[1], sizeof found[1]);
    return calls;
}

static bool name_ok(const char *name) {
    size_t length = strnlen(name, 33);
    return length >= 1 && length <= 32 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == length;
}

static bool session_ok(const char *session) {
    size_t length = strnlen(session, FP_LABEL_BYTES + 1);
    for (size_t i = 0; i < length; i++)
        if (session[i] < 0x21 || session[i] > 0x7e)
            return false;
    return length >= 1 && length <= FP_LABEL_BYTES;
}

static bool configure_range(struct fp_whole_handle *whole, unsigned protocol, const char *text, bool lenient) {
    struct fp_range *range = &whole->ranges[protocol];
    whole->handle.ranges[protocol] = range;
    return !text || fp_range_parse(range, text) || (lenient && fp_range_parse(range, "1-65535"));
}

int fp_configure(struct fp_whole_handle *whole, const struct freeport_config *config) {
    struct freeport *fp = &whole->handle;
    bool lenient = config->flags & FREEPORT_LENIENT;
    const char *neither = lenient && !config->tcp && !config->udp ? "1-65535" : NULL;
    const char *name = config->name ? config->name : "default";
    if (!name_ok(name))
        return -EILSEQ;
    if (config->session && !session_ok(config->session))
        return -EBADMSG;
    if (!configure_range(whole, FP_TCP_INDEX, config->tcp ? config->tcp : neither, lenient) ||
        !configure_range(whole, FP_UDP_INDEX, config->udp ? config->udp : neither, lenient))
        return -ERANGE;
    if (fp->ranges[FP_TCP_INDEX]->size == 0 && fp->ranges[FP_UDP_INDEX]->size == 0)
        return -ENODATA;
    fp_text_set(&fp->name, name);
    fp->has_session = config->session != NULL;
    fp->named = config->session && !fp_session_made_up(config->session);
    if (fp->has_session)
        fp_text_set(&fp->session, config->session);
    return 0;
}

static bool mode_ok(unsigned mode) {
    return mode == 0 || ((mode & 0600) == 0600 && (mode & ~0666u) == 0);
}

/* Checks the members of a public config that fp_configure() does not get. */
static int check(const struct freeport_config *config) {
    for (size_t i = 0; i < sizeof config->reserved / sizeof config->reserved[0]; i++)
        if (config->reserved[i])
            return -EINVAL;
    if ((config->flags & ~(unsigned)FREEPORT_LENIENT) != 0 || !mode_ok(config->mode))
        return -EINVAL;
    if (config->segment && !fp_segment_name_ok(config->segment))
        return -ENAMETOOLONG;
    /* "auto" is a word for `freeport run` and the shim, which replace it by a session's name. */
    return config->session && strcmp(config->session, "auto") == 0 ? -EBADMSG : 0;
}

/* Digits of a base up to 10, and nothing else. */
static bool read_number(const char *text, unsigned base, unsigned long most, unsigned long *number) {
    unsigned long value = 0;
    const char *at = text;
    for (; *at >= '0' && *at < (char)('0' + base); at++) {
        value = value * base + (unsigned long)(*at - '0');
        if (value > most)
            return false;
    }
    *number = value;
    return at > text && *at == 0;
}

int freeport_join(struct freeport_config *config, char *(*source)(const char *name)) {
    if (!config || !source)
        return -EINVAL;
    const struct {
        const char *variable;
        const char **member;
    } strings[] = {
        {"FREEPORT_NAME", &config->name},       {"FREEPORT_TCP", &config->tcp},         {"FREEPORT_UDP", &config->udp},
        {"FREEPORT_SESSION", &config->session}, {"FREEPORT_SEGMENT", &config->segment},
    };
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (!*strings[i].member)
            *strings[i].member = source(strings[i].variable);
    const char *mode = source("FREEPORT_SEGMENT_MODE"), *owner = source("FREEPORT_SEGMENT_OWNER");
    unsigned long number;
    if (config->mode == 0 && mode) {
        if (!read_number(mode, 8, 0666, &number) || number == 0 || !mode_ok((unsigned)number))
            return -EINVAL;
        config->mode = (unsigned)number;
    }
    if (config->owner == 0 && owner) {
        if (!read_number(owner, 10, UINT32_MAX - 1, &number))
            return -EINVAL;
        config->owner = (uid_t)number;
    }
    return 0;
}

int freeport_open(struct freeport **out, const struct freeport_config *config) {
    if (!out)
        return -EINVAL;
    *out = NULL;
    int error = config ? check(config) : -EINVAL;
    if (error != 0)
        return error;
    struct fp_whole_handle *whole = calloc(1, sizeof *whole);
    if (!whole)
        return -ENOMEM;
    struct freeport *fp = &whole->handle; /* its first member: free() takes either */
    fp->calls = real_calls();
    error = fp_configure(whole, config);
    if (error == 0) {
        struct fp_segment_request request = {.name = config->segment,
                                             .mode = config->mode ? config->mode : 0600,
                                             .trusted_owner = config->owner ? config->owner : (uid_t)-1};
        error = fp_segment_open(&request, &fp->segment, &fp->facts);
    }
    if (error != 0) {
        free(whole);
        return error;
    }
    *out = fp;
    return 0;
}

void freeport_close(struct freeport *fp) {
    if (!fp)
        return;
    fp_segment_close(fp->segment);
    free(fp);
}

static bool protocol_ok(enum freeport_protocol protocol) {
    return protocol == FREEPORT_TCP || protocol == FREEPORT_UDP;
}

static unsigned index_of(enum freeport_protocol protocol) {
    return protocol == FREEPORT_TCP ? FP_TCP_INDEX : FP_UDP_INDEX;
}

/* Whether ports of the protocol can be had. */
static int check_range(const struct freeport *fp, enum freeport_protocol protocol) {
    if (!protocol_ok(protocol))
        return -EPROTONOSUPPORT;
    return fp->ranges[index_of(protocol)]->size == 0 ? -ENODATA : 0;
}

/* Whether a sentinel can be asked for. */
static int check_sentinel(const struct freeport *fp, enum freeport_protocol protocol, uint16_t sentinel,
                          const uint16_t *port) {
    if (!fp || !port || sentinel == 0)
        return -EINVAL;
    if (!protocol_ok(protocol))
        return -EPROTONOSUPPORT;
    return fp->has_session ? 0 : -ENOTCONN;
}

int freeport_get(struct freeport *fp, enum freeport_protocol protocol, int timeout_ms, uint16_t *port) {
    uint16_t chosen;
    int error = fp && port ? check_range(fp, protocol) : -EINVAL;
    if (error == 0)
        error = fp_get(fp, protocol, fp_owner_self(), timeout_ms, &chosen);
    if (error == 0)
        *port = chosen;
    return error;
}

/* The rest of a call's timeout, in milliseconds. */
static int time_left(int timeout_ms, int64_t until) {
    int64_t left = until - fp_now_ms();
    return timeout_ms <= 0 ? timeout_ms : left > 0 ? (int)left : 0;
}

int freeport_get_many(struct freeport *fp, enum freeport_protocol protocol, int timeout_ms, uint16_t *ports,
                      size_t count) {
    int error = fp && ports && count > 0 ? check_range(fp, protocol) : -EINVAL;
    if (error != 0)
        return error;
    int64_t until = fp_now_ms() + timeout_ms;
    size_t n = 0;
    while (n < count && (error = fp_get(fp, protocol, fp_owner_self(), time_left(timeout_ms, until), &ports[n])) == 0) {
        n++;
        if (n < count && timeout_ms > 0 && time_left(timeout_ms, until) == 0) {
            error = -ETIMEDOUT;
            break;
        }
    }
    while (error != 0 && n > 0)
        fp_release(fp, protocol, fp_owner_self(), ports[--n]);
    return error;
}

/* Tells apart the two meanings of the kernel's EINVAL: the socket is bound already, or the address is not valid. */
static int bind_error(const struct freeport *fp, int fd, int error) {
    struct sockaddr_storage name;
    bool bound = error == -EINVAL && fp_socket_protocol(&fp->calls, fd, &name) >= 0 &&
                 fp_address_port((const struct sockaddr *)&name) != 0;
    return bound ? -EALREADY : error;
}

/* True if the port is bound by its number: it is in the range, and the session has no port for it as a sentinel. */
static bool is_explicit(const struct freeport *fp, unsigned protocol, uint16_t number) {
    fp_meaning meaning;
    return number != 0 && fp_portset_has(&fp->ranges[protocol]->ports, number) &&
           !(fp->has_session && fp_index_find(fp->segment, &fp->session, protocol, number, &meaning) != 0);
}

static int bind_number(struct freeport *fp, int fd, unsigned protocol, const struct sockaddr *address,
                       socklen_t length) {
    if (fp->calls.bind(fd, address, length) != 0)
        return -errno;
    fp_note_explicit(fp, 0, protocol, fp_address_port(address), address);
    return 0;
}

static int bind_port(struct freeport *fp, int fd, unsigned protocol, const struct sockaddr *address, socklen_t length,
                     int timeout_ms, uint16_t *port) {
    uint16_t number = fp_address_port(address);
    if (is_explicit(fp, protocol, number)) {
        *port = number;
        return bind_number(fp, fd, protocol, address, length);
    }
    if (number != 0 && !fp->has_session)
        return -ENOTCONN;
    struct fp_bind bind = {.fp = fp,
                           .fd = fd,
                           .protocol = protocol,
                           .address = address,
                           .length = length,
                           .sentinel = number,
                           .pledge = number != 0 && fp->ranges[!protocol]->size != 0,
                           .timeout_ms = timeout_ms};
    bool conflict;
    return fp_bind(&bind, port, &conflict);
}

int freeport_bind(struct freeport *fp, int fd, const struct sockaddr *address, socklen_t length, int timeout_ms,
                  uint16_t *port) {
    if (!fp || !address)
        return -EINVAL;
    if (!fp_address_ok(address, length))
        return -EAFNOSUPPORT;
    uint16_t chosen = 0;
    struct sockaddr_storage name;
    int protocol = fp_socket_protocol(&fp->calls, fd, &name);
    if (protocol < 0)
        return protocol;
    if (fp_is_bound(fd, &name))
        return -EALREADY;
    if (fp->ranges[protocol]->size == 0)
        return -ENODATA;
    int error = bind_port(fp, fd, (unsigned)protocol, address, length, timeout_ms, &chosen);
    if (error != 0)
        return bind_error(fp, fd, error);
    if (port)
        *port = chosen;
    return 0;
}

int freeport_release(struct freeport *fp, enum freeport_protocol protocol, uint16_t port) {
    if (!fp || port == 0)
        return -EINVAL;
    if (!protocol_ok(protocol))
        return -EPROTONOSUPPORT;
    unsigned index = index_of(protocol);
    fp_owner holder = fp_entry_owner(fp->segment, index, port);
    bool ours = holder != 0 && (holder == fp_owner_self() || fp_owner_gone(holder));
    if (ours && fp_probe(&fp->calls, index, port) == -EADDRINUSE)
        return -EBUSY;
    return fp_release(fp, protocol, fp_owner_self(), port);
}

int freeport_lookup(struct freeport *fp, enum freeport_protocol protocol, uint16_t sentinel, uint16_t *port) {
    int error = check_sentinel(fp, protocol, sentinel, port);
    if (error != 0)
        return error;
    fp_meaning meaning;
    uint16_t found = fp_index_find(fp->segment, &fp->session, index_of(protocol), sentinel, &meaning);
    if (found == 0)
        return -ENOENT;
    *port = found;
    return 0;
}

int freeport_pledge(struct freeport *fp, enum freeport_protocol protocol, uint16_t sentinel, int timeout_ms,
                    uint16_t *port) {
    uint16_t chosen;
    int error = check_sentinel(fp, protocol, sentinel, port);
    if (error == 0)
        error = check_range(fp, protocol);
    if (error != 0)
        return error;
    struct fp_bind bind = {.fp = fp,
                           .protocol = index_of(protocol),
                           .sentinel = sentinel,
                           .pledge = fp->ranges[!index_of(protocol)]->size != 0,
                           .timeout_ms = timeout_ms};
    error = fp_pledge(&bind, true, &chosen); /* exported: the caller may tell the number to any program */
    if (error == 0)
        *port = chosen;
    return error;
}

static enum freeport_state public_state(fp_meaning meaning) {
    switch (fp_state(meaning)) {
    case FP_RESERVED:
        return FREEPORT_RESERVED;
    case FP_EXPLICIT:
        return FREEPORT_EXPLICIT;
    case FP_PLEDGED:
    case FP_EXPORTED:
        return FREEPORT_PLEDGED;
    default:
        return FREEPORT_ASSIGNED;
    }
}

static void address_text(const struct fp_entry *entry, char text[static INET6_ADDRSTRLEN]) {
    uint64_t words[2] = {atomic_load(&entry->address[0]), atomic_load(&entry->address[1])};
    uint32_t family = atomic_load(&entry->family);
    text[0] = 0;
    if (family == AF_INET || family == AF_INET6)
        inet_ntop((int)family, words, text, INET6_ADDRSTRLEN);
}

static int visit_entry(struct freeport *fp, unsigned protocol, uint16_t port,
                       int (*visit)(const struct freeport_assignment *, void *), void *context) {
    struct fp_segment *segment = fp->segment;
    const struct fp_entry *entry = fp_entry_at(segment, protocol, port);
    fp_owner owner = atomic_load(&entry->owner);
    fp_meaning meaning = atomic_load(&entry->meaning);
    if (owner == 0 || !fp_is_assignment(meaning))
        return 0;
    char address[INET6_ADDRSTRLEN], name[FP_LABEL_BYTES + 1], session[FP_LABEL_BYTES + 1];
    address_text(entry, address);
    fp_label_read(&segment->names[fp_name(meaning)], name);
    fp_label_read(&segment->sessions[fp_session(meaning)], session);
    struct freeport_assignment assignment = {
        .protocol = protocol == FP_TCP_INDEX ? FREEPORT_TCP : FREEPORT_UDP,
        .port = port,
        .requested = fp_requested(meaning),
        .state = public_state(meaning),
        .alive = !fp_owner_gone(owner),
        .pid = fp_owner_pid(owner),
        .since = atomic_load(&entry->since),
        .address = address,
        .name = name,
        .session = session,
    };
    return visit(&assignment, context);
}

int freeport_each(struct freeport *fp, int (*visit)(const struct freeport_assignment *, void *), void *context) {
    if (!fp || !visit)
        return -EINVAL;
    for (unsigned protocol = 0; protocol < FP_PROTOCOL_COUNT; protocol++) {
        for (unsigned port = 1; port < FP_PORTS; port++) {
            int result = visit_entry(fp, protocol, (uint16_t)port, visit, context);
            if (result != 0)
                return result;
        }
    }
    return 0;
}

const char *freeport_strerror(int error) {
    switch (error) {
    case 0:
        return "no error";
    case -EINVAL:
        return "invalid argument: NULL, 0, an unknown flag, a mode that is none, or a reserved member that is not zero";
    case -ERANGE:
        return "a range that cannot be read: expected FROM-TO or PORT, several with commas, 1 to 65535";
    case -ENODATA:
        return "no range is given for that protocol";
    case -EILSEQ:
        return "a name that cannot be read: expected 1 to 32 letters, digits, underscores, dots and dashes";
    case -EBADMSG:
        return "a session that cannot be read: expected 1 to 64 printable characters, no space, not auto";
    case -ENAMETOOLONG:
        return "a segment's name that cannot be read: expected / and 1 to 254 bytes without another /";
    case -ENOTCONN:
        return "the handle has no session, in which a sentinel could have a port";
    case -EALREADY:
        return "the socket is bound already";
    case -EBUSY:
        return "a socket is bound to the port";
    case -EAFNOSUPPORT:
        return "an address that is too short, or of another family than the socket";
    case -EADDRINUSE:
        return "no port left: every port of the range is in use or reserved";
    case -ETIMEDOUT:
        return "timed out before a port was found";
    case -EACCES:
        return "permission denied: a segment whose mode does not let this user in, or a port below 1024";
    case -EPERM:
        return "it belongs to somebody else";
    case -EPROTO:
        return "no freeport segment, or one of another version";
    case -ENOENT:
        return "there is none";
    case -ENOSPC:
        return "no space left in /dev/shm, or too many names or sessions in use";
    case -EROFS:
        return "/dev/shm is read-only";
    case -EFBIG:
        return "the limit on file sizes (RLIMIT_FSIZE) is smaller than a segment";
    case -EPROTONOSUPPORT:
        return "neither TCP nor UDP: a protocol, or a socket that is no TCP, MPTCP or UDP socket";
    default:
        return fp_error_text(error < 0 && error > -4096 ? -error : 0);
    }
}

unsigned freeport_version(void) {
    return FREEPORT_VERSION_NUMBER;
}
