// What a report says of a run's metrics: by hand, and of a run.
#include "tools/report/run_report.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/metrics_reader.h"
#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

using engine::StepMetrics;
using offload::Cause;
using offload::Field;
using offload::Pass;

std::vector<StepMetrics> made_up(std::uint64_t steps) {
  std::vector<StepMetrics> lines;
  for (std::uint64_t step = 1; step <= steps; ++step) {
    StepMetrics line;
    line.step = step;
    line.loss = 2;
    line.times = {.step_ms = 100,
                  .data_ms = 1,
                  .forward_ms = 20,
                  .predict_ms = 4,
                  .backward_ms = 30,
                  .update_ms = 5,
                  .stall_ms = 30};
    offload::Entry& forward = line.books[{Cause::kTraining, 1, Pass::kForward}];
    forward[Field::kFoundOnDevice] = 60;
    forward[Field::kFoundInHost] = 30;
    forward[Field::kFoundOnDisk] = 10;
    forward[Field::kStallHost] = 24'000;
    forward[Field::kStallDisk] = 6'000;
    forward[Field::kHostToDeviceRows] = 30;
    forward[Field::kHostToDeviceBytes] = 30'000;
    forward[Field::kHostToDeviceTime] = 3'000;
    offload::Entry& hints = line.books[{Cause::kPrefetch, 1}];
    hints[Field::kHintsPlanned] = 12;
    hints[Field::kHintsPromoted] = 2;
    forward[Field::kHintsUsed] = 7;
    line.predictions = {{.predictor = memory::PredictorKind::kLookahead,
                         .distance = 1,
                         .layer = 1,
                         .score = {.steps = 1, .read = 100, .predicted = 80, .hits = 40},
                         .hints = {.hinted = 12, .brought = 10, .used = 7}}};
    lines.push_back(std::move(line));
  }
  return lines;
}

const report::TimePart& part_named(const report::RunReport& report, const std::string& name) {
  const auto found = std::find_if(report.time.begin(), report.time.end(),
                                  [&](const report::TimePart& part) { return part.name == name; });
  EXPECT_NE(found, report.time.end()) << name;
  return *found;
}

