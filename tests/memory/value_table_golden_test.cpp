// The value table's AdamW against golden files: dense AdamW over a whole table in float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "tests/memory/table_run.h"
#include "tests/support/golden_files.h"

namespace mneme::test {
namespace {

constexpr double kValueTolerance = 1e-6;
constexpr double kMomentTolerance = 1e-5;

// What the tests compare after one of the file's steps.
struct Snapshot {
  std::vector<float> values;
  std::vector<std::byte> records;
};

class ValueTableGolden : public ::testing::TestWithParam<std::string> {
 protected:
  ValueTableGolden() : file_(GetParam()) {
    const nlohmann::json& config = file_.config;
    options_ = table_options(config.at("rows"), config.at("width"));
    memory::RowOptimizerOptions& optimizer = options_.optimizer;
    optimizer.beta1 = config.at("beta1");
    optimizer.beta2 = config.at("beta2");
    optimizer.epsilon = config.at("eps");
    optimizer.weight_decay = config.at("weight_decay");
    optimizer.clip_norm = config.at("clip");
    const nlohmann::json& schedule = config.at("schedule");
    optimizer.learning_rate =
        [lr = config.at("lr").get<double>(), warmup = schedule.at("warmup").get<double>(),
         steps = schedule.at("steps").get<double>(),
         min_ratio = schedule.at("min_ratio").get<double>()](std::uint64_t step) {
          return lr * warmup_linear_decay(step, warmup, steps, min_ratio);
        };
    snapshots_ = config.at("snapshots").get<std::vector<std::uint64_t>>();
    row_counts_ = file_.reader.read_i64("in.row_counts");
    rows_ = file_.reader.read_i64("in.rows");
    gradients_ = file_.reader.read_f64("in.row_grads");
  }

  // Runs the file's steps under a budget; a snapshot for each of snapshots_.
  std::vector<Snapshot> run(Budget budget) {
    const auto most = *std::max_element(row_counts_.begin(), row_counts_.end());
    TableRun run(options_, static_cast<std::size_t>(most), budget);
    run.write_all(file_.reader.read_f64("in.table"));
    std::vector<Snapshot> out;
    std::size_t next = 0;
    const auto width = static_cast<std::size_t>(options_.width);
    for (std::uint64_t t = 1; t <= row_counts_.size(); ++t) {
      const auto count = static_cast<std::size_t>(row_counts_[t - 1]);
      const std::vector<kernels::RowId> rows(
          rows_.begin() + static_cast<std::ptrdiff_t>(next),
          rows_.begin() + static_cast<std::ptrdiff_t>(next + count));
      const std::vector<double> gradients(
          gradients_.begin() + static_cast<std::ptrdiff_t>(next * width),
          gradients_.begin() + static_cast<std::ptrdiff_t>((next + count) * width));
      next += count;
      run.step(t, rows, gradients);
      if (std::find(snapshots_.begin(), snapshots_.end(), t) != snapshots_.end()) {
        out.push_back({run.values(t), run.records()});
      }
    }
    if (budget == Budget::kDisk) {
      EXPECT_GT(run.store().books().total().disk_rows_read(), 0u) << "nothing was on disk";
    }
    return out;
  }

  // A moment of every row as dense AdamW has it at step t: records keep it as of
  // their last step, less their lag.
  std::vector<double> moments(const std::vector<std::byte>& records, std::size_t offset,
                              double beta, std::uint64_t t) const {
    const kernels::RecordLayout layout = layout_of(options_);
    std::vector<double> out;
    for (std::size_t start = 0; start < records.size(); start += layout.record_bytes()) {
      std::uint32_t last_step = 0;
      std::memcpy(&last_step, &records[start], sizeof(last_step));
      std::uint32_t lag = 0;
      std::memcpy(&lag, &records[start + 2 * sizeof(lag)], sizeof(lag));
      std::vector<float> moment(layout.parts[0].columns.count);
      std::memcpy(moment.data(), &records[start + offset], layout.parts[0].moment_bytes());
      const double decay = std::pow(beta, static_cast<double>(t - last_step + lag));
      for (const float m : moment) out.push_back(m * decay);
    }
    return out;
  }

  GoldenFile file_;
  memory::ValueTableOptions options_;
  std::vector<std::uint64_t> snapshots_;
  std::vector<std::int64_t> row_counts_, rows_;
  std::vector<double> gradients_;
};

TEST_P(ValueTableGolden, ValuesAndMomentsAreThoseOfDenseAdamW) {
  const std::vector<Snapshot> snapshots = run(Budget::kAllResident);
  ASSERT_EQ(snapshots.size(), snapshots_.size());
  const kernels::RecordLayout layout = layout_of(options_);
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    const std::uint64_t t = snapshots_[i];
    const std::string step = "out.step" + std::to_string(t);
    SCOPED_TRACE(step);
    EXPECT_LE(relative_error(snapshots[i].values, file_.reader.read_f64(step + ".table")),
              kValueTolerance);
    EXPECT_LE(relative_error(moments(snapshots[i].records, layout.moment1_offset(),
                                     options_.optimizer.beta1, t),
                             file_.reader.read_f64(step + ".moment1")),
              kMomentTolerance);
    EXPECT_LE(relative_error(moments(snapshots[i].records, layout.moment2_offset(),
                                     options_.optimizer.beta2, t),
                             file_.reader.read_f64(step + ".moment2")),
              kMomentTolerance);
  }
}

TEST_P(ValueTableGolden, NoBudgetChangesABit) {
  const std::vector<Snapshot> resident = run(Budget::kAllResident);
  for (const Budget budget : {Budget::kHost, Budget::kDisk}) {
    SCOPED_TRACE(budget == Budget::kHost ? "host" : "disk");
    const std::vector<Snapshot> other = run(budget);
    ASSERT_EQ(other.size(), resident.size());
    for (std::size_t i = 0; i < other.size(); ++i) {
      SCOPED_TRACE("step " + std::to_string(snapshots_[i]));
      EXPECT_EQ(other[i].values, resident[i].values);
      EXPECT_TRUE(other[i].records == resident[i].records);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, ValueTableGolden, ::testing::ValuesIn(golden_files("adamw_")),
                         [](const auto& file) { return golden_test_name(file.param); });

TEST(ValueTableGoldenFiles, ThereAreSome) {
  EXPECT_FALSE(golden_files("adamw_").empty())
      << "no adamw_*.safetensors in " << golden_directory();
}

}  // namespace
}  // namespace mneme::test
