// Naive float64 embedding and cross-entropy.
#pragma once

#include <algorithm>
#include <cmath>

#include "tests/kernels/operation_case.h"

namespace mneme::testing::oracle {

inline void embedding(std::int64_t width, Values& tokens, Values& table, Values& out) {
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    for (std::int64_t i = 0; i < width; ++i) {
      at(out, static_cast<std::int64_t>(t) * width + i) =
          at(table, static_cast<std::int64_t>(tokens[t]) * width + i);
    }
  }
}

inline void embedding_backward(std::int64_t width, Values& tokens, Values& d_out, Values& d_table) {
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    for (std::int64_t i = 0; i < width; ++i) {
      at(d_table, static_cast<std::int64_t>(tokens[t]) * width + i) +=
          at(d_out, static_cast<std::int64_t>(t) * width + i);
    }
  }
}

inline double row_loss(std::int64_t vocabulary, Values& logits, Values& targets, std::int64_t row) {
  double sum = 0;
  const double target = at(logits, row * vocabulary + static_cast<std::int64_t>(at(targets, row)));
  for (std::int64_t i = 0; i < vocabulary; ++i) {
    sum += std::exp(at(logits, row * vocabulary + i) - target);
  }
  return std::log(sum);
}

inline void cross_entropy(std::int64_t vocabulary, double d_scale, Values& logits, Values& targets,
                          Values& losses) {
  for (std::size_t r = 0; r < losses.size(); ++r) {
    const auto row = static_cast<std::int64_t>(r);
    at(losses, row) = row_loss(vocabulary, logits, targets, row);
    if (d_scale == 0) continue;
    double largest = -1e300, sum = 0;
    for (std::int64_t i = 0; i < vocabulary; ++i) {
      largest = std::max(largest, at(logits, row * vocabulary + i));
    }
    for (std::int64_t i = 0; i < vocabulary; ++i) {
      sum += std::exp(at(logits, row * vocabulary + i) - largest);
    }
    for (std::int64_t i = 0; i < vocabulary; ++i) {
      double& logit = at(logits, row * vocabulary + i);
      const double hot = i == static_cast<std::int64_t>(at(targets, row)) ? 1.0 : 0.0;
      logit = d_scale * (std::exp(logit - largest) / sum - hot);
    }
  }
}

}  // namespace mneme::testing::oracle
