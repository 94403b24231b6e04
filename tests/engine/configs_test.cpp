// Every file in configs/ is a run that can be started, in a folder of its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/model_costs.h"
#include "kernels/row_ops.h"
#include "tests/engine/run_configs.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;

TEST(Configs, EveryFileIsARunInAFolderOfItsOwn) {
  std::set<std::string> directories;
  for (const std::string& name : testing::run_configs()) {
    SCOPED_TRACE(name);
    const std::string file = std::string(MNEME_SOURCE_DIR) + "/configs/" + name;
    Config config;
    ASSERT_NO_THROW(config = load_config(file));
    EXPECT_TRUE(directories.insert(config.run.directory).second) << config.run.directory;
    EXPECT_EQ(to_toml(parse_config(to_toml(config), file)), to_toml(config));
    // And with one setting a run of the same model without its memory.
    EXPECT_FALSE(
        load_config(file, std::vector<std::string>{"model.feed_forward=dense"}).has_memory());
  }
  EXPECT_GE(directories.size(), 35u);
}

TEST(Configs, ThePapersBasesMeetTheirSizesAndMemories) {
  for (const char* base : {"134m", "373m", "720m", "1.3b", "8b"}) {
    for (const std::int64_t half_keys : {0, 1024, 2048, 4096, 8192}) {
      const std::string name = half_keys == 0 ? "-dense" : "-memory-" + std::to_string(half_keys);
      const std::string file =
          std::string(MNEME_SOURCE_DIR) + "/configs/paper/" + base + name + ".toml";
      SCOPED_TRACE(file);
      const Config config = load_config(file);
      EXPECT_EQ(config.has_memory(), half_keys != 0);
      if (half_keys != 0) {
        EXPECT_EQ(config.memory.half_keys, half_keys);
        EXPECT_EQ(config.table_blocks().size(), 3u);
      }
      EXPECT_EQ(config.tokens_per_step(), 524288);
    }
  }
}

// Within a third of the memory with 1024^2 rows, which is as near as whole experts come.
TEST(Configs, ThePapersOtherSystemsHaveAsManyParameters) {
  const auto parameters = [](const std::string& name) {
    const ModelCosts costs = model_costs(
        load_config(std::string(MNEME_SOURCE_DIR) + "/configs/paper/" + name + ".toml"));
    return double(costs.parameters.total()) + double(costs.table.parameters);
  };
  for (const auto& [base, experts] : std::map<std::string, const char*>{
           {"134m", "16"}, {"373m", "8"}, {"720m", "5"}, {"1.3b", "4"}, {"8b", "2"}}) {
    SCOPED_TRACE(base);
    const double memory = parameters(base + "-memory-1024");
    EXPECT_NEAR(parameters(base + "-peer-768") / memory, 1, 0.12);
    EXPECT_NEAR(parameters(base + "-moe-" + experts) / memory, 1, 0.3);
  }
}

Config h200(const std::string& name) {
  return load_config(std::string(MNEME_SOURCE_DIR) + "/configs/h200-" + name + ".toml");
}

std::uint64_t record_bytes(const Config& config) {
  const auto width = static_cast<std::uint32_t>(config.value_width());
  return kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(width),
                                    .value_type = config.memory.value_type,
                                    .moment_type = config.memory.moment_type})
      .record_bytes();
}

// Rows that a budget holds when each takes so many bytes.
double rows_in(std::uint64_t budget_bytes, std::uint64_t row_bytes) {
  return static_cast<double>(budget_bytes) / static_cast<double>(row_bytes);
}

// Look-ups of one layer in one micro-batch.
double layer_lookups(const Config& config) {
  return static_cast<double>(config.tokens_per_micro_batch() * config.memory.heads *
                             config.memory.knn);
}

TEST(Configs, TheH200RunsDifferInTheirTiersAloneAndHoldTheSharesOfTheirNames) {
  struct Case {
    const char* name;
    double device_share, host_share;  // of the rows; host_share 0: all that is left
  };
  Config first = h200("4096-all");
  for (const Case& item :
       {Case{"4096-all", 1, 0}, Case{"4096-device-50", 0.5, 0}, Case{"4096-device-25", 0.25, 0},
        Case{"4096-device-10", 0.1, 0}, Case{"4096-device-10-host-30", 0.1, 0.3}}) {
    SCOPED_TRACE(item.name);
    const Config config = h200(item.name);
    first.run.directory = config.run.directory;
    first.tiers = config.tiers;
    EXPECT_EQ(to_toml(first), to_toml(config));
    const auto rows = static_cast<double>(config.table_rows());
    const auto& tiers = config.tiers.store;
    // A slot needs bookkeeping besides the record's bytes.
    EXPECT_GE(rows_in(tiers.device_bytes, record_bytes(config) + 1), item.device_share * rows);
    EXPECT_LE(rows_in(tiers.device_bytes, record_bytes(config)), (item.device_share + 0.03) * rows);
    const double host_rows = rows_in(tiers.host_bytes, (record_bytes(config) + 63) / 64 * 64);
    if (item.host_share > 0) {
      EXPECT_NEAR(host_rows, item.host_share * rows, 0.01 * rows);
    } else if (item.device_share < 1) {
      // Victims of one layer's misses find room before those have left the host tier.
      EXPECT_GE(host_rows, (1 - item.device_share) * rows + layer_lookups(config));
    }
    // No step runs over row chunks.
    EXPECT_GE(rows_in(tiers.device_bytes, record_bytes(config)),
              layer_lookups(config) * double(config.table_blocks().size()));
  }
}

TEST(Configs, TheLargeH200RunsLeaveRoomForModelAndSystem) {
  constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
  for (const char* name : {"8192", "134m-4096", "1.3b-8192"}) {
    SCOPED_TRACE(name);
    const Config config = h200(name);
    EXPECT_LE(config.tiers.store.device_bytes, 110 * kGiB);  // of 139
    EXPECT_LE(config.tiers.store.host_bytes, 96 * kGiB);     // of 128
    EXPECT_LE(config.tiers.store.disk_bytes, 58 * kGiB);     // of 60
    EXPECT_GE(rows_in(config.tiers.store.device_bytes, record_bytes(config)),
              layer_lookups(config));
  }
}

TEST(Configs, TheQuickstartNeedsAllThreeTiers) {
  const Config config = load_config(std::string(MNEME_SOURCE_DIR) + "/configs/quickstart.toml");
  ASSERT_TRUE(config.has_memory());
  const std::uint64_t table_bytes = config.table_rows() * record_bytes(config);
  EXPECT_GT(table_bytes, config.tiers.store.device_bytes + config.tiers.store.host_bytes);
  EXPECT_GT(config.tiers.store.host_bytes, 0u);
}

}  // namespace
}  // namespace mneme::engine
