// metrics.jsonl has one whole line a step, also after a crash and a resume.
#include "engine/metrics.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/error.h"

namespace mneme::engine {
namespace {

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
  void append(const std::string& text) const { std::ofstream(path(), std::ios::app) << text; }

  std::filesystem::path folder_;
};

StepMetrics metrics_of(std::uint64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = 5.5 / static_cast<double>(step);
  return metrics;
}

TEST_F(Metrics, ALineHoldsEverythingThatWasMeasured) {
  StepMetrics metrics = metrics_of(7);
  metrics.learning_rate = 1e-4;
  metrics.value_learning_rate = 1e-3;
  metrics.tokens_per_s = 1234.5;
  metrics.times = {10, 1, 2, 3, 4, 0.5, 0.25};
  metrics.distinct_rows = 99;
  metrics.dense_gradient_norm = 2;
  metrics.row_gradient_norm = 3;
  metrics.rows.device = {1, 2, 3, 4};
  metrics.rows.host = {5, 6, 7, 8};
  metrics.rows.disk = {9, 10, 11, 12};
  metrics.rows.stall_plan_us = 16;
  metrics.rows.stall_host_us = 17;
  metrics.rows.stall_disk_us = 18;
  metrics.rows.stall_write_back_us = 19;
  metrics.rows.rows_generated = 13;
  metrics.rows.prefetch_late = 14;
  metrics.rows.io_retries = 15;
  metrics.validation_loss = 4.5;
  const auto line = nlohmann::json::parse(metrics_line(metrics));
  EXPECT_EQ(line["step"], 7);
  EXPECT_EQ(line["loss"], 5.5 / 7);
  EXPECT_EQ(line["learning_rate"], 1e-4);
  EXPECT_EQ(line["value_learning_rate"], 1e-3);
  EXPECT_EQ(line["tokens_per_s"], 1234.5);
  const auto times = nlohmann::json{
      {"step", 10.0},  {"data", 1.0},          {"forward", 2.0},         {"backward", 3.0},
      {"update", 4.0}, {"acquire_stall", 0.5}, {"write_back_wait", 0.25}};
  EXPECT_EQ(line["time_ms"], times);
  EXPECT_EQ(line["distinct_rows"], 99);
  EXPECT_EQ(line["gradient_norm"]["dense"], 2.0);
  EXPECT_EQ(line["gradient_norm"]["rows"], 3.0);
  EXPECT_EQ(line["tiers"]["device"]["rows_read"], 1);
  EXPECT_EQ(line["tiers"]["host"]["bytes_read"], 6);
  EXPECT_EQ(line["tiers"]["disk"]["rows_written"], 11);
  EXPECT_EQ(line["tiers"]["disk"]["bytes_written"], 12);
  const auto stall = nlohmann::json{{"plan", 16}, {"host", 17}, {"disk", 18}, {"write_back", 19}};
  EXPECT_EQ(line["stall_us"], stall);
  EXPECT_EQ(line["rows"]["generated"], 13);
  EXPECT_EQ(line["prefetch"]["late"], 14);
  EXPECT_EQ(line["io_retries"], 15);
  EXPECT_EQ(line["validation_loss"], 4.5);
  EXPECT_FALSE(nlohmann::json::parse(metrics_line(metrics_of(1))).contains("validation_loss"));
}

TEST_F(Metrics, ALossThatIsNotANumberIsStillJson) {
  StepMetrics metrics = metrics_of(1);
  metrics.loss = std::nan("");
  EXPECT_TRUE(nlohmann::json::parse(metrics_line(metrics))["loss"].is_null());
}

TEST_F(Metrics, EachLineIsInTheFileWhenWriteReturns) {
  MetricsWriter writer(path(), 0);
  writer.write(metrics_of(1));
  ASSERT_EQ(lines().size(), 1u);
  writer.write(metrics_of(2));
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_EQ(lines()[1]["step"], 2);
}

TEST_F(Metrics, ResumingDropsTheStepsAfterTheCheckpoint) {
  {
    MetricsWriter writer(path(), 0);
    for (std::uint64_t step = 1; step <= 5; ++step) writer.write(metrics_of(step));
  }
  MetricsWriter writer(path(), 3);
  EXPECT_EQ(lines().size(), 3u);
  writer.write(metrics_of(4));
  ASSERT_EQ(lines().size(), 4u);
  EXPECT_EQ(lines()[3]["step"], 4);
}

TEST_F(Metrics, ATornLineIsDropped) {
  { MetricsWriter(path(), 0).write(metrics_of(1)); }
  append("{\"step\":2}");  // whole, but its end was not written
  MetricsWriter writer(path(), 9);
  EXPECT_EQ(lines().size(), 1u);
  append("{\"step\":2,\"lo\n");
  MetricsWriter again(path(), 9);
  EXPECT_EQ(lines().size(), 1u);
}

TEST_F(Metrics, AnUnwritablePlaceIsAnErrorThatNamesIt) {
  const std::string missing = (folder_ / "missing" / "metrics.jsonl").string();
  try {
    MetricsWriter writer(missing, 0);
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
  MetricsWriter writer(path(), 0);
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
}

}  // namespace
}  // namespace mneme::engine
