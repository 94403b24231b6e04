// Every file in configs/ is a run that can be started, in a folder of its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "engine/config.h"
#include "kernels/row_ops.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> config_files() {
  std::vector<std::string> files;
  for (const auto& entry :
       fs::recursive_directory_iterator(fs::path(MNEME_SOURCE_DIR) / "configs")) {
    if (entry.path().extension() == ".toml") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Configs, EveryFileIsARunInAFolderOfItsOwn) {
  std::set<std::string> directories;
  for (const std::string& file : config_files()) {
    SCOPED_TRACE(file);
    Config config;
    ASSERT_NO_THROW(config = load_config(file));
    EXPECT_TRUE(directories.insert(config.run.directory).second) << config.run.directory;
    EXPECT_EQ(to_toml(parse_config(to_toml(config), file)), to_toml(config));
  }
  EXPECT_GE(directories.size(), 26u);
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
        EXPECT_EQ(config.memory.blocks.size(), 3u);
      }
      EXPECT_EQ(config.tokens_per_step(), 524288);
    }
  }
}

TEST(Configs, TheQuickstartNeedsAllThreeTiers) {
  const Config config = load_config(std::string(MNEME_SOURCE_DIR) + "/configs/quickstart.toml");
  ASSERT_TRUE(config.has_memory());
  const kernels::RecordLayout layout{.width = static_cast<std::uint32_t>(config.value_width()),
                                     .value_type = config.memory.value_type,
                                     .moment_type = config.memory.moment_type};
  const std::uint64_t table_bytes = config.table_rows() * layout.record_bytes();
  EXPECT_GT(table_bytes, config.tiers.store.device_bytes + config.tiers.store.host_bytes);
  EXPECT_GT(config.tiers.store.host_bytes, 0u);
}

}  // namespace
}  // namespace mneme::engine
