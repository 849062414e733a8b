/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 1024,  /* enough for the headers, loader and notes of most programs */
    SCRIPT_BYTES = 256, /* the kernel reads as much of a script's first line */
    NOTE_BYTES = 512,
    LOADER_BYTES = 64,
    MOST_SEGMENTS = 64,
    MOST_DYNAMIC = 64,
    MOST_SCRIPTS = 5, /* a script's interpreter may be a script; the kernel has the same bound */
};

/* The file's first bytes, and a descriptor to read the others. */
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

/* ELF of either word size, in this machine's byte order. */

struct image {
    const struct file *file;
    unsigned char elf_class;
    uint16_t machine;
    uint64_t table; /* offset of the program headers */
    unsigned count;
};

struct segment {
    uint32_t type;
    uint64_t offset, size;
};

static bool read_header(struct image *image) {
    Elf64_Ehdr wide;
    Elf32_Ehdr narrow;
    if (image->elf_class == ELFCLASS64 && read_at(image->file, &wide, sizeof wide, 0)) {
        image->machine = wide.e_machine;
        image->table = wide.e_phoff;
        image->count = wide.e_phentsize == sizeof(Elf64_Phdr) ? wide.e_phnum : 0;
    } else if (image->elf_class == ELFCLASS32 && read_at(image->file, &narrow, sizeof narrow, 0)) {
        image->machine = narrow.e_machine;
        image->table = narrow.e_phoff;
        image->count = narrow.e_phentsize == sizeof(Elf32_Phdr) ? narrow.e_phnum : 0;
    }
    if (image->count > MOST_SEGMENTS)
        image->count = MOST_SEGMENTS;
    return image->count > 0;
}

static bool read_segment(const struct image *image, unsigned number, struct segment *segment) {
    Elf64_Phdr wide;
    Elf32_Phdr narrow;
    if (image->elf_class == ELFCLASS64) {
        if (!read_at(image->file, &wide, sizeof wide, image->table + number * sizeof wide))
            return false;
        *segment = (struct segment){wide.p_type, wide.p_offset, wide.p_filesz};
    } else {
        if (!read_at(image->file, &narrow, sizeof narrow, image->table + number * sizeof narrow))
            return false;
        *segment = (struct segment){narrow.p_type, narrow.p_offset, narrow.p_filesz};
    }
    return true;
}

