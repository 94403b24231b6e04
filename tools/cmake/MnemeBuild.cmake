# Compiler flags that every target of the project shares.
option(MNEME_WERROR "Treat compiler warnings as errors" ON)
set(MNEME_SANITIZE "" CACHE STRING "Sanitizers to build with, as for -fsanitize= (empty for none)")

find_program(CCACHE ccache)
if(CCACHE)
  # Paths count from the source folder, so that checkouts in different places share the cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
      CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

# Most of a source's compile time goes to its headers, so a library's sources are compiled a few
# together. Sources with options of their own stay alone.
option(MNEME_UNITY "Compile the sources of each library a few together" ON)
function(mneme_compile_together)
  set_target_properties(${ARGN} PROPERTIES UNITY_BUILD ${MNEME_UNITY} UNITY_BUILD_BATCH_SIZE 8)
  if(MNEME_UNITY)
    # A class that is defined in a source may have members of that source's own types. The warning
    # is about headers, and takes a source that another includes for one.
    foreach(target ${ARGN})
      target_compile_options(${target} PRIVATE
                             "$<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>")
    endforeach()
  endif()
endfunction()

add_library(mneme_flags INTERFACE)
target_include_directories(mneme_flags INTERFACE ${CMAKE_SOURCE_DIR})
# The baseline instruction set; kernels/cpu adds AVX-512 versions chosen at run time.
set(MNEME_CXX_FLAGS -march=x86-64-v3 -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
    -Woverloaded-virtual)
# nvcc's host code is not pedantic ISO C++.
set(MNEME_CUDA_FLAGS -lineinfo -Xcompiler=-Wall,-Wextra,-Wshadow)
if(MNEME_WERROR)
  list(APPEND MNEME_CXX_FLAGS -Werror)
  list(APPEND MNEME_CUDA_FLAGS -Werror=all-warnings -Xcompiler=-Werror)
endif()
target_compile_options(mneme_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${MNEME_CXX_FLAGS}>"
                       "$<$<COMPILE_LANGUAGE:CUDA>:${MNEME_CUDA_FLAGS}>")
if(MNEME_SANITIZE)
  target_compile_options(mneme_flags INTERFACE -fsanitize=${MNEME_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(mneme_flags INTERFACE -fsanitize=${MNEME_SANITIZE})
endif()
