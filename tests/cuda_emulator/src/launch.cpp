#include <emulator/launch.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

#include <emulator/runtime_api.h>
#include "tests/cuda_emulator/src/counters.h"
#include "tests/cuda_emulator/src/device_work.h"
#include "tests/cuda_emulator/src/errors.h"
#include "tests/cuda_emulator/src/launch_limits.h"
#include "tests/cuda_emulator/src/parallel_blocks.h"
#include "tests/cuda_emulator/src/seed.h"
#include "tests/cuda_emulator/src/shared_memory.h"
#include "tests/cuda_emulator/src/static_shared.h"

namespace emulator {
namespace {

std::mutex allowed_mutex;
std::unordered_map<const void*, std::size_t>& allowed() {
  static std::unordered_map<const void*, std::size_t> map;
  return map;
}

// Launches differ from each other, and are the same again in the next run of a program.
std::uint64_t next_seed() {
  static std::atomic<std::uint64_t> launches{0};
  return configured_seed() * kSeedStep + launches.fetch_add(1, std::memory_order_relaxed);
}

cudaError_t check(const cudaLaunchConfig_t& config, const void* function) {
  const dim3 grid = config.gridDim;
  const dim3 block = config.blockDim;
  const unsigned grid_dim[3] = {grid.x, grid.y, grid.z};
  const unsigned block_dim[3] = {block.x, block.y, block.z};
  for (int i = 0; i < 3; ++i) {
    if (grid_dim[i] == 0 || grid_dim[i] > kMaxGridDim[i]) return cudaErrorInvalidConfiguration;
    if (block_dim[i] == 0 || block_dim[i] > kMaxBlockDim[i]) return cudaErrorInvalidConfiguration;
  }
  if (std::uint64_t{block.x} * block.y * block.z > kMaxBlockThreads) {
    return cudaErrorInvalidConfiguration;
  }
  if (config.dynamicSmemBytes > allowed_dynamic_bytes(function)) return cudaErrorInvalidValue;
  if (config.numAttrs != 0 && config.attrs == nullptr) return cudaErrorInvalidValue;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    const auto& cluster = attribute.val.clusterDim;
    const bool grid_wide =
        attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative != 0;
    const bool clusters = attribute.id == cudaLaunchAttributeClusterDimension &&
                          cluster.x * cluster.y * cluster.z != 1;
    if (grid_wide || clusters) return cudaErrorNotSupported;
  }
  return cudaSuccess;
}

}  // namespace

std::size_t max_shared_bytes() {
  const char* kibibytes = std::getenv("MNEME_EMULATED_SHARED_KIB");
  if (kibibytes == nullptr) return kMaxSharedBytes;
  return std::min<std::size_t>(std::strtoull(kibibytes, nullptr, 10) << 10, kMaxSharedBytes);
}

std::size_t allowed_dynamic_bytes(const void* function) {
  const std::size_t fixed = static_shared_bytes(function);
  const std::lock_guard lock(allowed_mutex);
  const auto entry = allowed().find(function);
  if (entry != allowed().end()) return entry->second;
  return kSharedBytes - std::min(kSharedBytes, fixed);
}

cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel, KernelThread thread) {
  if (const cudaError_t error = device_error()) return error;
  if (config == nullptr) return report(cudaErrorInvalidValue);
  if (kernel == nullptr) return report(cudaErrorInvalidDeviceFunction);
  if (!DeviceWork::instance().has_stream(config->stream)) {
    return report(cudaErrorInvalidResourceHandle);
  }
  if (const cudaError_t error = check(*config, kernel)) return report(error);
  const auto run = [blocks = config->gridDim, threads = config->blockDim,
                    bytes = config->dynamicSmemBytes, thread = std::move(thread),
                    seed = next_seed()] {
    run_grid({blocks, threads, bytes, &thread, seed});
  };
  count(Counter::kLaunches);
  return report(DeviceWork::instance().add(config->stream, run));
}

}  // namespace emulator

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  using namespace emulator;
  if (const cudaError_t error = device_error()) return error;
  if (attributes == nullptr) return report(cudaErrorInvalidValue);
  if (function == nullptr) return report(cudaErrorInvalidDeviceFunction);
  *attributes = {};
  attributes->sharedSizeBytes = static_shared_bytes(function);
  attributes->maxThreadsPerBlock = kMaxBlockThreads;
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(allowed_dynamic_bytes(function));
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  using namespace emulator;
  if (function == nullptr) return report(cudaErrorInvalidDeviceFunction);
  switch (attribute) {
    case cudaFuncAttributePreferredSharedMemoryCarveout:
      return value < -1 || value > 100 ? report(cudaErrorInvalidValue) : cudaSuccess;
    case cudaFuncAttributeMaxDynamicSharedMemorySize: {
      if (value < 0 ||
          static_cast<std::size_t>(value) + static_shared_bytes(function) > max_shared_bytes()) {
        return report(cudaErrorInvalidValue);
      }
      const std::lock_guard lock(allowed_mutex);
      allowed()[function] = static_cast<std::size_t>(value);
      return cudaSuccess;
    }
  }
  return report(cudaErrorInvalidValue);
}
