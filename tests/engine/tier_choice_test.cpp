// Budgets that are left to the machine.
#include "engine/tier_choice.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/memory_use.h"
#include "engine/model_costs.h"
#include "engine/row_gradient_choice.h"
#include "engine/run_files.h"
#include "io/error.h"
#include "tests/engine/tiny_run.h"

namespace mneme::engine {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

Config automatic(testing::TinyRun& runs, const std::vector<std::string>& more = {}) {
  std::vector<std::string> overrides = {"tiers.device_bytes=auto", "tiers.host_bytes=auto"};
  overrides.insert(overrides.end(), more.begin(), more.end());
  return parse_config(to_toml(runs.config("automatic")), "test", overrides);
}

FreeMemory memories(std::optional<std::uint64_t> device, std::uint64_t host) {
  FreeMemory free;
  free.device = device;
  free.host = host;
  free.disk = 1000 * kMiB;
  return free;
}

TEST(TierChoice, StaysWordsUntilItIsMade) {
  testing::TinyRun runs;
  const Config config = automatic(runs, {"tiers.disk_bytes=auto"});
  EXPECT_TRUE(config.tiers.automatic.device && config.tiers.automatic.host &&
              config.tiers.automatic.disk);
  const std::string text = to_toml(config);
  EXPECT_NE(text.find("device_bytes = \"auto\""), text.npos);
  EXPECT_EQ(to_toml(parse_config(text, "test")), text);
  // Taken back.
  const Config bytes =
      parse_config(text, "test", std::vector<std::string>{"tiers.device_bytes=1MiB"});
  EXPECT_FALSE(bytes.tiers.automatic.device);
  EXPECT_EQ(bytes.tiers.store.device_bytes, kMiB);
  const Config share =
      parse_config(text, "test", std::vector<std::string>{"tiers.device_bytes=50%"});
  EXPECT_FALSE(share.tiers.automatic.device);
}

TEST(TierChoice, TakesTheWholeTableWhereThereIsRoom) {
  testing::TinyRun runs;
  for (const bool on_cuda : {false, true}) {
    Config config = automatic(runs);
    choose_tiers(config,
                 memories(on_cuda ? std::optional(2048 * kMiB) : std::nullopt, 2048 * kMiB));
    EXPECT_FALSE(config.tiers.automatic.any());
    const ModelCosts costs = model_costs(config);
    EXPECT_EQ(costs.table.tiers.training, costs.table.rows);
    EXPECT_EQ(costs.table.tiers.host, 0u);
  }
}

// On a device with memory of its own, the host takes what is left of the table, and both fit.
TEST(TierChoice, FillsTheDeviceAndThenTheHost) {
  testing::TinyRun runs;
  // The table takes 100 MiB.
  const std::vector<std::string> larger = {"memory.half_keys=384", "memory.value_width=64"};
  Config all = automatic(runs, larger);
  choose_tiers(all, memories({}, 10000 * kMiB));
  const MemoryUse whole = memory_use(all, true);
  const std::uint64_t others = whole.device() - whole.device_tier;
  for (const std::uint64_t device : {others + 8 * kMiB, others + 30 * kMiB}) {
    for (const std::uint64_t host : {120 * kMiB, 400 * kMiB}) {
      SCOPED_TRACE(std::to_string(device) + " " + std::to_string(host));
      Config config = automatic(runs, larger);
      choose_tiers(config, memories(device, host));
      const MemoryUse use = memory_use(config, true);
      EXPECT_LE(use.device(), device);
      EXPECT_LE(use.host(), host);
      const ModelCosts costs = model_costs(config);
      if (host == 400 * kMiB) {
        EXPECT_EQ(costs.table.rows_beyond_memory, 0u);
      } else {
        // Nearly all that may be taken.
        EXPECT_GE(use.host(), host * 9 / 10);
      }
      EXPECT_GE(use.device(), device * 8 / 10);
    }
  }
}

TEST(TierChoice, OnTheCpuBothShareOneMemory) {
  testing::TinyRun runs;
  const std::vector<std::string> larger = {"memory.half_keys=384", "memory.value_width=64"};
  Config config = automatic(runs, larger);
  choose_tiers(config, memories({}, 80 * kMiB));
  const MemoryUse use = memory_use(config, false);
  EXPECT_LE(use.device() + use.host(), 80 * kMiB);
  EXPECT_GE(use.device() + use.host(), 70 * kMiB);
  // A budget that is given stays.
  Config given = automatic(runs, larger);
  given.tiers.automatic.host = false;
  given.tiers.store.host_bytes = 20 * kMiB;
  choose_tiers(given, memories({}, 80 * kMiB));
  EXPECT_EQ(given.tiers.store.host_bytes, 20 * kMiB);
  EXPECT_LT(given.tiers.store.device_bytes, config.tiers.store.device_bytes);
}

TEST(TierChoice, SaysWhereNothingIsLeft) {
  testing::TinyRun runs;
  Config config = automatic(runs);
  try {
    choose_tiers(config, memories({}, kMiB));
    FAIL();
  } catch (const io::Error& error) {
    EXPECT_NE(std::string(error.what()).find("tiers.device_bytes = \"auto\": of "),
              std::string::npos)
        << error.what();
  }
}

TEST(TierChoice, LeavesRoomForCheckpointsOnTheDisk) {
  testing::TinyRun runs;
  Config config = automatic(runs, {"tiers.disk_bytes=auto"});
  choose_tiers(config, memories({}, 1000 * kMiB));
  const std::uint64_t dense =
      12 * static_cast<std::uint64_t>(model_costs(config).parameters.total());
  EXPECT_LE(config.tiers.store.disk_bytes + 2 * dense, 1000 * kMiB);
  EXPECT_GT(config.tiers.store.disk_bytes, 900 * kMiB);
  // Of a disk that nobody knows, all of it; a full one is an error.
  Config unknown = automatic(runs, {"tiers.disk_bytes=auto"});
  FreeMemory free = memories({}, 1000 * kMiB);
  free.disk.reset();
  choose_tiers(unknown, free);
  EXPECT_EQ(unknown.tiers.store.disk_bytes, 0u);
  Config full = automatic(runs, {"tiers.disk_bytes=auto"});
  free.disk = 1000;
  EXPECT_THROW(choose_tiers(full, free), io::Error);
}

// Rows with gradient arrays are chosen where the whole table fits with them, as for budgets in
// bytes.
TEST(TierChoice, ChoosesTheRowGradientWhenBudgetsAreKnown) {
  testing::TinyRun runs;
  const std::vector<std::string> many = {"train.micro_batches=64", "train.row_gradient_bytes=64KiB",
                                         "memory.row_gradient=auto"};
  Config config = automatic(runs, many);
  EXPECT_EQ(config.memory.row_gradient, RowGradientKind::kAuto);
  choose_tiers(config, memories({}, 2048 * kMiB));
  EXPECT_EQ(config.memory.row_gradient, RowGradientKind::kAccumulated);
  EXPECT_EQ(model_costs(config).table.tiers.training, config.table_rows());
  // Without much of the tier for evaluation, the larger rows must be what there is room for.
  Config tight = automatic(runs, many);
  tight.tiers.store.evaluation_share = 0.0625;
  choose_tiers(tight, memories({}, 2048 * kMiB));
  EXPECT_EQ(tight.memory.row_gradient, RowGradientKind::kAccumulated);
  EXPECT_EQ(model_costs(tight).table.tiers.training, tight.table_rows());
}

// A share of the table is one of the records that come of it.
TEST(TierChoice, AddsToShares) {
  testing::TinyRun runs;
  Config config = automatic(runs, {"memory.half_keys=384", "memory.value_width=64",
                                   "tiers.host_bytes=40%", "train.micro_batches=64",
                                   "train.row_gradient_bytes=64KiB", "memory.row_gradient=auto"});
  choose_tiers(config, memories({}, 160 * kMiB));
  const MemoryUse use = memory_use(config, false);
  EXPECT_LE(use.device() + use.host(), 160 * kMiB);
  EXPECT_NEAR(static_cast<double>(use.host_tier),
              0.4 * static_cast<double>(config.table_rows() * row_layout(config).record_bytes()),
              1e-2 * static_cast<double>(use.host_tier));
}

// The run itself chooses, records what it has chosen, and computes what any budgets give.
TEST(TierChoice, RunsWithWhatWasChosen) {
  testing::TinyRun runs;
  const Config fixed = runs.tiered("fixed");
  runs.train(fixed);
  Config config = automatic(runs);
  config.run.directory = runs.path("automatic-run");
  runs.train(config);
  testing::expect_same(runs.outcome(config), runs.outcome(fixed));
  const Config recorded = load_config(config_path(config.run.directory));
  EXPECT_FALSE(recorded.tiers.automatic.any());
  EXPECT_GE(recorded.tiers.store.device_bytes, testing::TinyRun::device_bytes(64));
}

}  // namespace
}  // namespace mneme::engine
