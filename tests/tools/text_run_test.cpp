// The program from a corpus to text: prepare, train, generate, resume, verify, export with a
// tokenizer.
#include <filesystem>
#include <iterator>
#include <regex>
#include <sstream>

#include "io/disk.h"
#include "io/safetensors.h"
#include "tests/support/small_tokenizer.h"
#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

using mneme::testing::SmallTokenizer;

class TextRun : public BadInput {
 protected:
  TextRun() {
    SmallTokenizer().write(tokenizer());
    config_.data.vocabulary = 256;
    config_.sample.prompt = "the row";
    config_.sample.tokens = 8;
    write_config();
    std::string lines;
    const std::string text = text_of(config_.data.path);
    for (std::size_t at = 0; at < text.size(); at += 50) {
      lines += "{\"text\": \"" + text.substr(at, 50) + "\"}\n";
    }
    put(run_.path("corpus.jsonl"), lines);
  }
  std::string tokenizer() const { return run_.path("tokenizer.json"); }
  std::string other() const {
    SmallTokenizer other;
    other.merges.pop_back();
    return other.write(run_.path("other.json"));
  }
  Finished expect_success(const Words& words) {
    Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << finished.error;
    return finished;
  }
  std::string error_of(const Words& words) {
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 1) << finished.error;
    const std::size_t at = finished.error.rfind("error: ");
    return at == std::string::npos ? "" : finished.error.substr(at);
  }
  // The first group of a pattern.
  static std::string part_of(const std::string& text, const char* pattern) {
    std::smatch found;
    EXPECT_TRUE(std::regex_search(text, found, std::regex(pattern))) << text;
    return found.size() > 1 ? found[1].str() : "";
  }
  Words train_with(const Words& sets) const {
    Words words = {"train", file()};
    for (const std::string& set : sets) words.insert(words.end(), {"--set", set});
    return words;
  }
  Finished prepare(const Words& more = {}) {
    Words words = {"prepare", run_.path("corpus.jsonl"), "--tokenizer",        tokenizer(),
                   "-o",      run_.path("made"),         "--validation-share", "0.2"};
    words.insert(words.end(), more.begin(), more.end());
    return expect_success(words);
  }
  // A run on text directly.
  void train() {
    expect_success(train_with({"data.tokenizer=" + tokenizer(), "data.vocabulary=262"}));
  }
  void expect_tokenizer(const std::string& model, const std::string& path) {
    EXPECT_EQ(text_of(path), SmallTokenizer().json());
    const io::SafetensorsReader reader(run_.disk(), model);
    const auto named = reader.metadata().find("tokenizer");
    ASSERT_NE(named, reader.metadata().end());
    EXPECT_EQ(named->second, fs::path(path).filename());
  }
};

TEST_F(TextRun, ACorpusIsPreparedTrainedOnAndContinued) {
  // The command that comes next, with what its errors tell to set.
  const std::string next = part_of(prepare().output, "next: mneme ([^\n]*)");
  std::istringstream stream(next);
  Words words{std::istream_iterator<std::string>(stream), {}};
  std::ranges::replace(words, std::string("CONFIG"), file());
  const std::string error = error_of(words);
  const std::string vocabulary = part_of(error, "data.vocabulary is 256.*set it to ([0-9]+)");
  EXPECT_EQ(vocabulary, "262");
  words.insert(words.end(), {"--set", "data.vocabulary=" + vocabulary});
  const Finished trained = expect_success(words);
  EXPECT_NE(trained.output.find("the row"), std::string::npos) << trained.output;
  EXPECT_NE(trained.error.find("validation loss"), std::string::npos) << trained.error;

  // Wherever the run goes, and whatever is gone.
  fs::remove(tokenizer());
  const std::string moved = run_.path("moved");
  fs::rename(directory(), moved);
  expect_success({"verify", moved});
  const Finished made =
      expect_success({"generate", moved, "--prompt", "the other", "--tokens", "9"});
  EXPECT_EQ(made.output.rfind("the other", 0), 0u) << made.output;
  expect_success({"resume", moved, "--set", "train.steps=10"});
  expect_success({"eval", moved});
  fs::remove_all(run_.path("made"));
  EXPECT_EQ(expect_success({"generate", moved}).output.rfind("the row", 0), 0u);
  expect_success({"verify", moved});
}

TEST_F(TextRun, TextIsTrainedOnDirectly) {
  const Words words = train_with({"data.tokenizer=" + tokenizer()});
  EXPECT_EQ(part_of(error_of(words), "data.vocabulary is 256.*set it to ([0-9]+)"), "262");
  EXPECT_FALSE(fs::exists(directory()));
  train();
  expect_success({"eval", directory()});
  expect_success({"resume", directory(), "--set", "train.steps=10"});
  expect_success({"verify", directory()});
}

