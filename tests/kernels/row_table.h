// A small arena of rows and the lookups of a few tokens, for the tests of row operations.
#pragma once

#include <algorithm>
#include <deque>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/scalar.h"
#include "tests/kernels/pinned.h"

namespace mneme::testing {

// A layout of one part with all its columns.
struct OnePart {
  std::uint32_t width = 0;
  kernels::FloatType value_type = kernels::FloatType::kF32;
  kernels::FloatType moment_type = kernels::FloatType::kF32;
  bool moments = true;
  bool sum = false;
  bool gradient = false;

  kernels::RecordLayout layout() const {
    return kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(width),
                                      .value_type = value_type,
                                      .moment_type = moment_type,
                                      .moments = moments,
                                      .sum = sum,
                                      .gradient = gradient});
  }
};

// An arena whose rows can be read and set as numbers. Row r of a test lies in slot_of(r). Numbers
// are of part 0 unless a part is named.
class RowTable {
 public:
  RowTable(kernels::Backend& backend, const OnePart& part, std::uint32_t rows)
      : RowTable(backend, part.layout(), rows) {}
  RowTable(kernels::Backend& backend, const kernels::RecordLayout& layout, std::uint32_t rows)
      : rows_(rows), last_step_(backend, rows), moment_lag_(backend, rows) {
    arena_.layout = layout;
    arena_.last_step = last_step_.data();
    arena_.moment_lag = moment_lag_.data();
    for (int i = 0; i < layout.part_count; ++i) {
      const kernels::PartLayout& part = layout.parts[i];
      arena_.parts[i] = {
          .values = array(backend, part.value_bytes()),
          .moment1 = part.moments ? array(backend, part.moment_bytes()) : nullptr,
          .moment2 = part.moments ? array(backend, part.moment_bytes()) : nullptr,
          .gradient =
              part.gradient ? static_cast<float*>(array(backend, part.gradient_bytes())) : nullptr,
          .sums = static_cast<float*>(array(backend, sizeof(float)))};
    }
  }

  const kernels::RowArena& arena() const { return arena_; }
  const kernels::PartLayout& layout(int part = 0) const { return arena_.layout.parts[part]; }
  std::int64_t width(int part = 0) const { return layout(part).columns.count; }
  std::uint32_t rows() const { return rows_; }
  // A fixed permutation, so that slots are not in the order of rows.
  kernels::SlotId slot_of(kernels::RowId row) const {
    return (row * 7919u + rows_ / 2) % rows_;  // 7919 is prime and no divisor of test sizes
  }
  float& sum(kernels::RowId row, int part = 0) const {
    return arena_.parts[part].sums[slot_of(row)];
  }
  std::uint32_t& last_step(kernels::RowId row) const { return last_step_[slot_of(row)]; }
  std::uint32_t& moment_lag(kernels::RowId row) const { return moment_lag_[slot_of(row)]; }

