# The CUDA backend's sources, for nvcc (here) and for the emulator that tests them on machines
# without a GPU (tests/cuda_emulator).
set(MNEME_CUDA_SOURCES
  adamw.cu
  add.cu
  attention.cu
  attention_backward.cu
  catch_up_rows.cu
  column_sums.cu
  convert.cu
  cross_entropy.cu
  cuda_backend.cpp
  cuda_stream.cpp
  device_arena.cpp
  device_report.cpp
  device_scratch.cpp
  embedding.cu
  gated_silu.cu
  gather_rows.cu
  group_lookups.cu
  half_key_backward.cu
  key_search.cu
  lookup_dot.cu
  matmul.cpp
  norm.cu
  norm_backward.cu
  operation.cpp
  reductions.cu
  residency.cu
  rotary.cu
  row_gradient.cu
  row_records.cu
  scalar_gate.cu
  select_victims.cu
  softmax_backward.cu
  update_rows.cu)
list(TRANSFORM MNEME_CUDA_SOURCES PREPEND ${CMAKE_SOURCE_DIR}/kernels/cuda/)
