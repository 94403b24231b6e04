// Row gradients that are added up in the rows, a few tokens at a time: the bits of one sum over all
// tokens, wherever the tokens and the rows are split.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::ColumnRange;
using kernels::FloatType;
using kernels::RowId;
using kernels::RowOptimizerKind;

constexpr std::uint32_t kRows = 60;
constexpr std::int64_t kPerToken = 5;

struct Case {
  std::uint32_t width;
  FloatType vector_type;
  std::int64_t tokens;  // many: the first rows are popular
};

// Some tokens' look-ups, on the device.
class Tokens {
 public:
  Tokens(kernels::Backend& backend, kernels::Stream& stream, const Case& shape,
         const std::vector<RowId>& rows, std::int64_t first, std::int64_t count)
      : lookups_(backend, stream, slice(rows, first * kPerToken, count * kPerToken), kPerToken) {
    gradient_.grouped = lookups_.grouped();
    gradient_.part_count = 2;
    for (int part = 0; part < 2; ++part) {
      const auto seed = static_cast<std::uint32_t>(10 + part);
      factors_.emplace_back(backend, slice(random_floats(shape.tokens * kPerToken, seed),
                                           first * kPerToken, count * kPerToken));
      const std::int64_t width = shape.width;
      floats_.emplace_back(backend, slice(random_floats(shape.tokens * width, seed + 5, 1e-2),
                                          first * width, count * width));
      bytes_.emplace_back(backend, count * width * 4, std::byte{0});
      const bool converts = shape.vector_type == FloatType::kBF16;
      if (converts) {
        backend.convert(stream, {.source = floats_.back().data(),
                                 .target = bytes_.back().data(),
                                 .target_type = FloatType::kBF16,
                                 .count = count * width});
      }
      gradient_.parts[part] = {.factors = factors_.back().data(),
                               .vectors = converts ? static_cast<const void*>(bytes_.back().data())
                                                   : floats_.back().data(),
                               .type = shape.vector_type,
                               .columns = ColumnRange::all(shape.width)};
    }
    stream.synchronize();
  }
  const kernels::RowGradient& gradient() const { return gradient_; }
  std::int64_t distinct() const { return lookups_.distinct(); }
  // The distinct rows, ascending.
  std::vector<RowId> rows() const {
    const RowId* const first = lookups_.grouped().unique_rows;
    return {first, first + lookups_.distinct()};
  }

 private:
  template <typename T>
  static std::vector<T> slice(const std::vector<T>& all, std::int64_t first, std::int64_t count) {
    return {all.begin() + first, all.begin() + first + count};
  }

  TestLookups lookups_;
  std::deque<Pinned<float>> factors_, floats_;
  std::deque<Pinned<std::byte>> bytes_;
  kernels::RowGradient gradient_;
};

kernels::RecordLayout layout_of(std::uint32_t width, RowOptimizerKind kind, FloatType type,
                                bool gradient) {
  const bool adam = kind == RowOptimizerKind::kAdamW || kind == RowOptimizerKind::kAdamWLazy;
  const kernels::PartLayout part{.columns = ColumnRange::all(width),
                                 .value_type = type,
                                 .moment_type = type,
                                 .moments = adam,
                                 .sum = kind == RowOptimizerKind::kAdagradRowwise,
                                 .gradient = gradient};
  return {{part, part}, 2};
}

std::vector<kernels::SlotId> slots_of(const RowTable& table, const std::vector<RowId>& rows) {
  std::vector<kernels::SlotId> slots;
  for (const RowId row : rows) slots.push_back(table.slot_of(row));
  return slots;
}

// The gradients that stand in the rows of a table, as one look-up for each row.
class Standing {
 public:
  Standing(kernels::Backend& backend, const RowTable& table, const std::vector<RowId>& rows)
      : rows_(backend, rows), slots_(backend, slots_of(table, rows)), offsets_(backend, counted()) {
    gradient_.part_count = table.arena().layout.part_count;
    gradient_.grouped = {.lookups = table.rows(),
                         .lookups_per_token = 1,
                         .unique_rows = rows_.data(),
                         .offsets = offsets_.data(),
                         .order = slots_.data()};
    for (int part = 0; part < gradient_.part_count; ++part) {
      gradient_.parts[part] = {.vectors = table.arena().parts[part].gradient,
                               .columns = table.layout(part).columns};
    }
  }
  const kernels::RowGradient& gradient() const { return gradient_; }
  const kernels::SlotId* slots() const { return slots_.data(); }
  std::int64_t count() const { return rows_.size(); }

