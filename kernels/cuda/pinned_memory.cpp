#include "kernels/cuda/pinned_memory.h"

#include <cuda_runtime.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "io/errno_text.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/numa_node.h"
#include "kernels/machine_memory.h"

namespace mneme::kernels::cuda {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
// What is left to everything else on the machine: pinned memory cannot be swapped out.
constexpr std::size_t kReserveBytes = std::size_t{256} << 20;
// A thread clears so much at a time, and more threads than these wait for memory, not for work.
constexpr std::size_t kTouchedBytes = std::size_t{64} << 20;
constexpr std::size_t kMostThreads = 16;

double gib(std::size_t bytes) {
  return static_cast<double>(bytes) / kGiB;
}

std::string lock_limit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return "unknown";
  if (limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return fmt::format("{} KiB", limit.rlim_cur / 1024);
}

[[noreturn]] void fail_refused(std::size_t bytes, const std::string& reason) {
  io::fail(
      "the system refused {} bytes ({:.2f} GiB) of pinned host memory: {}; lower tiers.host_bytes "
      "or train.batch, or raise the limit on locked memory (ulimit -l, now {})",
      bytes, gib(bytes), reason, lock_limit());
}

std::string cuda_text(cudaError_t error) {
  return fmt::format("{} ({})", cudaGetErrorString(error), cudaGetErrorName(error));
}

// Memory that is promised and not there would end the process when it is touched.
void check_available(std::size_t bytes) {
  const std::size_t available = free_memory_bytes();
  const std::size_t usable = available - std::min(available, kReserveBytes);
  if (bytes <= usable) return;
  io::fail(
      "out of host memory: asked for {} bytes ({:.2f} GiB) of pinned memory, available are {} "
      "({:.2f} GiB) and {} MiB of them stay free; lower tiers.host_bytes or train.batch, or stop "
      "other programs",
      bytes, gib(bytes), available, gib(available), kReserveBytes >> 20);
}

// Makes the kernel take and clear every page of the memory.
void touch(std::byte* data, std::size_t bytes) {
  const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::atomic<std::size_t> next{0};
  const auto work = [=, &next] {
    for (;;) {
      const std::size_t begin = next.fetch_add(kTouchedBytes);
      if (begin >= bytes) return;
      const std::size_t end = std::min(begin + kTouchedBytes, bytes);
      for (std::size_t at = begin; at < end; at += page_bytes) {
        static_cast<volatile std::byte&>(data[at]) = std::byte{0};
      }
    }
  };
  const std::size_t pieces = (bytes + kTouchedBytes - 1) / kTouchedBytes;
  const std::size_t threads =
      std::min({pieces, kMostThreads, std::size_t{std::thread::hardware_concurrency()}});
  std::vector<std::jthread> helpers;
  helpers.reserve(threads);
  try {
    while (helpers.size() + 1 < threads) helpers.emplace_back(work);
  } catch (const std::system_error&) {
    // Those that could be started do.
  }
  work();
}

void register_memory(void* data, std::size_t bytes) {
  if (const cudaError_t result = cudaHostRegister(data, bytes, cudaHostRegisterPortable);
      result != cudaSuccess) {
    cudaGetLastError();
    fail_refused(bytes, cuda_text(result));
  }
  void* on_device = nullptr;
  const cudaError_t asked = cudaHostGetDevicePointer(&on_device, data, 0);
  if (asked == cudaSuccess && on_device == data) return;
  cudaGetLastError();
  warn_cuda(cudaHostUnregister(data), "releasing pinned memory");
  check_cuda(asked, "asking for the address of pinned memory");
  io::fail("the device sees host memory at other addresses than the host; this is not supported");
}

}  // namespace

PinnedMemory::PinnedMemory(int device, const std::string& sysfs)
    : nodes_(numa_nodes(sysfs).size()) {
  char bus_id[32] = {};
  if (nodes_ < 2) return;
  if (cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, device) == cudaSuccess) {
    node_ = numa_node_near(bus_id, sysfs);
  } else {
    cudaGetLastError();
  }
}

void PinnedMemory::place(void* data, std::size_t bytes) {
  if (nodes_ < 2) return;
  const int refused = node_ ? prefer_numa_node(data, bytes, *node_) : 0;
  if (told_.exchange(true)) return;
  if (!node_) {
    io::info("pinned memory is not placed near the GPU: the machine does not say where that is");
  } else if (refused != 0) {
    io::info("pinned memory is not placed near the GPU, on NUMA node {}: {}", *node_,
             std::generic_category().message(refused));
  }
}

void* PinnedMemory::allocate(std::size_t bytes) {
  void* data = nullptr;
  if (bytes < kMappedBytes) {
    const cudaError_t result = cudaHostAlloc(&data, bytes, cudaHostAllocPortable);
    if (result == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      fail_refused(bytes, cuda_text(result));
    }
    check_cuda(result, "allocating pinned host memory");
    std::memset(data, 0, bytes);
    return data;
  }
  check_available(bytes);
  data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0);
  if (data == MAP_FAILED) fail_refused(bytes, io::errno_text(errno));
  try {
    // Advice: what the kernel does not know or want costs speed at most. A child that shared the
    // pages would part the program's view of them from the device's.
    ::madvise(data, bytes, MADV_HUGEPAGE);
    ::madvise(data, bytes, MADV_DONTFORK);
    place(data, bytes);
    touch(static_cast<std::byte*>(data), bytes);
    register_memory(data, bytes);
  } catch (...) {
    ::munmap(data, bytes);
    throw;
  }
  return data;
}

void PinnedMemory::release(void* data, std::size_t bytes) noexcept {
  if (bytes < kMappedBytes) {
    warn_cuda(cudaFreeHost(data), "freeing pinned memory");
    return;
  }
  warn_cuda(cudaHostUnregister(data), "releasing pinned memory");
  ::munmap(data, bytes);
}

}  // namespace mneme::kernels::cuda
