#include "io/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {

void CudaBackend::embedding(Stream&, const EmbeddingArgs&) {
  io::fail("not there yet");
}

void CudaBackend::embedding_backward(Stream&, const EmbeddingBackwardArgs&) {
  io::fail("not there yet");
}

}  // namespace mneme::kernels::cuda
