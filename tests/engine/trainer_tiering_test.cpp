// Promises 1 and 4 for whole runs: no budget, policy, prefetcher, depth, engine, number of threads
// or evaluation changes a bit of what training makes.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "engine/prefetch/prefetch_trial.h"
#include "engine/run_files.h"
#include "offload/trace/trace_file.h"
#include "tests/engine/tiny_run.h"

namespace mneme::engine {
namespace {

using kernels::ReplacementKind;
using testing::Outcome;
using testing::TinyRun;

struct Observed {
  Outcome outcome;
  offload::Entry rows;                    // summed over the lines
  std::int64_t distinct_rows = 0;         // of the step with the most
  std::vector<double> losses;             // as the training loop had them
  std::vector<double> validation_losses;  // of steps that were evaluated
};

class TrainerTiering : public ::testing::Test {
 protected:
  Observed observe(const Config& config) {
    Observed observed;
    TrainerOptions options;
    options.on_step = [&](const StepMetrics& metrics) {
      observed.losses.push_back(metrics.loss);
      observed.distinct_rows = std::max(observed.distinct_rows, metrics.distinct_rows);
      observed.rows += metrics.books.total();
      if (metrics.validation_loss) observed.validation_losses.push_back(*metrics.validation_loss);
    };
    run_.train(config, options);
    observed.outcome = run_.outcome(config);
    return observed;
  }

  // Trains with another configuration and compares it with the run whose rows are all on the
  // device.
  Observed expect_reference(const Config& config) {
    const Observed reference = observe(run_.config("reference"));
    EXPECT_EQ(reference.rows[offload::Field::kDeviceToHostRows], 0u);
    EXPECT_EQ(reference.rows.disk_rows_read(), 0u);
    EXPECT_LT(reference.losses.back(), reference.losses.front()) << "nothing was learnt";
    const Observed found = observe(config);
    EXPECT_TRUE(testing::same_bits(found.losses, reference.losses));
    expect_same(found.outcome, reference.outcome);
    return found;
  }

  TinyRun run_;
};

TEST_F(TrainerTiering, ThreeTiersGiveTheBitsOfOne) {
  const Observed found = expect_reference(run_.tiered("run"));
  EXPECT_GT(found.rows[offload::Field::kHostToDeviceRows], 0u);
  EXPECT_GT(found.rows.disk_rows_read(), 0u);
  EXPECT_GT(found.rows.disk_rows_written(), 0u);
}

TEST_F(TrainerTiering, DeviceAndDiskAloneGiveTheBitsOfOne) {
  Config config = run_.tiered("run");
  config.tiers.store.host_bytes = 0;
  const Observed found = expect_reference(config);
  EXPECT_EQ(found.rows[offload::Field::kHostToDeviceRows], 0u);
  EXPECT_GT(found.rows.disk_rows_read(), 0u);
}

TEST_F(TrainerTiering, ADeviceArenaSmallerThanAStepTrainsInChunks) {
  Config config = run_.tiered("run");
  config.tiers.store.device_bytes = TinyRun::device_bytes(8);
  const Observed found = expect_reference(config);
  EXPECT_GT(found.distinct_rows, 8 * 4);
}

TEST_F(TrainerTiering, TheSmallestBudgetTrainsAndOneByteLessSaysWhatIsNeeded) {
  Config config = run_.config("run");
  const std::uint64_t least = offload::minimum_device_bytes(kernels::RecordLayout::of(
      {.columns = kernels::ColumnRange::all(static_cast<std::uint32_t>(config.model.width))}));
  config.tiers.store.device_bytes = least;
  expect_reference(config);
  Config less = run_.config("less");
  less.tiers.store.device_bytes = least - 1;
  try {
    run_.train(less);
    FAIL() << "no Error";
  } catch (const io::Error& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(least)), std::string::npos)
        << error.what();
  }
}

TEST_F(TrainerTiering, DepthEngineAndThreadsChangeNothing) {
  const Observed reference = observe(run_.config("reference"));
  for (const std::uint32_t depth : {1u, 64u}) {
    for (const io::IoEngine engine : {io::IoEngine::kAuto, io::IoEngine::kSync}) {
      SCOPED_TRACE(::testing::Message() << "depth " << depth << ", engine " << int(engine));
      Config config = run_.tiered("run-" + std::to_string(depth) + std::to_string(int(engine)));
      config.tiers.store.io_depth = depth;
      config.tiers.store.io_engine = engine;
      config.run.threads = depth == 1 ? 2 : 1;
      expect_same(observe(config).outcome, reference.outcome);
    }
  }
  Config threads = run_.config("threads");
  threads.run.threads = 2;
  expect_same(observe(threads).outcome, reference.outcome);
}

TEST_F(TrainerTiering, PrefetchingChangesNothing) {
  Config config = run_.tiered("run");
  config.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
  const Observed found = expect_reference(config);
  EXPECT_GT(found.rows[offload::Field::kHintsPlanned], 0u);
  Config little = run_.tiered("little");
  little.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
  little.tiers.prefetch_bytes = 1000;
  little.tiers.store.io_depth = 1;
  expect_same(observe(little).outcome, found.outcome);
}

