// cuBLAS against sums written out.
#include <cublas_v2.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "tests/cuda_emulator/test_launch.h"

namespace emulator_test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> whole_numbers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 9) - 4);
  return values;
}

std::vector<std::uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<std::uint16_t> result;
  for (const float value : values) {
    result.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
  }
  return result;
}

class Cublas : public testing::Test {
 protected:
  Cublas() { EXPECT_EQ(cublasCreate(&handle_), CUBLAS_STATUS_SUCCESS); }
  ~Cublas() override { EXPECT_EQ(cublasDestroy(handle_), CUBLAS_STATUS_SUCCESS); }

  cublasHandle_t handle_ = nullptr;
};
using CublasDeathTest = Cublas;

// Batches of C = 2 * op(A) * op(B) - C, in rows longer than needed.
struct Shape {
  std::int64_t m = 5, n = 7, k = 11, batches = 3;
  cublasOperation_t a, b;
  std::int64_t lda() const { return (a == CUBLAS_OP_N ? m : k) + 2; }
  std::int64_t ldb() const { return (b == CUBLAS_OP_N ? k : n) + 1; }
  std::int64_t ldc() const { return m + 3; }
  std::int64_t stride_a() const { return lda() * (a == CUBLAS_OP_N ? k : m) + 4; }
  std::int64_t stride_b() const { return ldb() * (b == CUBLAS_OP_N ? n : k); }
  std::int64_t stride_c() const { return ldc() * n; }

  std::vector<float> expected(const std::vector<float>& A, const std::vector<float>& B,
                              std::vector<float> C) const {
    for (std::int64_t batch = 0; batch < batches; ++batch) {
      const float* x = A.data() + batch * stride_a();
      const float* y = B.data() + batch * stride_b();
      for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          float sum = 0.0f;
          for (std::int64_t l = 0; l < k; ++l) {
            sum += (a == CUBLAS_OP_N ? x[l * lda() + i] : x[i * lda() + l]) *
                   (b == CUBLAS_OP_N ? y[j * ldb() + l] : y[l * ldb() + j]);
          }
          float& c = C[batch * stride_c() + j * ldc() + i];
          c = 2.0f * sum - c;
        }
      }
    }
    return C;
  }
};

TEST_F(Cublas, AllTranspositionsInFloatAndBf16) {
  const float alpha = 2.0f;
  const float beta = -1.0f;
  for (const cublasOperation_t a : {CUBLAS_OP_N, CUBLAS_OP_T}) {
    for (const cublasOperation_t b : {CUBLAS_OP_N, CUBLAS_OP_T}) {
      const Shape shape{.a = a, .b = b};
      const auto A = whole_numbers(shape.batches * shape.stride_a(), 1);
      const auto B = whole_numbers(shape.batches * shape.stride_b(), 2);
      const auto C = whole_numbers(shape.batches * shape.stride_c(), 3);
      const auto expected = shape.expected(A, B, C);
      const auto multiply = [&](const void* x, cudaDataType input, const void* y, void* z,
                                cudaDataType output) {
        return cublasGemmStridedBatchedEx_64(handle_, a, b, shape.m, shape.n, shape.k, &alpha, x,
                                             input, shape.lda(), shape.stride_a(), y, input,
                                             shape.ldb(), shape.stride_b(), &beta, z, output,
                                             shape.ldc(), shape.stride_c(), shape.batches,
                                             CUBLAS_COMPUTE_32F_PEDANTIC, CUBLAS_GEMM_DEFAULT);
      };
      const DeviceArray<float> x(A), y(B), z(C), wide(C);
      const DeviceArray<std::uint16_t> half_x(to_bf16(A)), half_y(to_bf16(B)), half_z(to_bf16(C));
      EXPECT_EQ(multiply(x.data(), CUDA_R_32F, y.data(), z.data(), CUDA_R_32F), 0);
      EXPECT_EQ(z.values(), expected);
      EXPECT_EQ(multiply(half_x.data(), CUDA_R_16BF, half_y.data(), wide.data(), CUDA_R_32F), 0);
      EXPECT_EQ(wide.values(), expected);
      EXPECT_EQ(multiply(half_x.data(), CUDA_R_16BF, half_y.data(), half_z.data(), CUDA_R_16BF), 0);
      // Sums of whole numbers this small are exact in bf16 up to 256; larger ones are rounded.
      const auto rounded = half_z.values();
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const float value = std::bit_cast<float>(static_cast<std::uint32_t>(rounded[i]) << 16);
        EXPECT_LE(std::abs(value - expected[i]), std::abs(expected[i]) / 256) << i;
      }
    }
  }
}

TEST_F(Cublas, BetaOfZeroDoesNotReadC) {
  const float one = 1.0f;
  const float zero = 0.0f;
  const DeviceArray<float> a(std::vector<float>{1, 2}), b(std::vector<float>{3, 4});
  const DeviceArray<float> c(std::vector<float>{kNan});
  EXPECT_EQ(cublasGemmEx_64(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 2, &one, a.data(), CUDA_R_32F,
                            1, b.data(), CUDA_R_32F, 2, &zero, c.data(), CUDA_R_32F, 1,
                            CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(c.values()[0], 11.0f);
  // An empty sum.
  EXPECT_EQ(cublasGemmEx_64(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 0, &one, nullptr, CUDA_R_32F,
                            1, nullptr, CUDA_R_32F, 1, &zero, c.data(), CUDA_R_32F, 1,
                            CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(c.values()[0], 0.0f);
}

TEST_F(Cublas, ArgumentsAreChecked) {
  const float one = 1.0f;
  const DeviceArray<float> a(100), b(100), c(100);
  const auto multiply = [&](std::int64_t lda, std::int64_t ldb, std::int64_t ldc, const float* x,
                            const float* alpha, cudaDataType output = CUDA_R_32F) {
    return cublasGemmEx_64(handle_, CUBLAS_OP_N, CUBLAS_OP_T, 3, 4, 5, alpha, x, CUDA_R_32F, lda,
                           b.data(), CUDA_R_32F, ldb, &one, c.data(), output, ldc,
                           CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(multiply(3, 4, 3, a.data(), &one), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(2, 4, 3, a.data(), &one), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(3, 3, 3, a.data(), &one), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(3, 4, 2, a.data(), &one), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(3, 4, 3, nullptr, &one), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(3, 4, 3, a.data(), nullptr), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(3, 4, 3, a.data(), &one, CUDA_R_16BF), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_STREQ(cublasGetStatusString(CUBLAS_STATUS_NOT_SUPPORTED), "CUBLAS_STATUS_NOT_SUPPORTED");
}

TEST_F(CublasDeathTest, MatricesOutsideOfDeviceMemoryAbort) {
  start_new_processes();
  const float one = 1.0f;
  const DeviceArray<float> a(12), b(12), c(12);
  std::vector<float> host(12);
  const auto multiply = [&](const float* x, std::int64_t n) {
    cublasGemmEx_64(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 3, n, 4, &one, x, CUDA_R_32F, 3, b.data(),
                    CUDA_R_32F, 4, &one, c.data(), CUDA_R_32F, 3, CUBLAS_COMPUTE_32F,
                    CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_DEATH(multiply(host.data(), 3), "matrix A is in pageable host memory");
  EXPECT_DEATH(multiply(a.data(), 4), "the B has 48 bytes .* 64 are asked for");
}

}  // namespace
}  // namespace emulator_test
