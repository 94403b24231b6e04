// Every backend against the CPU backend, bit for bit where the order of sums is defined for all of
// them: sums over lookups, steps of AdamW and SGD with their rounding, initial values. Shapes that
// the other tests have not: wide rows, many lookups a token, rows that most tokens look up, many
// rows.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/catch_up_table.h"
#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::FloatType;
using kernels::RowOptimizerKind;

struct Case {
  std::int64_t tokens, lookups_per_token;
  std::uint32_t width, rows;
  FloatType value_type, moment_type;
  bool popular = false;  // every token looks up rows 0 and rows - 1
};

std::vector<Case> cases() {
  return {{3, 140, 2304, 60, FloatType::kBF16, FloatType::kF32},
          {3, 20, 4100, 40, FloatType::kF32, FloatType::kF32},
          {2, 20, 2501, 30, FloatType::kBF16, FloatType::kBF16},
          {40, 7, 264, 64, FloatType::kBF16, FloatType::kBF16},
          {1100, 3, 40, 64, FloatType::kF32, FloatType::kF32, true},
          {2200, 2, 21, 64, FloatType::kBF16, FloatType::kF32, true},
          {1030, 2, 136, 2, FloatType::kBF16, FloatType::kBF16, true},
          {4, 50, 8, 4200, FloatType::kF32, FloatType::kF32}};
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  const Case& c = info.param;
  return fmt::format("t{}_l{}_w{}_{}_{}{}", c.tokens, c.lookups_per_token, c.width,
                     c.value_type == FloatType::kF32 ? "f32" : "bf16",
                     c.moment_type == FloatType::kF32 ? "f32" : "bf16",
                     c.popular ? "_popular" : "");
}

constexpr std::uint32_t kStep = 5;

class RowAgreement : public ::testing::TestWithParam<Case> {
 protected:
  const Case& shape() const { return GetParam(); }
  RowTable make_table(kernels::Backend& backend, bool moments = true) const {
    RowTable table(backend,
                   {.width = shape().width,
                    .value_type = shape().value_type,
                    .moment_type = shape().moment_type,
                    .moments = moments},
                   shape().rows);
    table.fill_randomly(7);
    for (kernels::RowId row = 0; row < shape().rows; ++row) table.last_step(row) = kStep - 1;
    return table;
  }
  std::vector<kernels::RowId> looked_up() const {
    std::mt19937 engine(5);
    std::vector<kernels::RowId> rows;
    for (std::int64_t l = 0; l < shape().tokens * shape().lookups_per_token; ++l) {
      const std::int64_t position = l % shape().lookups_per_token;
      const auto any = static_cast<kernels::RowId>(engine() % shape().rows);
      rows.push_back(!shape().popular || position > 1 ? any : position == 0 ? 0 : shape().rows - 1);
    }
    return rows;
  }
};

// What one step's operations leave behind, with the distinct rows cut into chunks.
struct Results {
  std::vector<float> y, norms;
  std::vector<std::byte> adamw, sgd;
};

struct Step {
  kernels::Backend& backend;
  std::unique_ptr<kernels::Stream> stream;
  TestLookups lookups;
  Pinned<float> weights, d_y, clip;

  Step(kernels::Backend& where, const Case& shape, const std::vector<kernels::RowId>& rows)
      : backend(where),
        stream(where.create_stream()),
        lookups(where, *stream, rows, shape.lookups_per_token),
        weights(where, random_floats(lookups.lookups(), 3)),
        d_y(where, random_floats(shape.tokens * shape.width, 4, 0.01)),
        clip(where, 1, 0.3f) {}

  kernels::RowGradient gradient(const Case& shape) const {
    return gradient_of(lookups.grouped(), weights.data(), d_y.data(), shape.width);
  }
  // Calls body(first, count, slots) for each chunk.
  template <typename Body>
  void for_chunks(const RowTable& table, std::int64_t chunk, const Body& body) const {
    for (std::int64_t first = 0; first < lookups.distinct(); first += chunk) {
      const std::int64_t count = std::min(chunk, lookups.distinct() - first);
      const Pinned<kernels::SlotId> slots(backend, count);
      for (std::int64_t i = 0; i < count; ++i) {
        slots[i] = table.slot_of(lookups.grouped().unique_rows[first + i]);
      }
      body(first, count, slots.data());
      stream->synchronize();
    }
  }
  void update(const Case& shape, const RowTable& table, std::int64_t chunk,
              RowOptimizerKind kind) const {
    for_chunks(table, chunk, [&](std::int64_t first, std::int64_t count, kernels::SlotId* slots) {
      backend.update_rows(*stream, table.arena(), slots, gradient(shape), first, count,
                          {.kind = kind,
                           .step = kStep,
                           .learning_rate = 0.02,
                           .weight_decay = 0.1,
                           .grad_scale = clip.data(),
                           .seed = 0x123456789abcdef});
    });
  }
};

