// The promises of whole runs for every kind of layer that a block may have, and for several kinds
// in one model: budgets, chunks, predictors, types and optimisers change no bit where they should
// not, a stopped run goes on, traces replay.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <vector>

#include "engine/run_files.h"
#include "engine/run_options.h"
#include "offload/replay/replay_store.h"
#include "offload/tier_sizes.h"
#include "tests/engine/tiny_run.h"

namespace mneme::engine {
namespace {

using offload::Field;
using offload::TraceEvent;
using offload::TraceKind;
using testing::Outcome;
using testing::TinyRun;

class TrainerKinds : public ::testing::TestWithParam<const char*> {
 protected:
  // Device rows of training, and as many of evaluation; rows of the host tier.
  Config config(const std::string& name, std::uint64_t device_rows = TinyRun::kRows,
                std::uint64_t host_rows = 0) const {
    Config config = run_.config(name);
    config.model.feed_forward = BlockKinds::parse(GetParam());
    config.moe.experts = 3;
    if (config.has_memory()) set_tiers(config, device_rows, host_rows);
    return config;
  }
  Config tiered(const std::string& name) const { return config(name, 64, 48); }
  static void set_tiers(Config& config, std::uint64_t device_rows, std::uint64_t host_rows) {
    const offload::StoreOptions store = memory::store_options(value_table_options(config, 0));
    config.tiers.store.device_bytes = 2 * device_rows * offload::device_slot_bytes(store);
    config.tiers.store.host_bytes = host_rows * ((store.layout.record_bytes() + 63) / 64 * 64);
  }

  struct Trained {
    Outcome outcome;
    offload::Books books;
    std::vector<double> losses;
    std::vector<std::vector<ExpertCounts>> experts;  // of each step
  };
  Trained train(const Config& config) {
    Trained trained;
    TrainerOptions options;
    options.on_step = [&](const StepMetrics& metrics) {
      trained.books += metrics.books;
      trained.losses.push_back(metrics.loss);
      trained.experts.push_back(metrics.experts);
    };
    run_.train(config, options);
    trained.outcome = run_.outcome(config);
    return trained;
  }

  // What the run's trace gives.
  offload::Books replayed(const Config& traced) {
    const auto backend = kernels::make_cpu_backend({.threads = 1});
    offload::TraceReader reader(run_.disk(),
                                trace_paths(run_.disk(), traced.run.directory, 0).at(0));
    offload::ReplayStore replay(*backend, reader.header());
    for (TraceEvent event; reader.next(event);) replay.apply(event);
    return replay.books();
  }
  // Of training: rows that moved, by account.
  static void expect_same_counts(const offload::Books& found, const offload::Books& expected) {
    offload::Books mine = found;
    for (const auto& [account, entry] : expected.entries()) {
      if (account.cause != offload::Cause::kTraining) continue;
      for (const Field field :
           {Field::kHostToDeviceRows, Field::kDiskToDeviceRows, Field::kDeviceToHostRows,
            Field::kDeviceVictims, Field::kFoundOnDevice, Field::kFoundOnDisk}) {
        EXPECT_EQ(mine[account][field], entry[field])
            << "field " << static_cast<int>(field) << ", layer " << account.layer << ", "
            << io::name_of(account.pass);
      }
    }
  }

