/* SPDX-License-Identifier: MIT */
/* The public functions: arguments checked, enums turned into indices; the work is done in assign.c. */
#include "freeport.h"

#include "assign.h"
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
 * libc's own, where the shim stands in front of it: a probe of ours is no bind of the program's. RTLD_NEXT means what
 * comes behind this library.
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
    if (!name_ok(name) || (config->session && !session_ok(config->session)) ||
        !configure_range(whole, FP_TCP_INDEX, config->tcp ? config->tcp : neither, lenient) ||
        !configure_range(whole, FP_UDP_INDEX, config->udp ? config->udp : neither, lenient) ||
        (fp->ranges[FP_TCP_INDEX]->size == 0 && fp->ranges[FP_UDP_INDEX]->size == 0))
        return -EINVAL;
    fp_text_set(&fp->name, name);
    fp->has_session = config->session != NULL;
    fp->named = config->session && !fp_session_made_up(config->session);
    if (fp->has_session)
        fp_text_set(&fp->session, config->session);
    return 0;
}

int freeport_open(struct freeport **out, const struct freeport_config *config) {
    if (!out)
        return -EINVAL;
    *out = NULL;
    if (!config || (config->segment && !fp_segment_name_ok(config->segment)))
        return -EINVAL;
    struct fp_whole_handle *whole = calloc(1, sizeof *whole);
    if (!whole)
        return -ENOMEM;
    struct freeport *fp = &whole->handle; /* its first member: free() takes either */
    fp->calls = real_calls();
    int error = fp_configure(whole, config);
    if (error == 0) {
        struct fp_segment_request request = {.name = config->segment, .mode = 0600, .trusted_owner = (uid_t)-1};
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

int freeport_get(struct freeport *fp, enum freeport_protocol protocol, int timeout_ms, uint16_t *port) {
    if (!fp || !port || !protocol_ok(protocol))
        return -EINVAL;
    uint16_t chosen;
    int error = fp_get(fp, protocol, fp_owner_self(), timeout_ms, &chosen);
    if (error == 0)
        *port = chosen;
    return error;
}

int freeport_bind(struct freeport *fp, int fd, const struct sockaddr *address, socklen_t length, int timeout_ms,
                  uint16_t *port) {
    if (!fp || !address || !fp_address_ok(address, length))
        return -EINVAL;
    uint16_t chosen = 0;
    struct sockaddr_storage name;
    int protocol = fp_socket_protocol(&fp->calls, fd, &name);
    if (protocol < 0)
        return protocol;
    uint16_t sentinel = fp_address_port(address);
    if (fp_is_bound(fd, &name) || fp->ranges[protocol]->size == 0 || (sentinel != 0 && !fp->has_session))
        return -EINVAL;
    struct fp_bind bind = {.fp = fp,
                           .fd = fd,
                           .protocol = (unsigned)protocol,
                           .address = address,
                           .length = length,
                           .sentinel = sentinel,
                           .pledge = sentinel != 0 && fp->ranges[!protocol]->size != 0,
                           .timeout_ms = timeout_ms};
    bool conflict;
    int error = fp_bind(&bind, &chosen, &conflict);
    if (error == 0 && port)
        *port = chosen;
    return error;
}

int freeport_release(struct freeport *fp, enum freeport_protocol protocol, uint16_t port) {
    if (!fp || !protocol_ok(protocol) || port == 0)
        return -EINVAL;
    return fp_release(fp, protocol, fp_owner_self(), port);
}

int freeport_lookup(struct freeport *fp, enum freeport_protocol protocol, uint16_t sentinel, uint16_t *port) {
    if (!fp || !port || !protocol_ok(protocol) || sentinel == 0 || !fp->has_session)
        return -EINVAL;
    fp_meaning meaning;
    uint16_t found = fp_index_find(fp->segment, &fp->session, index_of(protocol), sentinel, &meaning);
    if (found == 0)
        return -ENOENT;
    *port = found;
    return 0;
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
    switch (-error) {
    case 0:
        return "no error";
    case EINVAL:
        return "invalid argument: a range, name, session, segment name or address that cannot be read";
    case EADDRINUSE:
        return "no port left: every port of the range is in use or reserved";
    case ETIMEDOUT:
        return "timed out before a port was found";
    case EACCES:
        return "permission denied: a segment whose mode does not let this user in, or a port below 1024";
    case EPERM:
        return "it belongs to somebody else";
    case EPROTO:
        return "no freeport segment, or one of another version";
    case ENOENT:
        return "there is none";
    case ENOSPC:
        return "no space left in /dev/shm, or too many names or sessions in use";
    case EROFS:
        return "/dev/shm is read-only";
    case EFBIG:
        return "the limit on file sizes (RLIMIT_FSIZE) is smaller than a segment";
    case EPROTONOSUPPORT:
        return "not a TCP, MPTCP or UDP socket";
    default:
        return fp_error_text(-error);
    }
}
