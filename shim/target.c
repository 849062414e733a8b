/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 1024, /* most programs have their headers, loader and notes in it */
    NOTE_BYTES = 512,
    LOADER_BYTES = 64,
    SCRIPT_BYTES = 256, /* as much of a script's first line as the kernel reads */
    MOST_SEGMENTS = 64,
    MOST_DYNAMIC = 64,
    MOST_SCRIPTS = 5, /* interpreters of interpreters; the kernel's bound is the same */
};

#if __SIZEOF_POINTER__ == 8
enum { OWN_CLASS = ELFCLASS64 };
#else
enum { OWN_CLASS = ELFCLASS32 };
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { OWN_DATA = ELFDATA2LSB };
#else
enum { OWN_DATA = ELFDATA2MSB };
#endif

#if defined(__x86_64__)
enum { OWN_MACHINE = EM_X86_64 };
#elif defined(__i386__)
enum { OWN_MACHINE = EM_386 };
#elif defined(__aarch64__)
enum { OWN_MACHINE = EM_AARCH64 };
#elif defined(__arm__)
enum { OWN_MACHINE = EM_ARM };
#elif defined(__riscv)
enum { OWN_MACHINE = EM_RISCV };
#elif defined(__s390__)
enum { OWN_MACHINE = EM_S390 };
#elif defined(__powerpc64__)
enum { OWN_MACHINE = EM_PPC64 };
#elif defined(__loongarch__)
enum { OWN_MACHINE = 258 };
#elif defined(__mips__)
enum { OWN_MACHINE = EM_MIPS };
#else
enum { OWN_MACHINE = EM_NONE }; /* every machine counts as this one */
#endif

#ifdef __GLIBC__
enum { OWN_MUSL = false };
#else
enum { OWN_MUSL = true };
#endif

/* The file's first bytes, and a descriptor for what lies behind them. */
struct file {
    int fd;
    size_t length;
    char head[HEAD_BYTES];
};

static bool read_at(const struct file *file, void *out, size_t size, uint64_t offset) {
    if (offset <= file->length && size <= file->length - offset) {
        memcpy(out, file->head + offset, size);
        return true;
    }
    return pread(file->fd, out, size, (off_t)offset) == (ssize_t)size;
}

/* The Go linker leaves its build id in a note with owner "Go" and type 4. */
static bool has_go_note(const struct file *file, const ElfW(Phdr) * segment) {
    _Alignas(uint32_t) char notes[NOTE_BYTES];
    size_t size = segment->p_filesz < sizeof notes ? (size_t)segment->p_filesz : sizeof notes, at = 0;
    if (!read_at(file, notes, size, segment->p_offset))
        return false;
    while (size - at >= sizeof(ElfW(Nhdr)) + 4) {
        ElfW(Nhdr) note;
        memcpy(&note, notes + at, sizeof note);
        at += sizeof note;
        if (note.n_namesz == 4 && note.n_type == 4 && memcmp(notes + at, "Go\0", 4) == 0)
            return true;
        uint64_t rest = ((uint64_t)note.n_namesz + 3) / 4 * 4 + ((uint64_t)note.n_descsz + 3) / 4 * 4;
        if (rest > size - at)
            return false;
        at += (size_t)rest;
    }
    return false;
}

static bool is_musl_loader(const struct file *file, const ElfW(Phdr) * segment) {
    char loader[LOADER_BYTES] = "";
    size_t size = segment->p_filesz < sizeof loader ? (size_t)segment->p_filesz : sizeof loader - 1;
    return read_at(file, loader, size, segment->p_offset) && strstr(loader, "/ld-musl-");
}

/*
 * Whether an image without a loader is a position-independent program. The alternative is the dynamic loader itself,
 * executed by its name, which preloads.
 */
static bool is_program(const struct file *file, const ElfW(Phdr) * segment) {
    ElfW(Dyn) entry;
    size_t count = (size_t)segment->p_filesz / sizeof entry;
    for (size_t i = 0; i < count && i < MOST_DYNAMIC; i++) {
        if (!read_at(file, &entry, sizeof entry, segment->p_offset + i * sizeof entry) || entry.d_tag == DT_NULL)
            return false;
        if (entry.d_tag == DT_FLAGS_1)
            return (entry.d_un.d_val & DF_1_PIE) != 0;
    }
    return false;
}

