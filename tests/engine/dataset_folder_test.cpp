// Folders that mneme prepare has made, as a run's data.
#include "engine/dataset_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/data.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/small_tokenizer.h"
#include "text/prepare/prepare.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;
using mneme::testing::error_of;
using mneme::testing::SmallTokenizer;

class DatasetFolder : public ::testing::Test {
 protected:
  DatasetFolder() {
    SmallTokenizer().write(tokenizer());
    std::ofstream corpus(folder_.file("corpus.jsonl"));
    for (int i = 0; i < 60; ++i) corpus << "{\"text\": \"the row " << i << " of the rows\"}\n";
  }

  std::string tokenizer() const { return folder_.file("named/tokenizer.json"); }
  std::string made(const std::string& name = {}) const {
    return folder_.file("made") + (name.empty() ? "" : "/" + name);
  }
  // The folder, made anew, and the configuration that names it.
  DataConfig prepare(const std::function<void(text::PrepareOptions&)>& change = {},
                     bool as_bytes = false) {
    fs::remove_all(made());
    text::PrepareOptions options;
    options.inputs = {folder_.file("corpus.jsonl")};
    options.output = made();
    options.validation_share = 0.1;
    if (change) change(options);
    const auto opened = as_bytes ? text::make_byte_tokenizer() : text::open_tokenizer(tokenizer());
    text::prepare(*disk_, *opened, options);
    DataConfig data;
    data.path = made();
    data.vocabulary = opened->vocabulary();
    return data;
  }
  static void expect_error(const DataConfig& data, const std::vector<std::string>& parts) {
    const std::string error = error_of([&] { resolve_dataset(data); });
    for (const std::string& part : parts) EXPECT_NE(error.find(part), std::string::npos) << error;
  }

  test::TemporaryDirectory folder_;
  std::unique_ptr<io::Disk> disk_ = io::make_posix_disk();
};

TEST_F(DatasetFolder, SaysWhatItsFilesAreInEveryLayout) {
  using io::TokenLayout;
  for (const auto& [layout, format] : {std::pair(TokenLayout::kLlmC, DataFormat::kShards),
                                       std::pair(TokenLayout::kNanogpt, DataFormat::kNanogpt),
                                       std::pair(TokenLayout::kMegatron, DataFormat::kMegatron)}) {
    SCOPED_TRACE(io::name_of(layout));
    const DataConfig given = prepare([&](auto& options) { options.layout = layout; });
    const DataConfig data = resolve_dataset(given);
    EXPECT_EQ(data.path, made("train"));
    EXPECT_EQ(data.validation_path, made("validation"));
    EXPECT_EQ(data.format, format);
    EXPECT_EQ(data.tokenizer, made("tokenizer.json"));
    EXPECT_EQ(data.separator, SmallTokenizer().end());
    DataOptions options;
    options.source = given;
    options.sequence = 8;
    const Data read(options);
    EXPECT_GT(read.train_windows(), 0u);
    EXPECT_GT(read.validation_windows(), 0u);
    EXPECT_TRUE(read.validation_fingerprint());
  }
}

TEST_F(DatasetFolder, MayHaveNeitherValidationNorSeparatorNorTokenizer) {
  const DataConfig data = resolve_dataset(prepare(
      [](auto& options) {
        options.validation_share = 0;
        options.separator = "none";
      },
      /*as_bytes=*/true));
  EXPECT_EQ(data.path, made("train"));
  EXPECT_EQ(data.validation_path, "");
  EXPECT_EQ(data.separator, -1);
  EXPECT_EQ(data.tokenizer, "");
}

TEST_F(DatasetFolder, KeysThatAreSetStay) {
  DataConfig data = prepare();
  data.separator = 7;
  data.validation_path = "other";
  data.tokenizer = tokenizer();  // the same content
  const DataConfig resolved = resolve_dataset(data);
  EXPECT_EQ(resolved.separator, 7);
  EXPECT_EQ(resolved.validation_path, "other");
  EXPECT_EQ(resolved.tokenizer, tokenizer());
}

