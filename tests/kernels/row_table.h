// A small arena of rows and the lookups of a few tokens, for the tests of row operations.
#pragma once

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/scalar.h"
#include "tests/kernels/pinned.h"

namespace mneme::testing {

// An arena whose rows can be read and set as numbers. Row r of a test lies in slot_of(r).
class RowTable {
 public:
  RowTable(kernels::Backend& backend, const kernels::RecordLayout& layout, std::uint32_t rows)
      : rows_(rows),
        values_(backend, static_cast<std::int64_t>(rows * layout.value_bytes()), std::byte{0}),
        moment1_(backend, static_cast<std::int64_t>(rows * layout.moment_bytes()), std::byte{0}),
        moment2_(backend, static_cast<std::int64_t>(rows * layout.moment_bytes()), std::byte{0}),
        row_state_(backend, rows),
        last_step_(backend, rows) {
    arena_.layout = layout;
    arena_.values = values_.data();
    arena_.moment1 = layout.moments ? moment1_.data() : nullptr;
    arena_.moment2 = layout.moments ? moment2_.data() : nullptr;
    arena_.row_state = row_state_.data();
    arena_.last_step = last_step_.data();
  }

  const kernels::RowArena& arena() const { return arena_; }
  std::int64_t width() const { return arena_.layout.width; }
  std::uint32_t rows() const { return rows_; }
  // A fixed permutation, so that slots are not in the order of rows.
  kernels::SlotId slot_of(kernels::RowId row) const {
    return (row * 7919u + rows_ / 2) % rows_;  // 7919 is prime and no divisor of test sizes
  }
  float& row_state(kernels::RowId row) const { return row_state_[slot_of(row)]; }
  std::uint32_t& last_step(kernels::RowId row) const { return last_step_[slot_of(row)]; }

  float value(kernels::RowId row, std::int64_t column) const {
    return get(arena_.values, arena_.layout.value_type, row, column);
  }
  float moment1(kernels::RowId row, std::int64_t column) const {
    return get(arena_.moment1, arena_.layout.moment_type, row, column);
  }
  float moment2(kernels::RowId row, std::int64_t column) const {
    return get(arena_.moment2, arena_.layout.moment_type, row, column);
  }
  void set_value(kernels::RowId row, std::int64_t column, double x) const {
    set(arena_.values, arena_.layout.value_type, row, column, x);
  }
  void set_moments(kernels::RowId row, std::int64_t column, double m, double v) const {
    set(arena_.moment1, arena_.layout.moment_type, row, column, m);
    set(arena_.moment2, arena_.layout.moment_type, row, column, v);
  }
  // Every value standard normal, moments of a size that training gives.
  void fill_randomly(std::uint32_t seed) const {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    for (kernels::RowId row = 0; row < rows_; ++row) {
      for (std::int64_t c = 0; c < width(); ++c) {
        set_value(row, c, normal(engine));
        if (!arena_.layout.moments) continue;
        const double g = normal(engine) * 1e-3;
        set_moments(row, c, g, g * g * 0.3 + 1e-9);
      }
    }
  }
  // Everything stored, for comparing bits.
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> all = values_.values();
    for (const auto* part : {&moment1_, &moment2_}) {
      const auto more = part->values();
      all.insert(all.end(), more.begin(), more.end());
    }
    for (std::uint32_t i = 0; i < rows_; ++i) {
      const float state = row_state_[i];
      const std::uint32_t step = last_step_[i];
      const auto* a = reinterpret_cast<const std::byte*>(&state);
      const auto* b = reinterpret_cast<const std::byte*>(&step);
      all.insert(all.end(), a, a + 4);
      all.insert(all.end(), b, b + 4);
    }
    return all;
  }

 private:
  float get(const void* base, kernels::FloatType type, kernels::RowId row, std::int64_t c) const {
    const std::int64_t at = slot_of(row) * width() + c;
    if (type == kernels::FloatType::kF32) return static_cast<const float*>(base)[at];
    return kernels::bf16_to_float(static_cast<const std::uint16_t*>(base)[at]);
  }
  void set(void* base, kernels::FloatType type, kernels::RowId row, std::int64_t c,
           double x) const {
    const std::int64_t at = slot_of(row) * width() + c;
    const auto rounded = static_cast<float>(x);
    if (type == kernels::FloatType::kF32) {
      static_cast<float*>(base)[at] = rounded;
    } else {
      static_cast<std::uint16_t*>(base)[at] = kernels::float_to_bf16(rounded);
    }
  }

  std::uint32_t rows_;
  Pinned<std::byte> values_, moment1_, moment2_;
  Pinned<float> row_state_;
  Pinned<std::uint32_t> last_step_;
  kernels::RowArena arena_;
};

// The lookups of a step, grouped by the backend.
class TestLookups {
 public:
  TestLookups(kernels::Backend& backend, kernels::Stream& stream,
              const std::vector<kernels::RowId>& rows, std::int64_t lookups_per_token,
              bool token_order = true)
      : rows_(backend, rows),
        unique_rows_(backend, lookups()),
        offsets_(backend, lookups() + 1),
        order_(backend, lookups()),
        unique_index_(backend, lookups()),
        token_order_(backend, lookups()),
        count_(backend, 1) {
    grouped_ = {.rows = rows_.data(),
                .lookups = lookups(),
                .lookups_per_token = lookups_per_token,
                .unique_rows = unique_rows_.data(),
                .offsets = offsets_.data(),
                .order = order_.data(),
                .unique_index = unique_index_.data(),
                .token_order = token_order ? token_order_.data() : nullptr,
                .count = count_.data()};
    backend.group_lookups(stream, grouped_);
    stream.synchronize();
  }

  const kernels::GroupedLookups& grouped() const { return grouped_; }
  std::int64_t lookups() const { return static_cast<std::int64_t>(rows_.size()); }
  std::int64_t tokens() const { return lookups() / grouped_.lookups_per_token; }
  std::int64_t distinct() const { return static_cast<std::int64_t>(count_[0]); }

 private:
  Pinned<kernels::RowId> rows_, unique_rows_;
  Pinned<std::uint32_t> offsets_, order_, unique_index_, token_order_;
  Pinned<std::uint64_t> count_;
  kernels::GroupedLookups grouped_;
};

inline std::vector<float> random_floats(std::int64_t count, std::uint32_t seed, double scale = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0, scale);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(normal(engine));
  return values;
}

// Rows of `tokens` tokens, distinct within each token, a few of them popular.
inline std::vector<kernels::RowId> random_rows(std::int64_t tokens, std::int64_t lookups_per_token,
                                               std::uint32_t table_rows, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<kernels::RowId> all(table_rows), rows;
  std::iota(all.begin(), all.end(), 0u);
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::shuffle(all.begin() + (t % 2 == 0 ? 0 : 1), all.end(), engine);
    rows.insert(rows.end(), all.begin(), all.begin() + lookups_per_token);
  }
  return rows;
}

// ||actual - expected|| / ||expected||.
inline double relative_error(const std::vector<double>& actual,
                             const std::vector<double>& expected) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return norm > 0 ? std::sqrt(error / norm) : std::sqrt(error);
}

}  // namespace mneme::testing
