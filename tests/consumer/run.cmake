# Builds and runs tests/consumer: INSTALLED ON against a fresh installation of build directory BUILD, OFF against SOURCE.
file(REMOVE_RECURSE ${OUT})
if(INSTALLED)
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${OUT}/prefix OUTPUT_QUIET
                          COMMAND_ERROR_IS_FATAL ANY)
  set(where -DCMAKE_PREFIX_PATH=${OUT}/prefix)
else()
  set(where -DHWNAS_SOURCE_DIR=${SOURCE} -DHWNAS_BUILD_CUDA=OFF) # as where there is no nvcc; and it takes a minute
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B ${OUT}/build -G ${GENERATOR} ${where} -DCMAKE_BUILD_TYPE=Debug
                        -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${FLAGS} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${OUT}/build COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${OUT}/build/consumer WORKING_DIRECTORY ${OUT} COMMAND_ERROR_IS_FATAL ANY)
