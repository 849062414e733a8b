# SPDX-License-Identifier: MIT
#
# freeport_add_test(NAME <name> COMMAND <command> [<argument>...]
#                   [SENTINELS <ports>] [OPTIONS <option of freeport run>...]
#                   [CONFIGURATIONS <configuration>...] [WORKING_DIRECTORY <directory>])
#
# add_test() in a session of its own: tests with one port written into them run at once, under ctest -j and in several
# build folders. SENTINELS: the ports to replace, as --sentinels has them; all without it. A command that is a target is
# its executable. FREEPORT_EXECUTABLE is the freeport(1) to use.
function(freeport_add_test)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;SENTINELS;WORKING_DIRECTORY" "COMMAND;OPTIONS;CONFIGURATIONS")
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "freeport_add_test: '${arg_UNPARSED_ARGUMENTS}': expected NAME, COMMAND, SENTINELS, OPTIONS, "
            "CONFIGURATIONS or WORKING_DIRECTORY before it")
    endif()
    if(NOT arg_NAME OR NOT arg_COMMAND)
        message(FATAL_ERROR "freeport_add_test: expected NAME and COMMAND")
    endif()
    find_program(FREEPORT_EXECUTABLE freeport)
    if(NOT FREEPORT_EXECUTABLE)
        message(FATAL_ERROR "freeport_add_test: freeport is not in PATH; name it in FREEPORT_EXECUTABLE")
    endif()

    list(POP_FRONT arg_COMMAND program)
    if(TARGET ${program})
        set(program "$<TARGET_FILE:${program}>")
    endif()
    set(options --session new)
    if(DEFINED arg_SENTINELS)
        list(APPEND options --sentinels "${arg_SENTINELS}")
    endif()
    set(others)
    foreach(keyword IN ITEMS CONFIGURATIONS WORKING_DIRECTORY)
        if(arg_${keyword})
            list(APPEND others ${keyword} ${arg_${keyword}})
        endif()
    endforeach()
    add_test(NAME ${arg_NAME} ${others}
        COMMAND ${FREEPORT_EXECUTABLE} run ${options} ${arg_OPTIONS} -- ${program} ${arg_COMMAND})
endfunction()
