// Matrix products in float32, on one thread. The kernels are this project's own, so what runs
// depends on the processor's features alone: on no library's table of processors, on no variable of
// the environment, and on no setting that a program around this one may have made.
//
// Every element of a result is one chain of fused multiply-adds over k, in ascending order within
// blocks of kProductDepth terms, whose sums are added to the element in ascending order. So its
// bits depend on its own row and column alone: not on where a product is cut into tiles, on how its
// factors lie in memory, on the number of threads, nor on which of the kernels is chosen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mneme::kernels::cpu {

// A matrix in rows of `stride` floats. Transposed: what lies there are the factor's columns.
struct Factor {
  const float* data = nullptr;
  std::int64_t stride = 0;
  bool transposed = false;
};

// c = alpha * a b, or c += that. a: [m, k], b: [k, n], c: [m, n] in rows of c_stride floats.
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  Factor a = {}, b = {};
  float* c = nullptr;  // need not be initialised unless it accumulates
  std::int64_t c_stride = 0;
  float alpha = 1.0f;
  bool accumulate = false;
};

constexpr std::int64_t kProductDepth = 256;
// Floats of memory in which a product copies its factors; fastest where it is 64-byte aligned.
constexpr std::int64_t kProductScratch = kProductDepth * (512 + 128);

// With the best kernels that the processor has.
void multiply(const Product& product, float* scratch);

// A compilation of the same code for an instruction set.
enum class ProductKernels { kAvx2, kAvx512 };

// Those that this processor can run, the best last; MNEME_NO_AVX512 does not matter here.
std::vector<ProductKernels> runnable_product_kernels();
// REQUIRES that the processor can run them. For tests and benchmarks.
void multiply_with(ProductKernels kernels, const Product& product, float* scratch);

// For people: "mneme 0.1.0, AVX-512 kernels", those that multiply() takes.
std::string product_library();

}  // namespace mneme::kernels::cpu
