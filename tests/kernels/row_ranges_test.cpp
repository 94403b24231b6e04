// Rows whose columns are split into ranges by hand, as ranks hold them, against the same rows with
// all columns: the same bits in whatever a row operation computes, on every backend. Rows of two
// parts against two tables of one part each.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/catch_up_table.h"
#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::ColumnRange;
using kernels::FloatType;
using kernels::PartLayout;
using kernels::RecordLayout;
using kernels::RowOptimizerKind;

constexpr std::uint32_t kRows = 40;
constexpr std::int64_t kTokens = 9, kPerToken = 12;
constexpr std::uint64_t kStep = 31;
constexpr std::uint64_t kSeed = 0x123456789abcdefu;

struct Case {
  std::uint32_t width;
  FloatType value_type, moment_type, vector_type;
};

std::vector<Case> cases() {
  constexpr auto kF32 = FloatType::kF32, kBF16 = FloatType::kBF16;
  std::vector<Case> all;
  for (const std::uint32_t width : {64u, 192u, 256u, 320u, 1024u}) {
    all.push_back({width, kF32, kF32, kF32});
    all.push_back({width, kBF16, kBF16, kBF16});
  }
  all.push_back({2048, kBF16, kF32, kF32});
  all.push_back({4160, kF32, kBF16, kBF16});
  // One group, and so one range.
  all.push_back({100, kF32, kF32, kBF16});
  all.push_back({21, kBF16, kBF16, kF32});
  return all;
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  const auto name = [](FloatType type) { return type == FloatType::kF32 ? "f32" : "bf16"; };
  return fmt::format("w{}_{}_{}_{}", info.param.width, name(info.param.value_type),
                     name(info.param.moment_type), name(info.param.vector_type));
}

// Numbers of one type, [rows, columns].
std::vector<std::byte> stored(const std::vector<float>& numbers, FloatType type) {
  std::vector<std::byte> bytes(numbers.size() * kernels::float_type_bytes(type));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (type == FloatType::kF32) {
      std::memcpy(&bytes[i * 4], &numbers[i], 4);
    } else {
      const std::uint16_t x = kernels::float_to_bf16(numbers[i]);
      std::memcpy(&bytes[i * 2], &x, 2);
    }
  }
  return bytes;
}

// The columns of a range out of rows with all of them.
template <typename T>
std::vector<T> columns_of(const std::vector<T>& all, const ColumnRange& range) {
  std::vector<T> some;
  for (std::size_t row = 0; row < all.size() / range.total; ++row) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(row * range.total + range.first);
    some.insert(some.end(), begin, begin + range.count);
  }
  return some;
}

std::vector<kernels::RowId> looked_up() {
  std::vector<kernels::RowId> rows = random_rows(kTokens, kPerToken, kRows - 4, 9);
  rows[5] = kRows - 1;  // a row with one look-up
  return rows;
}
// Factors and vectors of a part.
std::vector<float> factors(int part) {
  return random_floats(kTokens * kPerToken, 10 + static_cast<std::uint32_t>(part));
}
std::vector<float> vectors(std::uint32_t width, int part) {
  return random_floats(kTokens * width, 20 + static_cast<std::uint32_t>(part), 1e-2);
}