 private:
  std::vector<std::uint32_t> counted() const {
    std::vector<std::uint32_t> offsets(static_cast<std::size_t>(rows_.size()) + 1);
    std::iota(offsets.begin(), offsets.end(), 0u);
    return offsets;
  }

  Pinned<RowId> rows_;
  Pinned<kernels::SlotId> slots_;
  Pinned<std::uint32_t> offsets_;
  kernels::RowGradient gradient_;
};

class AccumulateGradient : public ::testing::TestWithParam<Case> {
 protected:
  const std::vector<RowId> rows_ = random_rows(GetParam().tokens, kPerToken, kRows, 3);

  // Adds up all tokens in the rows of `table`, up to each of `ends` at a time and `chunk` rows at a
  // time. What stands there before is no number.
  void accumulate(kernels::Backend& backend, const RowTable& table,
                  const std::vector<std::int64_t>& ends, std::int64_t chunk) const {
    const auto stream = backend.create_stream();
    for (int part = 0; part < 2; ++part) {
      for (RowId row = 0; row < kRows; ++row) {
        for (std::int64_t c = 0; c < table.width(); ++c) {
          table.gradient(row, c, part) = std::numeric_limits<float>::quiet_NaN();
        }
      }
    }
    std::set<RowId> seen;
    std::int64_t begin = 0;
    for (const std::int64_t end : ends) {
      const Tokens tokens(backend, *stream, GetParam(), rows_, begin, end - begin);
      begin = end;
      const std::vector<RowId> rows = tokens.rows();
      std::vector<std::uint8_t> first;
      for (const RowId row : rows) first.push_back(seen.insert(row).second ? 1 : 0);
      const Pinned<kernels::SlotId> slots(backend, slots_of(table, rows));
      const Pinned<std::uint8_t> is_first(backend, first);
      for (std::int64_t i = 0; i < tokens.distinct(); i += chunk) {
        backend.accumulate_gradient(*stream, table.arena(),
                                    {.gradient = tokens.gradient(),
                                     .slots = slots.data() + i,
                                     .is_first = is_first.data() + i,
                                     .first = i,
                                     .count = std::min(chunk, tokens.distinct() - i)});
      }
      stream->synchronize();
    }
  }
  std::vector<std::int64_t> uneven() const {
    return {1, 3, GetParam().tokens / 2, GetParam().tokens};
  }
};

