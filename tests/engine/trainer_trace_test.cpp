// Traces of whole runs: they hold what the books count, change no result, and go on where the run
// does.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "engine/prefetch/history_replay.h"
#include "engine/run_files.h"
#include "offload/replay/replay_store.h"
#include "offload/trace/trace_summary.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

using offload::TraceEvent;
using offload::TraceKind;
using testing::TinyRun;

class TrainerTrace : public ::testing::Test {
 protected:
  Config traced(const std::string& name) const {
    Config config = run_.tiered(name);
    config.run.trace = true;
    config.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
    config.evaluation.every = 3;
    config.checkpoint.every = 2;
    return config;
  }
  static TrainerOptions resumed(std::optional<std::uint64_t> step = {}) {
    TrainerOptions options;
    options.resume = true;
    options.step = step;
    return options;
  }
  std::vector<std::string> paths(const Config& config) {
    return trace_paths(run_.disk(), config.run.directory, 0);
  }
  std::vector<TraceEvent> events(const std::string& path) {
    offload::TraceReader reader(run_.disk(), path);
    std::vector<TraceEvent> events;
    for (TraceEvent event; reader.next(event);) events.push_back(event);
    EXPECT_FALSE(reader.is_cut());
    return events;
  }
  // What was asked for in steps, without what depends on how often a run was stopped.
  std::vector<TraceEvent> asked(const Config& config) {
    std::vector<TraceEvent> kept;
    for (TraceEvent& event : events(paths(config).back())) {
      const bool is_lease = event.kind == TraceKind::kLease;
      if (is_lease && event.account.cause != offload::Cause::kTraining) continue;
      if (!is_lease && event.kind != TraceKind::kStep && event.kind != TraceKind::kHint) continue;
      if (is_lease) event.number = 0;
      kept.push_back(std::move(event));
    }
    return kept;
  }

  TinyRun run_;
};

TEST_F(TrainerTrace, HoldsWhatTheBooksCountAndChangesNothing) {
  const Config config = traced("run");
  offload::Books books;
  TrainerOptions options;
  options.on_step = [&](const StepMetrics& metrics) { books += metrics.books; };
  run_.train(config, options);
  ASSERT_EQ(paths(config).size(), 1u);
  offload::TraceReader reader(run_.disk(), paths(config)[0]);
  const offload::TraceSummary summary = offload::summarise(reader);
  EXPECT_EQ(summary.steps, std::uint64_t{TinyRun::kSteps});
  std::map<offload::Account, offload::TraceSummary::Count> leases;
  std::uint64_t hinted = 0;
  for (const auto& [account, entry] : books.entries()) {
    if (entry[offload::Field::kLeases] > 0) {
      leases[account] = {entry[offload::Field::kLeases], entry[offload::Field::kRowsLeased]};
    }
    hinted += entry[offload::Field::kHinted];
  }
  // The last line of metrics is written before the last evaluation is over.
  for (const auto& [account, count] : leases) {
    if (account.cause == offload::Cause::kEvaluation) continue;
    const auto found = summary.leases.find(account);
    ASSERT_NE(found, summary.leases.end());
    EXPECT_EQ(found->second.events, count.events);
    EXPECT_EQ(found->second.rows, count.rows);
  }
  EXPECT_GT(hinted, 0u);
  EXPECT_EQ(summary.all_hints().rows, hinted);

  Config plain = traced("plain");
  plain.run.trace = false;
  run_.train(plain);
  expect_same(run_.outcome(config), run_.outcome(plain));
  EXPECT_FALSE(run_.disk().exists(trace_directory(plain.run.directory)));
}

TEST_F(TrainerTrace, GoesOnWhereTheRunDoes) {
  const Config whole = traced("whole");
  run_.train(whole);
  const std::vector<TraceEvent> expected = asked(whole);
  // Stopped and saved; then resumed from an earlier checkpoint, whose future is cut off.
  const Config config = traced("run");
  run_.train_until(config, 3);
  run_.train_until(config, 5, resumed());
  run_.train_until(config, 6, resumed(5));
  run_.train(config, resumed(5));
  EXPECT_EQ(asked(config), expected);
  ASSERT_EQ(paths(config).size(), 1u);
  std::vector<std::uint64_t> starts;
  for (const TraceEvent& event : events(paths(config)[0])) {
    if (event.kind != TraceKind::kStart) continue;
    EXPECT_EQ(event.continues, event.number > 0);
    EXPECT_TRUE(event.list.empty());
    starts.push_back(event.number);
  }
  EXPECT_EQ(starts, (std::vector<std::uint64_t>{0, 3, 5}));
}

