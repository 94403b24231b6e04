// cuBLAS is not linked but loaded when something first calls it; see
// kernels/cuda/cublas_library.cpp. None of these calls needs a GPU.
#include <cublas_v2.h>
#include <gtest/gtest.h>

namespace mneme::kernels::cuda {
namespace {

TEST(CublasLibrary, IsOfTheVersionThatWasCompiledFor) {
  int major = 0;
  ASSERT_EQ(cublasGetProperty(MAJOR_VERSION, &major), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(major, CUBLAS_VER_MAJOR);
}

TEST(CublasLibrary, DescribesItsErrors) {
  EXPECT_STRNE(cublasGetStatusString(CUBLAS_STATUS_SUCCESS),
               cublasGetStatusString(CUBLAS_STATUS_ALLOC_FAILED));
}

// Each answers for itself: it was found in the library, and took its arguments.
TEST(CublasLibrary, EveryFunctionRefusesWhatIsNoHandle) {
  const cublasStatus_t refused = CUBLAS_STATUS_NOT_INITIALIZED;
  EXPECT_NE(cublasCreate(nullptr), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasDestroy(nullptr), refused);
  EXPECT_EQ(cublasSetStream(nullptr, nullptr), refused);
  EXPECT_EQ(cublasSetWorkspace(nullptr, nullptr, 0), refused);
  EXPECT_EQ(cublasSetMathMode(nullptr, CUBLAS_DEFAULT_MATH), refused);
  EXPECT_EQ(cublasSetAtomicsMode(nullptr, CUBLAS_ATOMICS_NOT_ALLOWED), refused);
  EXPECT_EQ(
      cublasGemmStridedBatchedEx_64(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, nullptr, nullptr,
                                    CUDA_R_32F, 1, 1, nullptr, CUDA_R_32F, 1, 1, nullptr, nullptr,
                                    CUDA_R_32F, 1, 1, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      refused);
}

}  // namespace
}  // namespace mneme::kernels::cuda