// Every value and moment of every row of a part, row by row, all columns side by side whatever the
// ranges: tables, in the order of their ranges.
std::vector<float> contents(const std::vector<const RowTable*>& tables, int part) {
  std::vector<float> all;
  const auto add = [&](auto get) {
    for (kernels::RowId row = 0; row < kRows; ++row) {
      for (const RowTable* table : tables) {
        for (std::int64_t c = 0; c < table->width(part); ++c) all.push_back(get(*table, row, c));
      }
    }
  };
  add([&](const RowTable& t, kernels::RowId r, std::int64_t c) { return t.value(r, c, part); });
  if (!tables[0]->layout(part).moments) return all;
  add([&](const RowTable& t, kernels::RowId r, std::int64_t c) { return t.moment1(r, c, part); });
  add([&](const RowTable& t, kernels::RowId r, std::int64_t c) { return t.moment2(r, c, part); });
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// One rank's share of the rows: the layout's ranges.
class Share {
 public:
  Share(kernels::Backend& backend, const RecordLayout& layout, FloatType vector_type)
      : backend_(backend),
        stream_(backend.create_stream()),
        table_(backend, layout, kRows),
        lookups_(backend, *stream_, looked_up(), kPerToken),
        sorted_(backend, *stream_, looked_up(), kPerToken, false),
        clip_(backend, 1, 0.37f),
        slots_(backend, lookups_.distinct()) {
    for (std::int64_t i = 0; i < lookups_.distinct(); ++i) {
      slots_[i] = table_.slot_of(lookups_.grouped().unique_rows[i]);
    }
    gradient_.grouped = lookups_.grouped();
    gradient_.part_count = layout.part_count;
    for (int part = 0; part < layout.part_count; ++part) {
      const ColumnRange columns = layout.parts[part].columns;
      const auto own = columns_of(vectors(columns.total, part), columns);
      factors_.emplace_back(backend, factors(part));
      vectors_.emplace_back(backend, stored(own, vector_type));
      float_vectors_.emplace_back(backend, own);
      gradient_.parts[part] = {factors_.back().data(), vectors_.back().data(), vector_type,
                               columns};
      fill(part);
    }
  }

  const RowTable& table() const { return table_; }
  const kernels::RowGradient& gradient() const { return gradient_; }
  std::int64_t distinct() const { return lookups_.distinct(); }

  void generate() const {
    const Pinned<kernels::RowId> rows(backend_, distinct_rows());
    backend_.generate_rows(*stream_, table_.arena(), rows.data(), slots_.data(), distinct(),
                           {.seed = kSeed, .table = 3, .standard_deviation = {0.5f, 0.25f}});
    stream_->synchronize();
  }
  std::vector<float> gather(int part) const {
    const Pinned<float> y(backend_, kTokens * table_.width(part), 0.25f);
    backend_.gather_rows(*stream_, table_.arena(),
                         {.part = part,
                          .grouped = lookups_.grouped(),
                          .weights = factors_[static_cast<std::size_t>(part)].data(),
                          .slots = slots_.data(),
                          .count = distinct(),
                          .y = y.data()});
    stream_->synchronize();
    return y.values();
  }
  std::vector<float> dot(int part, bool token_order) const {
    const Pinned<float> d_weights(backend_, kTokens * kPerToken);
    backend_.lookup_dot(*stream_, table_.arena(),
                        {.part = part,
                         .grouped = (token_order ? lookups_ : sorted_).grouped(),
                         .d_y = float_vectors_[static_cast<std::size_t>(part)].data(),
                         .slots = slots_.data(),
                         .count = distinct(),
                         .d_weights = d_weights.data()});
    stream_->synchronize();
    return d_weights.values();
  }
  // [distinct, groups of all parts].
  std::vector<float> norms() const {
    return group_norms(backend_, *stream_, gradient_, 0, distinct());
  }
  // Catches every looked-up row up to step kStep - 1, calls `between`, and updates the rows.
  template <typename Between>
  void catch_up_and_update(RowOptimizerKind kind, const std::vector<float>& square_norms,
                           const Between& between) const {
    kernels::CatchUpTable steps(
        {.weight_decay = 0.1, .learning_rate = [](std::uint64_t) { return 1e-3; }});
    steps.advance(kStep - 1);
    const Pinned<kernels::CatchUpEntry> entries(backend_,
                                                {steps.entries().begin(), steps.entries().end()});
    const Pinned<float> rates(backend_,
                              {steps.learning_rates().begin(), steps.learning_rates().end()});
    const Pinned<double> decay(backend_, {steps.log_decay().begin(), steps.log_decay().end()});
    const Pinned<kernels::MomentDecay> moment_decay(
        backend_, {steps.moment_decay().begin(), steps.moment_decay().end()});
    for (std::int64_t l = 0; l < std::int64_t{kStep} - 1; l += 3) entries[l].closed_form = 0;
    kernels::CatchUpArgs catch_up;
    steps.describe(catch_up);
    catch_up.kind = kind;
    catch_up.entries = entries.data();
    catch_up.learning_rates = rates.data();
    catch_up.log_decay = decay.data();
    catch_up.moment_decay = moment_decay.data();
    catch_up.seed = kSeed;
    const Pinned<kernels::RowId> rows(backend_, distinct_rows());
    const Pinned<float> row_norms(backend_, square_norms);
    backend_.catch_up_rows(*stream_, table_.arena(), rows.data(), slots_.data(), distinct(),
                           catch_up);
    stream_->synchronize();
    between();
    backend_.update_rows(*stream_, table_.arena(), slots_.data(), gradient_, 0, distinct(),
                         {.kind = kind,
                          .step = kStep,
                          .learning_rate = 0.02,
                          .weight_decay = 0.1,
                          .grad_scale = clip_.data(),
                          .seed = kSeed,
                          .moment_decay = moment_decay.data(),
                          .row_square_norms = square_norms.empty() ? nullptr : row_norms.data()});
    stream_->synchronize();
  }

 private:
  // The range's columns of rows that are the same for every share: some with moments that are
  // small, zero or behind.
  void fill(int part) const {
    const PartLayout& layout = table_.layout(part);
    const ColumnRange columns = layout.columns;
    const std::uint32_t seed = 30 + static_cast<std::uint32_t>(part);
    const auto values = columns_of(random_floats(kRows * columns.total, seed), columns);
    const auto m = columns_of(random_floats(kRows * columns.total, seed + 2, 1e-3), columns);
    for (kernels::RowId row = 0; row < kRows; ++row) {
      table_.sum(row, part) = 1e-4f * static_cast<float>(row + 1);
      table_.last_step(row) = row % 30;
      table_.moment_lag(row) = layout.moments && row % 3 == 1 ? row % 30 / 2 : 0;
      for (std::int64_t c = 0; c < columns.count; ++c) {
        const auto at = static_cast<std::size_t>(row * columns.count + c);
        const std::int64_t column = columns.first + c;
        // Zeros show every bit of what is added to them.
        table_.set_value(row, c, column % 3 == 0 ? 0 : values[at], part);
        if (!layout.moments) continue;
        const double square = std::pow(static_cast<double>(m[at]), 2);
        table_.set_moments(row, c, m[at], column % 23 == 7 ? 1e-24 : square + 1e-9, part);
        if (column % 17 == 3) table_.set_moments(row, c, 0, 0, part);
      }
    }
  }
  std::vector<kernels::RowId> distinct_rows() const {
    const kernels::RowId* rows = lookups_.grouped().unique_rows;
    return {rows, rows + distinct()};
  }

  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  RowTable table_;
  TestLookups lookups_, sorted_;
  Pinned<float> clip_;
  Pinned<kernels::SlotId> slots_;
  std::deque<Pinned<float>> factors_, float_vectors_;
  std::deque<Pinned<std::byte>> vectors_;
  kernels::RowGradient gradient_;
};

bool is_adam(RowOptimizerKind kind) {
  return kind == RowOptimizerKind::kAdamW || kind == RowOptimizerKind::kAdamWLazy;
}

// A record of two parts, the second with other types than the first.
RecordLayout layout_of(const Case& shape, RowOptimizerKind kind, std::uint32_t ranges,
                       std::uint32_t index) {
  const auto part = [&](std::uint32_t width, FloatType values, FloatType moments) {
    const std::uint32_t count = width / ranges;
    return PartLayout{.columns = {index * count, count, width},
                      .value_type = values,
                      .moment_type = moments,
                      .moments = is_adam(kind),
                      .sum = kind == RowOptimizerKind::kAdagradRowwise};
  };
  RecordLayout layout;
  layout.parts[0] = part(shape.width, shape.value_type, shape.moment_type);
  layout.parts[1] = part(shape.width, shape.moment_type, shape.value_type);
  layout.part_count = 2;
  return layout;
}

class RowRanges : public ::testing::TestWithParam<Case> {
 protected:
  // Into how many ranges a part's columns can be split.
  static std::vector<std::uint32_t> splits() {
    return ColumnRange::all(GetParam().width).all_groups() == 1
               ? std::vector<std::uint32_t>{1}
               : std::vector<std::uint32_t>{1, 2, 4, 8};
  }
  static std::deque<Share> make_shares(kernels::Backend& backend, RowOptimizerKind kind,
                                       std::uint32_t ranges) {
    std::deque<Share> shares;
    for (std::uint32_t i = 0; i < ranges; ++i) {
      shares.emplace_back(backend, layout_of(GetParam(), kind, ranges, i), GetParam().vector_type);
    }
    return shares;
  }
  static std::vector<const RowTable*> tables_of(const std::deque<Share>& shares) {
    std::vector<const RowTable*> tables;
    for (const Share& share : shares) tables.push_back(&share.table());
    return tables;
  }
  // The tree that ranks go on with.
  static std::vector<float> add_up(std::vector<std::vector<float>> sums) {
    std::vector<float> totals;
    for (std::size_t i = 0; i < sums[0].size(); ++i) {
      std::vector<float> of;
      for (const auto& sum : sums) of.push_back(sum[i]);
      totals.push_back(kernels::tree_sum(of.data(), static_cast<int>(of.size())));
    }
    return totals;
  }
};

TEST_P(RowRanges, SumsOverColumnsHaveTheBitsOfOneRange) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const Share whole(backend, layout_of(GetParam(), RowOptimizerKind::kAdamW, 1, 0),
                      GetParam().vector_type);
    const std::vector<float> norms = whole.norms();
    const auto all_groups = ColumnRange::all(GetParam().width).all_groups();
    for (const std::uint32_t ranges : splits()) {
      SCOPED_TRACE(ranges);
      const auto shares = make_shares(backend, RowOptimizerKind::kAdamW, ranges);
      for (int part = 0; part < 2; ++part) {
        for (const bool token_order : {true, false}) {
          std::vector<std::vector<float>> sums;
          for (const Share& share : shares) sums.push_back(share.dot(part, token_order));
          EXPECT_TRUE(same_bits(add_up(sums), whole.dot(part, token_order))) << part;
        }
      }
      const std::uint32_t groups = all_groups / ranges;
      for (std::size_t i = 0; i < shares.size(); ++i) {
        const std::vector<float> own = shares[i].norms();
        for (std::size_t row = 0; row < own.size() / (2 * groups); ++row) {
          for (std::size_t part = 0; part < 2; ++part) {
            for (std::size_t g = 0; g < groups; ++g) {
              ASSERT_EQ(own[(row * 2 + part) * groups + g],
                        norms[(row * 2 + part) * all_groups + i * groups + g])
                  << "row " << row << " part " << part << " group " << i * groups + g;
            }
          }
        }
      }
    }
  }
}

