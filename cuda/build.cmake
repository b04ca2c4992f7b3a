# hwnas::cuda  the CUDA backend, a static library. Built where nvcc is found, unless HWNAS_BUILD_CUDA says otherwise; who
# links it needs no nvcc. In a project of somebody else it is built only if that asks for it, since it enables CUDA there.
set(hwnas_build_cuda OFF)
if(PROJECT_IS_TOP_LEVEL)
  set(hwnas_build_cuda AUTO)
endif()
set(HWNAS_BUILD_CUDA ${hwnas_build_cuda} CACHE STRING "Build the CUDA backend: AUTO (where nvcc is found), ON or OFF")
set_property(CACHE HWNAS_BUILD_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT HWNAS_BUILD_CUDA STREQUAL AUTO AND NOT HWNAS_BUILD_CUDA)
  return()
endif()

find_program(HWNAS_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
mark_as_advanced(HWNAS_NVCC)
if(HWNAS_NVCC)
  if(NOT DEFINED CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${HWNAS_NVCC})
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 75-virtual 80 86 90)
  endif()
  find_package(CUDAToolkit 12.0 QUIET)
endif()
if(NOT HWNAS_NVCC OR NOT CUDAToolkit_FOUND)
  if(NOT HWNAS_BUILD_CUDA STREQUAL AUTO)
    message(FATAL_ERROR "hwnas: HWNAS_BUILD_CUDA is ON, but no CUDA Toolkit 12 or newer is found; set CUDACXX to its nvcc")
  endif()
  message(STATUS "hwnas: no CUDA Toolkit found, building without the CUDA backend")
  return()
endif()
enable_language(CUDA)

file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cu)
add_library(hwnas_cuda_kernels OBJECT ${cuda_sources})
target_include_directories(hwnas_cuda_kernels PRIVATE ${PROJECT_SOURCE_DIR}/include)
target_compile_options(hwnas_cuda_kernels PRIVATE -std=c++20 --expt-relaxed-constexpr -Xptxas=-v -Xcompiler=-Wall,-Wextra,-Wshadow
                                                  $<$<BOOL:${HWNAS_WARNINGS_AS_ERRORS}>:-Werror=all-warnings>)
set_target_properties(hwnas_cuda_kernels PROPERTIES POSITION_INDEPENDENT_CODE ON
                      CUDA_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/keep_ptxas_log.sh)

add_library(hwnas_cuda STATIC ${CMAKE_CURRENT_LIST_DIR}/device.cpp ${CMAKE_CURRENT_LIST_DIR}/dispatch.cpp
                              $<TARGET_OBJECTS:hwnas_cuda_kernels>)
add_library(hwnas::cuda ALIAS hwnas_cuda)
set_target_properties(hwnas_cuda PROPERTIES POSITION_INDEPENDENT_CODE ON LINKER_LANGUAGE CXX)
list(JOIN CMAKE_CUDA_ARCHITECTURES ", " architectures)
target_compile_definitions(hwnas_cuda PRIVATE HWNAS_CUDA_ARCHITECTURES="${architectures}") # for a card that is none of them
target_include_directories(hwnas_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
# Installed, the runtime is that of the machine where it is used (hwnas-config.cmake); its target is one of this directory's.
target_link_libraries(hwnas_cuda PUBLIC hwnas PRIVATE $<BUILD_INTERFACE:hwnas_warnings> $<BUILD_INTERFACE:${CUDA_cudart_static_LIBRARY}>
                                                      $<INSTALL_INTERFACE:CUDA::cudart_static> rt ${CMAKE_DL_LIBS})
list(APPEND hwnas_installed hwnas_cuda)
