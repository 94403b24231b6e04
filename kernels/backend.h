// The interface to a device: memory, streams, events, and every operation that a model needs. There
// are two backends, cpu/ and cuda/, with the same operation in a file of the same name. All
// operations are pure virtual, so that a backend which lacks one does not compile. A backend knows
// nothing of tiers, layers or models.
//
//   memory.h          memory, streams, events, and how failures of queued work are reported
//   dense_ops.h       matrix products, attention, norms, loss, AdamW of the dense parameters
//   key_ops.h         product-key search
//   row_ops.h         rows of a value table: gather, gradients, optimiser, records
//   residency_ops.h   where rows are: look-up, free slots, victims
//   expert_ops.h      PEER's experts and mixtures of experts
//
// Calling an operation queues it on a stream and returns; it runs later, after what was queued on
// that stream before. Pointers that it is given are device memory unless said otherwise, and must
// stay valid until it has run. An error of queued work is thrown by Stream::synchronize().
// Temporary memory of an operation belongs to its stream, which keeps it for the next one.
//
// Threads: one thread at a time queues work on a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/dense_ops.h"
#include "kernels/expert_ops.h"
#include "kernels/float_type.h"
#include "kernels/key_ops.h"
#include "kernels/memory.h"
#include "kernels/residency_ops.h"
#include "kernels/row_ops.h"

namespace mneme::kernels {

class Backend : public DenseOps,
                public KeyOps,
                public RowOps,
                public ResidencyOps,
                public ExpertOps {
 public:
  virtual std::string name() const = 0;  // "cpu (2 threads, AVX-512)"
  // What computes matrix products, with its version: "mneme 0.1.0, AVX-512 kernels".
  virtual std::string product_library() const = 0;

  // Once in each thread that works with the backend, but the one that has made it.
  virtual void use_in_this_thread() {}

  // The type of activations, and of the copies of weights that matrix products read.
  virtual FloatType compute_type() const = 0;

  // Zeroed memory, aligned to 64 bytes (device) or to a page (pinned host). On the CPU backend
  // pages of large allocations take no memory before they are written. Throws Error when there is
  // too little, with the bytes wanted and the bytes free.
  virtual Buffer allocate(std::size_t bytes, MemoryKind kind) = 0;
  // Pinned memory that the machine could hand out now.
  virtual std::size_t free_pinned_bytes() const;
  virtual std::unique_ptr<Stream> create_stream(
      StreamPriority priority = StreamPriority::kNormal) = 0;
  virtual std::unique_ptr<Event> create_event() = 0;

  // source and target: device or pinned host memory, in any combination.
  virtual void copy(Stream& stream, void* target, const void* source, std::size_t bytes) = 0;
  virtual void zero(Stream& stream, void* target, std::size_t bytes) = 0;

 protected:
  friend class Buffer;
  // Frees what allocate() returned, after everything queued on any stream of the backend has run,
  // as cudaFree does.
  virtual void release(void* data, std::size_t bytes, MemoryKind kind) noexcept = 0;
};

struct CpuOptions {
  int threads = 0;  // that run operations; 0: as many as the process may use cores
};
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options = {});

struct CudaOptions {
  int device = 0;  // which GPU, counted from 0
  // Device memory that the backend takes when it is made; every allocation is a part of it. 0: all
  // that is free but reserve_bytes, which CUDA's own code and libraries need, and profilers.
  std::size_t arena_bytes = 0;
  std::size_t reserve_bytes = std::size_t{1} << 30;
  // kF32 is meant for tests: nothing is rounded to bf16, and matrix products are slow.
  FloatType compute_type = FloatType::kBF16;
  // The most multiprocessors that kernels occupy which move records between host and device, for
  // each direction; at least 1. The rest is free for other streams.
  int transfer_multiprocessors = 16;
};
// Empty when make_cuda_backend() can try. Otherwise what is missing: the CUDA backend in this
// build, a driver or a device.
std::string cuda_unavailable(int device = 0);
// Device memory that a backend made now could take. REQUIRES: cuda_unavailable() is empty.
std::size_t free_cuda_bytes(int device = 0);
// Throws Error when there is no usable device or too little memory on it.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {});

}  // namespace mneme::kernels