TEST(RunReport, PartsOfAStepAddUpToIt) {
  const report::RunReport report = report::report_of(made_up(50), 1000);
  EXPECT_EQ(report.first_step, 6u);
  EXPECT_EQ(report.last_step, 50u);
  EXPECT_NEAR(report.step_ms, 100, 1e-9);
  EXPECT_NEAR(report.tokens_per_s, 10'000, 1e-6);
  EXPECT_NEAR(part_named(report, "stall.host").ms, 24, 1e-9);
  EXPECT_NEAR(part_named(report, "stall.disk").ms, 6, 1e-9);
  EXPECT_NEAR(part_named(report, "predict").ms, 4, 1e-9);
  EXPECT_NEAR(part_named(report, "other").ms, 10, 1e-9);
  double sum = 0, shares = 0;
  for (const report::TimePart& part : report.time) {
    sum += part.ms;
    shares += part.share;
  }
  EXPECT_NEAR(sum, report.step_ms, 1e-9);
  EXPECT_NEAR(shares, 1, 1e-12);
}

// Also where clocks of different threads overlap.
TEST(RunReport, PartsNeverAddUpToMore) {
  std::vector<StepMetrics> lines = made_up(10);
  for (StepMetrics& line : lines) line.times.backward_ms = 60;
  const report::RunReport report = report::report_of(lines, 1000, 1);
  double shares = 0;
  for (const report::TimePart& part : report.time) shares += part.share;
  EXPECT_NEAR(shares, 1, 1e-12);
  EXPECT_EQ(part_named(report, "other").ms, 0);
}

TEST(RunReport, ReadsMovesAndHintsAreTheLedgers) {
  const report::RunReport report = report::report_of(made_up(20), 1000, 11);
  EXPECT_EQ(report.steps, 10u);
  EXPECT_NEAR(report.reads.device, 60, 1e-9);
  EXPECT_NEAR(report.reads.all(), 100, 1e-9);
  const report::MoveRate& page_in = report.moves.front();
  EXPECT_EQ(page_in.name, "host_to_device");
  EXPECT_NEAR(page_in.bytes_per_s, 300'000, 1e-6);
  EXPECT_NEAR(page_in.busy_bytes_per_s, 1e7, 1e-3);
  EXPECT_NEAR(report.hints.brought, 10, 1e-9);
  EXPECT_NEAR(report.hints.used, 7, 1e-9);
  ASSERT_EQ(report.predictors.size(), 1u);
  EXPECT_EQ(report.predictors[0].name, "lookahead, d 1");
  EXPECT_NEAR(report.predictors[0].sums.score.recall(), 0.4, 1e-12);
}

class Report : public BadInput {};

TEST_F(Report, OfARunSaysWhatItsMetricsSay) {
  config_.tiers.prefetch = memory::PredictorKind::kTrigramHistory;
  write_config();
  ASSERT_EQ(run({"train", file()}).status, 0);
  const std::string metrics = directory() + "/metrics.jsonl";
  const auto lines = engine::read_metrics(*io::make_posix_disk(), metrics);
  const Finished told = run({"report", directory(), "--from", "3", "--json"});
  ASSERT_EQ(told.status, 0) << told.error;
  const nlohmann::json json = nlohmann::json::parse(told.output);
  EXPECT_EQ(json.at("first_step"), 3);
  EXPECT_EQ(json.at("steps"), lines.size() - 2);
  double step_ms = 0, device = 0;
  for (std::size_t i = 2; i < lines.size(); ++i) {
    step_ms += lines[i].times.step_ms;
    device += double(lines[i].books.total(Cause::kTraining, Pass::kForward)[Field::kFoundOnDevice]);
  }
  const auto steps = double(lines.size() - 2);
  EXPECT_NEAR(json.at("step_ms"), step_ms / steps, 1e-9 * step_ms);
  EXPECT_NEAR(json.at("reads").at("device"), device / steps, 1e-9);
  double sum = 0;
  for (const nlohmann::json& part : json.at("time")) sum += part.at("ms").get<double>();
  EXPECT_NEAR(sum, step_ms / steps, 1e-9 * step_ms);
  EXPECT_FALSE(json.at("predictors").empty());

  const Finished text = run({"report", directory()});
  EXPECT_NE(text.output.find("time of a step"), std::string::npos) << text.output;
  EXPECT_NE(text.output.find("trigram-history"), std::string::npos) << text.output;
  std::istringstream csv(run({"report", directory(), "--csv"}).output);
  std::string head, row;
  std::getline(csv, head);
  std::size_t rows = 0;
  while (std::getline(csv, row)) {
    ++rows;
    EXPECT_EQ(std::count(row.begin(), row.end(), ','), std::count(head.begin(), head.end(), ','));
  }
  EXPECT_EQ(rows, lines.size());
}

TEST_F(Report, OfTwoRunsComparesEveryNumber) {
  ASSERT_EQ(run({"train", file()}).status, 0);
  const std::string first = directory();
  config_.run.directory = run_.path("other");
  config_.tiers.store.host_bytes = 0;
  write_config();
  ASSERT_EQ(run({"train", file()}).status, 0);
  const Finished told = run({"report", first, directory(), "--json"});
  ASSERT_EQ(told.status, 0) << told.error;
  const nlohmann::json json = nlohmann::json::parse(told.output);
  std::size_t found = 0;
  for (const nlohmann::json& one : json.at("numbers")) {
    if (one.at("name") == "step_ms") {
      EXPECT_EQ(one.at("a"), json.at("a").at("step_ms"));
      EXPECT_EQ(one.at("b"), json.at("b").at("step_ms"));
      ++found;
    }
    if (one.at("name") == "loss") {
      EXPECT_EQ(one.at("a"), one.at("b")) << "tiers change no result";
      ++found;
    }
    found += one.at("name") == "time.forward.ms" || one.at("name") == "reads.device" ? 1 : 0;
  }
  EXPECT_EQ(found, 4u);
  const std::string pages = run_.path("pages");
  const Finished text = run({"report", first, directory(), "--output", pages});
  ASSERT_EQ(text.status, 0) << text.error;
  EXPECT_NE(text.output.find("B against A"), std::string::npos);
  const std::string page = text_of(pages + "/comparison.html");
  EXPECT_NE(page.find("id=\"chart-loss\""), std::string::npos);
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  EXPECT_FALSE(fs::exists(directory() + "/comparison.html"));
}

TEST_F(Report, WhatCannotBeReportedIsRefusedInOneLine) {
  ASSERT_EQ(run({"train", file()}).status, 0);
  expect_refused({"report", folder_}, {folder_, "no metrics"});
  expect_refused({"report", directory(), "--from", "1000"}, {directory(), "no steps"});
  expect_refused({"report", directory(), "--json", "--csv"}, {"--csv"}, 2);
  std::ofstream(directory() + "/metrics.jsonl", std::ios::app) << "{\"step\": \n";
  expect_refused({"report", directory()}, {"metrics.jsonl", "line 9"});
}

}  // namespace
}  // namespace mneme::test
