// What is said of a configuration beforehand, beside what a run of it turns out to do.
#include "tools/plan/plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <list>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/metrics_reader.h"
#include "engine/run_files.h"
#include "engine/run_options.h"
#include "io/error.h"
#include "offload/tier_sizes.h"
#include "tests/engine/tiny_run.h"
#include "tools/mneme/popularity.h"
#include "tools/plan/plan_formats.h"
#include "tools/plan/step_fit.h"

namespace mneme::plan {
namespace {

using engine::Config;
using engine::testing::TinyRun;
using offload::Cause;
using offload::Entry;
using offload::Field;
using offload::Pass;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

Machine fast_machine() {
  Machine machine;
  machine.name = "fast";
  machine.host = {.memory_bytes = 1000 * kMiB, .copy = 1e9};
  machine.disk.bytes = 10000 * kMiB;
  machine.disk.read = machine.disk.write = 1e8;
  machine.compute.widths = {16, 64};
  machine.compute.gflops = {1, 4};
  machine.compute.half_score_ns = 1;
  machine.compute.lookup_ns = 10;
  machine.compute.gather = machine.compute.update = machine.compute.generate = 2e9;
  machine.compute.optimizer = 1e10;
  return machine;
}

std::string error_of(const std::string& text) {
  try {
    parse_machine(text, "m.toml");
  } catch (const io::Error& error) {
    return error.what();
  }
  return "none";
}

TEST(Machine, IsReadBackAsItWasWritten) {
  Machine machine = fast_machine();
  machine.source = "tests";
  machine.device = {.count = 8, .memory_bytes = kMiB, .link = 5e8, .exchange = 4e11};
  machine.disk.endurance_bytes = 7e15;
  const std::string text = to_toml(machine);
  EXPECT_EQ(to_toml(parse_machine(text, "m.toml")), text);
  EXPECT_EQ(parse_machine(text, "m.toml").device.link, 5e8);
  EXPECT_EQ(parse_machine(text, "m.toml").compute.gflops, machine.compute.gflops);
}

TEST(Machine, ThatCannotBeIsRefusedInOneLine) {
  EXPECT_EQ(error_of(""), "m.toml: host.memory_bytes is missing: a run needs memory");
  EXPECT_EQ(error_of("[host]\nmemory_byte = 1"),
            "m.toml:2: unknown key host.memory_byte; did you mean host.memory_bytes?");
  const std::string host = "host.memory_bytes = \"1GiB\"\n";
  EXPECT_EQ(error_of(host), "none");
  EXPECT_NE(error_of(host + "host.copy_gb_per_s = -1").find("m.toml:2: host.copy_gb_per_s"),
            std::string::npos);
  EXPECT_NE(error_of(host + "host.copy_gb_per_s = nan").find("m.toml:2: host.copy_gb_per_s"),
            std::string::npos);
  EXPECT_EQ(error_of(host + "device.count = 1"),
            "m.toml: device.count is 1, and device.memory_bytes is missing");
  EXPECT_EQ(error_of(host + "device.memory_bytes = 1"),
            "m.toml: device.memory_bytes is given, and device.count is 0");
  EXPECT_EQ(error_of(host + "compute.widths = [1, 2]\ncompute.gflops = [1]"),
            "m.toml: compute.widths has 2 numbers, and compute.gflops 1");
  EXPECT_EQ(error_of(host + "compute.widths = [2, 1]\ncompute.gflops = [1, 1]"),
            "m.toml: compute.widths must ascend");
  // A disk that is faster than memory.
  EXPECT_EQ(
      error_of(host + "host.copy_gb_per_s = 10\ndisk.read_gb_per_s = 500"),
      "m.toml: disk.read_gb_per_s = 500 is faster than host.copy_gb_per_s = 10, through which "
      "it goes");
}

TEST(Machine, KeysStandInTheDocumentation) {
  std::ifstream file(MNEME_SOURCE_DIR "/docs/planning.md");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_NE(text.find(machine_markdown()), text.npos) << machine_markdown();
}

TEST(Machine, FilesOfTheProjectAreRead) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(MNEME_SOURCE_DIR "/configs/machines")) {
    SCOPED_TRACE(entry.path().string());
    const Machine machine = load_machine(entry.path().string());
    EXPECT_FALSE(machine.name.empty() || machine.source.empty());
    EXPECT_TRUE(machine.has_device());
    ++files;
  }
  EXPECT_GE(files, 5);
}

