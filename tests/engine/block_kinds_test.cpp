// What a configuration says of the blocks: model.feed_forward, and the keys that said so before.
#include "engine/block_kinds.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/config.h"
#include "io/error.h"

namespace mneme::engine {
namespace {

using Blocks = std::vector<std::int64_t>;
using Words = std::vector<std::string>;

std::string text_of(const std::string& text) {
  return BlockKinds::parse(text).text();
}

std::string error_of(const std::string& text) {
  try {
    BlockKinds::parse(text);
  } catch (const io::Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(BlockKinds, AreReadFromTextAndWrittenAsItsShortestForm) {
  EXPECT_EQ(text_of("dense"), "dense");
  EXPECT_EQ(text_of("memory@6,12,18"), "memory@6,12,18");
  EXPECT_EQ(text_of("  memory@2,1,0 "), "memory@0-2");
  EXPECT_EQ(text_of("peer@1-11/2;memory@4"), "memory@4 peer@1,3,5,7,9,11");
  EXPECT_EQ(text_of("peer@0-1,5,6-8"), "peer@0,1,5-8");
  EXPECT_EQ(text_of("dense@0-3 memory@4"), "memory@4");
  EXPECT_EQ(text_of("memory@7-7"), "memory@7");
  EXPECT_EQ(text_of("memory@1023"), "memory@1023");
  const BlockKinds kinds = BlockKinds::parse("peer@1-3/2 memory@2");
  EXPECT_EQ(kinds.of(1), FeedForwardKind::kPeer);
  EXPECT_EQ(kinds.of(2), FeedForwardKind::kMemory);
  EXPECT_EQ(kinds.of(0), FeedForwardKind::kDense);
  EXPECT_EQ(kinds.table_blocks(), (Blocks{1, 2, 3}));
  EXPECT_EQ(kinds.last(), 3);
  EXPECT_EQ(BlockKinds::parse(kinds.text()), kinds);
}

TEST(BlockKinds, TextThatNamesNoBlocksIsAnErrorThatSaysHowToWriteIt) {
  const std::pair<const char*, const char*> wrong[] = {
      {"", "it is empty"},
      {"memory", "\"memory\" is no kind"},
      {"mmory@1", "\"mmory@1\" is no kind"},
      {"memory@", "\"memory@\" lacks a block"},
      {"memory@1,", "\"memory@1,\" lacks a block"},
      {"memory@,1", "\"\" names no blocks"},
      {"memory@-1", "\"-1\" names no blocks"},
      {"memory@1-", "\"1-\" names no blocks"},
      {"memory@1-3/0", "\"1-3/0\" is no range"},
      {"memory@1/2", "\"1/2\" is no range"},
      {"memory@4-2", "\"4-2\" is no range"},
      {"memory@1024", "write numbers below 1024"},
      {"memory@99999999999999999999", "names no blocks"},
      {"memory@1.5", "names no blocks"},
      {"memory@1 peer@0-2", "block 1 is named twice"},
      {"memory@1,1", "block 1 is named twice"},
      {"memory@all", "names no blocks"}};
  for (const auto& [text, part] : wrong) {
    EXPECT_NE(error_of(text).find(part), std::string::npos) << text << ": " << error_of(text);
  }
}

std::string kinds_of(const std::string& text, const Words& overrides = {}) {
  try {
    return parse_config(text, "run.toml", overrides).model.feed_forward.text();
  } catch (const io::Error& error) {
    return error.what();
  }
}

TEST(FormerKeys, SayWhatTheySaidBefore) {
  EXPECT_EQ(kinds_of("memory.kind = \"memory\"\nmemory.blocks = [3, 1]"), "memory@1,3");
  EXPECT_EQ(kinds_of("memory.kind = \"none\"\nmemory.blocks = [3, 1]"), "dense");
  EXPECT_EQ(kinds_of("memory.blocks = [7, 1]"), "dense") << "left unused";
  EXPECT_EQ(kinds_of("memory.kind = \"memory\""),
            "run.toml:1: memory.kind: a memory needs at least one block; write model.feed_forward "
            "= \"memory@4\" for one in block 4");
  EXPECT_EQ(kinds_of("memory.kind = \"memory\"\nmemory.blocks = [4]"),
            "run.toml:2: memory.blocks: block 4 does not exist: the model has blocks 0 to 3");
  const Config config = parse_config("memory.kind = \"memory\"\nmemory.blocks = [1]", "f");
  EXPECT_EQ(to_toml(config).find("\nkind = \"memory\""), std::string::npos);
  EXPECT_NE(to_toml(config).find("feed_forward = \"memory@1\""), std::string::npos);
}

TEST(FormerKeys, SetAfterAFileWithTheNewOneChangeIt) {
  const std::string file = "model.feed_forward = \"memory@1 peer@3\"";
  EXPECT_EQ(kinds_of(file, {"memory.kind=none"}), "dense");
  EXPECT_EQ(kinds_of(file, {"memory.kind=memory"}), "memory@1 peer@3");
  EXPECT_EQ(kinds_of(file, {"memory.blocks=[0, 2]"}), "memory@0,2 peer@3");
  EXPECT_EQ(kinds_of("model.feed_forward = \"dense\"", {"memory.blocks=[0]"}), "dense");
}

TEST(FormerKeys, GiveWayToTheNewOneAndMayNotStandBesideIt) {
  const std::string file = "memory.kind = \"memory\"\nmemory.blocks = [1]";
  EXPECT_EQ(kinds_of(file, {"model.feed_forward=peer@2"}), "peer@2");
  EXPECT_EQ(kinds_of(file, {"model.feed_forward=dense"}), "dense");
  EXPECT_EQ(kinds_of(file + "\nmodel.feed_forward = \"peer@1\""),
            "run.toml:1: memory.kind: is the former name of model.feed_forward, which is set as "
            "well; leave it out");
  EXPECT_EQ(kinds_of("", {"memory.kind=none", "model.feed_forward=peer@2"}).substr(0, 33),
            "--set memory.kind=none: memory.ki");
}

}  // namespace
}  // namespace mneme::engine
