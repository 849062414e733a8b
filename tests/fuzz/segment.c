/* SPDX-License-Identifier: MIT */
/*
 * The library over a segment in which anything may stand, and may change at any moment: an input is a program of writes
 * to the segment and of calls of the library. What the kernel says to a bind is the input's to say, too, and it may
 * write to the segment at that moment.
 *
 * No access beyond the segment, no undefined behaviour, no endless loop; and a port that is handed out is of the range.
 */
#include "input.h"

#include "assign.h"
#include "holder.h"
#include "lock.h"
#include "owner.h"
#include "segment.h"
#include "table.h"

#include <errno.h>
#include <netinet/in.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, MOST_STEPS = 64, MOST_DEPTH = 3 };

/* One for each process; libFuzzer runs one input at a time. */
static struct fp_segment *segment;
static struct input input;
static unsigned depth; /* of writes from inside a bind */

/* Anonymous memory that ends, and begins, where nothing may be touched. */
static void make_segment(void) {
    size_t whole = (sizeof(struct fp_segment) + PAGE - 1) / PAGE * PAGE, slack = whole - sizeof(struct fp_segment);
    char *memory = mmap(NULL, whole + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + PAGE, whole, PROT_READ | PROT_WRITE) != 0)
        abort();
    segment = (struct fp_segment *)(void *)(memory + PAGE + slack);
    ASAN_POISON_MEMORY_REGION(memory + PAGE, slack);
}

/* Fresh for each input. Pages that were never touched cost nothing. */
static void empty_segment(void) {
    char *first = (char *)((uintptr_t)segment & ~(uintptr_t)(PAGE - 1));
    if (madvise(first, (size_t)((char *)(segment + 1) - first), MADV_DONTNEED) != 0)
        abort();
    fp_lock_prepare(segment);
}

/* Writes. */

/* The parts of a segment, in words. */
static const struct part {
    size_t offset, words;
} parts[] = {
    {offsetof(struct fp_segment, header), sizeof(struct fp_header) / 8},
    {offsetof(struct fp_segment, lock), sizeof(struct fp_lock_word) / 8},
    {offsetof(struct fp_segment, names), FP_NAMES * sizeof(struct fp_label) / 8},
    {offsetof(struct fp_segment, cursors), FP_NAMES * sizeof(struct fp_cursor) / 8},
    {offsetof(struct fp_segment, taken), FP_PROTOCOL_COUNT *FP_WORDS},
    {offsetof(struct fp_segment, held), FP_PROTOCOL_COUNT *FP_WORDS},
    {offsetof(struct fp_segment, sessions), FP_SESSIONS * sizeof(struct fp_label) / 8},
    {offsetof(struct fp_segment, index), FP_INDEX_SLOTS},
    {offsetof(struct fp_segment, entries), FP_PROTOCOL_COUNT *FP_PORTS * sizeof(struct fp_entry) / 8},
};

/* The last one is as long as may be: there is no zero byte behind it. */
static const char *const labels[] = {"default", "one", "two",
                                     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};

/* A holder that is there would be waited for, a quarter of a second each time. */
static void free_lock(void) {
    if (!fp_owner_gone_quick(atomic_load(&segment->lock.holder)))
        atomic_store(&segment->lock.holder, 0);
}

/* A word that means something at many a place, or any other. */
static uint64_t any_word(void) {
    struct fp_text text;
    switch (input_byte(&input) % 8) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return fp_owner_self();
    case 3:
        return (fp_owner_self() & ~(fp_owner)0x3fffff) | 0x3ffffe; /* of our namespace, and gone */
    case 4:
        return (fp_owner_self() & ~(fp_owner)0x3fffff) | 1; /* somebody who is always there */
    case 5: {
        enum fp_state state = (enum fp_state)(input_byte(&input) % 16);
        uint16_t requested = input_byte(&input) % 2 ? 8080 : 0;
        unsigned name = input_byte(&input);
        return fp_meaning_of(state, requested, name, input_word(&input, 2) & 0xffff);
    }
    case 6:
        fp_text_set(&text, labels[input_byte(&input) % 4]);
        return text.words[0];
    default:
        return input_word(&input, 8);
    }
}

