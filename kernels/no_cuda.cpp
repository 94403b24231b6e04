// What a build without CUDA answers (MNEME_CUDA=OFF, or no toolkit was found).
#include "io/error.h"
#include "kernels/backend.h"

namespace mneme::kernels {

std::string cuda_unavailable(int) {
  return "this program was built without CUDA (configure with -DMNEME_CUDA=ON)";
}

std::size_t free_cuda_bytes(int) {
  return 0;
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  io::fail("the CUDA backend cannot start: {}", cuda_unavailable(options.device));
}

}  // namespace mneme::kernels