  float& gradient(kernels::RowId row, std::int64_t column, int part = 0) const {
    return arena_.parts[part].gradient[at(row, column, part)];
  }
  float value(kernels::RowId row, std::int64_t column, int part = 0) const {
    return get(arena_.parts[part].values, layout(part).value_type, at(row, column, part));
  }
  float moment1(kernels::RowId row, std::int64_t column, int part = 0) const {
    return get(arena_.parts[part].moment1, layout(part).moment_type, at(row, column, part));
  }
  float moment2(kernels::RowId row, std::int64_t column, int part = 0) const {
    return get(arena_.parts[part].moment2, layout(part).moment_type, at(row, column, part));
  }
  void set_value(kernels::RowId row, std::int64_t column, double x, int part = 0) const {
    set(arena_.parts[part].values, layout(part).value_type, at(row, column, part), x);
  }
  void set_moments(kernels::RowId row, std::int64_t column, double m, double v,
                   int part = 0) const {
    set(arena_.parts[part].moment1, layout(part).moment_type, at(row, column, part), m);
    set(arena_.parts[part].moment2, layout(part).moment_type, at(row, column, part), v);
  }
  // Every value standard normal, moments of a size that training gives.
  void fill_randomly(std::uint32_t seed) const {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    for (int part = 0; part < arena_.layout.part_count; ++part) {
      for (kernels::RowId row = 0; row < rows_; ++row) {
        for (std::int64_t c = 0; c < width(part); ++c) {
          set_value(row, c, normal(engine), part);
          if (!layout(part).moments) continue;
          const double g = normal(engine) * 1e-3;
          set_moments(row, c, g, g * g * 0.3 + 1e-9, part);
        }
      }
    }
  }
  // Everything stored, for comparing bits.
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> all;
    for (const Pinned<std::byte>& array : arrays_) {
      const auto more = array.values();
      all.insert(all.end(), more.begin(), more.end());
    }
    for (const Pinned<std::uint32_t>* numbers : {&last_step_, &moment_lag_}) {
      for (std::uint32_t i = 0; i < rows_; ++i) {
        const std::uint32_t number = (*numbers)[i];
        const auto* a = reinterpret_cast<const std::byte*>(&number);
        all.insert(all.end(), a, a + 4);
      }
    }
    return all;
  }

 private:
  void* array(kernels::Backend& backend, std::size_t row_bytes) {
    arrays_.emplace_back(backend, static_cast<std::int64_t>(rows_ * row_bytes), std::byte{0});
    return arrays_.back().data();
  }
  std::int64_t at(kernels::RowId row, std::int64_t column, int part) const {
    return slot_of(row) * width(part) + column;
  }
  static float get(const void* base, kernels::FloatType type, std::int64_t at) {
    if (type == kernels::FloatType::kF32) return static_cast<const float*>(base)[at];
    return kernels::bf16_to_float(static_cast<const std::uint16_t*>(base)[at]);
  }
  static void set(void* base, kernels::FloatType type, std::int64_t at, double x) {
    const auto rounded = static_cast<float>(x);
    if (type == kernels::FloatType::kF32) {
      static_cast<float*>(base)[at] = rounded;
    } else {
      static_cast<std::uint16_t*>(base)[at] = kernels::float_to_bf16(rounded);
    }
  }

  std::uint32_t rows_;
  std::deque<Pinned<std::byte>> arrays_;
  Pinned<std::uint32_t> last_step_, moment_lag_;
  kernels::RowArena arena_;
};

// The gradient of a table of one part. d_y: [tokens, width], float32.
inline kernels::RowGradient gradient_of(const kernels::GroupedLookups& grouped,
                                        const float* weights, const float* d_y,
                                        std::int64_t width) {
  kernels::RowGradient gradient;
  gradient.grouped = grouped;
  gradient.parts[0] = {.factors = weights,
                       .vectors = d_y,
                       .columns = kernels::ColumnRange::all(static_cast<std::uint32_t>(width))};
  return gradient;
}

// The lookups of a step, grouped by the backend.
class TestLookups {
 public:
  TestLookups(kernels::Backend& backend, kernels::Stream& stream,
              const std::vector<kernels::RowId>& rows, std::int64_t lookups_per_token,
              bool token_order = true, std::uint64_t table_rows = std::uint64_t{1} << 32)
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
                .table_rows = table_rows,
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

// Squared norms of the gradients of distinct rows [first, first + count): [count, groups].
inline std::vector<float> group_norms(kernels::Backend& backend, kernels::Stream& stream,
                                      const kernels::RowGradient& gradient, std::int64_t first,
                                      std::int64_t count) {
  const std::int64_t groups = gradient.groups();
  const Pinned<float> norms(backend, groups * count, -1.0f);
  backend.row_gradient_norms(stream, gradient, first, count, norms.data());
  stream.synchronize();
  std::vector<float> by_row;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t g = 0; g < groups; ++g) by_row.push_back(norms[g * count + i]);
  }
  return by_row;
}
// Of whole rows: the groups' sums.
inline std::vector<double> row_norms(const std::vector<float>& group_norms, int groups) {
  std::vector<double> norms(group_norms.size() / static_cast<std::size_t>(groups));
  for (std::size_t i = 0; i < group_norms.size(); ++i) {
    norms[i / static_cast<std::size_t>(groups)] += static_cast<double>(group_norms[i]);
  }
  return norms;
}

// Rows of `tokens` tokens, distinct within each token where the table has so many, a few of them
// popular.
inline std::vector<kernels::RowId> random_rows(std::int64_t tokens, std::int64_t lookups_per_token,
                                               std::uint32_t table_rows, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<kernels::RowId> all(table_rows), rows;
  std::iota(all.begin(), all.end(), 0u);
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::shuffle(all.begin() + (t % 2 == 0 ? 0 : 1), all.end(), engine);
    for (std::int64_t left = lookups_per_token; left > 0;) {
      const auto some = std::min(left, std::ssize(all));
      rows.insert(rows.end(), all.begin(), all.begin() + some);
      left -= some;
    }
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