  TinyRun run_;
};

// Of models with rows.
class TrainerTableKinds : public TrainerKinds {};

TEST_P(TrainerKinds, LearnAndGiveTheSameBitsForAnyNumberOfThreads) {
  Config one = config("one"), two = config("two");
  one.evaluation.every = two.evaluation.every = 3;
  two.run.threads = 2;
  const Trained trained = train(one);
  EXPECT_LT(trained.losses.back(), trained.losses.front()) << "nothing was learnt";
  expect_same(train(two).outcome, trained.outcome);
}

TEST_P(TrainerKinds, CountTheTokensOfEachExpert) {
  const auto mixtures = BlockKinds::parse(GetParam()).blocks_of(FeedForwardKind::kMoe);
  for (const auto& routing : enum_names(kernels::Routing{})) {
    Config counted = config(std::string(routing.name));
    counted.moe.routing = routing.value;
    counted.evaluation.every = 2;  // whose tokens are none of training
    const Trained trained = train(counted);
    const auto tokens = static_cast<std::uint64_t>(counted.tokens_per_step());
    for (const std::vector<ExpertCounts>& step : trained.experts) {
      ASSERT_EQ(step.size(), mixtures.size());
      for (std::size_t i = 0; i < step.size(); ++i) {
        EXPECT_EQ(step[i].block, mixtures[i]);
        ASSERT_EQ(step[i].tokens.size(), 3u);
        EXPECT_EQ(step[i].tokens[0] + step[i].tokens[1] + step[i].tokens[2], tokens);
        if (routing.value == kernels::Routing::kExpertChoice) {
          EXPECT_EQ(step[i].tokens[0], tokens / 3);
        }
      }
    }
  }
}

TEST_P(TrainerTableKinds, TiersGiveTheBitsOfOne) {
  const Trained reference = train(config("reference"));
  const Trained found = train(tiered("tiered"));
  EXPECT_GT(found.books.total()[Field::kHostToDeviceRows], 0u);
  EXPECT_GT(found.books.total().disk_rows_read(), 0u);
  expect_same(found.outcome, reference.outcome);
  // In chunks: a device tier of less than a step's rows, and the smallest one.
  Config chunks = config("chunks", 9, 16);
  chunks.evaluation.every = 2;
  expect_same(train(chunks).outcome, reference.outcome);
  Config least = config("least");
  least.tiers.store.device_bytes =
      offload::minimum_device_bytes(memory::store_options(value_table_options(least, 0)).layout);
  expect_same(train(least).outcome, reference.outcome);
}

TEST_P(TrainerTableKinds, NoPredictorChangesABit) {
  const Trained reference = train(config("reference"));
  for (const memory::PredictorKind kind :
       {memory::PredictorKind::kUnion, memory::PredictorKind::kAuto,
        memory::PredictorKind::kOracleNextStep}) {
    SCOPED_TRACE(io::name_of(kind));
    Config hinted = tiered("run-" + std::string(io::name_of(kind)));
    hinted.tiers.prefetch = kind;
    hinted.tiers.prefetch_confidence = 0.1;
    hinted.tiers.prefetch_device_bytes = 4000;
    hinted.tiers.lookahead_distances = {0, 1};
    const Trained found = train(hinted);
    if (kind != memory::PredictorKind::kAuto) {
      EXPECT_GT(found.books.total()[Field::kHinted], 0u);
    }
    expect_same(found.outcome, reference.outcome);
  }
}

TEST_P(TrainerTableKinds, EveryTypeAndOptimiserGivesTheBitsOfOneTier) {
  using enum kernels::RowOptimizerKind;
  using enum kernels::FloatType;
  // adamw in float32 is the other tests'.
  for (const auto& [optimizer, type] :
       std::vector<std::pair<kernels::RowOptimizerKind, kernels::FloatType>>{
           {kAdamW, kBF16}, {kAdamWLazy, kF32}, {kAdagradRowwise, kBF16}, {kSgd, kF32}}) {
    const std::string name = io::name_of(optimizer) + "-" + io::name_of(type);
    SCOPED_TRACE(name);
    const auto with = [&](Config made, std::uint64_t device_rows, std::uint64_t host_rows) {
      made.memory.optimizer.kind = optimizer;
      made.memory.value_type = made.memory.moment_type = type;
      // In the rows, a clip factor may differ by an ulp on a GPU.
      made.memory.optimizer.clip_norm =
          mneme::testing::test_backend().name().starts_with("cpu") ? 0.1 : 0;
      made.train.steps = 4;
      set_tiers(made, device_rows, host_rows);
      return made;
    };
    const Config whole = with(config("whole-" + name), TinyRun::kRows, 0);
    expect_same(train(with(config("tiered-" + name), 40, 32)).outcome, train(whole).outcome);
  }
}

TEST_P(TrainerKinds, AStoppedRunGoesOnToTheBitsOfTheUninterruptedOne) {
  const Trained expected = train(config("whole"));
  Config stopped = tiered("stopped");
  stopped.checkpoint.every = 3;
  run_.train_until(stopped, 4);
  TrainerOptions options;
  options.resume = true;
  run_.train(stopped, options);
  expect_same(run_.outcome(stopped), expected.outcome);
}

TEST_P(TrainerTableKinds, TracesReplayToTheCountsOfTheirRuns) {
  for (const std::uint64_t device_rows : {64u, 9u}) {
    SCOPED_TRACE(device_rows);
    Config traced = config("run-" + std::to_string(device_rows), device_rows, 48);
    traced.run.trace = true;
    const Trained trained = train(traced);
    expect_same_counts(replayed(traced), trained.books);
  }
}

// On the emulator of a GPU, which is slow, one that has all of them.
std::vector<const char*> models(const std::vector<const char*>& others) {
  std::vector<const char*> models = {"moe@0 peer@1 memory@2"};
  if (!mneme::testing::backends_under_test().front().has_threads) return models;
  models.insert(models.end(), others.begin(), others.end());
  return models;
}

std::string name_of_model(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(),
      [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, TrainerKinds, ::testing::ValuesIn(models({"peer@1,2", "moe@0-2"})),
                         name_of_model);
INSTANTIATE_TEST_SUITE_P(Models, TrainerTableKinds,
                         ::testing::ValuesIn(models({"peer@1,2", "memory@1 peer@2"})),
                         name_of_model);

}  // namespace
}  // namespace mneme::engine
