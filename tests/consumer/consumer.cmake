# Configures, builds and runs one consumer project from nothing.
#   cmake -DCONSUMER=installed|subdirectory -DAXVM_SOURCE= -DAXVM_BUILD= -DWORK= -DCOMPILER= -DGENERATOR= -P consumer.cmake
file(REMOVE_RECURSE ${WORK})
set(arguments -DAXVM_SOURCE=${AXVM_SOURCE})
if(CONSUMER STREQUAL "installed")
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${AXVM_BUILD} --prefix ${WORK}/prefix OUTPUT_QUIET
                          COMMAND_ERROR_IS_FATAL ANY)
  set(arguments -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF)
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${CONSUMER} -B ${WORK}/build -G ${GENERATOR}
                        -DCMAKE_CXX_COMPILER=${COMPILER} ${arguments} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build --target monitor COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${WORK}/build/monitor RESULT_VARIABLE result)
if(NOT result EQUAL 0 AND NOT result EQUAL 77)
  message(FATAL_ERROR "the monitor ended with ${result}")
endif()