TEST_P(RowRanges, EachColumnDependsOnItselfAlone) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    for (const auto kind : {RowOptimizerKind::kAdamW, RowOptimizerKind::kAdagradRowwise}) {
      SCOPED_TRACE(static_cast<int>(kind));
      const auto whole = make_shares(backend, kind, 1);
      const std::vector<float> y[2] = {whole[0].gather(0), whole[0].gather(1)};
      // Square norms of whole rows, as ranks would exchange them: [parts, distinct].
      const std::vector<float> norms = whole[0].norms();
      const auto distinct = static_cast<std::size_t>(whole[0].distinct());
      const std::size_t groups = norms.size() / distinct / 2;
      std::vector<float> row_norms(2 * distinct);
      for (std::size_t i = 0; i < 2 * distinct; ++i) {
        std::vector<float> of(norms.begin() + std::ptrdiff_t(i * groups),
                              norms.begin() + std::ptrdiff_t((i + 1) * groups));
        row_norms[i % 2 * distinct + i / 2] =
            kernels::tree_sum(of.data(), static_cast<int>(groups));
      }
      // [parts]
      std::vector<float> caught_up[2];
      whole[0].catch_up_and_update(kind, {}, [&] {
        for (int part = 0; part < 2; ++part) caught_up[part] = contents(tables_of(whole), part);
      });
      for (const std::uint32_t ranges : splits()) {
        SCOPED_TRACE(ranges);
        const auto shares = make_shares(backend, kind, ranges);
        for (int part = 0; part < 2; ++part) {
          for (std::uint32_t i = 0; i < ranges; ++i) {
            const ColumnRange columns = shares[i].table().layout(part).columns;
            EXPECT_TRUE(same_bits(shares[i].gather(part), columns_of(y[part], columns)));
          }
        }
        std::size_t through = 0;
        for (const Share& share : shares) {
          const auto norms_given =
              kind == RowOptimizerKind::kAdagradRowwise ? row_norms : std::vector<float>{};
          share.catch_up_and_update(kind, norms_given, [&] {
            for (int part = 0; part < 2; ++part) {
              const ColumnRange columns = share.table().layout(part).columns;
              EXPECT_TRUE(
                  same_bits(contents({&share.table()}, part), columns_of(caught_up[part], columns)))
                  << "range " << through << " part " << part;
            }
          });
          ++through;
        }
        for (int part = 0; part < 2; ++part) {
          EXPECT_TRUE(
              same_bits(contents(tables_of(shares), part), contents(tables_of(whole), part)))
              << part;
          for (const Share& share : shares) {
            for (kernels::RowId row = 0; row < kRows; ++row) {
              ASSERT_EQ(share.table().sum(row, part), whole[0].table().sum(row, part));
              ASSERT_EQ(share.table().last_step(row), whole[0].table().last_step(row));
              ASSERT_EQ(share.table().moment_lag(row), whole[0].table().moment_lag(row));
            }
          }
        }
      }
    }
  }
}

