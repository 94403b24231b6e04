// Configurations, data and budgets that nothing can be trained with.
#include "tests/tools/bad_input.h"

#include <sys/stat.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "io/utf8.h"

namespace mneme::test {
namespace {

TEST_F(BadInput, AConfigurationIsRefusedByFileLineAndKey) {
  put(file(), "[model]\nwidth = 64\ndepth = 3\n");
  expect_refused({"train", file()}, {file() + ":3", "model.depth"});
  put(file(), "[model]\nwidth = \"wide\"\n");
  expect_refused({"train", file()}, {file() + ":2", "model.width"});
  put(file(), "[model\n");
  expect_refused({"train", file()}, {file()});
  expect_refused({"train", run_.path("none.toml")}, {"none.toml"});
  expect_refused({"train", folder_}, {folder_});
}

TEST_F(BadInput, ASettingIsRefusedByKey) {
  expect_set_refused("train.stepps=3", {"train.stepps", "train.steps"});
  expect_set_refused("train.steps=many", {"train.steps"});
  expect_set_refused("train.steps=0", {"train.steps"});
  expect_set_refused("tiers.io_depth=99999", {"tiers.io_depth"});
  expect_set_refused("model.width=17", {"model.width"});
  expect_set_refused("data.vocabulary=100", {"data.vocabulary"});
  EXPECT_FALSE(fs::exists(directory()) && fs::exists(checkpoint("manifest.json")));
}

TEST_F(BadInput, NamesThatAreNotUtf8WorkEverywhere) {
  const std::string data = run_.path("caf\xe9.txt");
  fs::copy_file(config_.data.path, data);
  const std::string folder = run_.path("d\xe9");
  const Finished trained = run({"train", file(), "--set", "data.path=" + data, "--set",
                                "run.directory=" + folder, "--set", "checkpoint.every=2"});
  ASSERT_EQ(trained.status, 0) << trained.error;
  for (const Words& words :
       {Words{"verify", folder, "--json"}, Words{"eval", folder, "--json"}, Words{"resume", folder},
        Words{"generate", folder, "--tokens", "3", "--prompt", "\xe9"},
        Words{"export", folder, "-o", run_.path("e\xe9.safetensors")},
        Words{"bench", "model", file(), "--steps", "1", "--warm-up", "0", "--json"},
        Words{"bench", "disk", "--path", run_.path("b\xe9"), "--file-bytes", "64KiB", "--seconds",
              "0.01", "--json"}}) {
    SCOPED_TRACE(words.front());
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << finished.error;
  }
  const Finished inspected = run({"inspect", folder, "--json"});
  ASSERT_EQ(inspected.status, 0) << inspected.error;
  const std::string told = nlohmann::json::parse(inspected.output).at("directory");
  EXPECT_EQ(io::utf8_to_bytes(told), folder);
}

TEST_F(BadInput, ASampleThatCannotBeMadeIsRefusedBeforeTheFirstStep) {
  expect_refused({"train", file(), "--set", "sample.tokens=4", "--set", "sample.prompt="},
                 {"sample.prompt", "sample.tokens = 0"});
  expect_refused({"train", file(), "--set", "sample.tokens=4", "--set", "data.vocabulary=65"},
                 {"data.vocabulary", "sample.prompt", "sample.tokens = 0"});
  EXPECT_FALSE(fs::exists(directory()));
  expect_refused({"generate", directory(), "--prompt", ""}, {"--prompt"}, 2);
  train_until(1);
  expect_refused({"generate", directory()}, {"give --tokens 100"});
  const Finished advised = run({"generate", directory(), "--tokens", "100"});
  EXPECT_EQ(advised.status, 0) << advised.error;
}

TEST_F(BadInput, WrongUsageExitsWithTwo) {
  expect_refused({"train"}, {}, 2);
  expect_refused({"resume"}, {}, 2);
  expect_refused({"train", file(), "--set", "train.steps"}, {"train.steps"}, 2);
  expect_refused({"resume", directory(), "--frobnicate"}, {"--frobnicate"}, 2);
}

TEST_F(BadInput, DataThatCannotBeTrainedOnIsRefusedByPath) {
  const std::string empty = run_.path("empty.txt");
  put(empty, "");
  const std::string brief = run_.path("brief.txt");
  put(brief, "too short");
  const std::string shard = run_.path("shard.bin");
  put(shard, "no shard");
  const std::string cut = run_.path("cut.bin");
  std::string header(1024, '\0');
  const std::int32_t fields[] = {20240520, 1, 1000};
  std::memcpy(header.data(), fields, sizeof(fields));
  put(cut, header + "ab");
  const std::string nothing = run_.path("nothing.bin");
  const std::int32_t none = 0;
  std::memcpy(header.data() + 8, &none, sizeof(none));
  put(nothing, header);
  fs::create_directory(run_.path("folder"));
  const std::string pipe = run_.path("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0644), 0);
  for (const std::string& path :
       {run_.path("absent.txt"), empty, brief, shard, cut, nothing, run_.path("folder"), pipe}) {
    expect_set_refused("data.path=" + path, {path});
  }
  put(run_.path("folder/b.txt"), "");
  expect_set_refused("data.path=" + run_.path("folder"), {run_.path("folder")});
  expect_set_refused("data.path=", {"data.path"});
  expect_set_refused("train.sequence=2000", {config_.data.path, "train.sequence"});
}

TEST_F(BadInput, ATokenOutsideTheVocabularyIsRefusedWithItsPlace) {
  std::string shard(1024, '\0');
  const std::int32_t fields[] = {20240520, 1, 1000};
  std::memcpy(shard.data(), fields, sizeof(fields));
  std::string tokens(2000, '\0');
  tokens[2 * 777 + 1] = '\x7f';
  put(run_.path("wide.bin"), shard + tokens);
  expect_set_refused("data.path=" + run_.path("wide.bin"), {"wide.bin", "777", "data.vocabulary"});
}

TEST_F(BadInput, DataThatMayNotBeReadIsRefused) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  const std::string closed = run_.path("closed.txt");
  put(closed, "some text that nobody may read");
  fs::permissions(closed, fs::perms::none);
  expect_set_refused("data.path=" + closed, {closed});
}

TEST_F(BadInput, ABudgetOfNothingSaysHowMuchIsNeeded) {
  expect_set_refused("tiers.device_bytes=0", {"tiers.device_bytes"});
  const std::uint64_t least = offload::minimum_device_bytes(
      kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(16)}));
  expect_set_refused("tiers.device_bytes=100", {"tiers.device_bytes", std::to_string(least)});
}

