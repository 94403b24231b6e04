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

}  // namespace mneme::kernels::cuda
