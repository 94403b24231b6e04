// Naive float64 experts: PEER's activation, and a mixture's routing and combination.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/expert_ops.h"
#include "tests/kernels/operation_case.h"

namespace mneme::testing::oracle {

inline double gelu(double a) {
  return 0.5 * a * (1.0 + std::erf(a / std::sqrt(2.0)));
}
inline double gelu_slope(double a) {
  return 0.5 * (1.0 + std::erf(a / std::sqrt(2.0))) +
         a * std::exp(-0.5 * a * a) / std::sqrt(2.0 * std::acos(-1.0));
}

inline void expert_activation(Values& weights, Values& dots, Values& factors) {
  for (std::size_t i = 0; i < dots.size(); ++i) factors[i] = weights[i] * gelu(dots[i]);
}

// d_weights may be d_factors.
inline void expert_activation_backward(Values& weights, Values& dots, Values& d_factors,
                                       Values& d_weights, Values& d_dots) {
  for (std::size_t i = 0; i < dots.size(); ++i) {
    const double d = d_factors[i];
    d_dots[i] = d * weights[i] * gelu_slope(dots[i]);
    d_weights[i] = d * gelu(dots[i]);
  }
}

struct MixtureShape {
  kernels::Routing routing = kernels::Routing::kTopOne;
  std::int64_t tokens = 0, experts = 0, capacity = 0;

  std::int64_t assignments() const {
    return routing == kernels::Routing::kTopOne ? tokens : experts * capacity;
  }
};

// The tokens of each expert, ascending.
inline std::vector<std::vector<std::int64_t>> tokens_of_experts(const MixtureShape& shape,
                                                                Values& probabilities) {
  std::vector<std::vector<std::int64_t>> tokens(static_cast<std::size_t>(shape.experts));
  const auto p = [&](std::int64_t t, std::int64_t e) {
    return at(probabilities, t * shape.experts + e);
  };
  if (shape.routing == kernels::Routing::kTopOne) {
    for (std::int64_t t = 0; t < shape.tokens; ++t) {
      std::int64_t best = 0;
      for (std::int64_t e = 1; e < shape.experts; ++e) best = p(t, e) > p(t, best) ? e : best;
      tokens[static_cast<std::size_t>(best)].push_back(t);
    }
    return tokens;
  }
  for (std::int64_t e = 0; e < shape.experts; ++e) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(shape.tokens));
    for (std::int64_t t = 0; t < shape.tokens; ++t) all[static_cast<std::size_t>(t)] = t;
    std::stable_sort(all.begin(), all.end(),
                     [&](std::int64_t a, std::int64_t b) { return p(a, e) > p(b, e); });
    all.resize(static_cast<std::size_t>(shape.capacity));
    std::sort(all.begin(), all.end());
    tokens[static_cast<std::size_t>(e)] = all;
  }
  return tokens;
}

// probabilities may be logits.
inline void route_tokens(const MixtureShape& shape, Values& logits, Values& probabilities,
                         Values& offsets, Values& tokens_of, Values& places) {
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    const std::int64_t first = t * shape.experts;
    double largest = at(logits, first), sum = 0;
    for (std::int64_t e = 0; e < shape.experts; ++e) {
      largest = std::max(largest, at(logits, first + e));
    }
    for (std::int64_t e = 0; e < shape.experts; ++e) {
      at(probabilities, first + e) = std::exp(at(logits, first + e) - largest);
      sum += at(probabilities, first + e);
    }
    for (std::int64_t e = 0; e < shape.experts; ++e) at(probabilities, first + e) /= sum;
  }
  std::fill(places.begin(), places.end(), -1.0);
  std::int64_t place = 0;
  std::int64_t expert = 0;
  for (const std::vector<std::int64_t>& tokens : tokens_of_experts(shape, probabilities)) {
    at(offsets, expert) = static_cast<double>(place);
    for (const std::int64_t t : tokens) {
      at(tokens_of, place) = static_cast<double>(t);
      at(places, t * shape.experts + expert) = static_cast<double>(place++);
    }
    ++expert;
  }
  at(offsets, expert) = static_cast<double>(place);
}

inline void combine_experts(const MixtureShape& shape, std::int64_t width, Values& y,
                            Values* probabilities, Values& places, Values& out) {
  for (std::int64_t pair = 0; pair < shape.tokens * shape.experts; ++pair) {
    if (at(places, pair) < 0) continue;
    const auto place = static_cast<std::int64_t>(at(places, pair));
    const double p = probabilities == nullptr ? 1.0 : at(*probabilities, pair);
    for (std::int64_t i = 0; i < width; ++i) {
      at(out, pair / shape.experts * width + i) += p * at(y, place * width + i);
    }
  }
}

struct CombineGradients {
  Values &d_y, &d_probabilities;
};

inline void combine_experts_backward(const MixtureShape& shape, std::int64_t width, double balance,
                                     Values& y, Values& probabilities, Values& places,
                                     Values& offsets, Values& d_out,
                                     const CombineGradients& gradients) {
  for (std::int64_t pair = 0; pair < shape.tokens * shape.experts; ++pair) {
    const std::int64_t expert = pair % shape.experts, token = pair / shape.experts;
    double d = balance * (at(offsets, expert + 1) - at(offsets, expert));
    if (at(places, pair) >= 0) {
      const auto place = static_cast<std::int64_t>(at(places, pair));
      for (std::int64_t i = 0; i < width; ++i) {
        const double d_o = at(d_out, token * width + i);
        d += d_o * at(y, place * width + i);
        at(gradients.d_y, place * width + i) = at(probabilities, pair) * d_o;
      }
    }
    at(gradients.d_probabilities, pair) = d;
  }
}

}  // namespace mneme::testing::oracle
