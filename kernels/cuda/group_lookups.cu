#include "io/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {

void CudaBackend::group_lookups(Stream&, const GroupedLookups&) {
  io::fail("not there yet");
}

}  // namespace mneme::kernels::cuda
