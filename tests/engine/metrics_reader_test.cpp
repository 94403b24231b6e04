// Lines of metrics.jsonl, read back.
#include "engine/metrics_reader.h"

#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <string>
#include <string_view>

#include "tests/simulated_disk/simulated_disk.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

StepMetrics metrics_of(std::uint64_t step) {
  StepMetrics metrics{.step = step,
                      .loss = 5.5,
                      .learning_rate = 1e-4,
                      .value_learning_rate = 1e-3,
                      .tokens_per_s = 1234.5,
                      .times = {10, 1, 2, 1.5, 3, 4, 0.5, 5, 6, 7},
                      .distinct_rows = 100,
                      .dense_gradient_norm = 2,
                      .row_gradient_norm = 3,
                      .books = {},
                      .validation_loss = 4.5};
  std::uint64_t number = 1;
  for (const offload::Account& account :
       {offload::Account{offload::Cause::kTraining, 1, offload::Pass::kForward},
        offload::Account{offload::Cause::kTraining, offload::kNoLayer, offload::Pass::kUpdate},
        offload::Account{offload::Cause::kPrefetch, 4}}) {
    offload::Entry& entry = metrics.books[account];
    for (const offload::FieldInfo& info : offload::kFields) entry[info.field] = number++ % 5;
  }
  metrics.predictions = {
      {.predictor = memory::PredictorKind::kLookahead,
       .distance = 2,
       .layer = 4,
       .score = {.steps = 1,
                 .read = 64,
                 .predicted = 80,
                 .hits = 32,
                 .hits_at = {8, 16, 32},
                 .hottest_at = {4, 8, 16}},
       .hints = {.present = 5, .hinted = 20, .brought = 16, .used = 8, .late = 2}}};
  metrics.disk_latencies[offload::DiskQueue::kDemand].add(130, 3);
  metrics.disk_latencies[offload::DiskQueue::kDemand].add(9000);
  metrics.disk_latencies[offload::DiskQueue::kSave].add(2);
  return metrics;
}

TEST(MetricsReader, ALineComesBackAsItWasWritten) {
  const StepMetrics metrics = metrics_of(7);
  const std::string line = metrics_line(metrics);
  const StepMetrics read = parse_metrics_line(line);
  EXPECT_EQ(metrics_line(read), line);
  EXPECT_EQ(read.books.entries(), metrics.books.entries());
  EXPECT_EQ(read.disk_latencies, metrics.disk_latencies);
  EXPECT_EQ(read.predictions.at(0).hints, metrics.predictions[0].hints);
  EXPECT_EQ(read.predictions[0].score.hottest_at, metrics.predictions[0].score.hottest_at);
}

TEST(MetricsReader, WhatIsMissingIsNothingAndWhatIsNullIsNotANumber) {
  const StepMetrics read = parse_metrics_line(R"({"step":3,"loss":null})");
  EXPECT_EQ(read.step, 3u);
  EXPECT_TRUE(std::isnan(read.loss));
  EXPECT_EQ(read.times.step_ms, 0);
  EXPECT_TRUE(read.books.entries().empty());
  EXPECT_FALSE(read.validation_loss.has_value());
}

TEST(MetricsReader, AFileIsReadUpToItsLastWholeLine) {
  io::SimulatedDisk disk({.record_log = false});
  {
    MetricsWriter writer(disk, "/metrics.jsonl", {}, 0);
    for (std::uint64_t step = 1; step <= 3; ++step) writer.write(metrics_of(step));
  }
  EXPECT_EQ(read_metrics(disk, "/metrics.jsonl").size(), 3u);
  const auto append = [&](std::string_view more) {
    const std::uint64_t size = disk.read_file("/metrics.jsonl", 1 << 20).size();
    disk.append("/metrics.jsonl", size)->append(std::as_bytes(std::span(more)));
  };
  append("{\"step\":4,\"lo");
  const std::vector<StepMetrics> lines = read_metrics(disk, "/metrics.jsonl");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines.back().step, 3u);
  append("\n");
  const std::string error = mneme::testing::error_of([&] { read_metrics(disk, "/metrics.jsonl"); });
  EXPECT_EQ(error.rfind("/metrics.jsonl: line 4: not a line of metrics: ", 0), 0u) << error;
}

}  // namespace
}  // namespace mneme::engine
