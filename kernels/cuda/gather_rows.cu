#include "io/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {

void CudaBackend::gather_rows(Stream&, const RowArena&, const GatherArgs&) {
  io::fail("not there yet");
}

}  // namespace mneme::kernels::cuda
