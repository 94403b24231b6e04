// The trace of a run answers for runs with other tiers: every count of their books, whether the
// device tier holds a step's rows or passes have to take them in parts.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/run_files.h"
#include "offload/replay/replay_store.h"
#include "tests/engine/tiny_run.h"

namespace mneme::engine {
namespace {

using offload::Account;
using offload::Books;
using offload::Field;
using testing::TinyRun;

// Tiers of the runs that are compared: below and above the rows of a step.
struct Split {
  std::uint64_t device_slots = 0, host_slots = 0;
  kernels::ReplacementKind device_policy = kernels::ReplacementKind::kLfu;
  kernels::ReplacementKind host_policy = kernels::ReplacementKind::kLfu;
};

const std::vector<Split>& splits() {
  using kernels::ReplacementKind;
  static const std::vector<Split> kSplits = {
      {TinyRun::kRows, 0},
      {16, 0, ReplacementKind::kLru},
      {16, 40},
      {40, 20, ReplacementKind::kSieve, ReplacementKind::kLru},
      {90, 30, ReplacementKind::kClock, ReplacementKind::kRandom},
  };
  return kSplits;
}

struct Traced {
  std::string trace;
  offload::TraceTiers tiers;
  Books books;
};

class TrainerReplay : public ::testing::TestWithParam<const char*> {
 protected:
  Config config(const std::string& name, const Split& split) const {
    Config config = run_.config(name);
    const std::string kind = GetParam();
    if (kind == "peer") config.model.feed_forward = BlockKinds::parse("peer@1 memory@2");
    if (kind.starts_with("accumulated")) {
      config.memory.row_gradient = RowGradientKind::kAccumulated;
      config.train.row_gradient_bytes = 0;
      config.train.micro_batches = 3;
    }
    if (kind == "accumulated_unclipped") config.memory.optimizer.clip_norm = 0;
    // Rows of two parts take about twice as much, and so do those with gradients.
    const std::uint64_t scale = kind == "memory" ? 1 : 2;
    config.tiers.store.device_bytes = scale * TinyRun::device_bytes(split.device_slots);
    config.tiers.store.host_bytes = scale * TinyRun::host_bytes(split.host_slots);
    config.tiers.store.device_policy = split.device_policy;
    config.tiers.store.host_policy = split.host_policy;
    config.train.steps = 5;
    config.evaluation.every = 3;
    config.run.trace = true;
    config.checkpoint.final = false;
    return config;
  }
  Traced train(const Split& split) {
    static int number = 0;
    const Config with = config(fmt::format("run-{}", number++), split);
    Traced traced;
    TrainerOptions options;
    options.on_step = [&](const StepMetrics& metrics) { traced.books += metrics.books; };
    run_.train(with, options);
    traced.trace = trace_paths(run_.disk(), with.run.directory, 0).at(0);
    offload::TraceReader reader(run_.disk(), traced.trace);
    offload::TraceEvent start;
    EXPECT_TRUE(reader.next(start));
    traced.tiers = start.tiers;
    return traced;
  }
  Books replayed(const std::string& trace, const offload::TraceTiers& tiers) {
    const auto backend = kernels::make_cpu_backend({.threads = 1});
    offload::TraceReader reader(run_.disk(), trace);
    offload::ReplayStore replay(*backend, reader.header(), {.tiers = tiers});
    for (offload::TraceEvent event; reader.next(event);) replay.apply(event);
    return replay.books();
  }

  TinyRun run_;
};

TEST_P(TrainerReplay, OfAnyTiersGivesTheCountsOfARunWithThem) {
  std::vector<Traced> runs;
  for (const Split& split : splits()) runs.push_back(train(split));
  // The smallest take passes in parts, the largest none.
  const Account forward{offload::Cause::kTraining, 1, offload::Pass::kForward};
  EXPECT_GT(runs[1].books[forward][Field::kLeases], 2 * runs[0].books[forward][Field::kLeases]);
  for (std::size_t from = 0; from < runs.size(); ++from) {
    for (std::size_t to = 0; to < runs.size(); ++to) {
      SCOPED_TRACE(::testing::Message() << "trace of " << from << ", tiers of " << to);
      Books found = replayed(runs[from].trace, runs[to].tiers);
      for (const auto& [account, entry] : runs[to].books.entries()) {
        for (const offload::FieldInfo& field : offload::kFields) {
          if (field.unit == "microseconds" || field.field == Field::kDiskRetries ||
              // A record that is still on its way to the disk is taken from there.
              field.field == Field::kDiskToDeviceBytes) {
            continue;
          }
          EXPECT_EQ(found[account][field.field], entry[field.field])
              << field.name << " of " << io::name_of(account.cause) << ", layer " << account.layer
              << ", " << io::name_of(account.pass);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TrainerReplay,
                         ::testing::Values("memory", "peer", "accumulated",
                                           "accumulated_unclipped"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace mneme::engine
