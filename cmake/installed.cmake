# SPDX-License-Identifier: MIT
# At the end of cmake --install: whether the loader finds the shim by its bare name, and what is missing where it does not.

# found(<variable>): glibc says in a line that it ignores what it does not find.
function(found result)
    execute_process(COMMAND ${CMAKE_COMMAND} -E env LD_PRELOAD=libfreeport_shim.so ${CMAKE_COMMAND} -E echo
        OUTPUT_QUIET ERROR_VARIABLE said)
    string(FIND "${said}" libfreeport_shim.so place)
    if(place EQUAL -1)
        set(${result} TRUE PARENT_SCOPE)
    else()
        set(${result} FALSE PARENT_SCOPE)
    endif()
endfunction()

if("$ENV{DESTDIR}" STREQUAL "")
    found(by_name)
    if(NOT by_name)
        # The cache of the loader's path is root's to write. Elsewhere this does nothing.
        find_program(LDCONFIG ldconfig PATHS /usr/sbin /sbin)
        if(LDCONFIG)
            execute_process(COMMAND ${LDCONFIG} OUTPUT_QUIET ERROR_QUIET)
        endif()
        found(by_name)
    endif()
    if(NOT by_name)
        file(GLOB_RECURSE shims ${CMAKE_INSTALL_PREFIX}/libfreeport_shim.so)
        list(FILTER shims EXCLUDE REGEX "/freeport/|/lib32/|/i386-linux-gnu/")
        list(GET shims 0 shim)
        get_filename_component(folder "${shim}" DIRECTORY)
        message("freeport: LD_PRELOAD=libfreeport_shim.so is not found by that name: ${folder} is not in the loader's path; "
            "as root: echo ${folder} >/etc/ld.so.conf.d/freeport.conf && ldconfig; or write LD_PRELOAD=${shim}, or use "
            "freeport run, which needs neither")
    endif()
endif()
