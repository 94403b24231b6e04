#include "kernels/cpu/product.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/check.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/product_panels.h"
#include "kernels/cpu/product_tile.h"

namespace mneme::kernels::cpu {
namespace {

// A block of b, [kProductDepth, kBlockColumns], stays in the second cache while the rows of a pass.
constexpr std::int64_t kBlockColumns = 512;
// Strips of a transposed a that are copied at once: their numbers lie beside each other.
constexpr std::int64_t kGroup = 8;
constexpr std::int64_t kGroupStep = 128;
static_assert(kGroup * Avx512::kRows <= kGroupStep && kGroup * Avx2::kRows <= kGroupStep);
static_assert(Avx512::kRows * kCopiedRow <= kProductDepth * kGroupStep);
static_assert(kProductDepth * (kBlockColumns + kGroupStep) <= kProductScratch);

// All rows of c, over the columns and terms of one part of b.
template <class Isa>
MNEME_INLINE void multiply_part(const Product& product, const Part& part, float* scratch) {
  constexpr std::int64_t kColumns = kTileColumns<Isa>;
  const Factor& a = product.a;
  // Few rows do not repay a copy.
  const bool in_place =
      !product.b.transposed && product.m <= 2 * Isa::kRows && part.columns % kColumns == 0;
  Strip strip{.depth = part.depth, .columns = part.columns};
  strip.c_stride = product.c_stride;
  strip.alpha = product.alpha;
  strip.accumulate = product.accumulate || part.term > 0;
  strip.b = scratch;
  strip.b_panel = part.depth * kColumns;
  strip.b_step = kColumns;
  if (in_place) {
    strip.b = product.b.data + part.term * product.b.stride + part.column;
    strip.b_panel = kColumns;
    strip.b_step = product.b.stride;
  } else {
    copy_panels<kColumns>(product.b, part, scratch);
  }
  float* const copied_a = scratch + kProductDepth * kBlockColumns;
  const std::int64_t strips = (product.m + Isa::kRows - 1) / Isa::kRows;
  const auto first_row = [&](std::int64_t s) { return product.m * s / strips; };  // even strips
  std::int64_t group_row = 0;
  for (std::int64_t s = 0; s < strips; ++s) {
    const std::int64_t row = first_row(s), rows = first_row(s + 1) - row;
    strip.c = product.c + row * product.c_stride + part.column;
    if (!a.transposed) {
      for (std::int64_t i = 0; i < rows; ++i) {
        std::copy_n(a.data + (row + i) * a.stride + part.term, part.depth,
                    copied_a + i * kCopiedRow);
      }
      strip.a = copied_a;
      multiply_strip<Isa, false>(rows, strip);
      continue;
    }
    const float* from = a.data + part.term * a.stride + row;
    strip.a = from;
    strip.a_step = a.stride;
    if (part.columns > 4 * kColumns) {
      if (s % kGroup == 0) {
        group_row = row;
        const std::int64_t group_rows = first_row(std::min(strips, s + kGroup)) - row;
        for (std::int64_t p = 0; p < part.depth; ++p) {
          std::copy_n(from + p * a.stride, group_rows, copied_a + p * kGroupStep);
        }
      }
      strip.a = copied_a + (row - group_row);
      strip.a_step = kGroupStep;
    }
    multiply_strip<Isa, true>(rows, strip);
  }
}

template <class Isa>
MNEME_INLINE void multiply_all(const Product& product, float* scratch) {
  for (std::int64_t column = 0; column < product.n; column += kBlockColumns) {
    std::int64_t term = 0;
    do {  // a sum of no terms is 0
      multiply_part<Isa>(product,
                         {.term = term,
                          .depth = std::min(kProductDepth, product.k - term),
                          .column = column,
                          .columns = std::min(kBlockColumns, product.n - column)},
                         scratch);
      term += kProductDepth;
    } while (term < product.k);
  }
}

void multiply_avx2(const Product& product, float* scratch) {
  multiply_all<Avx2>(product, scratch);
}

#if MNEME_HAS_AVX512_VERSION
__attribute__((target("arch=x86-64-v4,prefer-vector-width=512"))) void multiply_avx512(
    const Product& product, float* scratch) {
  multiply_all<Avx512>(product, scratch);
}
#endif

}  // namespace

void multiply_with(ProductKernels kernels, const Product& product, float* scratch) {
  if (product.m == 0) return;
#if MNEME_HAS_AVX512_VERSION
  if (kernels == ProductKernels::kAvx512) return multiply_avx512(product, scratch);
#endif
  CHECK(kernels == ProductKernels::kAvx2);
  multiply_avx2(product, scratch);
}

void multiply(const Product& product, float* scratch) {
  multiply_with(use_avx512() ? ProductKernels::kAvx512 : ProductKernels::kAvx2, product, scratch);
}

std::vector<ProductKernels> runnable_product_kernels() {
  if (has_avx512()) return {ProductKernels::kAvx2, ProductKernels::kAvx512};
  return {ProductKernels::kAvx2};
}

std::string product_library() {
  return fmt::format("mneme {}, {} kernels", MNEME_VERSION, use_avx512() ? "AVX-512" : "AVX2");
}

}  // namespace mneme::kernels::cpu