TEST(StepWork, DenseSpeedsLieBetweenThoseMeasured) {
  const Machine machine = fast_machine();
  EXPECT_EQ(dense_flops_per_s(machine, 8), 1e9);
  EXPECT_EQ(dense_flops_per_s(machine, 16), 1e9);
  EXPECT_NEAR(dense_flops_per_s(machine, 32), 2.5e9, 1);
  EXPECT_EQ(dense_flops_per_s(machine, 64), 4e9);
  EXPECT_EQ(dense_flops_per_s(machine, 4096), 4e9);
  EXPECT_EQ(dense_flops_per_s(Machine{}, 64), 0);
}

// Speeds are found again from times that they have given.
TEST(StepFit, FindsTheSpeedsThatTimesCameFrom) {
  const Machine machine = fast_machine();
  Machine found = machine;
  found.compute.half_score_ns = found.compute.lookup_ns = 0;
  found.compute.gather = found.compute.update = 0;
  StepFit fit(found);
  for (int i = 0; i < 7; ++i) {
    StepWork work;
    work.dense_flops = 1e6 * (i + 1);
    work.half_scores = 1e5 * (i % 3 + 1);
    work.lookups = 1e4 * (i % 2 + 1);
    work.gathered_bytes = 1e6 * (7 - i);
    work.updated_bytes = 1e6 * (i * i % 5 + 1);
    fit.add(work, 64, step_times(work, machine, 64).total());
  }
  fit.solve(found);
  EXPECT_NEAR(found.compute.half_score_ns / machine.compute.half_score_ns, 1, 1e-3);
  EXPECT_NEAR(found.compute.lookup_ns / machine.compute.lookup_ns, 1, 1e-3);
  EXPECT_NEAR(found.compute.gather / machine.compute.gather, 1, 1e-3);
  EXPECT_NEAR(found.compute.update / machine.compute.update, 1, 1e-3);
}

// Rows that were used last, by hand: a list of them.
class UsedLast {
 public:
  // How many rows were used after this one; the most that there is where it was never.
  std::size_t ago(std::uint64_t row) {
    const auto found = places_.find(row);
    if (found == places_.end()) return std::numeric_limits<std::size_t>::max();
    return static_cast<std::size_t>(std::distance(rows_.begin(), found->second));
  }
  void use(std::uint64_t row) {
    const auto found = places_.find(row);
    if (found != places_.end()) rows_.erase(found->second);
    rows_.push_front(row);
    places_[row] = rows_.begin();
  }

 private:
  std::list<std::uint64_t> rows_;
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> places_;
};

