// Naive versions of the key operations.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/kernels/operation_case.h"

namespace mneme::testing::oracle {

struct ScoredRow {
  float score;
  kernels::RowId row;
};

// All half_keys^2 rows of one (token, head), scored in float32, higher score first, ties by lower
// row id: the first knn.
inline std::vector<ScoredRow> best_rows(const float* first, const float* second,
                                        std::int64_t half_keys, std::int64_t knn) {
  std::vector<ScoredRow> all;
  for (std::int64_t i = 0; i < half_keys; ++i) {
    for (std::int64_t j = 0; j < half_keys; ++j) {
      all.push_back({first[i] + second[j], static_cast<kernels::RowId>(i * half_keys + j)});
    }
  }
  std::partial_sort(all.begin(), all.begin() + knn, all.end(),
                    [](const ScoredRow& a, const ScoredRow& b) {
                      return a.score != b.score ? a.score > b.score : a.row < b.row;
                    });
  all.resize(static_cast<std::size_t>(knn));
  return all;
}

struct KeyShape {
  std::int64_t tokens, heads, half_keys, half_width, knn;
};

// scores[t,h,j] = sum over both halves of <q[t,h,c], keys[h,c,half_c(row)]>.
inline void selected_scores(const KeyShape& shape, Values& rows, Values& queries, Values& keys,
                            Values& scores) {
  const auto [tokens, heads, n, width, knn] = shape;
  for (std::int64_t at_row = 0; at_row < tokens * heads * knn; ++at_row) {
    const std::int64_t group = at_row / knn, head = group % heads;
    const auto row = static_cast<std::int64_t>(at(rows, at_row));
    at(scores, at_row) = 0;
    for (std::int64_t c = 0; c < 2; ++c) {
      const std::int64_t key = c == 0 ? row / n : row % n;
      for (std::int64_t i = 0; i < width; ++i) {
        at(scores, at_row) += at(queries, (group * 2 + c) * width + i) *
                              at(keys, ((head * 2 + c) * n + key) * width + i);
      }
    }
  }
}

inline void half_key_backward(const KeyShape& shape, Values& rows, Values& d_scores,
                              Values& queries, Values& keys, Values& d_queries, Values& d_keys) {
  const auto [tokens, heads, n, width, knn] = shape;
  std::fill(d_queries.begin(), d_queries.end(), 0.0);
  for (std::int64_t at_row = 0; at_row < tokens * heads * knn; ++at_row) {
    const std::int64_t group = at_row / knn, head = group % heads;
    const auto row = static_cast<std::int64_t>(at(rows, at_row));
    for (std::int64_t c = 0; c < 2; ++c) {
      const std::int64_t key = c == 0 ? row / n : row % n;
      for (std::int64_t i = 0; i < width; ++i) {
        const std::int64_t q = (group * 2 + c) * width + i;
        const std::int64_t k = ((head * 2 + c) * n + key) * width + i;
        at(d_queries, q) += at(d_scores, at_row) * at(keys, k);
        at(d_keys, k) += at(d_scores, at_row) * at(queries, q);
      }
    }
  }
}

// weights: softmax of scores by groups of knn.
inline void softmax(std::int64_t groups, std::int64_t knn, Values& scores, Values& weights) {
  for (std::int64_t group = 0; group < groups; ++group) {
    double sum = 0;
    for (std::int64_t j = 0; j < knn; ++j) sum += std::exp(at(scores, group * knn + j));
    for (std::int64_t j = 0; j < knn; ++j) {
      at(weights, group * knn + j) = std::exp(at(scores, group * knn + j)) / sum;
    }
  }
}

// By the Jacobian of softmax, element by element.
inline void softmax_backward(std::int64_t groups, std::int64_t knn, Values& weights,
                             Values& d_weights, Values& d_scores) {
  const Values before = d_weights;
  for (std::int64_t group = 0; group < groups; ++group) {
    for (std::int64_t j = 0; j < knn; ++j) {
      double sum = 0;
      for (std::int64_t i = 0; i < knn; ++i) {
        const double same = i == j ? 1.0 : 0.0;
        sum += before[static_cast<std::size_t>(group * knn + i)] * at(weights, group * knn + i) *
               (same - at(weights, group * knn + j));
      }
      at(d_scores, group * knn + j) = sum;
    }
  }
}

}  // namespace mneme::testing::oracle
