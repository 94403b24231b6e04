// metrics.jsonl has one whole line a step, also after a crash and a resume.
#include "engine/metrics.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/error.h"

namespace mneme::engine {
namespace {

StepMetrics metrics_of(std::uint64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = 5.5 / static_cast<double>(step);
  return metrics;
}

class Metrics : public ::testing::Test {
 protected:
  Metrics() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              ("mneme_metrics_" + std::string(test->name()) + "_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  ~Metrics() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return (folder_ / "metrics.jsonl").string(); }
  std::vector<nlohmann::json> lines() const {
    std::ifstream file(path());
    std::vector<nlohmann::json> all;
    for (std::string line; std::getline(file, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }
  void append(const std::string& more) const { std::ofstream(path(), std::ios::app) << more; }
  void write(const std::string& text) const { std::ofstream(path(), std::ios::trunc) << text; }
  std::string text() const {
    std::ifstream file(path());
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  MetricsMark write_steps(std::uint64_t steps) {
    MetricsWriter writer(*disk_, path(), {}, 0);
    for (std::uint64_t step = 1; step <= steps; ++step) writer.write(metrics_of(step));
    return writer.mark();
  }

  std::filesystem::path folder_;
  std::unique_ptr<io::Disk> disk_ = io::make_posix_disk();
};

TEST_F(Metrics, ALineHoldsEverythingThatWasMeasured) {
  StepMetrics metrics = metrics_of(7);
  metrics.learning_rate = 1e-4;
  metrics.value_learning_rate = 1e-3;
  metrics.tokens_per_s = 1234.5;
  metrics.times = {10, 1, 2, 1.5, 3, 4, 0.5, 5, 6, 7};
  metrics.distinct_rows = 100;
  metrics.dense_gradient_norm = 2;
  metrics.row_gradient_norm = 3;
  offload::Entry& first = metrics.books[{offload::Cause::kTraining, 1, offload::Pass::kForward}];
  first[offload::Field::kHostToDeviceRows] = 5;
  first[offload::Field::kStallPlan] = 16;
  offload::Entry& second = metrics.books[{offload::Cause::kTraining, offload::kNoLayer}];
  second[offload::Field::kHostToDeviceRows] = 2;
  second[offload::Field::kGeneratedRows] = 1;
  metrics.books[{offload::Cause::kEvaluation, 1}][offload::Field::kHostToDeviceRows] = 100;
  metrics.validation_loss = 4.5;
  const auto line = nlohmann::json::parse(metrics_line(metrics));
  EXPECT_EQ(line["step"], 7);
  EXPECT_EQ(line["loss"], 5.5 / 7);
  EXPECT_EQ(line["learning_rate"], 1e-4);
  EXPECT_EQ(line["value_learning_rate"], 1e-3);
  EXPECT_EQ(line["tokens_per_s"], 1234.5);
  const auto times = nlohmann::json{
      {"step", 10.0},  {"data", 1.0},  {"forward", 2.0},    {"predict", 1.5}, {"backward", 3.0},
      {"update", 4.0}, {"stall", 0.5}, {"evaluation", 5.0}, {"sample", 6.0},  {"checkpoint", 7.0}};
  EXPECT_EQ(line["time_ms"], times);
  EXPECT_EQ(line["gradient_norm"]["dense"], 2.0);
  EXPECT_EQ(line["gradient_norm"]["rows"], 3.0);
  const auto rows = nlohmann::json{{"distinct", 100}, {"fetched", 8}, {"fetched_share", 0.08}};
  EXPECT_EQ(line["rows"], rows);
  EXPECT_EQ(line["books"]["total"]["moves"]["host_to_device"]["rows"], 107);
  EXPECT_EQ(line["books"]["total"]["moves"]["host_to_disk"]["rows"], 0) << "every field is there";
  const auto& accounts = line["books"]["accounts"];
  ASSERT_EQ(accounts.size(), 3u);
  const auto update =
      nlohmann::json{{"cause", "training"},
                     {"layer", nullptr},
                     {"moves", {{"host_to_device", {{"rows", 2}}}, {"generated", {{"rows", 1}}}}}};
  EXPECT_EQ(accounts[0], update);
  EXPECT_EQ(accounts[1]["layer"], 1);
  EXPECT_EQ(accounts[1]["pass"], "forward");
  EXPECT_EQ(accounts[1]["stall"]["plan_us"], 16);
  EXPECT_EQ(accounts[2]["cause"], "evaluation");
  EXPECT_EQ(line["validation_loss"], 4.5);
  EXPECT_FALSE(nlohmann::json::parse(metrics_line(metrics_of(1))).contains("validation_loss"));
}

TEST_F(Metrics, ALossThatIsNotANumberIsStillJson) {
  StepMetrics metrics = metrics_of(1);
  metrics.loss = std::nan("");
  EXPECT_TRUE(nlohmann::json::parse(metrics_line(metrics))["loss"].is_null());
}

TEST_F(Metrics, EachLineIsInTheFileWhenWriteReturns) {
  MetricsWriter writer(*disk_, path(), {}, 0);
  writer.write(metrics_of(1));
  ASSERT_EQ(lines().size(), 1u);
  writer.write(metrics_of(2));
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_EQ(lines()[1]["step"], 2);
}

TEST_F(Metrics, ResumingDropsTheStepsAfterTheCheckpoint) {
  const MetricsMark third = write_steps(3);
  append(metrics_line(metrics_of(4)) + "\n" + "{\"step\":5,\"lo");  // torn
  MetricsWriter writer(*disk_, path(), third, 3);
  EXPECT_EQ(lines().size(), 3u);
  writer.write(metrics_of(4));
  ASSERT_EQ(lines().size(), 4u);
  EXPECT_EQ(lines()[3]["step"], 4);
  EXPECT_EQ(check_metrics(*disk_, path(), writer.mark()), MetricsState::kIntact);
}

TEST_F(Metrics, LinesThatChangedOrVanishedAreNoticed) {
  const MetricsMark mark = write_steps(4);
  const std::string whole = text();
  EXPECT_EQ(check_metrics(*disk_, path(), mark), MetricsState::kIntact);
  const std::size_t second = whole.find('\n') + 1;
  const std::size_t third = whole.find('\n', second) + 1;
  std::string flipped = whole;
  flipped[second + 12] ^= 1;
  for (const std::string& changed :
       {flipped, whole.substr(0, second) + whole.substr(third), whole.substr(0, whole.size() - 1),
        whole.substr(second), std::string()}) {
    write(changed);
    EXPECT_EQ(check_metrics(*disk_, path(), mark), MetricsState::kChanged);
  }
  std::filesystem::remove(path());
  EXPECT_EQ(check_metrics(*disk_, path(), mark), MetricsState::kChanged);
}

TEST_F(Metrics, WhatIsLeftOfChangedLinesIsKeptWithAWarning) {
  const MetricsMark mark = write_steps(4);
  const std::string whole = text();
  const std::size_t second = whole.find('\n') + 1;
  write(whole.substr(second) + "{\"step\":9}\n" + "no json\n");
  ::testing::internal::CaptureStderr();
  MetricsWriter writer(*disk_, path(), mark, 4);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find(path()), std::string::npos);
  writer.write(metrics_of(5));
  ASSERT_EQ(lines().size(), 4u);
  EXPECT_EQ(lines()[0]["step"], 2);
  EXPECT_EQ(lines()[3]["step"], 5);
  EXPECT_EQ(check_metrics(*disk_, path(), writer.mark()), MetricsState::kIntact);
}

TEST_F(Metrics, AnUnwritablePlaceIsAnErrorThatNamesIt) {
  const std::string missing = (folder_ / "missing" / "metrics.jsonl").string();
  try {
    MetricsWriter writer(*disk_, missing, {}, 0);
    FAIL() << "no error";
  } catch (const io::Error& error) {
    EXPECT_NE(std::string(error.what()).find(missing), std::string::npos) << error.what();
  }
}

TEST_F(Metrics, AFailedWriteIsAnErrorThatNamesTheStep) {
  // A limit on file sizes stands for a full disk: both make the write come back short.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  MetricsWriter writer(*disk_, path(), {}, 0);
  rlimit limit = before;
  limit.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::string message = "no error";
  try {
    writer.write(metrics_of(12));
  } catch (const io::Error& error) {
    message = error.what();
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("metrics of step 12"), std::string::npos) << message;
  EXPECT_NE(message.find(path()), std::string::npos) << message;
  // There is room again by the time that the step is saved.
  const MetricsMark mark = writer.mark();
  ASSERT_EQ(lines().size(), 1u);
  EXPECT_EQ(lines()[0]["step"], 12);
  EXPECT_EQ(check_metrics(*disk_, path(), mark), MetricsState::kIntact);
}

}  // namespace
}  // namespace mneme::engine
