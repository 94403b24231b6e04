#include "io/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {

void CudaBackend::rotary(Stream&, const RotaryArgs&) {
  io::fail("not there yet");
}

}  // namespace mneme::kernels::cuda
