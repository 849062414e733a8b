# SPDX-License-Identifier: MIT
# Debian's cross-compiler gcc-loongarch64-linux-gnu.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR loongarch64)
set(CMAKE_C_COMPILER loongarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE loongarch64-linux-gnu)
