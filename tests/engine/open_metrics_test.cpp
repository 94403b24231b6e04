// metrics.prom: what monitors read of a run.
#include "engine/open_metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "engine/metrics_reader.h"
#include "engine/run_files.h"
#include "io/error.h"
#include "tests/engine/tiny_run.h"

namespace mneme::engine::testing {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

double value_of(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + " ")) return std::stod(line.substr(name.size() + 1));
  }
  ADD_FAILURE() << name << " is not in\n" << text;
  return 0;
}

TEST(OpenMetrics, SayWhatTheLinesOfARunAddUpTo) {
  TinyRun run;
  Config config = run.tiered("run");
  config.run.open_metrics = true;
  run.train(config);
  const std::string text = text_of(open_metrics_path(config.run.directory));
  EXPECT_TRUE(text.starts_with("# TYPE mneme_step gauge\n")) << text;
  EXPECT_TRUE(text.ends_with("\n# EOF\n"));
  offload::Books books;
  double seconds = 0;
  std::uint64_t steps = 0;
  double loss = 0;
  for (const StepMetrics& line :
       read_metrics(*io::make_posix_disk(), metrics_path(config.run.directory))) {
    books += line.books;
    seconds += 1e-3 * line.times.step_ms;
    loss = line.loss;
    ++steps;
  }
  const offload::Entry all = books.total();
  EXPECT_EQ(value_of(text, "mneme_steps_total"), double(steps));
  EXPECT_NEAR(value_of(text, "mneme_step_seconds_total"), seconds, 1e-6);
  EXPECT_NEAR(value_of(text, "mneme_loss"), loss, 1e-5);
  EXPECT_EQ(value_of(text, "mneme_tokens_total"), double(steps) * double(config.tokens_per_step()));
  EXPECT_EQ(value_of(text, "mneme_leases_rows_total"), double(all[offload::Field::kRowsLeased]));
  EXPECT_NEAR(value_of(text, "mneme_stall_plan_seconds_total"),
              1e-6 * double(all[offload::Field::kStallPlan]), 1e-9);
  // Each family is declared once, and no line is anything else.
  std::istringstream lines(text);
  std::size_t families = 0;
  for (std::string line; std::getline(lines, line);) {
    families += line.starts_with("# TYPE ") ? 1 : 0;
    EXPECT_TRUE(line.starts_with("# ") || line.starts_with("mneme_")) << line;
  }
  EXPECT_EQ(families, 8 + offload::kFieldCount + (text.find("mneme_validation_loss") != text.npos));
}

TEST(OpenMetrics, ReplaceNothingOfOthers) {
  TinyRun run;
  Config config = run.tiered("run");
  config.run.open_metrics = true;
  run.disk().make_directories(config.run.directory);
  std::ofstream(open_metrics_path(config.run.directory)) << "mine\n";
  EXPECT_THROW(run.train(config), io::Error);
  EXPECT_EQ(text_of(open_metrics_path(config.run.directory)), "mine\n");
}

}  // namespace
}  // namespace mneme::engine::testing
