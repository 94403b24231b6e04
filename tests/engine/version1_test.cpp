// Runs of rows files of version 1 (tests/engine/version1) are read as they are and go on; the files
// become those of this version when a run goes on.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/run.h"
#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "engine/trainer.h"
#include "io/disk.h"
#include "tests/io/temporary_directory.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRows = 256, kWidth = 16, kSaved = 12, kEnd = 24;

struct Case {
  const char* types;
  // Against what the program of that time made: sums over columns have another order now, and
  // moments are rounded less often.
  double values, losses;
};

class Version1 : public ::testing::TestWithParam<Case> {
 protected:
  Version1() {
    fs::copy(kept(), directory(), fs::copy_options::recursive);
    fs::copy_file(kept().parent_path() / "text.txt", folder_.file("text.txt"));
  }

  static fs::path kept() {
    return fs::path(MNEME_SOURCE_DIR) / "tests/engine/version1" / GetParam().types;
  }
  std::string directory() const { return folder_.file("run"); }
  std::string data() const { return "data.path=" + folder_.file("text.txt"); }
  std::uint32_t file_version() const {
    std::ifstream file(directory() + "/rows/table-0.rows", std::ios::binary);
    char head[12] = {};
    file.read(head, sizeof(head));
    std::uint32_t version = 0;
    std::memcpy(&version, head + 8, sizeof(version));
    return version;
  }
  static std::vector<float> expected_values() {
    std::vector<float> values(kRows * kWidth);
    std::ifstream file(kept() / "expected_values.f32", std::ios::binary);
    file.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(float)));
    EXPECT_TRUE(file.good());
    return values;
  }
  std::vector<float> values() {
    const std::vector<std::string> overrides = {data()};
    const ReadRun read = read_run(RunDirectory(*disk_, directory()), overrides);
    std::vector<float> found(kRows * kWidth);
    read.run->table()->read_values(read.step, 0, kRows, found);
    return found;
  }

  test::TemporaryDirectory folder_;
  std::unique_ptr<io::Disk> disk_ = io::make_posix_disk();
};

TEST_P(Version1, IsReadAsItIs) {
  ASSERT_EQ(file_version(), 1u);
  const std::vector<float> found = values(), expected = expected_values();
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(found[i]) - static_cast<double>(expected[i]), 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  EXPECT_LE(std::sqrt(error / norm), GetParam().values);
  EXPECT_EQ(file_version(), 1u) << "reading changes nothing";
}

TEST_P(Version1, GoesOn) {
  const std::vector<std::string> overrides = {data(), "train.steps=" + std::to_string(kEnd)};
  const Config config = RunDirectory(*disk_, directory()).config(overrides);
  std::map<std::uint64_t, double> losses;
  TrainerOptions options;
  options.resume = true;
  options.on_step = [&](const StepMetrics& metrics) { losses[metrics.step] = metrics.loss; };
  const TrainResult result = train(config, *disk_, options);
  EXPECT_EQ(result.first_step, kSaved);
  EXPECT_EQ(result.last_step, kEnd);
  const nlohmann::json expected =
      nlohmann::json::parse(std::ifstream(kept() / "expected_losses.json")).at("losses");
  ASSERT_EQ(losses.size(), expected.size());
  for (const auto& [step, loss] : losses) {
    EXPECT_NEAR(loss, expected.at(std::to_string(step)).get<double>(), GetParam().losses)
        << "step " << step;
  }
  EXPECT_EQ(file_version(), 2u);
  // Read from version 2: every record verifies, and the values have moved.
  EXPECT_NE(values(), expected_values());
}

INSTANTIATE_TEST_SUITE_P(Types, Version1,
                         ::testing::Values(Case{"float32", 1e-6, 1e-3},
                                           Case{"bfloat16", 2e-3, 5e-2}),
                         [](const auto& test) { return std::string(test.param.types); });

}  // namespace
}  // namespace mneme::engine