/* The Go linker leaves its build id in a note with owner "Go" and type 4. */
static bool has_go_note(const struct image *image, const struct segment *segment) {
    char notes[NOTE_BYTES];
    Elf64_Nhdr note; /* the same in both word sizes */
    size_t size = segment->size < sizeof notes ? (size_t)segment->size : sizeof notes, at = 0;
    if (!read_at(image->file, notes, size, segment->offset))
        return false;
    while (size - at >= sizeof note + 4) {
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

static bool is_musl_loader(const struct image *image, const struct segment *segment) {
    char loader[LOADER_BYTES] = "";
    size_t size = segment->size < sizeof loader ? (size_t)segment->size : sizeof loader - 1;
    return read_at(image->file, loader, size, segment->offset) && strstr(loader, "/ld-musl-");
}

static bool read_dynamic(const struct image *image, uint64_t offset, size_t number, int64_t *tag, uint64_t *value) {
    Elf64_Dyn wide;
    Elf32_Dyn narrow;
    bool is_wide = image->elf_class == ELFCLASS64;
    if (is_wide ? !read_at(image->file, &wide, sizeof wide, offset + number * sizeof wide)
                : !read_at(image->file, &narrow, sizeof narrow, offset + number * sizeof narrow))
        return false;
    *tag = is_wide ? wide.d_tag : narrow.d_tag;
    *value = is_wide ? wide.d_un.d_val : narrow.d_un.d_val;
    return true;
}

/*
 * True if an image without an interpreter is a position-independent program. The other such image is the dynamic loader
 * itself, executed by its name, which preloads.
 */
static bool is_program(const struct image *image, const struct segment *segment) {
    int64_t tag;
    uint64_t value;
    for (size_t i = 0; i < MOST_DYNAMIC; i++) {
        if (!read_dynamic(image, segment->offset, i, &tag, &value) || tag == DT_NULL)
            return false;
        if (tag == DT_FLAGS_1)
            return (value & DF_1_PIE) != 0;
    }
    return false;
}

/* Fills in kind and musl from the program headers. */
static void walk(const struct image *image, struct fp_target *target) {
    struct segment segment;
    bool interpreter = false, loader = false, go = false;
    for (unsigned i = 0; i < image->count && read_segment(image, i, &segment); i++) {
        if (segment.type == PT_INTERP) {
            interpreter = true;
            target->musl = is_musl_loader(image, &segment);
        } else if (segment.type == PT_DYNAMIC && !interpreter) {
            loader = !is_program(image, &segment);
        } else if (segment.type == PT_NOTE) {
            go |= has_go_note(image, &segment);
        }
    }
    target->kind = go ? FP_TARGET_GO : interpreter || loader ? FP_TARGET_DYNAMIC : FP_TARGET_STATIC;
}

static void look_at_image(const struct file *file, struct fp_target *target) {
    struct image image = {.file = file, .elf_class = (unsigned char)file->head[EI_CLASS]};
    if (!read_header(&image))
        return;
    target->elf_class = image.elf_class;
    target->machine = image.machine;
    walk(&image, target);
}

/* Scripts */

/* The path behind "#!", up to a blank, as the kernel reads it. False without one, or if it is too long. */
static bool interpreter_of(const struct file *file, char path[static SCRIPT_BYTES]) {
    size_t from = 2, to;
    while (from < file->length && (file->head[from] == ' ' || file->head[from] == '\t'))
        from++;
    for (to = from; to < file->length && file->head[to] && !strchr(" \t\n", file->head[to]);)
        to++;
    if (to == from || to - from >= SCRIPT_BYTES)
        return false;
    memcpy(path, file->head + from, to - from);
    path[to - from] = 0;
    return true;
}

/* Looks at one file. True for a script: `path` is its interpreter then, which has to be looked at next. */
static bool look_once(struct fp_target *target, const char *file_path, char path[static SCRIPT_BYTES]) {
    struct file file = {.fd = open(file_path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
    bool script = false;
    if (file.fd < 0)
        return false;
    ssize_t length = pread(file.fd, file.head, sizeof file.head, 0);
    file.length = length > 0 ? (size_t)length : 0;
    if (file.length > SELFMAG && memcmp(file.head, ELFMAG, SELFMAG) == 0)
        look_at_image(&file, target);
    else if (file.length > 2 && file.head[0] == '#' && file.head[1] == '!')
        script = interpreter_of(&file, path);
    close(file.fd);
    return script;
}

struct fp_target fp_target_look(const char *path) {
    struct fp_target target = {.kind = FP_TARGET_UNKNOWN};
    char script[SCRIPT_BYTES];
    for (int i = 0; i < MOST_SCRIPTS && look_once(&target, path, script); i++)
        path = script;
    return target;
}

/* The machine that this shim is built for. */

#if __SIZEOF_POINTER__ == 8
enum { OWN_CLASS = ELFCLASS64 };
#else
enum { OWN_CLASS = ELFCLASS32 };
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
enum { OWN_MACHINE = 258 }; /* EM_LOONGARCH, which older headers lack */
#else
enum { OWN_MACHINE = EM_NONE };
#endif

/* 64-bit shims serve both C libraries. 32-bit ones use names of the one that they are built with (64-bit times). */
static bool own_serves(bool musl) {
#ifdef __GLIBC__
    return OWN_CLASS == ELFCLASS64 || !musl;
#else
    return OWN_CLASS == ELFCLASS64 || musl;
#endif
}

static bool is_x86(unsigned machine) {
    return machine == EM_X86_64 || machine == EM_386;
}

bool fp_target_covered(const struct fp_target *target, const char *preload) {
    if (target->kind != FP_TARGET_DYNAMIC)
        return target->kind == FP_TARGET_UNKNOWN;
    bool own_machine = (unsigned)OWN_MACHINE == EM_NONE || target->machine == (unsigned)OWN_MACHINE;
    if (target->elf_class == OWN_CLASS && own_machine)
        return own_serves(target->musl);
    return is_x86(OWN_MACHINE) && is_x86(target->machine) && preload && strstr(preload, "$PLATFORM") &&
           (target->elf_class == ELFCLASS64 || !target->musl);
}