Results run(const Step& step, const Case& shape, const RowTable& adamw, const RowTable& sgd,
            std::int64_t chunk) {
  const Pinned<float> y(step.backend, shape.tokens * shape.width, 0.25f);
  std::vector<float> norms;
  step.for_chunks(adamw, chunk, [&](std::int64_t first, std::int64_t count, auto* slots) {
    step.backend.gather_rows(*step.stream, adamw.arena(),
                             {.grouped = step.lookups.grouped(),
                              .weights = step.weights.data(),
                              .slots = slots,
                              .first = first,
                              .count = count,
                              .y = y.data()});
    const auto these = group_norms(step.backend, *step.stream, step.gradient(shape), first, count);
    norms.insert(norms.end(), these.begin(), these.end());
  });
  step.update(shape, adamw, chunk, RowOptimizerKind::kAdamW);
  step.update(shape, sgd, chunk, RowOptimizerKind::kSgd);
  return {y.values(), norms, adamw.bytes(), sgd.bytes()};
}

TEST_P(RowAgreement, SumsAndStepsHaveTheSameBitsOnEveryBackendForAnyChunks) {
  const auto cpu = kernels::make_cpu_backend();
  const Step reference(*cpu, shape(), looked_up());
  const Results expected =
      run(reference, shape(), make_table(*cpu), make_table(*cpu, false), 1 << 30);
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const Step step(backend, shape(), looked_up());
    std::vector<float> norms;
    for (const std::int64_t chunk : {1 << 30, 23}) {
      SCOPED_TRACE(chunk);
      const Results actual =
          run(step, shape(), make_table(backend), make_table(backend, false), chunk);
      EXPECT_TRUE(actual.y == expected.y);
      EXPECT_TRUE(actual.adamw == expected.adamw);
      EXPECT_TRUE(actual.sgd == expected.sgd);
      // The order of a sum over columns is the backend's own.
      EXPECT_LE(relative_error({actual.norms.begin(), actual.norms.end()},
                               {expected.norms.begin(), expected.norms.end()}),
                1e-6);
      if (norms.empty()) norms = actual.norms;
      EXPECT_TRUE(actual.norms == norms);
    }
  }
}

TEST_P(RowAgreement, InitialValuesHaveTheSameBitsOnEveryBackend) {
  const auto generate = [&](kernels::Backend& backend) {
    const auto stream = backend.create_stream();
    const RowTable table = make_table(backend);
    const Pinned<kernels::RowId> rows(backend, shape().rows);
    const Pinned<kernels::SlotId> slots(backend, shape().rows);
    for (kernels::RowId row = 0; row < shape().rows; ++row) {
      rows[row] = row;
      slots[row] = table.slot_of(row);
    }
    backend.generate_rows(*stream, table.arena(), rows.data(), slots.data(), shape().rows,
                          {.seed = 0xfeedface12345678, .table = 2, .standard_deviation = {0.37f}});
    stream->synchronize();
    return table.bytes();
  };
  const auto expected = generate(*kernels::make_cpu_backend());
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    EXPECT_TRUE(generate(shared_backend(test)) == expected);
  }
}