TEST_P(RowRanges, InitialValuesAreThoseOfTheirColumns) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto whole = make_shares(backend, RowOptimizerKind::kAdamW, 1);
    whole[0].generate();
    // The two parts of a row are independent.
    EXPECT_NE(whole[0].table().value(1, 0, 0), 2 * whole[0].table().value(1, 0, 1));
    for (const std::uint32_t ranges : splits()) {
      SCOPED_TRACE(ranges);
      const auto shares = make_shares(backend, RowOptimizerKind::kAdamW, ranges);
      for (const Share& share : shares) share.generate();
      for (int part = 0; part < 2; ++part) {
        EXPECT_TRUE(same_bits(contents(tables_of(shares), part), contents(tables_of(whole), part)));
      }
    }
  }
}

// A part does not see the other one: the first part of a row is that of a row without a second.
TEST_P(RowRanges, PartsDoNotSeeEachOther) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    for (const auto kind : {RowOptimizerKind::kAdamW, RowOptimizerKind::kAdamWLazy,
                            RowOptimizerKind::kAdagradRowwise, RowOptimizerKind::kSgd}) {
      SCOPED_TRACE(static_cast<int>(kind));
      const RecordLayout both = layout_of(GetParam(), kind, 1, 0);
      const Share two(backend, both, GetParam().vector_type);
      const Share one(backend, RecordLayout::of(both.parts[0]), GetParam().vector_type);
      EXPECT_TRUE(same_bits(two.gather(0), one.gather(0)));
      EXPECT_TRUE(same_bits(two.dot(0, true), one.dot(0, true)));
      std::vector<float> caught_up;
      two.catch_up_and_update(kind, {}, [&] { caught_up = contents({&two.table()}, 0); });
      one.catch_up_and_update(
          kind, {}, [&] { EXPECT_TRUE(same_bits(contents({&one.table()}, 0), caught_up)); });
      EXPECT_TRUE(same_bits(contents({&two.table()}, 0), contents({&one.table()}, 0)));
      for (kernels::RowId row = 0; row < kRows; ++row) {
        ASSERT_EQ(two.table().sum(row), one.table().sum(row));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RowRanges, ::testing::ValuesIn(cases()), name_of);

TEST(ColumnRangeTest, IsOfWholeGroupsThatMakeASubtree) {
  EXPECT_TRUE(ColumnRange::all(64).is_valid());
  EXPECT_TRUE(ColumnRange::all(100).is_valid());
  EXPECT_EQ(ColumnRange::all(100).all_groups(), 1u);
  EXPECT_EQ(ColumnRange::all(192).group_width(), 24u);
  EXPECT_TRUE((ColumnRange{32, 32, 64}.is_valid()));
  EXPECT_TRUE((ColumnRange{48, 16, 64}.is_valid()));
  EXPECT_FALSE((ColumnRange{8, 16, 64}.is_valid())) << "groups 1 and 2 are no subtree";
  EXPECT_FALSE((ColumnRange{0, 24, 64}.is_valid())) << "three groups";
  EXPECT_FALSE((ColumnRange{0, 4, 64}.is_valid())) << "half a group";
  EXPECT_FALSE((ColumnRange{0, 50, 100}.is_valid())) << "one group cannot be split";
  EXPECT_FALSE((ColumnRange{64, 64, 64}.is_valid())) << "beyond the end";
  EXPECT_FALSE(ColumnRange{}.is_valid());
}

}  // namespace
}  // namespace mneme::testing