TEST_P(AccumulateGradient, UpdatesHaveTheBitsOfTheFactoredGradient) {
  const Case& shape = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    const Tokens all(backend, *stream, shape, rows_, 0, shape.tokens);
    const std::vector<RowId> rows = all.rows();
    for (const RowOptimizerKind kind :
         {RowOptimizerKind::kAdamW, RowOptimizerKind::kAdagradRowwise, RowOptimizerKind::kSgd}) {
      for (const FloatType type : {FloatType::kF32, FloatType::kBF16}) {
        const RowTable factored(backend, layout_of(shape.width, kind, type, false), kRows);
        const RowTable standing(backend, layout_of(shape.width, kind, type, true), kRows);
        const Pinned<float> clip(backend, 1, 0.7f);
        const kernels::RowUpdateArgs args{.kind = kind,
                                          .step = 1,
                                          .learning_rate = 0.01,
                                          .weight_decay = 0.1,
                                          .grad_scale = clip.data(),
                                          .seed = 4};
        for (const RowTable* table : {&factored, &standing}) {
          table->fill_randomly(8);
          for (RowId row = 0; row < kRows; ++row) table->sum(row) = table->sum(row, 1) = 0;
        }
        accumulate(backend, standing, uneven(), 7);
        const Standing sums(backend, standing, rows);
        backend.update_rows(*stream, factored.arena(), sums.slots(), all.gradient(), 0,
                            sums.count(), args);
        backend.update_rows(*stream, standing.arena(), sums.slots(), sums.gradient(), 0,
                            sums.count(), args);
        stream->synchronize();
        for (int part = 0; part < 2; ++part) {
          for (const RowId row : rows) {
            for (std::int64_t c = 0; c < factored.width(); ++c) {
              // Where a row with one look-up takes its norm from its token's, adagrad's rate is
              // another by an ulp, and rounding may fall the other way.
              const float value = standing.value(row, c, part);
              const float expected = factored.value(row, c, part);
              if (kind == RowOptimizerKind::kAdagradRowwise && test.name == "cuda") {
                const double ulps = type == FloatType::kF32 ? 1e-6 : 1e-2;
                ASSERT_NEAR(value, expected, ulps * std::max(0.1f, std::abs(expected)));
                continue;
              }
              ASSERT_EQ(value, expected) << io::name_of(kind) << " row " << row << " column " << c;
              if (!factored.layout().moments) continue;
              ASSERT_EQ(standing.moment1(row, c, part), factored.moment1(row, c, part));
              ASSERT_EQ(standing.moment2(row, c, part), factored.moment2(row, c, part));
            }
            EXPECT_NEAR(standing.sum(row, part), factored.sum(row, part),
                        3e-7 * std::abs(factored.sum(row, part)));
          }
        }
      }
    }
  }
}

TEST_P(AccumulateGradient, SplitsChangeNoBit) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto gradients = [&](const std::vector<std::int64_t>& ends, std::int64_t chunk) {
      const RowTable table(
          backend, layout_of(GetParam().width, RowOptimizerKind::kSgd, FloatType::kF32, true),
          kRows);
      accumulate(backend, table, ends, chunk);
      return table.bytes();
    };
    const auto at_once = gradients({GetParam().tokens}, kRows);
    EXPECT_TRUE(gradients({GetParam().tokens}, 1) == at_once);
    EXPECT_TRUE(gradients(uneven(), kRows) == at_once);
    EXPECT_TRUE(gradients(uneven(), 9) == at_once);
  }
}

TEST_P(AccumulateGradient, NormsAreThoseOfTheFactoredGradient) {
  const Case& shape = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    const Tokens all(backend, *stream, shape, rows_, 0, shape.tokens);
    const std::vector<RowId> rows = all.rows();
    const RowTable table(
        backend, layout_of(shape.width, RowOptimizerKind::kSgd, FloatType::kF32, true), kRows);
    accumulate(backend, table, uneven(), 7);
    const Standing sums(backend, table, rows);
    const auto factored = group_norms(backend, *stream, all.gradient(), 0, sums.count());
    const auto standing = group_norms(backend, *stream, sums.gradient(), 0, sums.count());
    ASSERT_EQ(standing.size(), factored.size());
    for (std::size_t i = 0; i < standing.size(); ++i) {
      EXPECT_NEAR(standing[i], factored[i], 3e-7 * factored[i]) << i;
    }
    // Of some of the rows alone.
    const std::vector<RowId> some(rows.begin() + 3, rows.begin() + 12);
    const auto of_some =
        group_norms(backend, *stream, Standing(backend, table, some).gradient(), 0, 9);
    const auto at = standing.begin() + 3 * sums.gradient().groups();
    EXPECT_TRUE(std::equal(of_some.begin(), of_some.end(), at));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AccumulateGradient,
    ::testing::Values(Case{1, FloatType::kF32, 40}, Case{21, FloatType::kBF16, 40},
                      Case{64, FloatType::kF32, 40}, Case{100, FloatType::kF32, 40},
                      Case{256, FloatType::kBF16, 40}, Case{64, FloatType::kF32, 18000},
                      Case{20, FloatType::kBF16, 18000}),
    [](const auto& test) {
      return fmt::format("w{}_{}_{}", test.param.width,
                         test.param.vector_type == FloatType::kF32 ? "f32" : "bf16",
                         test.param.tokens > 1000 ? "popular" : "few");
    });

}  // namespace
}  // namespace mneme::testing
