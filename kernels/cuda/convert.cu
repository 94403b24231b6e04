#include "io/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {

void CudaBackend::convert(Stream&, const ConvertArgs&) {
  io::fail("not there yet");
}

}  // namespace mneme::kernels::cuda