// Without a run: the planner alone gives what the run has booked.
TEST_F(TrainerTrace, ReplayedItGivesTheCountsOfTheRun) {
  for (const std::uint64_t host_slots : {48u, 0u}) {
    for (const bool behind : {false, true}) {
      SCOPED_TRACE(::testing::Message() << host_slots << " host slots, behind training " << behind);
      Config config = traced(fmt::format("run-{}-{}", host_slots, behind));
      config.tiers.store.host_bytes = TinyRun::host_bytes(host_slots);
      config.tiers.store.host_policy = kernels::ReplacementKind::kSieve;
      config.checkpoint.background = behind;
      if (behind) config.tiers.prefetch = memory::PredictorKind::kUnion;
      config.tiers.prefetch_device_bytes = 4000;
      config.memory.row_gradient =
          behind ? RowGradientKind::kAccumulated : RowGradientKind::kFactored;
      config.train.row_gradient_bytes = 0;
      offload::Books books;
      TrainerOptions options;
      options.on_step = [&](const StepMetrics& metrics) { books += metrics.books; };
      run_.train(config, options);
      const auto backend = kernels::make_cpu_backend({.threads = 1});
      offload::TraceReader reader(run_.disk(), paths(config)[0]);
      offload::ReplayStore replay(*backend, reader.header());
      for (TraceEvent event; reader.next(event);) replay.apply(event);
      offload::Books replayed = replay.books();
      // The lines of metrics end before the last evaluation and the last checkpoint.
      std::size_t compared = 0;
      for (const auto& [account, entry] : books.entries()) {
        if (account.cause != offload::Cause::kTraining) continue;
        for (const offload::FieldInfo& field : offload::kFields) {
          if (field.unit == "microseconds" || field.field == offload::Field::kHintsLate ||
              field.field == offload::Field::kDiskRetries ||
              // A record that is still on its way to the disk is taken from there.
              field.field == offload::Field::kDiskToDeviceBytes) {
            continue;
          }
          EXPECT_EQ(replayed[account][field.field], entry[field.field])
              << field.name << ", layer " << account.layer << ", " << io::name_of(account.pass);
          compared += entry[field.field] > 0 ? 1 : 0;
        }
      }
      EXPECT_GT(compared, 40u);
    }
  }
}

// A history that stands beside a replay makes the hints that it made in the run.
TEST_F(TrainerTrace, AHistoryThatIsReplayedHintsWhatItHintedInTheRun) {
  using memory::PredictorKind;
  for (const PredictorKind kind : {PredictorKind::kTokenHistory, PredictorKind::kBigramHistory,
                                   PredictorKind::kTrigramHistory}) {
    SCOPED_TRACE(io::name_of(kind));
    Config config = traced(fmt::format("run-{}", io::name_of(kind)));
    config.run.trace_lookups = true;
    config.tiers.prefetch = kind;
    config.tiers.prefetch_bytes = 3000;
    config.tiers.prefetch_device_bytes = 4000;
    config.tiers.prefetch_confidence = 0.1;
    // Once more from a checkpoint: a process begins to learn afresh.
    run_.train_until(config, 5);
    run_.train(config, resumed(4));
    const auto backend = kernels::make_cpu_backend({.threads = 1});
    const std::string path = paths(config)[0];
    std::size_t recorded = 0;
    offload::TraceReader recording(run_.disk(), path);
    offload::ReplayStore as_recorded(*backend, recording.header());
    for (TraceEvent event; recording.next(event);) {
      as_recorded.apply(event);
      recorded += event.kind == TraceKind::kHint ? 1 : 0;
    }
    offload::TraceReader reader(run_.disk(), path);
    offload::ReplayStore store(*backend, reader.header());
    HistoryReplay history(*backend, run_.disk(), path, store,
                          {.kind = kind,
                           .confidence = config.tiers.prefetch_confidence,
                           .host_bytes = config.tiers.prefetch_bytes,
                           .device_bytes = config.tiers.prefetch_device_bytes,
                           .history_bytes = config.tiers.prefetch_history_bytes});
    for (TraceEvent event; reader.next(event);) {
      if (event.kind == TraceKind::kHint) continue;
      history.before(event);
      store.apply(event);
      history.after(event);
    }
    EXPECT_EQ(store.books().entries(), as_recorded.books().entries());
    EXPECT_GT(store.books().total()[offload::Field::kHintsUsed], 0u);
    EXPECT_GT(recorded, 10u);
  }
}

TEST_F(TrainerTrace, AHistoryCannotBeReplayedWithoutLookups) {
  Config config = traced("run");
  run_.train(config);
  const auto backend = kernels::make_cpu_backend({.threads = 1});
  const std::string path = paths(config)[0];
  offload::TraceReader reader(run_.disk(), path);
  offload::ReplayStore store(*backend, reader.header());
  HistoryReplay history(*backend, run_.disk(), path, store, {});
  const std::string error = mneme::testing::error_of([&] {
    for (TraceEvent event; reader.next(event);) {
      history.before(event);
      store.apply(event);
    }
  });
  EXPECT_NE(error.find("run.trace_lookups"), std::string::npos) << error;
}

// A run that was not traced from its beginning starts with the rows that it has on disk.
TEST_F(TrainerTrace, MayBeginLater) {
  Config config = traced("run");
  config.run.trace = false;
  run_.train_until(config, 4);
  config.run.trace = true;
  run_.train(config, resumed());
  ASSERT_EQ(paths(config), std::vector{trace_path(config.run.directory, 0, 4)});
  const std::vector<TraceEvent> all = events(paths(config)[0]);
  ASSERT_EQ(all.front().kind, TraceKind::kStart);
  EXPECT_EQ(all.front().number, 4u);
  EXPECT_FALSE(all.front().continues);
  EXPECT_GT(all.front().list.size(), 20u);
}

TEST_F(TrainerTrace, HoldsTheTokensOfTheBatchesWhereItIsAskedTo) {
  Config config = traced("run");
  config.run.trace_tokens = true;
  run_.train(config);
  std::size_t batches = 0;
  for (const TraceEvent& event : events(paths(config)[0])) {
    if (event.kind != TraceKind::kTokens) continue;
    EXPECT_EQ(event.list.size(), 12u);
    EXPECT_EQ(event.number, batches++ % 2);
    for (const std::uint32_t token : event.list) EXPECT_LT(token, 256u);
  }
  EXPECT_EQ(batches, 2u * TinyRun::kSteps);
}

}  // namespace
}  // namespace mneme::engine
