// Runs on text by a tokenizer: its file goes where the run goes, and no other passes for it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "engine/evaluate.h"
#include "engine/run_claim.h"
#include "engine/run_tokenizer.h"
#include "io/utf8.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"
#include "tests/support/small_tokenizer.h"
#include "text/prepare/prepare.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;
using mneme::testing::error_of;
using mneme::testing::SmallTokenizer;
using testing::TinyRun;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class TrainerTokenizer : public ::testing::Test {
 protected:
  TrainerTokenizer() { SmallTokenizer().write(given()); }

  std::string given() const { return run_.path("given/tokenizer.json"); }
  Config with_tokenizer(Config config) const {
    config.data.tokenizer = given();
    config.data.vocabulary = 300;
    return config;
  }
  static std::string kept(const Config& config) { return config.run.directory + "/tokenizer.json"; }
  std::string other() const {
    SmallTokenizer other;
    other.merges.pop_back();
    return other.write(run_.path("other.json"));
  }
  // A folder that mneme prepare has made of the run's text, a line a document.
  std::string prepare() {
    const std::string text = text_of(run_.data_path());
    std::ofstream lines(run_.path("corpus.jsonl"));
    for (std::size_t at = 0; at < text.size(); at += 40) {
      lines << "{\"text\": \"" << text.substr(at, 40) << "\"}\n";
    }
    lines.close();
    text::PrepareOptions options;
    options.inputs = {run_.path("corpus.jsonl")};
    options.output = run_.path("made");
    options.validation_share = 0.2;
    text::prepare(run_.disk(), *text::open_tokenizer(given()), options);
    return options.output;
  }
  Config resumable(const Config& config, const std::vector<std::string>& overrides = {}) {
    return RunDirectory(run_.disk(), config.run.directory).config(overrides);
  }
  TrainResult resume(const Config& config) {
    TrainerOptions options;
    options.resume = true;
    return run_.train(resumable(config), options);
  }
  std::string generate(const std::string& directory) {
    const ReadRun read = read_run(RunDirectory(run_.disk(), directory),
                                  std::vector<std::string>{"sample.tokens=12"});
    const auto tokenizer = open_kept_tokenizer(read.run->config().data);
    return sample_text(*read.run, tokenizer.get(),
                       {.completed_step = read.step, .prompt = "the row", .seed = 1});
  }

  TinyRun run_;
};

TEST_F(TrainerTokenizer, ItsFileIsKeptAndRecorded) {
  Config config = with_tokenizer(run_.config("run"));
  config.train.steps = 3;
  config.sample.tokens = 12;
  config.sample.prompt = "the row";
  std::ostringstream samples;
  TrainerOptions options;
  options.samples = &samples;
  run_.train(config, options);
  EXPECT_EQ(text_of(kept(config)), SmallTokenizer().json());
  const auto record = RunDirectory(run_.disk(), config.run.directory).manifest().run.tokenizer;
  ASSERT_TRUE(record);
  EXPECT_EQ(record->file, "tokenizer.json");
  EXPECT_EQ(samples.str().rfind("the row", 0), 0u) << samples.str();
  EXPECT_FALSE(io::find_invalid_utf8(samples.str())) << samples.str();

  run_.train(run_.config("bytes"));
  EXPECT_FALSE(RunDirectory(run_.disk(), run_.path("bytes")).manifest().run.tokenizer);
}

TEST_F(TrainerTokenizer, TheSameFileMayBeThereAlreadyAndNoOther) {
  Config config = with_tokenizer(run_.config("run"));
  config.train.steps = 2;
  config.data.tokenizer = SmallTokenizer().write(kept(config));
  run_.train(config);
  EXPECT_EQ(text_of(kept(config)), SmallTokenizer().json());

  config = with_tokenizer(run_.config("taken"));
  fs::create_directories(config.run.directory);
  std::ofstream(kept(config)) << "mine";
  const std::string error = error_of([&] { run_.train(config); });
  EXPECT_NE(error.find(kept(config) + ": is there already"), std::string::npos) << error;
  EXPECT_EQ(text_of(kept(config)), "mine");
  EXPECT_EQ(std::distance(fs::directory_iterator(config.run.directory), {}), 1);
}

TEST_F(TrainerTokenizer, AStartThatFailsTakesItsFileWithItAndNoOther) {
  const auto tokenizer = text::open_tokenizer(given());
  const std::string folder = run_.path("run");
  const auto fail_to_start = [&] {
    RunClaim claim = RunClaim::start(run_.disk(), folder);
    claim.begin(7, to_toml(run_.config("run")));
    keep_tokenizer(run_.disk(), claim, folder, tokenizer.get());
    EXPECT_TRUE(fs::exists(folder + "/tokenizer.json"));
  };
  fail_to_start();
  EXPECT_FALSE(fs::exists(folder));
  SmallTokenizer().write(folder + "/tokenizer.json");
  fail_to_start();
  EXPECT_TRUE(fs::exists(folder + "/tokenizer.json"));
}