TEST_F(TrainerTiering, EvaluationAndCheckpointsEveryStepChangeNothing) {
  Config config = run_.tiered("run");
  config.evaluation.every = 1;
  config.checkpoint.every = 1;
  const Observed found = expect_reference(config);
  EXPECT_EQ(found.validation_losses.size(), std::size_t(TinyRun::kSteps));
}

class TrainerPrediction : public TrainerTiering,
                          public ::testing::WithParamInterface<memory::PredictorKind> {};

// Hints to both tiers, and what is prefetched is used, wasted, or still there.
TEST_P(TrainerPrediction, NoPredictorChangesABit) {
  Config config = run_.tiered("run");
  config.tiers.prefetch = GetParam();
  config.tiers.prefetch_device_bytes = 4000;
  config.tiers.prefetch_confidence = 0.1;
  config.tiers.lookahead_distances = {0, 2};
  config.evaluation.every = 3;
  const Observed found = expect_reference(config);
  const auto count = [&](offload::Field field) { return found.rows[field]; };
  EXPECT_GT(count(offload::Field::kHintsPlanned), 0u);
  EXPECT_GT(count(offload::Field::kHintsUsed), 0u);
  EXPECT_LE(count(offload::Field::kHintsUsed) + count(offload::Field::kHintsWasted),
            count(offload::Field::kHintsPlanned) - count(offload::Field::kHintsPromoted));
}

// A slow link gives auto something to win: it tries its candidates, and says so in the trace.
TEST_F(TrainerTiering, AutoSwitchesPredictorsAndChangesNothing) {
  Config plain = run_.config("plain");
  plain.train.steps = PrefetchTrial::kFirstTrial + 60;
  plain.evaluation.every = 0;
  const Observed reference = observe(plain);
  Config config = run_.tiered("run");
  config.train.steps = plain.train.steps;
  config.evaluation.every = 0;
  config.tiers.prefetch = memory::PredictorKind::kAuto;
  config.tiers.prefetch_confidence = 0.1;
  config.tiers.store.host_link_bytes_per_second = 1e6;
  config.run.trace = true;
  const Observed found = observe(config);
  expect_same(found.outcome, reference.outcome);
  EXPECT_GT(found.rows[offload::Field::kHintsUsed], 0u);
  std::set<std::uint64_t> predictors;
  const auto bit = [](memory::PredictorKind kind) { return std::uint64_t{1} << int(kind); };
  std::uint64_t step = 0, first = 0, now = 0;
  offload::TraceReader reader(run_.disk(),
                              trace_paths(run_.disk(), config.run.directory, 0).back());
  for (offload::TraceEvent event; reader.next(event);) {
    if (event.kind == offload::TraceKind::kStep) step = event.number;
    if (event.kind == offload::TraceKind::kHint && now == bit(memory::PredictorKind::kLookahead)) {
      EXPECT_TRUE(event.of_running_step) << "step " << step << ": of who predicted before";
    }
    if (event.kind != offload::TraceKind::kPredictors) continue;
    now = event.number;
    if (first == 0) first = step;
    predictors.insert(event.number);
  }
  EXPECT_EQ(first, PrefetchTrial::kFirstTrial + PrefetchTrial::kTurnSteps + 1);
  EXPECT_TRUE(predictors.contains(bit(memory::PredictorKind::kNextBatch)));
  EXPECT_TRUE(predictors.contains(bit(memory::PredictorKind::kLookahead)));
  EXPECT_TRUE(predictors.contains(bit(memory::PredictorKind::kTrigramHistory)));
}

std::string predictor_name(const ::testing::TestParamInfo<memory::PredictorKind>& kind) {
  std::string name = io::name_of(kind.param);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    Predictors, TrainerPrediction,
    ::testing::Values(memory::PredictorKind::kTokenHistory, memory::PredictorKind::kBigramHistory,
                      memory::PredictorKind::kTrigramHistory, memory::PredictorKind::kLookahead,
                      memory::PredictorKind::kUnion, memory::PredictorKind::kNextBatch,
                      memory::PredictorKind::kOracleNextStep),
    predictor_name);

class TrainerPolicy : public TrainerTiering,
                      public ::testing::WithParamInterface<ReplacementKind> {};

TEST_P(TrainerPolicy, NoPolicyChangesABit) {
  Config config = run_.tiered("run");
  config.tiers.store.device_policy = GetParam();
  config.tiers.store.host_policy = GetParam();
  const Observed found = expect_reference(config);
  EXPECT_GT(found.rows[offload::Field::kDeviceVictims], 0u);
  EXPECT_GT(found.rows[offload::Field::kHostVictims], 0u);
}

std::string policy_name(const ::testing::TestParamInfo<ReplacementKind>& policy) {
  static const std::vector<std::string> kNames = {"Lru",   "Lfu",       "Clock",
                                                  "Sieve", "StaticHot", "Random"};
  return kNames[policy.index];
}

INSTANTIATE_TEST_SUITE_P(Policies, TrainerPolicy,
                         ::testing::Values(ReplacementKind::kLru, ReplacementKind::kLfu,
                                           ReplacementKind::kClock, ReplacementKind::kSieve,
                                           ReplacementKind::kStaticHot, ReplacementKind::kRandom),
                         policy_name);

}  // namespace
}  // namespace mneme::engine
