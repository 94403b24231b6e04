#include "io/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {

void CudaBackend::half_key_backward(Stream&, const HalfKeyBackwardArgs&) {
  io::fail("not there yet");
}

}  // namespace mneme::kernels::cuda