TEST_F(DatasetFolder, OtherPathsAreLeftAlone) {
  prepare();
  const auto expect_left_alone = [](const DataConfig& data) {
    const DataConfig resolved = resolve_dataset(data);
    EXPECT_EQ(resolved.path, data.path);
    EXPECT_EQ(resolved.format, data.format);
    EXPECT_EQ(resolved.tokenizer, "");
  };
  DataConfig data;
  for (const std::string& path : {std::string(), tokenizer(), folder_.file("named"),
                                  folder_.file("nowhere"), made("train")}) {
    data.path = path;
    expect_left_alone(data);
  }
  data.path = made();
  data.format = DataFormat::kBytes;
  expect_left_alone(data);
  // Files of that name that no mneme prepare has written.
  data.path = folder_.file("named");
  data.format = DataFormat::kAuto;
  for (const char* content : {"{\"name\": \"poems\"}", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n",
                              "[]", "", "{\"format\": 7}"}) {
    SCOPED_TRACE(content);
    std::ofstream(folder_.file("named/dataset.json")) << content;
    expect_left_alone(data);
  }
}

TEST_F(DatasetFolder, AVocabularyThatIsTooSmallIsRefusedWithTheNumberToSet) {
  DataConfig data = prepare();
  --data.vocabulary;
  expect_error(data, {"data.vocabulary is 261", made(), "set it to 262"});
  data.vocabulary = 300;
  EXPECT_EQ(resolve_dataset(data).vocabulary, 300);
}

TEST_F(DatasetFolder, AnotherTokenizerIsRefused) {
  DataConfig data = prepare();
  SmallTokenizer other;
  other.merges.pop_back();
  data.tokenizer = other.write(folder_.file("other.json"));
  expect_error(data, {data.tokenizer, made(), "another tokenizer", "leave the key away"});
  data = prepare({}, /*as_bytes=*/true);
  data.tokenizer = tokenizer();
  expect_error(data, {data.tokenizer, "are bytes", "leave the key away"});
}

TEST_F(DatasetFolder, DamageIsNamed) {
  const DataConfig data = prepare();
  const std::string file = made("dataset.json");
  const nlohmann::json whole = nlohmann::json::parse(std::ifstream(file));
  const auto expect_damage = [&](const std::function<void(nlohmann::json&)>& change,
                                 const std::string& part) {
    SCOPED_TRACE(part);
    nlohmann::json json = whole;
    change(json);
    std::ofstream(file) << json.dump();
    expect_error(data, {file, part, "mneme prepare"});
  };
  expect_damage([](auto& json) { json.erase("train"); }, "train");
  expect_damage([](auto& json) { json["version"] = 2; }, "version 2");
  expect_damage([](auto& json) { json["layout"] = "llm.d"; }, "layout");
  expect_damage([](auto& json) { json["vocabulary"] = 1e30; }, "1e+30");
  expect_damage([](auto& json) { json["vocabulary"] = "many"; }, "many");
  expect_damage([](auto& json) { json["separator"] = 262; }, "262");
  expect_damage([](auto& json) { json["separator"] = -1; }, "-1");
  expect_damage([](auto& json) { json["validation"]["tokens"] = -1; }, "-1");
  expect_damage([](auto& json) { json["tokenizer"]["file"] = "../tokenizer.json"; }, "../");
  expect_damage([](auto& json) { json["tokenizer"]["file"] = ".."; }, "not in the folder");
  expect_damage([](auto& json) { json["train"]["files"][0]["name"] = "train/../../x"; }, "..");
  std::ofstream(file) << "{\"format\": \"mneme dataset\", \"versi";
  expect_error(data, {file, "is damaged", "mneme prepare"});
  std::ofstream(file) << "";  // as a power cut may leave it
  expect_error(data, {file, "is damaged", "mneme prepare"});
}

TEST_F(DatasetFolder, FilesThatAreGoneOrChangedAreNamed) {
  const DataConfig data = prepare([](auto& options) { options.shard_tokens = 100; });
  const std::string shard = made("train/train_000001.bin");
  ASSERT_TRUE(fs::exists(shard));
  fs::remove(shard);
  expect_error(data, {shard, "missing"});
  prepare();
  SmallTokenizer{.merges = {}, .has_end = true}.write(made("tokenizer.json"));
  expect_error(data, {made("tokenizer.json"), "is not the tokenizer"});
  fs::remove(made("tokenizer.json"));
  expect_error(data, {made("tokenizer.json")});
}

}  // namespace
}  // namespace mneme::engine