static void write_word(void) {
    const struct part *part = &parts[input_byte(&input) % (sizeof parts / sizeof *parts)];
    size_t word = (size_t)(input_word(&input, 3) % part->words);
    uint64_t value = any_word();
    memcpy((char *)segment + part->offset + word * 8, &value, sizeof value);
    free_lock();
}

/* An entry of the small range, whole: what a mutation of single words rarely meets. */
static void write_entry(void) {
    uint16_t port = (uint16_t)(30000 + input_byte(&input) % 12);
    struct fp_entry *entry = fp_entry_at(segment, input_byte(&input), port);
    atomic_store(&entry->owner, any_word());
    atomic_store(&entry->meaning, any_word());
}

/* The label of a session or name, and where the handle's own stands by its hash. */
static void write_label(void) {
    struct fp_text text;
    fp_text_set(&text, labels[input_byte(&input) % 4]);
    unsigned slot = (unsigned)(text.hash % (FP_SESSIONS - 1)) + 1 + input_byte(&input) % 4;
    struct fp_label *label =
        input_byte(&input) % 2 ? &segment->sessions[slot % FP_SESSIONS] : &segment->names[text.hash % FP_NAMES];
    for (unsigned i = 0; i < FP_LABEL_BYTES / 8; i++)
        atomic_store(&label->text[i], text.words[i]);
    atomic_store(&label->sequence, (uint32_t)input_word(&input, 1));
    atomic_store(&label->writer, any_word());
}

/* A sentinel of a session as a process leaves it, at whatever point it was killed: what mutations alone rarely meet. */
static void write_sentinel(void) {
    struct fp_text session;
    fp_text_set(&session, labels[input_byte(&input) % 4]);
    uint16_t port = (uint16_t)(30000 + input_byte(&input) % 12);
    unsigned protocol = input_byte(&input) & 1;
    int slot = fp_intern_session(segment, &session, fp_owner_self());
    enum fp_state state = (enum fp_state)(input_byte(&input) % 8);
    struct fp_entry *entry = fp_entry_at(segment, protocol, port);
    atomic_store(&entry->owner, any_word());
    atomic_store(&entry->meaning, fp_meaning_of(state, 8080, 0, slot < 0 ? 0 : (unsigned)slot));
    fp_index_add(segment, &session, protocol, 8080, port);
}

/* A part at once: every name in use, every hint set, every slot of the index taken. */
static void fill_part(void) {
    const struct part *part = &parts[input_byte(&input) % (sizeof parts / sizeof *parts)];
    size_t words = part->words < FP_INDEX_SLOTS ? part->words : FP_INDEX_SLOTS;
    uint64_t value = any_word(), step = input_word(&input, 1);
    char *at = (char *)segment + part->offset;
    for (size_t i = 0; i < words; i++, value += step)
        memcpy(at + i * 8, &value, sizeof value);
    free_lock();
}

static void write_something(void) {
    switch (input_byte(&input) % 8) {
    case 0:
        fill_part();
        break;
    case 1:
    case 2:
        write_entry();
        break;
    case 3:
        write_label();
        break;
    case 4:
        write_sentinel();
        break;
    default:
        write_word();
    }
}

/* Calls. */

static int fake_bind(int fd, const struct sockaddr *address, socklen_t length) {
    static const int errors[] = {0, EADDRINUSE, EADDRINUSE, EACCES, EADDRNOTAVAIL, EINVAL, EMFILE, 0};
    (void)fd, (void)address, (void)length;
    uint8_t byte = input_byte(&input);
    if (byte & 0x80 && depth < MOST_DEPTH) {
        depth++;
        write_something();
        depth--;
    }
    errno = errors[byte % 8];
    return errno == 0 ? 0 : -1;
}

/* In the place of a look at /proc, which would say the same each time. The linker puts it there. */
bool __wrap_fp_held_by_stranger(unsigned protocol, uint16_t port, pid_t likely, dev_t device, ino_t inode,
                                struct fp_holder *found);

