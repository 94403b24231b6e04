// Naive float64 matrix products.
#pragma once

#include "kernels/dense_ops.h"
#include "tests/kernels/operation_case.h"

namespace mneme::testing::oracle {

// Sizes and flags are those of `args`; its pointers are not used.
inline void matmul(const kernels::MatmulArgs& args, Values& a, Values& b, Values& c) {
  for (std::int64_t batch = 0; batch < args.batch; ++batch) {
    for (std::int64_t i = 0; i < args.m; ++i) {
      for (std::int64_t j = 0; j < args.n; ++j) {
        double sum = 0;
        for (std::int64_t p = 0; p < args.k; ++p) {
          const std::int64_t ia = args.transpose_a ? p * args.lda + i : i * args.lda + p;
          const std::int64_t ib = args.transpose_b ? j * args.ldb + p : p * args.ldb + j;
          sum += at(a, batch * args.stride_a + ia) * at(b, batch * args.stride_b + ib);
        }
        double& out = at(c, batch * args.stride_c + i * args.ldc + j);
        out = static_cast<double>(args.alpha) * sum + (args.accumulate ? out : 0.0);
      }
    }
  }
}

}  // namespace mneme::testing::oracle