// Rows whose missed steps the closed form serves, rows that are summed element by element and rows
// that are current, in one call; moments that are zero or below what float32 can take the root of.
TEST_P(RowAgreement, CatchUpAgreesWhicheverWayARowTakes) {
  kernels::CatchUpTable steps(
      {.weight_decay = 0.1, .learning_rate = [](std::uint64_t) { return 1e-3; }});
  steps.advance(30);
  const auto catch_up = [&](kernels::Backend& backend) {
    const auto stream = backend.create_stream();
    RowTable table = make_table(backend);
    const Pinned<kernels::CatchUpEntry> entries(backend,
                                                {steps.entries().begin(), steps.entries().end()});
    const Pinned<float> rates(backend,
                              {steps.learning_rates().begin(), steps.learning_rates().end()});
    const Pinned<double> decay(backend, {steps.log_decay().begin(), steps.log_decay().end()});
    const Pinned<kernels::MomentDecay> moment_decay(
        backend, {steps.moment_decay().begin(), steps.moment_decay().end()});
    for (std::int64_t l = 0; l < 30; l += 3) entries[l].closed_form = 0;
    kernels::CatchUpArgs args;
    steps.describe(args);
    args.entries = entries.data();
    args.learning_rates = rates.data();
    args.log_decay = decay.data();
    args.moment_decay = moment_decay.data();
    args.seed = 99;
    const Pinned<kernels::RowId> rows(backend, shape().rows);
    const Pinned<kernels::SlotId> slots(backend, shape().rows);
    for (kernels::RowId row = 0; row < shape().rows; ++row) {
      rows[row] = row;
      slots[row] = table.slot_of(row);
      table.last_step(row) = row % 31;
      table.moment_lag(row) = row % 3 == 0 ? row % 31 / 2 : 0;
      for (std::int64_t c = 0; c < table.width(); c += 5) {
        table.set_moments(row, c, c % 2 == 0 ? 1e-12 : 0, c % 3 == 0 ? 1e-24 : 0);
      }
    }
    const RowTable before = make_table(backend);
    backend.catch_up_rows(*stream, table.arena(), rows.data(), slots.data(), shape().rows, args);
    stream->synchronize();
    std::vector<double> values;
    for (kernels::RowId row = 0; row < shape().rows; ++row) {
      EXPECT_EQ(table.last_step(row), 30u);
      const std::uint32_t lag = row % 3 == 0 ? row % 31 / 2 : 0;
      EXPECT_EQ(table.moment_lag(row), lag + 30 - row % 31);
      for (std::int64_t c = 0; c < table.width(); ++c) {
        values.push_back(table.value(row, c));
        if (c % 5 == 0) continue;
        EXPECT_EQ(table.moment1(row, c), before.moment1(row, c));
        EXPECT_EQ(table.moment2(row, c), before.moment2(row, c));
      }
    }
    return values;
  };
  const auto expected = catch_up(*kernels::make_cpu_backend());
  // Where a float32 result differs in its last bit, few bf16 roundings of it differ.
  const bool exact =
      shape().value_type == FloatType::kF32 && shape().moment_type == FloatType::kF32;
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    EXPECT_LE(relative_error(catch_up(shared_backend(test)), expected), exact ? 1e-7 : 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RowAgreement, ::testing::ValuesIn(cases()), name_of);

class CatchUpDeathTest : public ::testing::TestWithParam<TestBackend> {};

TEST_P(CatchUpDeathTest, RefusesRowsThatAreAheadOfTheTargetStep) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto catch_up = [] {
    kernels::Backend& backend = shared_backend(GetParam());
    const auto stream = backend.create_stream();
    const RowTable table(backend, {.width = 8}, 3);
    table.last_step(1) = 7;
    const Pinned<kernels::RowId> rows(backend, std::vector<kernels::RowId>{1});
    const Pinned<kernels::SlotId> slots(backend, std::vector{table.slot_of(1)});
    const Pinned<kernels::CatchUpEntry> entries(backend, 5);
    const Pinned<float> rates(backend, 6);
    const Pinned<double> decay(backend, 6);
    const Pinned<kernels::MomentDecay> moment_decay(backend, 6);
    backend.catch_up_rows(*stream, table.arena(), rows.data(), slots.data(), 1,
                          {.target_step = 5,
                           .entries = entries.data(),
                           .learning_rates = rates.data(),
                           .log_decay = decay.data(),
                           .moment_decay = moment_decay.data(),
                           .window = 1});
    stream->synchronize();
  };
  EXPECT_DEATH(catch_up(), "row 1 is current for step 7, after step 5");
}

INSTANTIATE_TEST_SUITE_P(Backends, CatchUpDeathTest, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

}  // namespace
}  // namespace mneme::testing
