// The functions of cuBLAS that the backend calls, each of which calls the library's own. The
// library is loaded by the first product on a GPU instead of by the start of the program: a program
// with the CUDA backend runs where there is no CUDA, and starts without mapping 700 MB of kernels.
#include <cublas_v2.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <initializer_list>
#include <string>

#include "io/error.h"

namespace mneme::kernels::cuda {
namespace {

// The version whose header this was compiled with. Where the loader does not find it, it may lie
// where it was when this was built.
void* load() {
  const std::string name = fmt::format("libcublas.so.{}", CUBLAS_VER_MAJOR);
  std::string problem;
  for (const std::string& path : {name, MNEME_CUDA_LIBRARIES "/" + name}) {
    if (void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    if (problem.empty()) problem = dlerror();
  }
  io::fail(
      "cuBLAS cannot be loaded: {}; install the CUDA toolkit's cuBLAS, or name its folder in "
      "LD_LIBRARY_PATH",
      problem);
}

void* find(const char* name) {
  static void* const library = load();
  if (void* const function = dlsym(library, name)) return function;
  io::fail("cuBLAS has no {}: it is older than version {}, which this program needs", name,
           CUBLAS_VERSION);
}

// The library's function of that name and of the type of `declared`, which stands in for it here.
template <typename Function>
Function* library_function(Function* /*declared*/, const char* name) {
  return reinterpret_cast<Function*>(find(name));
}

}  // namespace
}  // namespace mneme::kernels::cuda

using mneme::kernels::cuda::library_function;

cublasStatus_t cublasGetProperty(libraryPropertyType type, int* value) {
  static const auto call = library_function(&cublasGetProperty, "cublasGetProperty");
  return call(type, value);
}

const char* cublasGetStatusString(cublasStatus_t status) {
  static const auto call = library_function(&cublasGetStatusString, "cublasGetStatusString");
  return call(status);
}

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  static const auto call = library_function(&cublasCreate_v2, "cublasCreate_v2");
  return call(handle);
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  static const auto call = library_function(&cublasDestroy_v2, "cublasDestroy_v2");
  return call(handle);
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  static const auto call = library_function(&cublasSetStream_v2, "cublasSetStream_v2");
  return call(handle, stream);
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  static const auto call = library_function(&cublasSetWorkspace_v2, "cublasSetWorkspace_v2");
  return call(handle, workspace, bytes);
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  static const auto call = library_function(&cublasSetMathMode, "cublasSetMathMode");
  return call(handle, mode);
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  static const auto call = library_function(&cublasSetAtomicsMode, "cublasSetAtomicsMode");
  return call(handle, mode);
}

cublasStatus_t cublasGemmStridedBatchedEx_64(
    cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int64_t m, int64_t n,
    int64_t k, const void* alpha, const void* A, cudaDataType Atype, int64_t lda,
    long long int strideA, const void* B, cudaDataType Btype, int64_t ldb, long long int strideB,
    const void* beta, void* C, cudaDataType Ctype, int64_t ldc, long long int strideC,
    int64_t batchCount, cublasComputeType_t computeType, cublasGemmAlgo_t algo) {
  static const auto call =
      library_function(&cublasGemmStridedBatchedEx_64, "cublasGemmStridedBatchedEx_64");
  return call(handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B, Btype, ldb,
              strideB, beta, C, Ctype, ldc, strideC, batchCount, computeType, algo);
}
