# axvm_precompile(TARGET [HEADER...])
#
# Compiles the framework once for TARGET in place of once in each of its source files. HEADERs, such as
# axvm/observe/observe.hpp, are precompiled beside axvm/axvm.hpp; sources include what they include without it, and
# mean the same. To be called in the folder that makes TARGET; not when CMAKE_DISABLE_PRECOMPILE_HEADERS is on.
#
# With every compiler the headers become TARGET's precompiled header. With g++ TARGET also gets one more source file,
# which has the code of those functions of the framework that are no templates, and the precompiled header tells the
# compiler not to emit them anywhere else. Its means are GCC's: the pragmas `interface` and `implementation`, which
# count for the file that #line names. Functions that the compiler inlines are still inlined, and if either of the two
# is not in effect, for a header or for all, the program is the same: what stands twice is merged by the linker.
#
# Of what it may inline g++ looks at every function that can be reached, with all optimisations, before it finds that
# next to none is worth it. Functions with AXVM_ONCE (core/once.hpp) are not: one that is not optimised and stands
# elsewhere is passed over, and so is all that only it calls.
function(axvm_precompile target)
  if(NOT TARGET ${target})
    message(FATAL_ERROR "axvm_precompile: there is no target ${target}")
  endif()
  if(CMAKE_DISABLE_PRECOMPILE_HEADERS)
    return()
  endif()
  get_target_property(root axvm::axvm HEADER_DIRS)
  set(headers axvm/axvm.hpp ${ARGN})
  set(includes "")
  foreach(header IN LISTS headers)
    if(NOT EXISTS ${root}/${header})
      message(FATAL_ERROR "axvm_precompile: ${header} is no header of axvm")
    endif()
    string(APPEND includes "#include <${header}>\n")
  endforeach()
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/axvm_precompile/${target})
  set(interface "")
  set(once "")

  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # All headers that those bring along: exactly what the additional source file has the code of.
    set(implementation "")
    set(todo ${headers})
    set(seen "")
    while(todo)
      list(POP_FRONT todo header)
      if(header IN_LIST seen)
        continue()
      endif()
      list(APPEND seen ${header})
      file(STRINGS ${root}/${header} lines REGEX "^#include <axvm/")
      foreach(line IN LISTS lines)
        string(REGEX REPLACE "^#include <([^>]+)>.*" "\\1" included "${line}")
        list(APPEND todo ${included})
      endforeach()
      set(path ${root}/${header})
      get_filename_component(name ${header} NAME)
      string(APPEND implementation "#pragma implementation \"${name}\"\n")
      string(APPEND interface "#line 1 \"${path}\"\n#pragma interface\n")
      # A compiler cache may name headers from where the compiler runs.
      foreach(from ${CMAKE_BINARY_DIR} ${CMAKE_CURRENT_BINARY_DIR})
        file(RELATIVE_PATH relative ${from} ${path})
        string(APPEND interface "#line 1 \"${relative}\"\n#pragma interface\n")
      endforeach()
    endwhile()
    file(CONFIGURE OUTPUT ${folder}/parts.cpp @ONLY CONTENT
         "${implementation}${interface}#line 1 \"${folder}/parts.cpp\"\n${includes}")
    string(APPEND interface "#line 1 \"${folder}/interface.hpp\"\n")
    set(once "#define AXVM_ONCE gnu::optimize(0)\n")
    target_sources(${target} PRIVATE ${folder}/parts.cpp)
    set_source_files_properties(${folder}/parts.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    # The additional file has all functions, most programs need some.
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "EXECUTABLE")
      target_link_options(${target} PRIVATE LINKER:--gc-sections)
    endif()
  endif()

  file(CONFIGURE OUTPUT ${folder}/interface.hpp @ONLY CONTENT "${interface}${once}${includes}")
  target_precompile_headers(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${folder}/interface.hpp>")
endfunction()
