// The golden files of memory layers and dense AdamW, reproduced by the row and key operations.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/kernels/dense_training.h"
#include "tests/support/golden_files.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using test::golden_files;
using test::golden_test_name;
using test::GoldenFile;

class GoldenMemory : public ::testing::TestWithParam<std::string> {};
class GoldenAdamW : public ::testing::TestWithParam<std::string> {};

// Half scores of the golden keys and inputs, in float64 rounded to float32.
std::vector<float> half_scores(const io::SafetensorsReader& file, const nlohmann::json& config,
                               const std::string& layer) {
  const auto x = file.read_f64(layer + ".in.x"), keys = file.read_f64(layer + ".in.keys");
  const auto weight = file.read_f64(layer + ".in.query.weight");
  const auto bias = file.read_f64(layer + ".in.query.bias");
  const std::size_t tokens = config["tokens"], width = config["width"], heads = config["heads"];
  const std::size_t n = config["half_keys"], half = config["key_width"].get<std::size_t>() / 2;
  std::vector<float> scores;
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t side = 0; side < heads * 2; ++side) {
      std::vector<double> query(half);
      for (std::size_t i = 0; i < half; ++i) {
        query[i] = bias[side * half + i];
        for (std::size_t c = 0; c < width; ++c) {
          query[i] += x[t * width + c] * weight[(side * half + i) * width + c];
        }
      }
      for (std::size_t key = 0; key < n; ++key) {
        double score = 0;
        for (std::size_t i = 0; i < half; ++i)
          score += query[i] * keys[(side * n + key) * half + i];
        scores.push_back(static_cast<float>(score));
      }
    }
  }
  return scores;
}

