# SPDX-License-Identifier: MIT
#
# On x86-64 a shim for 32-bit programs, too, and the folders by which each program's loader finds its own: LD_PRELOAD
# names freeport/$PLATFORM/libfreeport_shim.so beside the shim.
#
#     glibc, 64-bit   $PLATFORM is x86_64, or haswell or xeon_phi before glibc 2.37
#     glibc, 32-bit   $PLATFORM is i686, on old processors i586, i486 or i386
#     musl, 64-bit    $PLATFORM is taken as it stands; the 64-bit shim serves musl as well
#     nothing         a shell that evaluates the variable once more leaves the 64-bit shim
set(FREEPORT_SHIM32 AUTO CACHE STRING "Build the shim for 32-bit programs, too: ON, OFF or AUTO, where a compiler is")
set_property(CACHE FREEPORT_SHIM32 PROPERTY STRINGS AUTO ON OFF)

set(wanted ${FREEPORT_SHIM32})
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" OR NOT CMAKE_SIZEOF_VOID_P EQUAL 8 OR FREEPORT_SANITIZE)
    set(wanted OFF)
endif()
if(wanted STREQUAL "AUTO")
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/probe.c "#include <sys/socket.h>\n")
    foreach(compiler IN ITEMS i686-linux-gnu-gcc gcc)
        execute_process(COMMAND ${compiler} -m32 -fPIC -shared -o ${CMAKE_CURRENT_BINARY_DIR}/probe.so
            ${CMAKE_CURRENT_BINARY_DIR}/probe.c RESULT_VARIABLE failure OUTPUT_QUIET ERROR_QUIET)
        if(failure STREQUAL "0")
            break()
        endif()
    endforeach()
    if(NOT failure STREQUAL "0")
        message(STATUS "No compiler for 32-bit programs (gcc-multilib or gcc-i686-linux-gnu): no shim for them is built")
        set(wanted OFF)
    endif()
endif()
if(NOT wanted)
    return()
endif()

include(ExternalProject)
ExternalProject_Add(freeport_shim32
    SOURCE_DIR ${PROJECT_SOURCE_DIR}
    BINARY_DIR ${CMAKE_CURRENT_BINARY_DIR}/i686
    CMAKE_ARGS
        -DCMAKE_TOOLCHAIN_FILE=${PROJECT_SOURCE_DIR}/cmake/toolchains/i386.cmake
        -DCMAKE_BUILD_TYPE=${CMAKE_BUILD_TYPE}
        -DCMAKE_COMPILE_WARNING_AS_ERROR=${CMAKE_COMPILE_WARNING_AS_ERROR}
        -DFREEPORT_BUILD_CLI=OFF -DFREEPORT_BUILD_DOCS=OFF -DBUILD_TESTING=OFF
    BUILD_COMMAND ${CMAKE_COMMAND} --build <BINARY_DIR> --target freeport_shim freeport
    BUILD_ALWAYS ON
    INSTALL_COMMAND ""
    BUILD_BYPRODUCTS ${CMAKE_CURRENT_BINARY_DIR}/i686/shim/libfreeport_shim.so)

set(platforms ${CMAKE_CURRENT_BINARY_DIR}/freeport)
set(shim libfreeport_shim.so)
file(MAKE_DIRECTORY ${platforms}/x86_64 ${platforms}/i686)
file(CREATE_LINK ../${shim} ${platforms}/${shim} SYMBOLIC)
file(CREATE_LINK ../../${shim} ${platforms}/x86_64/${shim} SYMBOLIC)
foreach(name IN ITEMS haswell xeon_phi "\$PLATFORM")
    file(CREATE_LINK x86_64 "${platforms}/${name}" SYMBOLIC)
endforeach()
foreach(name IN ITEMS i386 i486 i586)
    file(CREATE_LINK i686 ${platforms}/${name} SYMBOLIC)
endforeach()
add_custom_command(OUTPUT ${platforms}/i686/${shim}
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_BINARY_DIR}/i686/shim/${shim} ${platforms}/i686/${shim}
    DEPENDS freeport_shim32 ${CMAKE_CURRENT_BINARY_DIR}/i686/shim/${shim}
    VERBATIM)
add_custom_target(freeport_platforms ALL DEPENDS ${platforms}/i686/${shim})
install(DIRECTORY ${platforms} DESTINATION ${CMAKE_INSTALL_LIBDIR} USE_SOURCE_PERMISSIONS)
