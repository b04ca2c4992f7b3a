# Builds and runs tests/consumer in one STYLE (its CMakeLists.txt knows three), with pkgconfig or as README.md shows; `install` puts build
# directory BUILD into PREFIX, which installed, pkgconfig, readme and refused use. OUT: a directory of its own.
file(REMOVE_RECURSE ${OUT})
file(MAKE_DIRECTORY ${OUT})
if(STYLE STREQUAL install)
  # The package alone needs nothing that only tests and examples use.
  execute_process(COMMAND ${CMAKE_COMMAND} --preset install -B ${OUT}/alone -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
                          -DCMAKE_DISABLE_FIND_PACKAGE_Catch2=ON -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON
                          -DCMAKE_DISABLE_FIND_PACKAGE_benchmark=ON
                  WORKING_DIRECTORY ${SOURCE} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  file(REMOVE_RECURSE ${PREFIX})
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  # Nothing in it leads to where it was built, or to a library of that machine.
  file(GLOB_RECURSE package ${PREFIX}/*.cmake ${PREFIX}/*.pc)
  foreach(file IN LISTS package)
    file(STRINGS ${file} paths REGEX "libcudart|${BUILD}|${SOURCE}")
    if(paths)
      message(FATAL_ERROR "${file} has paths of this machine: ${paths}")
    endif()
  endforeach()
  return()
endif()
if(STYLE STREQUAL refused)
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/refused -B ${OUT}/build -G ${GENERATOR}
                          -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_PREFIX_PATH=${PREFIX} -DHAS_CUDA=${HAS_CUDA}
                  COMMAND_ERROR_IS_FATAL ANY)
  return()
endif()
if(STYLE STREQUAL readme) # the lines that README.md shows
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer/readme -B ${OUT}/build -G ${GENERATOR}
                          -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_PREFIX_PATH=${PREFIX} -DCMAKE_CXX_FLAGS=${FLAGS}
                  COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${OUT}/build COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${OUT}/build/search WORKING_DIRECTORY ${OUT} COMMAND_ERROR_IS_FATAL ANY)
  return()
endif()
if(STYLE STREQUAL pkgconfig)
  find_program(pkg_config NAMES pkg-config pkgconf)
  if(NOT pkg_config)
    message("SKIPPED: no pkg-config")
    return()
  endif()
  file(GLOB_RECURSE file ${PREFIX}/hwnas-io.pc)
  cmake_path(GET file PARENT_PATH directory)
  set(ENV{PKG_CONFIG_PATH} "${directory}:$ENV{PKG_CONFIG_PATH}")
  execute_process(COMMAND ${pkg_config} --print-errors --exists nlohmann_json eigen3 fmt zlib RESULT_VARIABLE missing)
  if(missing)
    message("SKIPPED: pkg-config does not know the libraries that hwnas needs")
    return()
  endif()
  foreach(modules IN ITEMS "hwnas-io" "hwnas-io;hwnas-kernels")
    execute_process(COMMAND ${pkg_config} --cflags --libs ${modules} OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY
                            OUTPUT_STRIP_TRAILING_WHITESPACE)
    separate_arguments(flags UNIX_COMMAND "${flags}")
    if(modules STREQUAL "hwnas-io")
      set(sources light.cpp)
    else()
      set(sources consumer.cpp second.cpp)
      list(APPEND flags -DHWNAS_CONSUMER_ALONE)
    endif()
    list(TRANSFORM sources PREPEND ${SOURCE}/tests/consumer/)
    separate_arguments(more UNIX_COMMAND "${FLAGS}")
    execute_process(COMMAND ${COMPILER} -std=c++20 -O0 ${more} ${sources} -o ${OUT}/consumer ${flags} COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND ${OUT}/consumer WORKING_DIRECTORY ${OUT} COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
  execute_process(COMMAND ${pkg_config} --atleast-version=99 hwnas RESULT_VARIABLE refused)
  if(refused EQUAL 0)
    message(FATAL_ERROR "pkg-config takes this hwnas for version 99")
  endif()
  return()
endif()

set(where -DHWNAS_SOURCE_DIR=${SOURCE})
set(light OFF)
if(STYLE STREQUAL installed)
  set(where -DCMAKE_PREFIX_PATH=${PREFIX})
elseif(STYLE STREQUAL fetchcontent)
  set(light ON)
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B ${OUT}/build -G ${GENERATOR} ${where} -DSTYLE=${STYLE}
                        -DLIGHT=${light} -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${FLAGS}
                        COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${OUT}/build --target consumer COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${OUT}/build/consumer WORKING_DIRECTORY ${OUT} COMMAND_ERROR_IS_FATAL ANY)