TEST(SkewedTraffic, IsThatOfListsOfRowsUsedLast) {
  TinyRun runs;
  Config config = runs.config("skewed");
  config.memory.half_keys = 40;  // 1600 rows
  const auto layout = memory::store_options(engine::value_table_options(config, 0)).layout;
  for (const double skew : {0.0, 0.6, 1.0}) {
    SCOPED_TRACE(skew);
    TrafficQuestion question;
    question.store.rows = 1600;
    question.store.layout = layout;
    question.store.tiers.evaluation_share = 0.01;
    question.computation = [](const PageTraffic&) { return 0.0; };
    const std::uint64_t slot = offload::device_slot_bytes(question.store);
    question.store.tiers.device_bytes = 500 * slot;
    question.store.tiers.host_bytes = 400 * offload::slot_bytes(question.store).host;
    const offload::TierSizes sizes = offload::tier_sizes(question.store);
    constexpr int kLookups = 400, kSteps = 400;
    const PageTraffic traffic =
        skewed_traffic({.skew = skew, .lookups = kLookups, .leases = 1}, question);
    tools::Popularity popularity(1600, skew, 1);
    UsedLast last;
    double distinct = 0, on_device = 0, in_host = 0, on_disk = 0;
    for (int step = 0; step < kSteps; ++step) {
      std::vector<std::uint64_t> rows(kLookups);
      for (std::uint64_t& row : rows) row = popularity.next();
      std::sort(rows.begin(), rows.end());
      rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
      // A step looks all of its rows up before it uses them, in no order.
      std::mt19937 random(static_cast<unsigned>(step));
      std::shuffle(rows.begin(), rows.end(), random);
      std::vector<std::size_t> places;
      for (const std::uint64_t row : rows) places.push_back(last.ago(row));
      for (const std::uint64_t row : rows) last.use(row);
      if (step < kSteps / 2) continue;
      for (const std::size_t place : places) {
        ++distinct;
        on_device += place < sizes.training ? 1 : 0;
        in_host += place >= sizes.training && place < sizes.training + sizes.host ? 1 : 0;
        on_disk += place >= sizes.training + sizes.host ? 1 : 0;
      }
    }
    const double steps = kSteps / 2.0;
    EXPECT_NEAR(traffic.distinct_rows, distinct / steps, 0.02 * distinct / steps);
    EXPECT_NEAR(traffic.found_on_device, on_device / steps, 0.05 * distinct / steps);
    EXPECT_NEAR(traffic.found_in_host, in_host / steps, 0.05 * distinct / steps);
    EXPECT_NEAR(traffic.found_on_disk, on_disk / steps, 0.05 * distinct / steps);
  }
}

// ---- Plans.

std::vector<engine::StepMetrics> metrics_of(TinyRun& runs, const Config& config) {
  return engine::read_metrics(runs.disk(), engine::metrics_path(config.run.directory));
}

PlanOptions options_with(const std::string& trace) {
  PlanOptions options;
  options.machine = fast_machine();
  options.trace = trace;
  return options;
}

// From the trace of a run with everything on the device, what a run with other tiers moves.
TEST(Plan, TellsWhatARunWithOtherTiersMoves) {
  TinyRun runs;
  Config whole = runs.config("whole");
  whole.train.steps = 20;
  whole.run.trace = true;
  whole.evaluation.final = false;
  runs.train(whole);
  for (const std::uint64_t device : {96u, 160u}) {
    for (const std::uint64_t host : {0u, 64u}) {
      Config config = whole;
      config.run.directory = runs.path(std::to_string(device) + "-" + std::to_string(host));
      config.run.trace = false;
      config.tiers.store.device_bytes = TinyRun::device_bytes(device);
      config.tiers.store.host_bytes = TinyRun::host_bytes(host);
      SCOPED_TRACE(config.run.directory);
      runs.train(config);
      Entry forward, all;
      double steps = 0;
      for (const engine::StepMetrics& line : metrics_of(runs, config)) {
        if (line.step <= 2) continue;  // the first tenth
        forward += line.books.total(Cause::kTraining, Pass::kForward);
        all += line.books.total();
        // What the last checkpoint wrote is no step's.
        ++steps;
      }
      const Plan plan = make_plan(runs.disk(), config,
                                  options_with(engine::trace_path(whole.run.directory, 0, 0)));
      ASSERT_TRUE(plan.speed);
      const PageTraffic& traffic = plan.speed->traffic;
      EXPECT_EQ(traffic.found_on_device * steps, double(forward[Field::kFoundOnDevice]));
      EXPECT_EQ(traffic.found_in_host * steps, double(forward[Field::kFoundInHost]));
      EXPECT_EQ(traffic.found_on_disk * steps, double(forward[Field::kFoundOnDisk]));
      EXPECT_NEAR(traffic.disk_reads * steps, double(all.disk_rows_read()), 1e-6);
      EXPECT_NEAR(traffic.new_rows * steps, double(all[Field::kGeneratedRows]), 1e-6);
    }
  }
}