struct segments {
    bool interpreter, musl, go;
    bool is_loader; /* it has a dynamic section, and is no program */
};

static bool walk(const struct file *file, struct segments *found) {
    ElfW(Ehdr) header;
    ElfW(Phdr) segment;
    memcpy(&header, file->head, sizeof header);
    if (header.e_phentsize != sizeof segment)
        return false;
    for (unsigned i = 0; i < header.e_phnum && i < MOST_SEGMENTS; i++) {
        if (!read_at(file, &segment, sizeof segment, header.e_phoff + (uint64_t)i * sizeof segment))
            return false;
        if (segment.p_type == PT_INTERP) {
            found->interpreter = true;
            found->musl = is_musl_loader(file, &segment);
        }
        if (segment.p_type == PT_DYNAMIC && !found->interpreter)
            found->is_loader = !is_program(file, &segment);
        found->go |= segment.p_type == PT_NOTE && has_go_note(file, &segment);
    }
    return true;
}

static enum fp_target look_at_image(const struct file *file) {
    struct segments found = {.go = false};
    uint16_t machine;
    if (file->length < sizeof(ElfW(Ehdr)))
        return FP_TARGET_UNKNOWN;
    memcpy(&machine, file->head + offsetof(ElfW(Ehdr), e_machine), sizeof machine);
    if (file->head[EI_CLASS] != OWN_CLASS || file->head[EI_DATA] != OWN_DATA ||
        ((unsigned)OWN_MACHINE != EM_NONE && machine != OWN_MACHINE))
        return FP_TARGET_FOREIGN;
    if (!walk(file, &found))
        return FP_TARGET_UNKNOWN;
    if (found.go)
        return FP_TARGET_GO;
    if (found.interpreter)
        return found.musl == OWN_MUSL ? FP_TARGET_COVERED : FP_TARGET_FOREIGN;
    return found.is_loader ? FP_TARGET_COVERED : FP_TARGET_STATIC;
}

/* The path behind "#!", as the kernel takes it: up to a blank. False where there is none that fits. */
static bool interpreter_of(const struct file *file, char path[static HEAD_BYTES]) {
    size_t from = 2, to;
    while (from < file->length && (file->head[from] == ' ' || file->head[from] == '\t'))
        from++;
    for (to = from; to < file->length && file->head[to] && !strchr(" \t\n", file->head[to]);)
        to++;
    if (to == from || to >= SCRIPT_BYTES)
        return false;
    memcpy(path, file->head + from, to - from);
    path[to - from] = 0;
    return true;
}

/* One file. For a script: FP_TARGET_UNKNOWN, and `script` is its interpreter; else that is empty. */
static enum fp_target look_once(int fd, char script[static HEAD_BYTES]) {
    struct file file = {.fd = fd};
    script[0] = 0;
    ssize_t length = pread(fd, file.head, sizeof file.head, 0);
    file.length = length > 0 ? (size_t)length : 0;
    if (file.length > SELFMAG && memcmp(file.head, ELFMAG, SELFMAG) == 0)
        return look_at_image(&file);
    if (file.length > 2 && file.head[0] == '#' && file.head[1] == '!' && !interpreter_of(&file, script))
        script[0] = 0;
    return FP_TARGET_UNKNOWN;
}

enum fp_target fp_target_look_at(int fd) {
    char script[HEAD_BYTES];
    enum fp_target target = look_once(fd, script);
    for (int i = 0; i < MOST_SCRIPTS && script[0]; i++) {
        int next = open(script, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (next < 0)
            return FP_TARGET_UNKNOWN;
        target = look_once(next, script);
        close(next);
    }
    return target;
}

enum fp_target fp_target_look(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return FP_TARGET_UNKNOWN;
    enum fp_target target = fp_target_look_at(fd);
    close(fd);
    return target;
}
