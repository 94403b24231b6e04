// The seam to a device. One pure virtual interface: a backend that lacks an operation does not
// compile. The CPU backend is the reference; CUDA follows operation by operation under the same
// file names. A Backend knows nothing of tiers, layers or models.
//
// Operations are queued on a stream and run later; errors of queued work surface at
// Stream::synchronize() and travel with events (memory.h). Scratch memory that an operation needs
// belongs to its stream and is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/dense_ops.h"
#include "kernels/float_type.h"
#include "kernels/key_ops.h"
#include "kernels/memory.h"
#include "kernels/residency_ops.h"
#include "kernels/row_ops.h"

namespace mneme::kernels {

class Backend : public DenseOps, public KeyOps, public RowOps, public ResidencyOps {
 public:
  virtual std::string name() const = 0;  // "cpu (2 threads, AVX-512)"

  // The type in which a model keeps activations and copies of its weights for matrix products.
  virtual FloatType compute_type() const = 0;

  // Zeroed memory, 64-byte aligned (device) or page aligned (pinned host). Large allocations cost
  // nothing until they are touched on the CPU backend. Throws Error: what was asked, what is free.
  virtual Buffer allocate(std::size_t bytes, MemoryKind kind) = 0;
  virtual std::unique_ptr<Stream> create_stream() = 0;
  virtual std::unique_ptr<Event> create_event() = 0;

  // Between any two kinds of memory.
  virtual void copy(Stream& stream, void* target, const void* source, std::size_t bytes) = 0;
  virtual void zero(Stream& stream, void* target, std::size_t bytes) = 0;

 protected:
  friend class Buffer;
  // Waits for everything queued on the backend's streams, as cudaFree does, then frees.
  virtual void release(void* data, std::size_t bytes, MemoryKind kind) noexcept = 0;
};

struct CpuOptions {
  int threads = 0;  // 0: all cores that the process may use
};
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options = {});

struct CudaOptions {
  int device = 0;
  // Device memory taken at the start, for everything; 0: what is free less 1 GiB.
  std::size_t arena_bytes = 0;
  // kF32 is a mode for tests: nothing is rounded to bf16, and matrix products are slow.
  FloatType compute_type = FloatType::kBF16;
  // The most multiprocessors that moving records between host and device occupies, each way. At
  // least 1. The others are left to what runs on other streams meanwhile.
  int transfer_multiprocessors = 16;
};
// Why make_cuda_backend() would throw for want of a device, driver or build; empty when it can try.
std::string cuda_unavailable(int device = 0);
// Throws Error when there is no usable device or too little memory on it.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {});

}  // namespace mneme::kernels
