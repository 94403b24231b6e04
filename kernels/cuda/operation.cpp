#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {
namespace {

CudaStream& as_cuda_stream(Stream& stream) {
  auto* cuda = dynamic_cast<CudaStream*>(&stream);
  CHECK(cuda != nullptr, "a stream of another backend");
  return *cuda;
}

}  // namespace

Operation::Operation(Stream& stream, const char* name)
    : stream_(as_cuda_stream(stream)), name_(name) {
  nvtxRangePushA(name);
  stream_.scratch().reset();
}

Operation::~Operation() {
  if (!guarded_.empty()) {
    try {
      check_scratch_zones(*this, guarded_);
    } catch (const io::Error& error) {  // The device has failed, and fails what follows as well.
      io::warn("guard zones were not looked at: {}", error.what());
    }
  }
  nvtxRangePop();
}

std::size_t Operation::most_shared_bytes() const {
  int device = 0, bytes = 0;
  check_cuda(cudaGetDevice(&device), name_);
  check_cuda(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             name_);
  return static_cast<std::size_t>(bytes);
}

void Operation::allow_shared_bytes(const void* kernel, std::size_t bytes) {
  const cudaError_t result = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (result != cudaErrorInvalidValue) return check_cuda(result, name_);
  cudaGetLastError();  // that error
  cudaFuncAttributes attributes = {};
  check_cuda(cudaFuncGetAttributes(&attributes, kernel), name_);
  const std::size_t all = bytes + attributes.sharedSizeBytes, most = most_shared_bytes();
  if (all <= most) return check_cuda(result, name_);
  io::fail(
      "{}: a kernel needs {} bytes of shared memory for a block ({} of them static), and the CUDA "
      "device has {}; use narrower heads, or a device with more",
      name_, all, attributes.sharedSizeBytes, most);
}

void* Operation::take_bytes(std::size_t bytes) {
  if (!stream_.scratch().guarded()) return stream_.scratch().take_bytes(bytes);
  const ScratchPiece piece = {
      static_cast<std::byte*>(stream_.scratch().take_bytes(scratch_space(bytes))) +
          kScratchZoneBytes,
      static_cast<std::int64_t>(bytes)};
  fill_scratch_zones(*this, piece);
  guarded_.push_back(piece);
  return piece.data;
}

}  // namespace mneme::kernels::cuda