TEST_F(BadInput, ABudgetBeyondTheMachineSaysWhatIsFree) {
  // A table that could fill any machine; opening it takes nothing.
  config_.memory.half_keys = 65535;
  write_config();
  for (const char* setting : {"tiers.device_bytes=\"900GiB\"", "tiers.host_bytes=\"900GiB\"",
                              "tiers.host_bytes=\"100000TiB\""}) {
    expect_set_refused(setting, {"GiB", "free"});
  }
}

TEST_F(BadInput, BudgetsThatAreBeyondTheMachineTogetherAreRefusedToo) {
  config_.memory.half_keys = 65535;
  std::uint64_t free_kib = 0;
  std::ifstream file("/proc/meminfo");
  for (std::string name; file >> name;) {
    if (name == "MemAvailable:") file >> free_kib;
  }
  ASSERT_GT(free_kib, 0u);
  config_.tiers.store.device_bytes = free_kib * 1024 / 10 * 7;
  config_.tiers.store.host_bytes = free_kib * 1024 / 10 * 7;
  write_config();
  expect_refused({"train", this->file()}, {"free"});
}

TEST_F(BadInput, ABudgetBeyondTheTableTakesNoMoreThanTheTable) {
  config_.tiers.store.device_bytes = std::uint64_t{1} << 50;
  config_.tiers.store.host_bytes = std::uint64_t{1} << 50;
  write_config();
  const Finished finished = run({"train", file()});
  EXPECT_EQ(finished.status, 0) << finished.error;
  config_ = run_.tiered("run");
  config_.checkpoint.every = 2;
  expect_unharmed();
}

}  // namespace
}  // namespace mneme::test