bool __wrap_fp_held_by_stranger(unsigned protocol, uint16_t port, pid_t likely, dev_t device, ino_t inode,
                                struct fp_holder *found) {
    (void)protocol, (void)port, (void)likely, (void)device, (void)inode;
    found->socket = 0;
    return input_byte(&input) & 1;
}

static struct freeport *handle_of(uint8_t kind) {
    static struct fp_whole_handle whole;
    static const char *const ranges[] = {"30000-30011", "30000", "30000-30011,40000-40100", "1-65535"};
    memset(&whole, 0, sizeof whole);
    whole.handle.segment = segment;
    whole.handle.calls = (struct fp_calls){.bind = fake_bind, .getsockname = getsockname};
    struct freeport_config config = {
        .name = kind & 4 ? "one" : NULL,
        .session = kind & 8 ? labels[kind >> 4 & 1] : NULL,
        .tcp = ranges[kind & 3],
        .udp = kind & 32 ? ranges[(kind >> 6) & 3] : NULL,
    };
    if (fp_configure(&whole, &config) != 0)
        abort();
    return &whole.handle;
}

static void check_port(const struct freeport *handle, unsigned protocol, int error, uint16_t port) {
    if (error == 0 && !fp_portset_has(&handle->ranges[protocol]->ports, port))
        abort();
    if (error > 0 || error == -EAGAIN)
        abort();
}

static void do_bind(struct freeport *handle, int fd) {
    uint8_t byte = input_byte(&input);
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct fp_bind bind = {
        .fp = handle,
        .fd = fd,
        .protocol = byte & 1,
        .address = (struct sockaddr *)&address,
        .length = sizeof address,
        .sentinel = handle->has_session && byte & 2 ? 8080 : 0,
    };
    if (handle->ranges[bind.protocol]->size == 0)
        return;
    bind.timeout_ms = byte & 8 ? 1 : 0;
    bind.pledge = bind.sentinel && byte & 4 && handle->ranges[!bind.protocol]->size;
    uint16_t port = 0;
    bool conflict;
    int error = fp_bind(&bind, &port, &conflict);
    /* A sentinel's port is the table's word, and the range of another process may be another one. */
    if (!bind.sentinel)
        check_port(handle, bind.protocol, error, port);
}

static int visit(const struct freeport_assignment *assignment, void *context) {
    (void)context;
    /* Each to its end: ASan sees where that is. */
    size_t length = strlen(assignment->address) + strlen(assignment->name) + strlen(assignment->session);
    if (length > 200 || assignment->port == 0)
        abort();
    return 0;
}

static void call_something(struct freeport *handle, int fd) {
    uint16_t port = (uint16_t)(30000 + input_byte(&input) % 12);
    unsigned protocol = input_byte(&input) & 1;
    enum freeport_protocol number = protocol == FP_TCP_INDEX ? FREEPORT_TCP : FREEPORT_UDP;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    int error;
    switch (input_byte(&input) % 8) {
    case 0:
        error = fp_get(handle, number, input_byte(&input) & 1 ? fp_owner_self() : any_word(), 0, &port);
        if (error != -EINVAL)
            check_port(handle, protocol, error, port);
        break;
    case 1:
        freeport_release(handle, number, port);
        break;
    case 2:
        freeport_lookup(handle, number, 8080, &port);
        break;
    case 3:
        if (handle->has_session)
            fp_sentinel_behind(segment, &handle->session, protocol, port);
        break;
    case 4:
        /* The shim's, for a port that is bound. */
        fp_note_explicit(handle, 0, protocol, port, (struct sockaddr *)&address);
        break;
    case 5:
        freeport_each(handle, visit, NULL);
        break;
    default:
        do_bind(handle, fd);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static int fd = -1;
    if (!segment) {
        make_segment();
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    empty_segment();
    input = (struct input){bytes, size};
    struct freeport *handle = handle_of(input_byte(&input));
    for (unsigned step = 0; step < MOST_STEPS && input.left > 0; step++) {
        if (input_byte(&input) % 2)
            write_something();
        else
            call_something(handle, fd);
    }
    return 0;
}
