#include "engine/device.h"

#include <string>

#include "io/error.h"
#include "io/log.h"

namespace mneme::engine {
namespace {

std::unique_ptr<kernels::Backend> cpu_backend(const RunConfig& run) {
  return kernels::make_cpu_backend({.threads = static_cast<int>(run.threads)});
}

std::unique_ptr<kernels::Backend> cuda_backend(const RunConfig& run) {
  return kernels::make_cuda_backend(
      {.device = static_cast<int>(run.device_index),
       .arena_bytes = static_cast<std::size_t>(run.arena_bytes),
       .compute_type = run.compute_type,
       .transfer_multiprocessors = static_cast<int>(run.transfer_multiprocessors)});
}

}  // namespace

bool device_has_memory(const RunConfig& run) {
  return run.device != DeviceKind::kCpu &&
         kernels::cuda_unavailable(static_cast<int>(run.device_index)).empty();
}

std::unique_ptr<kernels::Backend> make_backend(const RunConfig& run) {
  if (run.device == DeviceKind::kCpu) return cpu_backend(run);
  const std::string reason = kernels::cuda_unavailable(static_cast<int>(run.device_index));
  if (reason.empty()) return cuda_backend(run);
  if (run.device == DeviceKind::kCuda) {
    io::fail("run.device = \"cuda\": {}; use --device cpu", reason);
  }
  io::info("running on the CPU: {}", reason);
  return cpu_backend(run);
}

}  // namespace mneme::engine
