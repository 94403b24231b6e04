# mneme_cuda_emulated: the CUDA backend on the emulator, in place of mneme_cuda.
include(${CMAKE_SOURCE_DIR}/kernels/cuda/sources.cmake)
set_source_files_properties(${MNEME_CUDA_SOURCES} PROPERTIES LANGUAGE CXX)
# The initial values of rows have the same bits on every backend, so nothing is contracted there.
set_source_files_properties(${CMAKE_SOURCE_DIR}/kernels/cuda/row_records.cu PROPERTIES
                            COMPILE_OPTIONS -ffp-contract=off)
add_library(mneme_cuda_emulated STATIC ${MNEME_CUDA_SOURCES})
target_compile_definitions(mneme_cuda_emulated PRIVATE
                           THRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_TBB)
target_link_libraries(mneme_cuda_emulated PUBLIC mneme_kernels
                      PRIVATE mneme_cuda_emulator TBB::tbb)

# The mneme program on the emulator: "mneme_emulated train --device cuda ..." on any machine.
if(TARGET mneme_commands)
  add_executable(mneme_emulated $<TARGET_OBJECTS:mneme_commands>)
  target_link_libraries(mneme_emulated PRIVATE mneme_prepare mneme_ablate mneme_plan mneme_report mneme_command_line mneme_engine mneme_cuda_emulated)
  set_target_properties(mneme_emulated PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endif()
