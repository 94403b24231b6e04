// Matrix products of every kernel that this processor can run, against sums in float64; and that
// nothing but the numbers and k decides about their bits.
#include "kernels/cpu/product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace mneme::kernels::cpu {
namespace {

struct Shape {
  std::int64_t m, n, k;
};

// The factors of a product, its result and what they lie in, with a gap after every row.
class Case {
 public:
  Case(const Shape& shape, bool transpose_a, bool transpose_b, std::int64_t offset = 0,
       std::int64_t gap = 3)
      : shape_(shape), offset_(offset) {
    const auto [m, n, k] = shape;
    a_ = numbers(transpose_a ? k : m, transpose_a ? m : k, gap, 1);
    b_ = numbers(transpose_b ? n : k, transpose_b ? k : n, gap, 2);
    c_ = numbers(m, n, gap, 3);
    product_ = {.m = m, .n = n, .k = k};
    product_.a = {a_.data() + offset, (transpose_a ? m : k) + gap, transpose_a};
    product_.b = {b_.data() + offset, (transpose_b ? k : n) + gap, transpose_b};
    product_.c = c_.data() + offset;
    product_.c_stride = n + gap;
  }

  Product& product() { return product_; }
  float a(std::int64_t row, std::int64_t term) const { return at(product_.a, row, term); }
  float b(std::int64_t term, std::int64_t column) const { return at(product_.b, term, column); }

  void run(ProductKernels kernels) { run(kernels, product_); }
  void run(ProductKernels kernels, const Product& part) {
    const auto scratch = std::make_unique<float[]>(kProductScratch);
    std::fill_n(scratch.get(), kProductScratch, std::numeric_limits<float>::quiet_NaN());
    multiply_with(kernels, part, scratch.get());
  }
  // The result without the gaps.
  std::vector<float> result() const {
    std::vector<float> numbers;
    for (std::int64_t row = 0; row < shape_.m; ++row) {
      const float* from = product_.c + row * product_.c_stride;
      numbers.insert(numbers.end(), from, from + shape_.n);
    }
    return numbers;
  }
  // Everything that c lies in.
  std::vector<float>& memory() { return c_; }
  bool is_of_result(std::int64_t index) const {
    const std::int64_t at = index - offset_;
    return at >= 0 && at / product_.c_stride < shape_.m && at % product_.c_stride < shape_.n;
  }

 private:
  static float at(const Factor& factor, std::int64_t row, std::int64_t column) {
    return factor.transposed ? factor.data[column * factor.stride + row]
                             : factor.data[row * factor.stride + column];
  }
  // Equal numbers at equal places, whatever gap and offset.
  std::vector<float> numbers(std::int64_t rows, std::int64_t columns, std::int64_t gap, int seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<float> all(static_cast<std::size_t>(offset_ + rows * (columns + gap) + 1), 77.0f);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        const float number = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
        all[static_cast<std::size_t>(offset_ + row * (columns + gap) + column)] = number;
      }
    }
    return all;
  }

  Shape shape_;
  std::int64_t offset_;
  std::vector<float> a_, b_, c_;
  Product product_;
};

const std::vector<Shape> kShapes = {
    {1, 1, 1},      {1, 70, 300}, {13, 31, 7},   {14, 32, 8},  {15, 33, 9},
    {6, 16, 255},   {7, 17, 256}, {29, 64, 257}, {64, 32, 64}, {85, 47, 600},
    {120, 161, 40}, {3, 515, 20}, {5, 6, 0},
};

