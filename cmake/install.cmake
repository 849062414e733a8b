# SPDX-License-Identifier: MIT
# What is installed beside the targets, what is said at the end, and how it is taken away again: cmake --build B -t uninstall

# The package, for CMake and for pkg-config. Both follow a prefix that is moved.
install(EXPORT freeport-targets NAMESPACE freeport:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/freeport)
write_basic_package_version_file(freeport-config-version.cmake COMPATIBILITY SameMinorVersion)
configure_package_config_file(cmake/freeport-config.cmake.in freeport-config.cmake
    INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/freeport)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/freeport-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/freeport-config-version.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/freeport)

set(FREEPORT_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
set(FREEPORT_PC_LIBDIR ${CMAKE_INSTALL_FULL_LIBDIR})
set(FREEPORT_PC_INCLUDEDIR ${CMAKE_INSTALL_FULL_INCLUDEDIR})
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" AND NOT IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
    string(REGEX REPLACE "/$" "" up "${up}")
    set(FREEPORT_PC_PREFIX "\${pcfiledir}/${up}")
    set(FREEPORT_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(FREEPORT_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/freeport.pc.in freeport.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/freeport.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# Where the loaders of other kinds of programs look for the shim by its bare name: links to the shims.
# freeport_link(<folder> <shim>), both relative to the prefix
function(freeport_link folder shim)
    file(RELATIVE_PATH target "/${folder}" "/${shim}")
    string(MAKE_C_IDENTIFIER "${folder}" place)
    set(link ${CMAKE_CURRENT_BINARY_DIR}/links/${place}/libfreeport_shim.so)
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/links/${place})
    file(CREATE_LINK ${target} ${link} SYMBOLIC)
    install(FILES ${link} DESTINATION ${folder})
endfunction()

set(folders_32)
set(folders_musl)
if(CMAKE_INSTALL_LIBDIR STREQUAL "lib/x86_64-linux-gnu") # Debian's, with libc6:i386 and with libc6-i386
    set(folders_32 lib/i386-linux-gnu lib32)
    set(folders_musl lib/x86_64-linux-musl)
elseif(CMAKE_INSTALL_LIBDIR STREQUAL "lib64")
    set(folders_32 lib)
elseif(CMAKE_INSTALL_LIBDIR STREQUAL "lib")
    set(folders_32 lib32)
endif()
set(FREEPORT_LINKS_32 "${folders_32}" CACHE STRING "Folders below the prefix where loaders look for 32-bit libraries")
set(FREEPORT_LINKS_MUSL "${folders_musl}" CACHE STRING "Folders below the prefix where musl's loader looks")
if(TARGET freeport_platforms)
    foreach(folder IN LISTS FREEPORT_LINKS_32)
        freeport_link(${folder} ${CMAKE_INSTALL_LIBDIR}/freeport/i686/libfreeport_shim.so)
    endforeach()
endif()
foreach(folder IN LISTS FREEPORT_LINKS_MUSL)
    freeport_link(${folder} ${CMAKE_INSTALL_LIBDIR}/libfreeport_shim.so)
endforeach()

# Last of all.
if(NOT CMAKE_CROSSCOMPILING)
    install(SCRIPT cmake/installed.cmake)
endif()

if(NOT TARGET uninstall)
    add_custom_target(uninstall
        COMMAND ${CMAKE_COMMAND} -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/uninstall.cmake
        WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR} VERBATIM)
endif()