TEST_F(TrainerTokenizer, AFileThatHasChangedIsRefusedByWhoeverReadsTheRun) {
  const Config config = with_tokenizer(run_.config("run"));
  run_.train_until(config, 3);
  const std::string whole = text_of(kept(config));
  const auto expect_refused = [&](const std::string& why) {
    for (const std::function<void()>& use : std::vector<std::function<void()>>{
             [&] { resume(config); }, [&] { verify_run(run_.disk(), config.run.directory); },
             [&] { generate(config.run.directory); }}) {
      const std::string error = error_of(use);
      EXPECT_NE(error.find(kept(config)), std::string::npos) << error;
      EXPECT_NE(error.find(why), std::string::npos) << error;
    }
  };
  fs::copy_file(other(), kept(config), fs::copy_options::overwrite_existing);
  expect_refused("is not the tokenizer that the run was started with");
  fs::remove(kept(config));
  expect_refused("missing");
  std::ofstream(kept(config), std::ios::binary) << whole;
  resume(config);
}

TEST_F(TrainerTokenizer, ARunGoesOnWhereItWasMovedToWithoutTheFileThatWasNamed) {
  const Config whole = with_tokenizer(run_.tiered("whole"));
  run_.train(whole);
  const Config config = with_tokenizer(run_.tiered("run"));
  run_.train_until(config, 3);
  fs::remove_all(run_.path("given"));
  Config moved = config;
  moved.run.directory = run_.path("moved");
  fs::rename(config.run.directory, moved.run.directory);
  EXPECT_EQ(generate(moved.run.directory).rfind("the row", 0), 0u);
  resume(moved);
  expect_same(run_.outcome(moved), run_.outcome(whole));
  Config again = moved;
  again.run.directory = run_.path("again");
  fs::rename(moved.run.directory, again.run.directory);
  EXPECT_EQ(generate(again.run.directory).rfind("the row", 0), 0u);
}

TEST_F(TrainerTokenizer, AnotherTokenizerIsRefusedAndTheSameOneIsNot) {
  const Config config = with_tokenizer(run_.config("run"));
  run_.train_until(config, 3);
  for (const std::string equals : {"=", " = "}) {
    const std::string named = "data.tokenizer" + equals + other();
    const std::string error = error_of([&] { resumable(config, {named}); });
    EXPECT_NE(error.find(other()), std::string::npos) << error;
    EXPECT_NE(error.find(kept(config)), std::string::npos) << error;
    EXPECT_NE(error.find("leave the key away"), std::string::npos) << error;
  }
  EXPECT_EQ(resumable(config, {"data.tokenizer=" + given()}).data.tokenizer, kept(config));
  const std::string error =
      error_of([&] { resumable(config, {"data.tokenizer_encoding=cl100k_base"}); });
  EXPECT_NE(error.find("leave the key away"), std::string::npos) << error;
}

TEST_F(TrainerTokenizer, ADatasetWithSeparateDocumentsGoesOnToTheSameBits) {
  const std::string made = prepare();
  const auto on_dataset = [&](Config config) {
    config.data.path = made;
    config.data.vocabulary = SmallTokenizer().vocabulary();
    config.data.documents = Documents::kSeparate;
    return config;
  };
  const Config whole = on_dataset(run_.tiered("whole"));
  run_.train(whole);
  const Config parts = on_dataset(run_.tiered("parts"));
  run_.train_until(parts, 3);
  EXPECT_EQ(text_of(kept(parts)), SmallTokenizer().json());
  resume(parts);
  expect_same(run_.outcome(parts), run_.outcome(whole));
  Config joined = on_dataset(run_.tiered("joined"));
  joined.data.documents = Documents::kJoined;
  run_.train(joined);
  EXPECT_FALSE(is_same(run_.outcome(joined), run_.outcome(whole)));
  // Without its data a run still writes.
  fs::remove_all(made);
  EXPECT_EQ(generate(parts.run.directory).rfind("the row", 0), 0u);
}

TEST_F(TrainerTokenizer, WhatLiesAtTheDataNowGivesNoRunATokenizer) {
  Config config = run_.config("run");
  config.train.steps = 2;
  run_.train(config);
  Config moved = resumable(config);
  moved.data.path = prepare();
  moved.data.vocabulary = 300;
  EXPECT_NE(open_run_tokenizer(moved.data), nullptr);
  EXPECT_EQ(open_kept_tokenizer(moved.data), nullptr);
}

TEST_F(TrainerTokenizer, AManifestSaysWhichItIs) {
  Manifest manifest;
  manifest.run.config = "config";
  manifest.run.schedule = {{1, {}}};
  manifest.checkpoints = {
      {.step = 1, .dense = {"dense", 1}, .tables = {}, .metrics = {}, .rows = {}}};
  const std::string folder = run_.path("manifests");
  fs::create_directories(folder);
  const auto written = [&] {
    write_manifest(run_.disk(), folder, manifest);
    return nlohmann::json::parse(text_of(manifest_path(folder))).at("body").at("run");
  };
  // As manifests were before there were tokenizers.
  EXPECT_FALSE(written().contains("tokenizer"));
  EXPECT_FALSE(read_manifest(run_.disk(), folder).run.tokenizer);
  manifest.run.tokenizer = {"tokenizer.tiktoken", "cl100k_base", ~std::uint64_t{0}};
  EXPECT_TRUE(written().contains("tokenizer"));
  EXPECT_EQ(read_manifest(run_.disk(), folder).run.tokenizer, manifest.run.tokenizer);
  for (const std::string name : {"../tokenizer.json", "", ".."}) {
    manifest.run.tokenizer->file = name;
    written();
    EXPECT_NE(error_of([&] { read_manifest(run_.disk(), folder); }).find("tokenizer"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace mneme::engine
