// mneme prepare as people call it: what it says, and that its advice can be followed.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/io/temporary_directory.h"
#include "tests/tools/shell.h"

namespace mneme::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

class PrepareProgram : public ::testing::Test {
 protected:
  std::string put(const std::string& name, const std::string& content) {
    const std::string path = folder_.file(name);
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  Words words(Words more = {}) const {
    Words all = {"prepare", folder_.file("in"), "--tokenizer", "bytes", "-o", folder_.file("made")};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Finished run(const Words& command) { return Program(folder_.path(), mneme(command)).wait(); }
  void expect_success(const Words& more) {
    const Finished finished = run(words(more));
    EXPECT_EQ(finished.status, 0) << finished.error;
    fs::remove_all(folder_.file("made"));
  }
  void expect_error(const Words& more, const Words& parts, int status = 1) {
    const Finished finished = run(words(more));
    EXPECT_EQ(finished.status, status) << finished.error;
    EXPECT_EQ(finished.output, "");
    const std::size_t at = finished.error.find("error: ");
    ASSERT_NE(at, std::string::npos) << finished.error;
    const std::string line = finished.error.substr(at);
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
    for (const std::string& part : parts) EXPECT_NE(line.find(part), std::string::npos) << line;
    EXPECT_FALSE(fs::exists(folder_.file("made")));
  }

  TemporaryDirectory folder_;
};

TEST_F(PrepareProgram, SaysWhatItMadeAndWhatComesNext) {
  put("in/a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"\"}\n{\"text\": \"three\"}\n");
  put("in/b.txt", "two");
  put("in/c.parquet", "x");
  const Finished finished =
      run(words({"--validation-share", "0.5", "--separator", "10", "--threads", "1"}));
  ASSERT_EQ(finished.status, 0) << finished.error;
  EXPECT_NE(finished.error.find("1 files of the folders are left out"), std::string::npos);
  EXPECT_NE(finished.output.find("token 10 in front of each document"), std::string::npos);
  EXPECT_NE(finished.output.find("1 records without text are left out"), std::string::npos);
  EXPECT_NE(finished.output.find("MB/s of text"), std::string::npos);
  EXPECT_NE(
      finished.output.find("next: mneme train CONFIG --set data.path=" + folder_.file("made")),
      std::string::npos)
      << finished.output;
  EXPECT_TRUE(fs::exists(folder_.file("made/dataset.json")));
  EXPECT_TRUE(fs::exists(folder_.file("made/train/train_000000.bin")));
}

TEST_F(PrepareProgram, ItsAdviceForInputsCanBeFollowed) {
  const std::string path = put("in/a.jsonl", "{\"body\": \"a\xff\"}\n");
  expect_error({}, {path + ": line 1:", "--invalid-utf8 replace"});
  expect_error({"--invalid-utf8", "replace"}, {"no field \"text\"", "with --field"});
  expect_success({"--invalid-utf8", "replace", "--field", "body"});
  put("in/a.jsonl", "{\"text\": \"" + std::string(5000, 'x') + "\"}\n");
  expect_error({"--max-document-bytes", "4KiB"},
               {"line 1", "allow more with --max-document-bytes"});
  expect_success({"--max-document-bytes", "8KiB"});
  expect_error({"--separator", "<|end|>"}, {"--separator <|end|>:", "an id, or none"});
  expect_success({"--separator", "none"});
  Words file = words();
  file[3] = folder_.file("tokenizer.json");
  const Finished finished = run(file);
  EXPECT_EQ(finished.status, 1);
  EXPECT_NE(finished.error.find(folder_.file("tokenizer.json")), std::string::npos);
}

TEST_F(PrepareProgram, AnOutputThatIsThereIsNamed) {
  put("in/a.txt", "a");
  put("made", "mine");
  const Finished finished = run(words());
  EXPECT_EQ(finished.status, 1);
  EXPECT_NE(finished.error.find("name another folder with --output"), std::string::npos);
  EXPECT_EQ(text_of(folder_.file("made")), "mine");
  Words another = words();
  another.back() = folder_.file("another/below");
  EXPECT_EQ(run(another).status, 0);
}

TEST_F(PrepareProgram, SaysThatNothingValidates) {
  put("in/a.txt", "a\n---\nb\n---\nc\n---\nd\n");
  const Finished finished = run(words({"--validation-share", "0.3"}));
  EXPECT_EQ(finished.status, 0) << finished.error;
  EXPECT_NE(finished.error.find("no document validates"), std::string::npos) << finished.error;
  fs::remove_all(folder_.file("made"));
  const Finished separated =
      run(words({"--validation-share", "0.5", "--document-separator", "---"}));
  EXPECT_EQ(separated.error.find("no document validates"), std::string::npos) << separated.error;
}

TEST_F(PrepareProgram, FewThreadsAreEnough) {
  put("in/a.txt", "a");
  const Finished refused =
      Program(folder_.path(), in_shell("ulimit -v 2000000; exec $M", words({"--threads", "4000"})))
          .wait();
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.error.find("give fewer with --threads"), std::string::npos) << refused.error;
  expect_success({"--threads", "1"});
}

}  // namespace
}  // namespace mneme::test