class Products : public ::testing::TestWithParam<ProductKernels> {
 protected:
  static void expect_oracle(const Shape& shape, bool transpose_a, bool transpose_b, float alpha,
                            bool accumulate) {
    Case test(shape, transpose_a, transpose_b);
    test.product().alpha = alpha;
    test.product().accumulate = accumulate;
    const std::vector<float> before = test.memory();
    if (!accumulate) {
      for (std::int64_t i = 0; i < std::ssize(before); ++i) {
        if (!test.is_of_result(i)) continue;
        test.memory()[static_cast<std::size_t>(i)] = std::numeric_limits<float>::quiet_NaN();
      }
    }
    test.run(GetParam());
    for (std::int64_t i = 0; i < std::ssize(before); ++i) {
      const float old = before[static_cast<std::size_t>(i)];
      const float found = test.memory()[static_cast<std::size_t>(i)];
      if (!test.is_of_result(i)) {
        ASSERT_EQ(found, old) << "written beside the result, at " << i;
        continue;
      }
      const std::int64_t row = i / test.product().c_stride, column = i % test.product().c_stride;
      double sum = 0.0, size = 1e-3;
      for (std::int64_t p = 0; p < shape.k; ++p) {
        const double term = double(test.a(row, p)) * double(test.b(p, column));
        sum += term;
        size += std::abs(term);
      }
      const double wanted = double(alpha) * sum + (accumulate ? double(old) : 0.0);
      ASSERT_NEAR(found, wanted, 2e-6 * (size + std::abs(old))) << row << ", " << column;
    }
  }
};

TEST_P(Products, EqualSumsInFloat64) {
  for (const Shape& shape : kShapes) {
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << shape.m << " x " << shape.n << " x " << shape.k
                     << (transpose_a ? " a^T" : "") << (transpose_b ? " b^T" : ""));
        expect_oracle(shape, transpose_a, transpose_b, 1.0f, false);
        expect_oracle(shape, transpose_a, transpose_b, -0.75f, true);
      }
    }
  }
}

// So one machine's results are another's, as far as products go.
TEST_P(Products, HaveTheSameBitsFromEveryKernel) {
  for (const Shape& shape : kShapes) {
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        Case own(shape, transpose_a, transpose_b), first(shape, transpose_a, transpose_b);
        own.product().accumulate = first.product().accumulate = true;
        own.run(GetParam());
        first.run(runnable_product_kernels().front());
        ASSERT_EQ(own.result(), first.result()) << shape.m << " x " << shape.n << " x " << shape.k;
      }
    }
  }
}

TEST_P(Products, DoNotDependOnWhereTheirMatricesLie) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      Case whole({85, 47, 600}, transpose_a, transpose_b);
      whole.run(GetParam());
      for (const std::int64_t offset : {1, 5}) {
        Case moved({85, 47, 600}, transpose_a, transpose_b, offset, 8 * offset);
        moved.run(GetParam());
        ASSERT_EQ(moved.result(), whole.result());
      }
    }
  }
}

TEST_P(Products, DoNotDependOnHowTheyAreCut) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      const Shape shape{85, 161, 300};
      Case whole(shape, transpose_a, transpose_b), cut(shape, transpose_a, transpose_b);
      whole.run(GetParam());
      for (std::int64_t row = 0; row < shape.m; row += 31) {
        for (std::int64_t column = 0; column < shape.n; column += 50) {
          Product part = cut.product();
          part.m = std::min<std::int64_t>(31, shape.m - row);
          part.n = std::min<std::int64_t>(50, shape.n - column);
          part.a.data += transpose_a ? row : row * part.a.stride;
          part.b.data += transpose_b ? column * part.b.stride : column;
          part.c += row * part.c_stride + column;
          cut.run(GetParam(), part);
        }
      }
      ASSERT_EQ(cut.result(), whole.result());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Products, ::testing::ValuesIn(runnable_product_kernels()),
                         [](const auto& test) {
                           return test.param == ProductKernels::kAvx512 ? "Avx512" : "Avx2";
                         });

// What a program around this one has set in its own library stands, for no such library is used.
TEST(ProductLibrary, IsNoneThatHasSettingsOfTheProcess) {
  const auto backend = make_cpu_backend({.threads = 2});
  EXPECT_EQ(backend->product_library(), product_library());
  EXPECT_NE(product_library().find("kernels"), std::string::npos);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    for (const char* library : {"openblas", "blas", "blis", "dnnl", "mkl", "gomp"}) {
      EXPECT_EQ(line.find(std::string("/lib") + library), std::string::npos) << line;
    }
  }
}

}  // namespace
}  // namespace mneme::kernels::cpu
