// Matrix products by cuBLAS. A row-major C = op(A) op(B) is the column-major C^T = op(B)^T op(A)^T.
#include <fmt/format.h>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {
namespace {

cudaDataType_t cuda_type(FloatType type) {
  return type == FloatType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
}

void check_matmul(const MatmulArgs& args) {
  CHECK(args.m >= 0 && args.n >= 0 && args.k >= 0 && args.batch >= 0);
  CHECK(args.lda >= (args.transpose_a ? args.m : args.k), "lda {} is too small", args.lda);
  CHECK(args.ldb >= (args.transpose_b ? args.k : args.n), "ldb {} is too small", args.ldb);
  CHECK(args.ldc >= args.n, "ldc {} is too small", args.ldc);
  CHECK(args.output_type == FloatType::kF32 || args.input_type == FloatType::kBF16,
        "a bf16 product of float32 matrices");
}

// A sum of no terms.
void clear(Operation& operation, const MatmulArgs& args) {
  if (args.accumulate) return;
  const std::size_t element = float_type_bytes(args.output_type);
  for (std::int64_t b = 0; b < args.batch; ++b) {
    auto* c =
        static_cast<std::byte*>(args.c) + static_cast<std::size_t>(b * args.stride_c) * element;
    check_cuda(cudaMemset2DAsync(c, static_cast<std::size_t>(args.ldc) * element, 0,
                                 static_cast<std::size_t>(args.n) * element,
                                 static_cast<std::size_t>(args.m), operation.stream().handle()),
               "matmul");
  }
}

void multiply(Operation& operation, const MatmulArgs& args) {
  check_matmul(args);
  if (args.m == 0 || args.n == 0 || args.batch == 0) return;
  if (args.k == 0) return clear(operation, args);
  const float alpha = args.alpha, beta = args.accumulate ? 1.0f : 0.0f;
  const cudaDataType_t input = cuda_type(args.input_type);
  // Pedantic: float32 products are not rounded to tf32. bf16 operands are exact either way.
  const cublasComputeType_t compute =
      args.input_type == FloatType::kF32 ? CUBLAS_COMPUTE_32F_PEDANTIC : CUBLAS_COMPUTE_32F;
  check_cublas(cublasGemmStridedBatchedEx_64(
                   operation.stream().cublas(), args.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                   args.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, args.n, args.m, args.k, &alpha,
                   args.b, input, args.ldb, args.stride_b, args.a, input, args.lda, args.stride_a,
                   &beta, args.c, cuda_type(args.output_type), args.ldc, args.stride_c, args.batch,
                   compute, CUBLAS_GEMM_DEFAULT),
               operation.name());
}

}  // namespace

std::string CudaBackend::product_library() const {
  int major = 0, minor = 0, patch = 0;
  check_cublas(cublasGetProperty(MAJOR_VERSION, &major), "asking for the version");
  check_cublas(cublasGetProperty(MINOR_VERSION, &minor), "asking for the version");
  check_cublas(cublasGetProperty(PATCH_LEVEL, &patch), "asking for the version");
  return fmt::format("cuBLAS {}.{}.{}", major, minor, patch);
}

void CudaBackend::matmul(Stream& stream, const MatmulArgs& args) {
  Operation operation(stream, "matmul");
  multiply(operation, args);
}

// One after the other: an expert's product of some hundred tokens fills the device.
void CudaBackend::grouped_matmul(Stream& stream, std::span<const MatmulArgs> products) {
  Operation operation(stream, "grouped_matmul");
  for (const MatmulArgs& args : products) multiply(operation, args);
}

}  // namespace mneme::kernels::cuda
