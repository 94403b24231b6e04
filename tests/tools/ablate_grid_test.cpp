// The file of an ablation: which cells it makes, and what it says where it is wrong.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "engine/config.h"
#include "io/error.h"
#include "tools/ablate/grid.h"

namespace mneme::ablate {
namespace {

const std::string kHead = "config = \"c.toml\"\ndirectory = \"runs/a\"\n";

std::vector<std::string> cells_of(const std::string& text) {
  std::vector<std::string> cells;
  for (const Cell& cell : parse_grid(kHead + text, "g.toml").cells) {
    std::string line;
    for (const Setting& setting : cell.settings) {
      if (!line.empty()) line += " ";
      line += fmt::format("{}={}", setting.key, setting.value);
    }
    cells.push_back(line);
  }
  return cells;
}

std::string error_of(const std::string& text, const std::string& head = kHead) {
  try {
    parse_grid(head + text, "g.toml");
  } catch (const io::Error& error) {
    return error.what();
  }
  return "no error";
}

using Lines = std::vector<std::string>;

TEST(AblateGrid, AxesMakeEveryCombinationInTheOrderOfTheFile) {
  EXPECT_EQ(cells_of("[axes]\ntrain.batch = [2, 1]\ntiers.device_policy = [\"lru\", \"lfu\"]"),
            (Lines{"train.batch=2 tiers.device_policy=\"lru\"",
                   "train.batch=2 tiers.device_policy=\"lfu\"",
                   "train.batch=1 tiers.device_policy=\"lru\"",
                   "train.batch=1 tiers.device_policy=\"lfu\""}));
  // Lists, shares, text with spaces and numbers of every kind are values.
  EXPECT_EQ(cells_of("[axes.tiers]\nlookahead_distances = [[0], [1, 2]]"),
            (Lines{"tiers.lookahead_distances=[ 0 ]", "tiers.lookahead_distances=[ 1, 2 ]"}));
  EXPECT_EQ(cells_of("[axes]\nmodel.feed_forward = [\"memory@1 peer@2\", \"dense\"]"),
            (Lines{"model.feed_forward=\"memory@1 peer@2\"", "model.feed_forward=\"dense\""}));
  EXPECT_EQ(cells_of("[axes]\noptimizer.learning_rate = [1e-3]\nrun.trace = [true]"),
            (Lines{"optimizer.learning_rate=0.001 run.trace=true"}));
}

TEST(AblateGrid, ZipsChangeTogetherAndSkipsLeaveOut) {
  EXPECT_EQ(cells_of("[axes]\ntrain.batch = [1, 2]\n[[zip]]\ntiers.io_depth = [4, 8]\n"
                     "tiers.host_bytes = [0, \"1MiB\"]"),
            (Lines{"train.batch=1 tiers.host_bytes=0 tiers.io_depth=4",
                   "train.batch=1 tiers.host_bytes=\"1MiB\" tiers.io_depth=8",
                   "train.batch=2 tiers.host_bytes=0 tiers.io_depth=4",
                   "train.batch=2 tiers.host_bytes=\"1MiB\" tiers.io_depth=8"}));
  EXPECT_EQ(cells_of("[axes]\ntrain.batch = [1, 2, 3]\ntiers.io_depth = [4, 8]\n"
                     "[[skip]]\ntrain.batch = [1, 2]\ntiers.io_depth = 8\n"
                     "[[skip]]\ntrain.batch = 3\ntiers.io_depth = 4"),
            (Lines{"train.batch=1 tiers.io_depth=4", "train.batch=2 tiers.io_depth=4",
                   "train.batch=3 tiers.io_depth=8"}));
}

TEST(AblateGrid, ReadsTheRest) {
  const Grid grid = parse_grid(kHead +
                                   "repeats = 3\ntime_limit_s = 12.5\ntable = [\"loss\"]\n"
                                   "[set]\ntrain.steps = 30\n[set.tiers]\nhost_bytes = \"1%\"\n"
                                   "[axes]\ntrain.batch = [1]",
                               "g.toml");
  EXPECT_EQ(grid.config, "c.toml");
  EXPECT_EQ(grid.directory, "runs/a");
  EXPECT_EQ(grid.repeats, 3);
  EXPECT_EQ(grid.time_limit_s, 12.5);
  EXPECT_EQ(grid.table, Lines{"loss"});
  EXPECT_EQ(grid.varied, Lines{"train.batch"});
  ASSERT_EQ(grid.common.size(), 2u);
}

TEST(AblateGrid, ErrorsNameFileLineAndKey) {
  const std::pair<const char*, const char*> wrong[] = {
      {"", "g.toml: nothing is varied; name keys and their values in [axes]"},
      {"[axes]", "g.toml: nothing is varied; name keys and their values in [axes]"},
      {"[axes]\ntrain.batsh = [1]", "g.toml:4: unknown key train.batsh; did you mean train.batch?"},
      {"[axes]\ntrain.batch = 1",
       "g.toml:4: train.batch: an axis is a list of values, as in [1, 2]"},
      {"[axes]\ntrain.batch = []", "g.toml:4: train.batch: the list is empty"},
      {"[axes]\ntrain.batch = [1, 0]",
       "g.toml:4: train.batch: expected integer, 1 to 1048576, not 0"},
      {"[axes]\ntrain.batch = [1, 2, 1]", "g.toml:4: train.batch: 1 is there twice"},
      {"[set]\ntrain.batch = 1\n[axes]\ntrain.batch = [1]",
       "g.toml:6: train.batch is varied, and set for all"},
      {"[set]\ntrain.batch = \"x\"\n[axes]\ntrain.batch = [1]",
       "g.toml:4: train.batch: expected integer, 1 to 1048576, not \"x\""},
      {"[[zip]]\ntrain.batch = [1, 2]\ntrain.sequence = [1]",
       "g.toml:5: train.batch has 2 values and train.sequence has 1; keys that change together "
       "have "
       "as many"},
      {"[axes]\ntrain.batch = [1]\n[[zip]]\ntrain.batch = [2]",
       "g.toml:5: train.batch is varied "
       "twice"},
      {"[axes]\ntrain.batch = [1]\n[[skip]]\ntrain.steps = 2",
       "g.toml:6: train.steps is not varied, so that no cell can be left out by it"},
      {"[axes]\ntrain.batch = [1]\n[[skip]]\ntrain.batch = 1",
       "g.toml: [[skip]] leaves out every "
       "cell"},
      {"[axes]\ntrain.batch = [1]\n[[skip]]", "g.toml:5: [[skip]] names no key"},
      {"[axes]\ntrain.batch = [1]\n[[skip]]\ntrain.batch = 2",
       "g.toml:6: train.batch is 2 in no cell"},
      {"[[zip]]\ntrain.batch = [1, 2, 1]\ntrain.sequence = [1, 1, 1]",
       "g.toml:3: [[zip]] has the same values twice, the 1. and the 3."},
      {"[axes]\nrun.directory = [\"a\"]",
       "g.toml:4: run.directory: each cell has a folder of its own"},
      {"[set]\nrun.directory = \"a\"\n[axes]\ntrain.batch = [1]",
       "g.toml:4: run.directory: each cell has a folder of its own"},
      {"repeats = 0\n[axes]\ntrain.batch = [1]", "g.toml:3: repeats: expected integer, 1 to 1000"},
      {"time_limit_s = \"x\"\n[axes]\ntrain.batch = [1]",
       "g.toml:3: time_limit_s: expected number, 1 to 1e7"},
      {"axis = 1",
       "g.toml:3: unknown key axis; a grid has config, directory, repeats, time_limit_s, "
       "table, [set], [axes], [[zip]] and [[skip]]"},
      {"axes = 1", "g.toml:3: axes is a section: [axes]"},
      {"zip = 1\n[axes]\ntrain.batch = [1]", "g.toml:3: zip may be there several times: [[zip]]"},
  };
  for (const auto& [text, expected] : wrong) EXPECT_EQ(error_of(text), expected);
  EXPECT_EQ(error_of("[axes]\ntrain.batch = [1]", "directory = \"d\"\n"),
            "g.toml: config is missing: the file of the base configuration");
  EXPECT_EQ(error_of("", "config = \"\"\n"), "g.toml:1: config: must be a path");
  EXPECT_EQ(error_of("[axes\n").substr(0, 9), "g.toml:3:");
}

// Every cell of those that come along is a configuration, and no two grids share a folder.
TEST(AblateGrid, TheReadyOnesAreGrids) {
  std::set<std::string> directories;
  for (const auto& entry :
       std::filesystem::directory_iterator(MNEME_SOURCE_DIR "/configs/ablations")) {
    SCOPED_TRACE(entry.path());
    const Grid grid = read_grid(entry.path().string());
    EXPECT_TRUE(directories.insert(grid.directory).second);
    for (const Cell& cell : grid.cells) {
      std::vector<std::string> overrides;
      for (const auto* settings : {&grid.common, &cell.settings}) {
        for (const Setting& one : *settings) overrides.push_back(one.key + "=" + one.value);
      }
      EXPECT_NO_THROW(engine::load_config(grid.config, overrides));
    }
  }
  EXPECT_GE(directories.size(), 4u);
}

TEST(AblateGrid, AMillionCellsAreRefusedAtOnce) {
  std::string text = "[axes]\n";
  for (const char* key : {"train.batch", "train.sequence", "memory.heads", "memory.knn",
                          "tiers.io_depth", "train.log_every"}) {
    text += std::string(key) + " = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n";
  }
  EXPECT_EQ(error_of(text),
            "g.toml: the axes make more than 10000 cells; vary fewer values at once");
}

}  // namespace
}  // namespace mneme::ablate
