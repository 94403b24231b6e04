#include "io/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {

void CudaBackend::scalar_gate(Stream&, const ScalarGateArgs&) {
  io::fail("not there yet");
}

void CudaBackend::scalar_gate_backward(Stream&, const ScalarGateBackwardArgs&) {
  io::fail("not there yet");
}

}  // namespace mneme::kernels::cuda