TEST_P(GoldenMemory, RowsAreExactAndScoresWeightsAndSumsAgree) {
  const GoldenFile golden(GetParam());
  const io::SafetensorsReader& file = golden.reader;
  const nlohmann::json& config = golden.config;
  const std::int64_t tokens = config["tokens"], heads = config["heads"], knn = config["knn"];
  const std::int64_t n = config["half_keys"], width = config["value_width"];
  const auto values = file.read_f64("in.values");
  for (const TestBackend& test : backends_under_test()) {
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    const RowTable table(backend, {.width = static_cast<std::uint32_t>(width), .moments = false},
                         static_cast<std::uint32_t>(n * n));
    for (std::int64_t i = 0; i < n * n * width; ++i) {
      table.set_value(static_cast<kernels::RowId>(i / width), i % width,
                      values[static_cast<std::size_t>(i)]);
    }
    for (int index = 0; index < config["layers"].get<int>(); ++index) {
      const std::string layer = fmt::format("layer{}", index);
      SCOPED_TRACE(fmt::format("{} on {}", layer, test.name));
      const Pinned<float> input(backend, half_scores(file, config, layer));
      const std::int64_t count = tokens * heads * knn;
      const Pinned<kernels::RowId> rows(backend, count);
      const Pinned<float> scores(backend, count), weights(backend, count);
      backend.product_keys(*stream, {.half_scores = input.data(),
                                     .rows = rows.data(),
                                     .scores = scores.data(),
                                     .weights = weights.data(),
                                     .tokens = tokens,
                                     .heads = heads,
                                     .half_keys = n,
                                     .knn = knn});
      stream->synchronize();
      const auto expected_rows = file.read_i64(layer + ".out.rows");
      EXPECT_TRUE(std::equal(expected_rows.begin(), expected_rows.end(), rows.data()));
      const auto near = [&](const Pinned<float>& actual, const std::string& name, double limit) {
        const auto found = actual.values();
        EXPECT_LE(relative_error({found.begin(), found.end()}, file.read_f64(layer + name)), limit)
            << name;
      };
      near(scores, ".out.scores", 1e-6);
      near(weights, ".out.weights", 1e-5);

      const TestLookups lookups(backend, *stream, rows.values(), heads * knn);
      Pinned<kernels::SlotId> slots(backend, lookups.distinct());
      for (std::int64_t i = 0; i < lookups.distinct(); ++i) {
        slots[i] = table.slot_of(lookups.grouped().unique_rows[i]);
      }
      const Pinned<float> y(backend, tokens * width);
      backend.gather_rows(*stream, table.arena(),
                          {.grouped = lookups.grouped(),
                           .weights = weights.data(),
                           .slots = slots.data(),
                           .first = 0,
                           .count = lookups.distinct(),
                           .y = y.data()});
      stream->synchronize();
      near(y, ".out.y", 1e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenMemory, ::testing::ValuesIn(golden_files("memory_")),
                         [](const auto& file) { return golden_test_name(file.param); });

// The files' schedule: linear warm-up, then linear to min_ratio.
double scheduled_rate(const nlohmann::json& config, std::uint64_t step) {
  const double rate = config["lr"], warmup = config["schedule"]["warmup"];
  const double steps = config["schedule"]["steps"], lowest = config["schedule"]["min_ratio"];
  const auto s = static_cast<double>(step);
  if (s < warmup) return rate * s / warmup;
  const double progress = std::min(1.0, (s - warmup) / std::max(1.0, steps - warmup));
  return rate * (1 - (1 - lowest) * progress);
}

TEST_P(GoldenAdamW, TableAndMomentsAgreeAtEverySnapshot) {
  const GoldenFile golden(GetParam());
  const io::SafetensorsReader& file = golden.reader;
  const nlohmann::json& config = golden.config;
  const std::uint32_t table_rows = config["rows"];
  const std::int64_t width = config["width"];
  const double clip = config["clip"];
  const auto start = file.read_f64("in.table"), gradients = file.read_f64("in.row_grads");
  const auto rows = file.read_i64("in.rows"), counts = file.read_i64("in.row_counts");
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    DenseTraining training(
        backend, table_rows, {.width = static_cast<std::uint32_t>(width)},
        {.beta1 = config["beta1"],
         .beta2 = config["beta2"],
         .epsilon = config["eps"],
         .weight_decay = config["weight_decay"],
         .learning_rate = [&](std::uint64_t step) { return scheduled_rate(config, step); }});
    for (std::size_t i = 0; i < start.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      training.set_value(static_cast<kernels::RowId>(at / width), at % width, start[i]);
    }
    std::size_t next = 0;
    for (std::uint64_t t = 1; t <= counts.size(); ++t) {
      const auto count = static_cast<std::size_t>(counts[t - 1]);
      // Rows of a step in ascending order, as the grouping gives them.
      std::vector<std::size_t> order(count);
      std::iota(order.begin(), order.end(), next);
      std::sort(order.begin(), order.end(),
                [&](std::size_t a, std::size_t b) { return rows[a] < rows[b]; });
      std::vector<kernels::RowId> step_rows;
      std::vector<float> gradient;
      double square = 0;
      for (const std::size_t i : order) {
        step_rows.push_back(static_cast<kernels::RowId>(rows[i]));
        for (std::size_t c = 0; c < static_cast<std::size_t>(width); ++c) {
          gradient.push_back(
              static_cast<float>(gradients[i * static_cast<std::size_t>(width) + c]));
          square += static_cast<double>(gradient.back()) * static_cast<double>(gradient.back());
        }
      }
      next += count;
      const double norm = std::sqrt(square);
      training.step(t, step_rows, gradient, clip > 0 && norm > clip ? clip / norm : 1.0);
      const std::vector<std::uint64_t> snapshots = config["snapshots"];
      if (std::find(snapshots.begin(), snapshots.end(), t) == snapshots.end()) continue;
      SCOPED_TRACE(fmt::format("step {}", t));
      training.catch_up_all(t);
      // What is stored has `beta` to the power of the row's lag to go.
      const auto compare = [&](const char* name,
                               float (RowTable::*stored)(kernels::RowId, std::int64_t, int) const,
                               double beta) {
        std::vector<double> actual;
        for (kernels::RowId row = 0; row < table_rows; ++row) {
          for (std::int64_t c = 0; c < width; ++c) {
            actual.push_back((training.table().*stored)(row, c, 0) *
                             std::pow(beta, training.table().moment_lag(row)));
          }
        }
        EXPECT_LE(relative_error(actual, file.read_f64(fmt::format("out.step{}.{}", t, name))),
                  1e-6)
            << name;
      };
      compare("table", &RowTable::value, 1);
      compare("moment1", &RowTable::moment1, config["beta1"]);
      compare("moment2", &RowTable::moment2, config["beta2"]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenAdamW, ::testing::ValuesIn(golden_files("adamw_")),
                         [](const auto& file) { return golden_test_name(file.param); });

TEST(GoldenRows, AreFound) {
  for (const char* kind : {"memory_", "adamw_"}) {
    EXPECT_FALSE(golden_files(kind).empty())
        << "no " << kind << "*.safetensors in " << test::golden_directory();
  }
}

}  // namespace
}  // namespace mneme::testing
