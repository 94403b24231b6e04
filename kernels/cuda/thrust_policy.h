// Thrust's algorithms on an operation's stream (kernels/algorithms.h): they queue their kernels and
// return, and their temporary memory comes from the operation's scratch, which stays valid until
// the stream's next operation.
//
//   with_policy(
//       operation,
//       [](const auto& policy, auto... what) { algorithms::running_sums(policy, what...); },
//       values, count);
//
// As with a kernel, arguments are copied and have to be good on the device later. So the body
// captures nothing.
//
// Only algorithms that hand nothing back to the host (sort, scan, for_each, transform) go without a
// wait: reduce and copy_if would wait for the device, so they are not used here.
//
// Built for the emulator, the algorithms are Thrust's TBB system, and the body waits in the
// stream's queue like a kernel.
#pragma once

#if defined(MNEME_CUDA_EMULATED)
#include <thrust/system/tbb/execution_policy.h>

#include <emulator/enqueue.h>
#else
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>
#endif

#include <cstddef>
#include <type_traits>

#include "io/error.h"
#include "kernels/algorithms.h"
#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {

#if defined(MNEME_CUDA_EMULATED)

// Calls body(policy, arguments...).
template <typename Body, typename... Arguments>
void with_policy(Operation& operation, const Body& body, Arguments... arguments) {
  static_assert(std::is_empty_v<Body>, "the body runs later: hand over what it needs as arguments");
  const auto work = [body, arguments...] { body(thrust::tbb::par, arguments...); };
  check_cuda(emulator::enqueue(operation.stream().handle(), work), operation.name());
}

#else

// What Thrust asks for temporary memory. It is taken back with the operation's scratch as a whole:
// the queued kernels still use it when Thrust gives it back.
class ScratchAllocator {
 public:
  using value_type = char;

  explicit ScratchAllocator(Operation& operation) : operation_(&operation) {}
  char* allocate(std::ptrdiff_t bytes) { return operation_->take<char>(bytes); }
  void deallocate(char*, std::size_t) {}

 private:
  Operation* operation_;
};

// Calls body(policy, arguments...).
template <typename Body, typename... Arguments>
void with_policy(Operation& operation, const Body& body, Arguments... arguments) {
  static_assert(std::is_empty_v<Body>, "the body runs later: hand over what it needs as arguments");
  ScratchAllocator allocator(operation);
  try {
    body(thrust::cuda::par_nosync(allocator).on(operation.stream().handle()), arguments...);
  } catch (const thrust::system_error& error) {
    io::fail("CUDA: {} failed: {}", operation.name(), error.what());
  }
}

#endif

}  // namespace mneme::kernels::cuda