TEST(Plan, OfAnotherTableIsRefused) {
  TinyRun runs;
  Config config = runs.config("traced");
  config.run.trace = true;
  runs.train(config);
  const std::string trace = engine::trace_path(config.run.directory, 0, 0);
  const auto error_with = [&](const std::string& change) -> std::string {
    try {
      make_plan(runs.disk(),
                engine::parse_config(to_toml(config), "test", std::vector<std::string>{change}),
                options_with(trace));
    } catch (const io::Error& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_EQ(error_with("tiers.host_bytes=1MiB"), "none");
  EXPECT_NE(error_with("memory.half_keys=17").find("a trace of another table: its rows are of 256"),
            std::string::npos);
  EXPECT_NE(error_with("memory.value_width=8").find("a trace of another table: its records are of"),
            std::string::npos);
}

TEST(Plan, SaysWhatDoesNotFitAndWhatWould) {
  TinyRun runs;
  Config config = runs.config("large");
  config.memory.half_keys = 512;
  config.memory.value_width = 64;
  config.tiers.store.device_bytes = 100 * kMiB;
  config.tiers.store.host_bytes = 50 * kMiB;
  PlanOptions options = options_with("");
  options.machine.device = {.count = 1, .memory_bytes = 90 * kMiB, .link = 1e8};
  options.machine.host.memory_bytes = 40 * kMiB;
  options.machine.disk.bytes = 100 * kMiB;
  const Plan plan = make_plan(runs.disk(), config, options);
  EXPECT_FALSE(plan.fits());
  ASSERT_EQ(plan.needs.size(), 3u);
  for (const MemoryNeed& need : plan.needs) EXPECT_FALSE(need.fits()) << need.name;
  // What it says to do is enough.
  std::vector<std::string> changes;
  for (const MemoryNeed& need : plan.needs) {
    const std::size_t end = need.change.find(" would fit");
    if (end == need.change.npos) continue;
    std::string change = need.change.substr(0, end);
    std::erase(change, ' ');
    std::erase(change, '"');
    changes.push_back(change);
  }
  ASSERT_EQ(changes.size(), 2u);
  const Plan smaller =
      make_plan(runs.disk(), engine::parse_config(to_toml(config), "test", changes), options);
  EXPECT_TRUE(smaller.needs[0].fits() && smaller.needs[1].fits());
  // The table does not fit the disk, whatever the tiers.
  EXPECT_FALSE(smaller.needs[2].fits());
  EXPECT_GE(smaller.disk_bytes, 512u * 512u * 800u);
}

// A budget that hides page-in does, and half of it does not.
TEST(Plan, FindsTheSmallestTierThatHidesPageIn) {
  TinyRun runs;
  Config config = runs.config("skewed");
  config.memory.half_keys = 128;
  config.tiers.store.evaluation_share = 0.01;
  config.tiers.store.device_bytes = 2 * kMiB;
  PlanOptions options = options_with("");
  options.machine.host.copy = 5e6;
  options.machine.disk = {};
  options.skew = 0.9;
  const Plan plan = make_plan(runs.disk(), config, options);
  ASSERT_TRUE(plan.speed);
  ASSERT_EQ(plan.speed->smallest.size(), 2u);
  ASSERT_TRUE(plan.speed->smallest[0].bytes);
  const auto wait_share = [&](std::uint64_t device_bytes) {
    Config other = config;
    other.tiers.store.device_bytes = device_bytes;
    const Speed speed = *make_plan(runs.disk(), other, options).speed;
    return speed.step_seconds / speed.times.total() - 1;
  };
  EXPECT_LE(wait_share(*plan.speed->smallest[0].bytes), kHidden);
  EXPECT_GT(wait_share(*plan.speed->smallest[0].bytes / 2), kHidden);
  // More host memory does not make the link faster.
  EXPECT_FALSE(plan.speed->smallest[1].bytes);
  EXPECT_EQ(plan.speed->bounds.front().resource, "the host link");
}

TEST(Plan, AddsUpWhatTrainingWrites) {
  TinyRun runs;
  Config config = runs.config("worn");
  config.checkpoint.every = 10;
  config.train.steps = 100;
  const PlanOptions options = options_with("");
  const Plan plan = make_plan(runs.disk(), config, options);
  ASSERT_TRUE(plan.speed && plan.wear);
  EXPECT_EQ(plan.wear->steps, 100);
  EXPECT_NEAR(plan.wear->days, 100 * plan.speed->step_seconds / 86400, 1e-12);
  EXPECT_EQ(plan.wear->rows_bytes, 0);  // all rows stay on the device
  const double dense = 12 * static_cast<double>(plan.costs.parameters.total());
  EXPECT_GE(plan.wear->checkpoint_bytes, 10 * dense);
  EXPECT_LE(plan.wear->checkpoint_bytes, 10 * (dense + 256 * 512));
  // All that changed in the run, where nothing is saved before its end.
  Config once = config;
  once.checkpoint.every = 0;
  const Plan at_end = make_plan(runs.disk(), once, options);
  EXPECT_NEAR(at_end.wear->checkpoint_bytes, dense + 256 * 512, 1);
  PlanOptions longer = options;
  longer.tokens = 24 * 1000;
  EXPECT_EQ(make_plan(runs.disk(), config, longer).wear->steps, 1000);
}

// Eight ranks hold an eighth of each row, and share the batch.
TEST(Plan, SharesColumnsBetweenRanks) {
  TinyRun runs;
  Config config = runs.config("ranks");
  config.train.batch = 8;
  PlanOptions options = options_with("");
  options.machine.device = {.count = 8, .memory_bytes = 500 * kMiB, .link = 1e8, .exchange = 1e9};
  const Plan one = make_plan(runs.disk(), config, options);
  options.ranks = 8;
  const Plan eight = make_plan(runs.disk(), config, options);
  EXPECT_EQ(eight.costs.table.width * 8, one.costs.table.width);
  EXPECT_DOUBLE_EQ(eight.speed->times.dense * 8, one.speed->times.dense);
  EXPECT_EQ(eight.use.parameters, one.use.parameters);
  EXPECT_LT(eight.use.activations * 4, one.use.activations);
  EXPECT_GT(eight.speed->exchange_bytes, 0);
  EXPECT_EQ(one.speed->exchange_bytes, 0);
  options.ranks = 3;
  EXPECT_THROW(make_plan(runs.disk(), config, options), io::Error);
}

TEST(Plan, IsToldAsTextAndAsJson) {
  TinyRun runs;
  const Config config = runs.tiered("told");
  const PlanOptions options = options_with("");
  const Plan plan = make_plan(runs.disk(), config, options);
  const PlanNames names{"told.toml", "fast"};
  const auto json = nlohmann::json::parse(json_text(plan, options, names));
  EXPECT_TRUE(json["fits"]);
  EXPECT_EQ(json["bytes"]["device"]["all"], plan.use.device());
  EXPECT_EQ(json["tiers"]["device_rows"], plan.costs.table.tiers.training);
  EXPECT_DOUBLE_EQ(json["tokens_per_s"], plan.speed->tokens_per_s);
  const std::string text = plain_text(plan, options, names);
  EXPECT_NE(text.find("told.toml on fast"), text.npos);
  EXPECT_NE(text.find("bound by "), text.npos);
  // A machine of which only the sizes are known.
  PlanOptions sizes = options;
  sizes.machine.compute = {};
  const Plan small = make_plan(runs.disk(), config, sizes);
  EXPECT_FALSE(small.speed);
  EXPECT_NE(plain_text(small, sizes, names).find("how fast: not known"), std::string::npos);
}

}  // namespace
}  // namespace mneme::plan
