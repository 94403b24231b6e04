// cuBLAS: handles, and the checks of its products.
#include <cublas_v2.h>

#include <algorithm>
#include <memory>

#include "tests/cuda_emulator/src/counters.h"
#include "tests/cuda_emulator/src/cublas_gemm.h"
#include "tests/cuda_emulator/src/device_work.h"
#include "tests/cuda_emulator/src/errors.h"
#include "tests/cuda_emulator/src/memory_places.h"
#include "tests/cuda_emulator/src/report.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
};

namespace emulator {
namespace {

// A matrix as it is stored, once per product.
struct Batch {
  const char* name;
  const void* data;
  cudaDataType type;
  std::int64_t rows, columns, leading, stride;

  std::size_t element_bytes() const { return type == CUDA_R_16BF ? 2 : 4; }
  bool is_empty() const { return rows == 0 || columns == 0; }
  Matrix matrix(std::int64_t index) const {
    const auto* bytes = static_cast<const unsigned char*>(data);
    return {is_empty() ? nullptr : bytes + index * stride * element_bytes(), type == CUDA_R_16BF,
            leading};
  }
};

bool is_computed(cublasComputeType_t type) {
  switch (type) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
    case CUBLAS_COMPUTE_32F_FAST_16F:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return true;
    default:
      return false;
  }
}

bool are_supported(cudaDataType a, cudaDataType b, cudaDataType c) {
  if (a != b) return false;
  return a == CUDA_R_32F ? c == CUDA_R_32F
                         : a == CUDA_R_16BF && (c == CUDA_R_32F || c == CUDA_R_16BF);
}

bool is_valid(cublasOperation_t operation) {
  return operation == CUBLAS_OP_N || operation == CUBLAS_OP_T || operation == CUBLAS_OP_C;
}

cublasStatus_t check_sizes(const Batch& batch) {
  if (batch.rows < 0 || batch.columns < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (batch.leading < std::max<std::int64_t>(1, batch.rows)) return CUBLAS_STATUS_INVALID_VALUE;
  if (batch.data == nullptr && !batch.is_empty()) return CUBLAS_STATUS_INVALID_VALUE;
  return CUBLAS_STATUS_SUCCESS;
}

// Every matrix of the batch has to lie in one allocation that the device can use.
void check_memory(const Batch& batch, std::int64_t count) {
  if (batch.is_empty()) return;
  const std::int64_t last = (count - 1) * batch.stride;
  if (last < 0) die("cuBLAS: the stride of %s is negative, which is not emulated", batch.name);
  const std::int64_t elements = last + (batch.columns - 1) * batch.leading + batch.rows;
  const std::size_t bytes = static_cast<std::size_t>(elements) * batch.element_bytes();
  if (place_of("cuBLAS", batch.name, batch.data, bytes) == Place::kPageable) {
    die("cuBLAS: matrix %s is in pageable host memory", batch.name);
  }
  if (reinterpret_cast<std::uintptr_t>(batch.data) % batch.element_bytes() != 0) {
    die("cuBLAS: matrix %s is not aligned to its elements", batch.name);
  }
}

}  // namespace
}  // namespace emulator

using namespace emulator;

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown cuBLAS status";
}

cublasStatus_t cublasGetProperty(libraryPropertyType, int* value) {
  if (value == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *value = 0;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusString(cublasStatus_t status) {
  return cublasGetStatusName(status);
}

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (!has_device()) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = std::make_unique<cublasContext>().release();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const std::unique_ptr<cublasContext> owned(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!DeviceWork::instance().has_stream(stream)) return CUBLAS_STATUS_INVALID_VALUE;
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t* stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (stream == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (workspace == nullptr || bytes == 0) return CUBLAS_STATUS_SUCCESS;
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (place_of("cublasSetWorkspace", "workspace", workspace, bytes) != Place::kDevice) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t) {
  return handle == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t) {
  return handle == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t transa,
                               cublasOperation_t transb, std::int64_t m, std::int64_t n,
                               std::int64_t k, const void* alpha, const void* A, cudaDataType Atype,
                               std::int64_t lda, const void* B, cudaDataType Btype,
                               std::int64_t ldb, const void* beta, void* C, cudaDataType Ctype,
                               std::int64_t ldc, cublasComputeType_t computeType,
                               cublasGemmAlgo_t algo) {
  return cublasGemmStridedBatchedEx_64(handle, transa, transb, m, n, k, alpha, A, Atype, lda, 0, B,
                                       Btype, ldb, 0, beta, C, Ctype, ldc, 0, 1, computeType, algo);
}

cublasStatus_t cublasGemmStridedBatchedEx_64(
    cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, std::int64_t m,
    std::int64_t n, std::int64_t k, const void* alpha, const void* A, cudaDataType Atype,
    std::int64_t lda, long long strideA, const void* B, cudaDataType Btype, std::int64_t ldb,
    long long strideB, const void* beta, void* C, cudaDataType Ctype, std::int64_t ldc,
    long long strideC, std::int64_t batchCount, cublasComputeType_t computeType, cublasGemmAlgo_t) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (device_error() || !DeviceWork::instance().has_stream(handle->stream)) {
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  if (!is_valid(transa) || !is_valid(transb) || batchCount < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const bool transpose_a = transa != CUBLAS_OP_N;
  const bool transpose_b = transb != CUBLAS_OP_N;
  const Batch a{"A", A, Atype, transpose_a ? k : m, transpose_a ? m : k, lda, strideA};
  const Batch b{"B", B, Btype, transpose_b ? n : k, transpose_b ? k : n, ldb, strideB};
  const Batch c{"C", C, Ctype, m, n, ldc, strideC};
  for (const Batch* batch : {&a, &b, &c}) {
    if (const cublasStatus_t status = check_sizes(*batch)) return status;
  }
  if (!is_computed(computeType) || !are_supported(Atype, Btype, Ctype)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (batchCount == 0 || c.is_empty()) return CUBLAS_STATUS_SUCCESS;
  for (const Batch* batch : {&a, &b, &c}) check_memory(*batch, batchCount);
  const Product product{transpose_a,
                        transpose_b,
                        m,
                        n,
                        k,
                        *static_cast<const float*>(alpha),
                        *static_cast<const float*>(beta)};
  const auto run = [product, a, b, c, batchCount] {
    for (std::int64_t i = 0; i < batchCount; ++i) {
      multiply(product, a.matrix(i), b.matrix(i), c.matrix(i));
    }
  };
  count(Counter::kProducts);
  return DeviceWork::instance().add(handle->stream, run) == cudaSuccess
             ? CUBLAS_STATUS_SUCCESS
             : CUBLAS_STATUS_EXECUTION_FAILED;
}
