# Configures, builds and runs one consumer project from nothing.
#   cmake -DCONSUMER=installed|subdirectory -DAXVM_SOURCE= -DAXVM_BUILD= -DWORK= -DCOMPILER= -DCOMPILER_ID= -DNM=
#         -DGENERATOR= -P consumer.cmake
file(REMOVE_RECURSE ${WORK})
set(arguments -DAXVM_SOURCE=${AXVM_SOURCE})
if(CONSUMER STREQUAL "installed")
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${AXVM_BUILD} --prefix ${WORK}/prefix OUTPUT_QUIET
                          COMMAND_ERROR_IS_FATAL ANY)
  set(arguments -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF)
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${CONSUMER} -B ${WORK}/build -G ${GENERATOR}
                        -DCMAKE_CXX_COMPILER=${COMPILER} ${arguments} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build --target monitor precompiled_monitor
                        COMMAND_ERROR_IS_FATAL ANY)
foreach(program monitor precompiled_monitor)
  execute_process(COMMAND ${WORK}/build/${program} RESULT_VARIABLE result)
  if(NOT result EQUAL 0 AND NOT result EQUAL 77)
    message(FATAL_ERROR "${program} ended with ${result}")
  endif()
endforeach()

# Where the code of functions is that are no templates, failure() and, with AXVM_ONCE, check_host(): in the object of the
# file that calls them; compiled once, in an object of its own and not in the caller's. Of the compilers g++ does the
# latter.
function(expect_code program file letter)
  file(GLOB_RECURSE object ${WORK}/build/CMakeFiles/${program}.dir/${file}.cpp.o)
  execute_process(COMMAND ${NM} ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  foreach(name 7failure 6detail10check_host)
    if(NOT symbols MATCHES " ${letter} _ZN4axvm2v1${name}")
      message(FATAL_ERROR "${program}: ${name} is not of kind ${letter} in ${object}")
    endif()
  endforeach()
endfunction()
expect_code(monitor monitor W)
if(COMPILER_ID STREQUAL "GNU")
  expect_code(precompiled_monitor monitor U)
  expect_code(precompiled_monitor parts W)
endif()
