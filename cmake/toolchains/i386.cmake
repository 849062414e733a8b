# SPDX-License-Identifier: MIT
# 32-bit x86: the cross-compiler gcc-i686-linux-gnu, else the machine's own with -m32 (gcc-multilib).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR i686)
# gcc says at each alignment that it was another before 11; the format's are asserted.
set(CMAKE_C_FLAGS_INIT -Wno-psabi)
find_program(FREEPORT_I386_COMPILER i686-linux-gnu-gcc)
if(FREEPORT_I386_COMPILER)
    set(CMAKE_C_COMPILER ${FREEPORT_I386_COMPILER})
else()
    set(CMAKE_C_COMPILER gcc)
    set(CMAKE_C_FLAGS_INIT "-m32 -Wno-psabi")
endif()
set(CMAKE_LIBRARY_ARCHITECTURE i386-linux-gnu)
