# One file of tests/must_not_compile: with HWNAS_MUST_COMPILE defined it compiles; without, it fails and the compiler's
# output matches the pattern in its first line, `// expect: regex`.
# -DCOMPILER=c++ -DFLAGS="list of flags" -DSOURCE=file
cmake_minimum_required(VERSION 3.24)

file(STRINGS ${SOURCE} first_line LIMIT_COUNT 1)
if(NOT first_line MATCHES "^// expect: (.+)$")
  message(FATAL_ERROR "${SOURCE}: the first line must read `// expect: regex`")
endif()
set(pattern "${CMAKE_MATCH_1}")

set(command ${COMPILER} ${FLAGS} -fsyntax-only ${SOURCE})
execute_process(COMMAND ${command} -DHWNAS_MUST_COMPILE RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${SOURCE} does not compile with HWNAS_MUST_COMPILE:\n${output}")
endif()
execute_process(COMMAND ${command} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(code EQUAL 0)
  message(FATAL_ERROR "${SOURCE} compiles, but must not")
endif()
if(NOT output MATCHES "${pattern}")
  message(FATAL_ERROR "${SOURCE} fails to compile, but not with `${pattern}`:\n${output}")
endif()
