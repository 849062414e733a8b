/* SPDX-License-Identifier: MIT */
/*
 * Opens a handle without freeport_open(): mode and trusted owner come from the environment, the segment need not be
 * created, and its calls go to libc, past a shim in this process.
 */
#include "assign.h"
#include "cli.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/lib-names.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Under `freeport run`, the shim is loaded in this process too, and would note a probe of the library as a bind by
 * number. So libc's own functions are used, which are looked up in libc itself.
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

/* An object with the segment's name that this version can't use. */
enum impostor { STRANGE, OTHER_VERSION, DAMAGED };

static enum impostor look_at(const char *path, uint32_t *version) {
    struct fp_header header = {0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    bool regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    bool read = regular && pread(fd, &header, sizeof header, 0) > 0;
    if (fd >= 0)
        close(fd);
    *version = header.version;
    if (read && header.magic == FP_MAGIC && header.version != FP_VERSION)
        return OTHER_VERSION;
    return regular && (header.magic == FP_MAGIC || st.st_size == (off_t)sizeof(struct fp_segment)) ? DAMAGED : STRANGE;
}

/* Advises to remove the object only if it is freeport's, and says who may do that. */
static void say_impostor(const struct fp_segment_facts *facts) {
    uint32_t version;
    char *path = cli_text("/dev/shm%s", facts->name), *word = cli_shell_word(path), *what;
    enum impostor impostor = look_at(path, &version);
    if (impostor == OTHER_VERSION)
        what = cli_text("of another version of freeport: layout %u, and this one has %d", version, FP_VERSION);
    else
        what = cli_text("%s", impostor == DAMAGED ? "damaged" : "no freeport segment");
    if (impostor == STRANGE)
        cli_error("segment %s: %s; FREEPORT_SEGMENT names another", facts->name, what);
    else if (facts->owner != geteuid() && geteuid() != 0)
        cli_error("segment %s: %s; FREEPORT_SEGMENT names another, or user %u removes it once nothing uses it",
                  facts->name, what, facts->owner);
    else
        cli_error("segment %s: %s; FREEPORT_SEGMENT names another, or remove it once nothing uses it: rm %s",
                  facts->name, what, word);
    free(what);
    free(word);
    free(path);
}

static const char *way_out(int error) {
    switch (error) {
    case -ENOENT:
        return "no /dev/shm; freeport needs one that can be written";
    case -EROFS:
        return "/dev/shm is read-only; freeport needs one that can be written";
    case -ENOSPC:
        return "/dev/shm is full; make room in it";
    case -EFBIG:
        return "larger than RLIMIT_FSIZE; raise it (ulimit -f)";
    case -ENOMEM:
        return "no memory or address space for it; raise RLIMIT_AS (ulimit -v)";
    case -EMFILE:
    case -ENFILE:
        return "no descriptor left; raise RLIMIT_NOFILE (ulimit -n)";
    default:
        return freeport_strerror(error);
    }
}

static int refused(const struct fp_segment_facts *facts, int error) {
    bool forbidden = error == -EPERM || error == -EACCES;
    if (forbidden && facts->owner == (uid_t)-1) /* it does not exist, and this user may not create it */
        cli_error("segment %s: /dev/shm: %s; freeport needs one that user %u may write to", facts->name,
                  strerror(EACCES), geteuid());
    else if (error == -EPERM)
        cli_error("segment %s: it belongs to user %u, and one is trusted if it is user %u's own or root's; "
                  "FREEPORT_SEGMENT names another",
                  facts->name, facts->owner, geteuid());
    else if (forbidden)
        cli_error("segment %s: its mode does not let user %u in (user %u's, mode %04o); created with "
                  "FREEPORT_SEGMENT_MODE=0660 it is for a group, FREEPORT_SEGMENT names another",
                  facts->name, geteuid(), facts->owner, (unsigned)facts->mode);
    else if (error == -EPROTO)
        say_impostor(facts);
    else
        cli_error("segment %s: %s", facts->name, way_out(error));
    return CLI_NO_SEGMENT;
}

int cli_open_with(const struct fp_settings *settings, bool create, struct freeport **fp,
                  struct fp_segment_facts *facts) {
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
    *facts = handle->facts;
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
    /* Named sentinels are removed from the ranges. */
    for (unsigned i = 0; error == 0 && i < FP_PROTOCOLS; i++)
        if (settings->managed[i])
            whole->ranges[i] = settings->ranges[i];
    if (error != 0) {
        int code = refused(&handle->facts, error);
        cli_close(handle);
        return code;
    }
    handle->pins = &settings->pins;
    *fp = handle;
    return CLI_OK;
}

int cli_open(const struct fp_settings *settings, bool create, struct freeport **fp) {
    struct fp_segment_facts facts;
    return cli_open_with(settings, create, fp, &facts);
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
        cli_error("no %s port left in %s; freeport list shows whose they are, freeport doctor who else is there", name,
                  range);
        return CLI_NO_PORT;
    }
    if (error == -ETIMEDOUT) {
        cli_error("no %s port of %s within %d ms", name, range, settings->timeout_ms);
        return CLI_TIMED_OUT;
    }
    cli_error("%s %s: %s", name, range, freeport_strerror(error));
    return CLI_FAILED;
}
