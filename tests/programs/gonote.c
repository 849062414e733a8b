/* SPDX-License-Identifier: MIT */
/* The note that Go's linker leaves in every program: its build id. It makes of any program one that looks like Go's. */
__asm__(".pushsection .note.go.buildid, \"a\", %note\n"
        "    .balign 4\n"
        "    .long 4, 4, 4\n" /* length of the owner, length of the text, type */
        "    .asciz \"Go\\0\"\n"
        "    .ascii \"0123\"\n"
        ".popsection\n");
