// Naive float64 versions of the row operations.
#pragma once

#include <cmath>
#include <vector>

#include "tests/kernels/row_table.h"

namespace mneme::testing::oracle {

// y[t] = initial + sum of weight * value. Result: [tokens, width].
inline std::vector<double> gather(const RowTable& table, const std::vector<kernels::RowId>& rows,
                                  const std::vector<float>& weights, std::int64_t lookups_per_token,
                                  double initial) {
  const auto per_token = static_cast<std::size_t>(lookups_per_token);
  const auto width = static_cast<std::size_t>(table.width());
  std::vector<double> y(rows.size() / per_token * width, initial);
  for (std::size_t l = 0; l < rows.size(); ++l) {
    for (std::size_t c = 0; c < width; ++c) {
      y[l / per_token * width + c] +=
          static_cast<double>(weights[l]) * table.value(rows[l], static_cast<std::int64_t>(c));
    }
  }
  return y;
}

// d_weights[l] = <d_y[token], value>.
inline std::vector<double> lookup_dot(const RowTable& table,
                                      const std::vector<kernels::RowId>& rows,
                                      const std::vector<float>& d_y,
                                      std::int64_t lookups_per_token) {
  const auto per_token = static_cast<std::size_t>(lookups_per_token);
  const auto width = static_cast<std::size_t>(table.width());
  std::vector<double> d_weights(rows.size());
  for (std::size_t l = 0; l < rows.size(); ++l) {
    for (std::size_t c = 0; c < width; ++c) {
      d_weights[l] += static_cast<double>(d_y[l / per_token * width + c]) *
                      table.value(rows[l], static_cast<std::int64_t>(c));
    }
  }
  return d_weights;
}

// The dense gradient [table rows, width]: sum over a row's lookups of weight * d_y.
inline std::vector<double> row_gradient(std::uint32_t table_rows, std::int64_t width,
                                        const std::vector<kernels::RowId>& rows,
                                        const std::vector<float>& weights,
                                        const std::vector<float>& d_y,
                                        std::int64_t lookups_per_token) {
  const auto per_token = static_cast<std::size_t>(lookups_per_token);
  const auto columns = static_cast<std::size_t>(width);
  std::vector<double> gradient(table_rows * columns);
  for (std::size_t l = 0; l < rows.size(); ++l) {
    for (std::size_t c = 0; c < columns; ++c) {
      gradient[rows[l] * columns + c] +=
          static_cast<double>(weights[l]) * static_cast<double>(d_y[l / per_token * columns + c]);
    }
  }
  return gradient;
}

// One element of a dense AdamW over the whole table.
struct AdamWElement {
  double value = 0, moment1 = 0, moment2 = 0;

  void step(std::uint64_t t, double gradient, const kernels::RowUpdateArgs& args) {
    const auto s = static_cast<double>(t);
    moment1 = args.beta1 * moment1 + (1 - args.beta1) * gradient;
    moment2 = args.beta2 * moment2 + (1 - args.beta2) * gradient * gradient;
    const double m = moment1 / (1 - std::pow(args.beta1, s));
    const double v = moment2 / (1 - std::pow(args.beta2, s));
    value = value * (1 - args.learning_rate * args.weight_decay);
    if (m != 0) value -= args.learning_rate * m / (std::sqrt(v) + args.epsilon);
  }
};

}  // namespace mneme::testing::oracle