TEST_F(TextRun, TokenizersThatDoNotFitAreRefusedBeforeAnythingIsMade) {
  prepare();
  const std::string error = error_of(train_with(
      {"data.path=" + run_.path("made"), "data.tokenizer=" + other(), "data.vocabulary=262"}));
  EXPECT_NE(error.find("made with another tokenizer; leave the key away"), std::string::npos);
  expect_success({"prepare", run_.path("corpus.jsonl"), "--tokenizer", other(), "-o",
                  run_.path("again")});  // "or run mneme prepare with this one"
  fs::remove(tokenizer());
  expect_set_refused("data.tokenizer=" + tokenizer(), {tokenizer()});
  EXPECT_FALSE(fs::exists(directory()));
  expect_success(train_with({"data.path=" + run_.path("made"), "data.vocabulary=262"}));

  put(run_.path("made/dataset.json"), "{\"format\": \"mneme dataset\"");
  const Words damaged = {"data.path=" + run_.path("made"), "data.vocabulary=262",
                         "run.directory=" + run_.path("second")};
  EXPECT_NE(error_of(train_with(damaged)).find("make the folder anew with mneme prepare"),
            std::string::npos);
  fs::remove_all(run_.path("made"));
  SmallTokenizer().write(tokenizer());
  prepare();
  expect_success(train_with(damaged));
}

TEST_F(TextRun, BytesNeedNoTokenizerAndTakeNone) {
  expect_success(
      {"prepare", run_.path("corpus.jsonl"), "--tokenizer", "bytes", "-o", run_.path("made")});
  const std::string path = "data.path=" + run_.path("made");
  const std::string error =
      error_of(train_with({path, "data.tokenizer=" + tokenizer(), "data.vocabulary=262"}));
  EXPECT_NE(error.find("are bytes; leave the key away, or run mneme prepare"), std::string::npos)
      << error;
  expect_success(train_with({path}));
  EXPECT_EQ(expect_success({"generate", directory()}).output.rfind("the row", 0), 0u);
}

TEST_F(TextRun, AReplacedTokenizerWritesNoGarbage) {
  train();
  const std::string kept = directory() + "/tokenizer.json";
  const std::string whole = text_of(kept);
  put(kept, text_of(other()));
  for (const std::string command : {"generate", "eval", "verify", "resume", "profile"}) {
    SCOPED_TRACE(command);
    Words words = {command, directory()};
    if (command == "profile") {
      words.insert(words.end(), {"--warm-up", "1", "--steps", "1", "--set", "train.steps=20"});
    }
    EXPECT_NE(error_of(words).find(kept + ": is not the tokenizer"), std::string::npos);
  }
  put(kept, whole);
  expect_success({"generate", directory()});
  for (const std::string command : {"generate", "eval", "resume"}) {
    const std::string error =
        error_of({command, directory(), "--set", "data.tokenizer=" + other()});
    EXPECT_NE(error.find("leave the key away"), std::string::npos) << error;
  }
}

TEST_F(TextRun, AnExportTakesTheTokenizerWithIt) {
  train();
  const std::string model = run_.path("model.v1.safetensors");
  const std::string beside = run_.path("model.v1.tokenizer.json");
  expect_success({"export", directory(), "-o", model});
  expect_tokenizer(model, beside);
  expect_success({"export", directory(), "-o", model});  // the same is there
  expect_tokenizer(model, beside);
  const std::string bare = run_.path("bare");
  expect_success({"export", directory(), "-o", bare});
  expect_tokenizer(bare, run_.path("bare.tokenizer.json"));

  // Somebody's file stays, and no export is begun.
  put(beside, "mine");
  const std::string before = text_of(model);
  expect_refused({"export", directory(), "-o", model}, {beside, "--output"});
  EXPECT_EQ(text_of(beside), "mine");
  EXPECT_EQ(text_of(model), before);
  const std::string fresh = run_.path("fresh.safetensors");
  fs::create_directory(run_.path("fresh.tokenizer.json"));
  expect_refused({"export", directory(), "-o", fresh}, {"fresh.tokenizer.json", "--output"});
  EXPECT_FALSE(fs::exists(fresh));
}

TEST_F(TextRun, AnEarlierExportsTokenizerIsReplaced) {
  const std::string model = run_.path("model.safetensors");
  const std::string beside = run_.path("model.tokenizer.json");
  const std::string second = run_.path("second");
  expect_success(
      train_with({"data.tokenizer=" + other(), "data.vocabulary=262", "run.directory=" + second}));
  expect_success({"export", second, "-o", model});
  EXPECT_EQ(text_of(beside), text_of(other()));
  train();
  expect_success({"export", directory(), "-o", model});
  expect_tokenizer(model, beside);
  // A run without one names none, and leaves the file where it is.
  const std::string bytes = run_.path("bytes");
  expect_success(train_with({"run.directory=" + bytes}));
  expect_success({"export", bytes, "-o", model});
  EXPECT_FALSE(io::SafetensorsReader(run_.disk(), model).metadata().contains("tokenizer"));
  EXPECT_TRUE(fs::exists(beside));
}

}  // namespace
}  // namespace mneme::test
