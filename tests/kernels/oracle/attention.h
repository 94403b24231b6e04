// Naive float64 causal attention, its backward with whole probability matrices, and rotary
// embedding.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dense_ops.h"
#include "tests/kernels/operation_case.h"

namespace mneme::testing::oracle {

struct AttentionShape {
  std::int64_t batch, sequence, heads, kv_heads, head_width;
  float scale;
  // Where documents begin, counted over the sequences one after the other; none: nothing is said of
  // documents, and queries read all keys up to their own.
  std::vector<std::int64_t> documents = {};

  // The first key that query t of sequence b reads, as a position of the sequence.
  std::int64_t first_key(std::int64_t b, std::int64_t t) const {
    std::int64_t first = 0;
    for (const std::int64_t begin : documents) {
      if (begin <= b * sequence + t) first = std::max(first, begin - b * sequence);
    }
    return first;
  }
  Values first_keys() const {
    Values keys;
    for (std::int64_t token = 0; token < batch * sequence; ++token) {
      keys.push_back(static_cast<double>(first_key(token / sequence, token % sequence)));
    }
    return keys;
  }

  std::int64_t q_at(std::int64_t b, std::int64_t t, std::int64_t h) const {
    return ((b * sequence + t) * heads + h) * head_width;
  }
  std::int64_t kv_at(std::int64_t b, std::int64_t t, std::int64_t h) const {
    return ((b * sequence + t) * kv_heads + h / (heads / kv_heads)) * head_width;
  }
  std::int64_t q_size() const { return batch * sequence * heads * head_width; }
  std::int64_t kv_size() const { return batch * sequence * kv_heads * head_width; }
};

inline double dot(Values& x, std::int64_t x_at, Values& y, std::int64_t y_at, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += at(x, x_at + i) * at(y, y_at + i);
  return sum;
}

// Scores of row t, keys up to t of which it reads those from first_key on, and the log of the sum
// of their exponentials.
inline double scores_of_row(const AttentionShape& shape, Values& q, Values& k, std::int64_t b,
                            std::int64_t h, std::int64_t t, Values& scores) {
  scores.assign(static_cast<std::size_t>(t + 1), 0.0);
  double sum = 0;
  for (std::int64_t j = shape.first_key(b, t); j <= t; ++j) {
    at(scores, j) = static_cast<double>(shape.scale) *
                    dot(q, shape.q_at(b, t, h), k, shape.kv_at(b, j, h), shape.head_width);
    sum += std::exp(at(scores, j));
  }
  return std::log(sum);
}

inline void attention(const AttentionShape& shape, Values& q, Values& k, Values& v, Values& out,
                      Values& log_sums) {
  Values scores;
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      for (std::int64_t t = 0; t < shape.sequence; ++t) {
        const double log_sum = scores_of_row(shape, q, k, b, h, t, scores);
        at(log_sums, (b * shape.heads + h) * shape.sequence + t) = log_sum;
        for (std::int64_t i = 0; i < shape.head_width; ++i) {
          double sum = 0;
          for (std::int64_t j = shape.first_key(b, t); j <= t; ++j) {
            sum += std::exp(at(scores, j) - log_sum) * at(v, shape.kv_at(b, j, h) + i);
          }
          at(out, shape.q_at(b, t, h) + i) = sum;
        }
      }
    }
  }
}

inline void attention_backward(const AttentionShape& shape, Values& q, Values& k, Values& v,
                               Values& d_out, Values& d_q, Values& d_k, Values& d_v) {
  d_q.assign(d_q.size(), 0.0);
  d_k.assign(d_k.size(), 0.0);
  d_v.assign(d_v.size(), 0.0);
  const std::int64_t width = shape.head_width;
  Values scores;
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      for (std::int64_t t = 0; t < shape.sequence; ++t) {
        const std::int64_t row = shape.q_at(b, t, h);
        const double log_sum = scores_of_row(shape, q, k, b, h, t, scores);
        double mean = 0;  // of d_p under p
        for (std::int64_t j = shape.first_key(b, t); j <= t; ++j) {
          mean +=
              std::exp(at(scores, j) - log_sum) * dot(d_out, row, v, shape.kv_at(b, j, h), width);
        }
        for (std::int64_t j = shape.first_key(b, t); j <= t; ++j) {
          const std::int64_t key = shape.kv_at(b, j, h);
          const double p = std::exp(at(scores, j) - log_sum);
          const double d_score =
              static_cast<double>(shape.scale) * p * (dot(d_out, row, v, key, width) - mean);
          for (std::int64_t i = 0; i < width; ++i) {
            at(d_q, row + i) += d_score * at(k, key + i);
            at(d_k, key + i) += d_score * at(q, row + i);
            at(d_v, key + i) += p * at(d_out, row + i);
          }
        }
      }
    }
  }
}

inline void rotary(const kernels::RotaryArgs& args, Values& x) {
  for (std::int64_t token = 0; token < args.batch * args.sequence; ++token) {
    const auto position = static_cast<double>(args.first_position + token % args.sequence);
    for (std::int64_t head = 0; head < args.heads; ++head) {
      for (std::int64_t i = 0; i < args.head_width / 2; ++i) {
        const double exponent =
            -2.0 * static_cast<double>(i) / static_cast<double>(args.head_width);
        const double angle = (args.inverse ? -1.0 : 1.0) * position *
                             std::pow(static_cast<double>(args.theta), exponent);
        double& even = at(x, token * args.stride + head * args.head_width + 2 * i);
        double& odd = at(x, token * args.stride + head * args.head_width + 2 * i + 1);
        const double turned = even * std::cos(angle) - odd * std::sin(angle);
        odd = even * std::sin(angle) + odd * std::cos(angle);
        even = turned;
      }
    }
  }
}

}  // namespace mneme::testing::oracle
