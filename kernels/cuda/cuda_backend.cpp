#include "kernels/cuda/cuda_backend.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>

#include "io/check.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/operation.h"

namespace mneme::kernels {
namespace {

constexpr int kOldestMajor = 8;  // bf16 tensor cores, asynchronous copies

}  // namespace

std::string cuda_unavailable(int device) {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (result == cudaErrorInsufficientDriver) {
    int version = 0;
    cudaRuntimeGetVersion(&version);
    return fmt::format(
        "there is no NVIDIA driver, or it is older than CUDA {}.{}, which this program was built "
        "with",
        version / 1000, version % 1000 / 10);
  }
  if (result == cudaErrorNoDevice || (result == cudaSuccess && count == 0)) {
    return "this machine has no CUDA device";
  }
  if (result != cudaSuccess) return fmt::format("CUDA says: {}", cudaGetErrorString(result));
  if (device < 0 || device >= count) {
    return fmt::format("there is no CUDA device {}; this machine has {}", device, count);
  }
  cudaDeviceProp properties = {};
  if (const cudaError_t asked = cudaGetDeviceProperties(&properties, device);
      asked != cudaSuccess) {
    return fmt::format("CUDA device {} says: {}", device, cudaGetErrorString(asked));
  }
  if (properties.major < kOldestMajor) {
    return fmt::format(
        "CUDA device {}, {}, has compute capability {}.{}; {}.0 (A100) or newer is needed", device,
        properties.name, properties.major, properties.minor, kOldestMajor);
  }
  return {};
}

std::size_t free_cuda_bytes(int device) {
  cuda::check_cuda(cudaSetDevice(device), "choosing the device");
  std::size_t free = 0, total = 0;
  cuda::check_cuda(cudaMemGetInfo(&free, &total), "asking for free device memory");
  const std::size_t reserve = CudaOptions().reserve_bytes;
  return free - std::min(free, reserve);
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  const std::string reason = cuda_unavailable(options.device);
  if (!reason.empty()) io::fail("the CUDA backend cannot start: {}", reason);
  cuda::check_cuda(cudaSetDevice(options.device), "choosing the device");
  return std::make_unique<cuda::CudaBackend>(options);
}

namespace cuda {

void CudaBackend::use_in_this_thread() {
  check_cuda(cudaSetDevice(device_), "choosing the device");
}

CudaBackend::CudaBackend(const CudaOptions& options)
    : device_(options.device),
      compute_type_(options.compute_type),
      transfer_multiprocessors_(options.transfer_multiprocessors),
      arena_(options.arena_bytes, options.reserve_bytes),
      pinned_(options.device) {
  CHECK(transfer_multiprocessors_ >= 1);
}

std::string CudaBackend::name() const {
  int device = 0;
  cudaDeviceProp properties = {};
  check_cuda(cudaGetDevice(&device), "asking for the device");
  check_cuda(cudaGetDeviceProperties(&properties, device), "asking for the device's properties");
  return fmt::format("cuda ({}, {})", properties.name,
                     compute_type_ == FloatType::kBF16 ? "bf16" : "float32");
}

Buffer CudaBackend::allocate(std::size_t bytes, MemoryKind kind) {
  if (bytes == 0) return {};
  if (kind == MemoryKind::kDevice) {
    void* data = arena_.allocate(bytes, "buffer");
    Buffer buffer(this, data, bytes, kind);
    // Buffers are made at the start of a run: waiting costs nothing there, and the zeros are in
    // place whichever stream uses the memory first.
    check_cuda(cudaMemset(data, 0, bytes), "clearing device memory");
    check_cuda(cudaDeviceSynchronize(), "clearing device memory");
    return buffer;
  }
  return {this, pinned_.allocate(bytes), bytes, kind};
}

void CudaBackend::release(void* data, std::size_t bytes, MemoryKind kind) noexcept {
  // Queued work may still use the memory.
  warn_cuda(cudaDeviceSynchronize(), "waiting for the device");
  if (kind == MemoryKind::kDevice) {
    arena_.release(data, bytes);
  } else {
    pinned_.release(data, bytes);
  }
}

std::unique_ptr<Stream> CudaBackend::create_stream(StreamPriority priority) {
  return std::make_unique<CudaStream>(arena_, priority);
}

std::unique_ptr<Event> CudaBackend::create_event() {
  return std::make_unique<CudaEvent>();
}

void CudaBackend::copy(Stream& stream, void* target, const void* source, std::size_t bytes) {
  if (bytes == 0) return;
  Operation operation(stream, "copy");
  operation.copy(target, source, bytes);
}

void CudaBackend::zero(Stream& stream, void* target, std::size_t bytes) {
  if (bytes == 0) return;
  Operation operation(stream, "zero");
  operation.zero(target, bytes);
}

}  // namespace cuda
}  // namespace mneme::kernels
