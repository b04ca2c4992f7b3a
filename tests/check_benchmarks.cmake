# Every op has a benchmark, and a second one backward if it has a gradient. One benchmark of each family runs, under its name, with its counters, and they are above 0.
# No times are judged.
# -DPROGRAM=hwnas_benchmarks
cmake_minimum_required(VERSION 3.24)

# Headers of include/hwnas/ops that hold no op: reshape moves nothing, step counts steps, window computes extents.
set(no_ops reshape step window)
# Ops without a gradient.
set(forward_only accuracy augment gather_batch schedule simplex_sample)
# Headers whose benchmarks have other names.
set(benchmarks_of_mixed_node merged_filters mixed_cell)

execute_process(COMMAND ${CMAKE_COMMAND} -E env HWNAS_THREADS=2 ${PROGRAM} --benchmark_list_tests
                RESULT_VARIABLE code OUTPUT_VARIABLE listed ERROR_VARIABLE errors)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${PROGRAM} --benchmark_list_tests ends with ${code}:\n${errors}")
endif()
file(GLOB headers RELATIVE ${CMAKE_CURRENT_LIST_DIR}/../include/hwnas/ops
     ${CMAKE_CURRENT_LIST_DIR}/../include/hwnas/ops/*.hpp)
if(NOT headers)
  message(FATAL_ERROR "no ops found beside ${CMAKE_CURRENT_LIST_DIR}")
endif()
foreach(header IN LISTS headers)
  string(REGEX REPLACE "\\.hpp$" "" stem "${header}")
  if(stem IN_LIST no_ops)
    continue()
  endif()
  set(wanted ${stem})
  if(DEFINED benchmarks_of_${stem})
    set(wanted ${benchmarks_of_${stem}})
  endif()
  foreach(name IN LISTS wanted)
    if(NOT "\n${listed}" MATCHES "\n${name}/")
      message(FATAL_ERROR "ops/${header} has no benchmark ${name}/...; add one to benchmarks/ops_*.cpp")
    endif()
    if(NOT stem IN_LIST forward_only AND NOT "\n${listed}" MATCHES "\n${name}/(backward|forward_backward)/")
      message(FATAL_ERROR "ops/${header} has no benchmark ${name}/backward/...; add one to benchmarks/ops_*.cpp")
    endif()
  endforeach()
endforeach()

set(peak "GFLOP/s" of_peak)
set(op "GB/s" "GFLOP/s" of_copy)
set(step items_per_second parameters of_floor)
set(expected
    "peak/fma:${peak}"
    "peak/copy/200KB:GB/s;of_copy"
    "depthwise_conv/forward/n2_28x28x12_k3:${op};of_peak"
    "depthwise_conv/backward_weight/n2_28x28x12_k3:${op};of_peak"
    "conv/backward/n2_7x7x64_to64_k1:${op}"
    "separable_conv/backward/n2_7x7x64_to64_k3:${op}"
    "relu_conv_norm/forward_backward/n2_7x7x64_to64_k1_gated:${op}"
    "max_pool/backward/n2_7x7x64_k3:GB/s;of_copy"
    "average_pool/forward/n2_28x28x16_k2_s2:${op}"
    "node_sum/forward/n2_7x7x64_of5:${op}"
    "node_sum/backward/n2_28x28x12_of5:${op}"
    "batch_norm/backward/n2_7x7x64:${op}"
    "weighted_sum/backward/n2_7x7x64_of3:${op}"
    "weighted_norm_sum/backward/n2_7x7x64_of2:${op}"
    "linear/forward/128x256_to10:${op}"
    "cross_entropy/backward/128x10:${op}"
    "gumbel_softmax/forward/28x3:GB/s;of_copy"
    "adam/step/55066:${op}"
    "merged_filters/backward/14x16_of1:${op}"
    "mixed_cell/forward_backward/n2_7x7x64:${op}"
    "search_step/paper/128:${step}"
    "train_step/paper/128:${step}"
    "inference/pointwise/1/threads:2:${step}")

set(names "")
foreach(entry IN LISTS expected)
  if(entry MATCHES "^(.*):[^:]*$") # a counter after a semicolon is an entry of its own: it has no colon
    list(APPEND names "${CMAKE_MATCH_1}/real_time")
  endif()
endforeach()
list(JOIN names "|" filter)
execute_process(COMMAND ${CMAKE_COMMAND} -E env HWNAS_THREADS=2 HWNAS_KERNELS=portable ${PROGRAM} --benchmark_filter=^\(${filter}\)$
                        --benchmark_min_time=0.001 --benchmark_format=json
                RESULT_VARIABLE code OUTPUT_VARIABLE json ERROR_VARIABLE errors)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${PROGRAM} ends with ${code}:\n${errors}")
endif()

string(JSON threads GET "${json}" context hwnas_threads)
if(NOT threads EQUAL 2)
  message(FATAL_ERROR "HWNAS_THREADS=2, but the context says ${threads}")
endif()
string(JSON kernels GET "${json}" context hwnas_kernels)
string(JSON device GET "${json}" context hwnas_device)
if(NOT kernels STREQUAL portable OR NOT device MATCHES "2 threads, portable kernels")
  message(FATAL_ERROR "HWNAS_KERNELS=portable, but the context says ${kernels} and ${device}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -E env HWNAS_KERNELS=mmx ${PROGRAM} --benchmark_list_tests
                RESULT_VARIABLE code OUTPUT_QUIET ERROR_VARIABLE errors)
if(NOT code EQUAL 2 OR NOT errors MATCHES "HWNAS_KERNELS is .mmx., expected portable, avx2.fma or avx512")
  message(FATAL_ERROR "HWNAS_KERNELS=mmx ends with ${code} and says: ${errors}")
endif()
string(JSON count LENGTH "${json}" benchmarks)
math(EXPR last "${count} - 1")
set(found "")
foreach(i RANGE ${last})
  string(JSON name GET "${json}" benchmarks ${i} name)
  list(APPEND found "${name}")
  set(at_${name} ${i})
endforeach()
set(name "")
foreach(entry IN LISTS expected)
  set(counter "${entry}")
  if(entry MATCHES "^(.*):([^:]*)$")
    set(name "${CMAKE_MATCH_1}/real_time")
    set(counter "${CMAKE_MATCH_2}")
    if(NOT name IN_LIST found)
      message(FATAL_ERROR "no benchmark is named ${name}")
    endif()
  endif()
  string(JSON value ERROR_VARIABLE missing GET "${json}" benchmarks ${at_${name}} "${counter}")
  if(missing OR NOT value GREATER 0)
    message(FATAL_ERROR "${name}: counter ${counter} is ${value}")
  endif()
endforeach()
message(STATUS "${count} benchmarks have their counters")
