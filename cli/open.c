/* SPDX-License-Identifier: MIT */
/*
 * A handle made by hand rather than by freeport_open(): it takes the mode and the trusted owner from the environment,
 * can leave a segment uncreated, and its bind is libc's own.
 */
#include "assign.h"
#include "cli.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/lib-names.h>
#include <stdlib.h>
#include <string.h>

/*
 * Under `freeport run`, the shim is in this process too, and would take a probe of the library for a program that binds
 * a port of the range by its number. Asked for by its library, libc's own function is found behind it.
 */
static struct {
    int (*bind)(int fd, const struct sockaddr *address, socklen_t length);
    int (*getsockname)(int fd, struct sockaddr *address, socklen_t *length);
} libc;

static void find_libc(void) {
    void *handle = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
    *(void **)&libc.bind = handle ? dlsym(handle, "bind") : NULL;
    *(void **)&libc.getsockname = handle ? dlsym(handle, "getsockname") : NULL;
}

static int plain_bind(int fd, const struct sockaddr *address, socklen_t length) {
    return libc.bind ? libc.bind(fd, address, length) : bind(fd, address, length);
}

static int plain_getsockname(int fd, struct sockaddr *address, socklen_t *length) {
    return libc.getsockname ? libc.getsockname(fd, address, length) : getsockname(fd, address, length);
}

static const struct fp_calls calls = {.bind = plain_bind, .getsockname = plain_getsockname};

static int refused(const struct fp_segment_facts *facts, int error) {
    const char *name = facts->name;
    switch (error) {
    case -EPERM:
    case -EACCES:
        cli_error("segment %s: %s (user %u's, mode %04o); FREEPORT_SEGMENT_MODE of who creates it lets others in, "
                  "FREEPORT_SEGMENT names another",
                  name, freeport_strerror(-EACCES), facts->owner, (unsigned)facts->mode);
        break;
    case -EPROTO:
        cli_error("segment %s: %s; FREEPORT_SEGMENT names another", name, freeport_strerror(error));
        break;
    case -ENOENT:
        cli_error("segment %s: no /dev/shm; freeport needs one that can be written", name);
        break;
    case -EROFS:
        cli_error("segment %s: /dev/shm is read-only; freeport needs one that can be written", name);
        break;
    case -EFBIG:
        cli_error("segment %s: larger than RLIMIT_FSIZE; raise it (ulimit -f)", name);
        break;
    default:
        cli_error("segment %s: %s", name, freeport_strerror(error));
    }
    return CLI_NO_SEGMENT;
}

int cli_open(const struct fp_settings *settings, bool create, struct freeport **fp) {
    struct fp_segment_request request = {.name = settings->segment,
                                         .mode = settings->segment_mode,
                                         .trusted_owner = settings->segment_owner,
                                         .existing_only = !create};
    struct fp_whole_handle *whole = cli_need(calloc(1, sizeof *whole));
    struct freeport *handle = &whole->handle; /* its first member: free() takes either */
    find_libc();
    handle->calls = calls;
    *fp = NULL;
    int error = fp_segment_open(&request, &handle->segment, &handle->facts);
    if (error == -ENOENT && !create) {
        free(whole);
        return CLI_OK;
    }
    struct freeport_config config = {
        .name = settings->name,
        .tcp = settings->managed[FP_TCP] ? settings->range[FP_TCP] : NULL,
        .udp = settings->managed[FP_UDP] ? settings->range[FP_UDP] : NULL,
        .session = settings->session[0] ? settings->session : NULL,
        .segment = handle->facts.name,
        .flags = settings->lenient ? FREEPORT_LENIENT : 0,
    };
    if (error == 0)
        error = fp_configure(whole, &config);
    if (error != 0) {
        int code = refused(&handle->facts, error);
        cli_close(handle);
        return code;
    }
    *fp = handle;
    return CLI_OK;
}

void cli_close(struct freeport *fp) {
    if (fp) {
        fp_segment_close(fp->segment);
        free(fp);
    }
}

int cli_no_port(const struct fp_settings *settings, enum freeport_protocol protocol, int error) {
    const char *name = cli_protocol_name(protocol), *range = settings->range[cli_protocol_index(protocol)];
    if (error == -EADDRINUSE) {
        cli_error("no %s port left in %s; freeport list shows who has them", name, range);
        return CLI_NO_PORT;
    }
    if (error == -ETIMEDOUT) {
        cli_error("no %s port of %s within %d ms", name, range, settings->timeout_ms);
        return CLI_TIMED_OUT;
    }
    cli_error("%s %s: %s", name, range, freeport_strerror(error));
    return CLI_FAILED;
}
