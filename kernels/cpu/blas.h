// What OpenBLAS needs before it may be called: a work buffer for every thread that calls it at the
// same time. Where the address space is short, it asks the system for one again and again, for
// ever, and takes no signal meanwhile. So buffers are there before the first call, or there is an
// Error. Its own threads, which would be started when the library is loaded and need buffers and
// stacks of their own, are never started: operations cut their products into tiles and call it from
// TBB's.
#pragma once

namespace mneme::kernels::cpu {

// The most threads that can call BLAS at once, from all streams and backends.
int most_blas_callers();

// While it lives, `threads` threads more than before may call BLAS at once. Buffers of earlier
// objects are used again.
class BlasCallers {
 public:
  // Throws Error when the memory for the buffers is not there.
  explicit BlasCallers(int threads);
  ~BlasCallers();
  BlasCallers(const BlasCallers&) = delete;
  BlasCallers& operator=(const BlasCallers&) = delete;

 private:
  int threads_;
};

}  // namespace mneme::kernels::cpu
