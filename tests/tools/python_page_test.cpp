// The code of docs/python.md does what the page says. Needs python3 with numpy and safetensors, and
// for its last part torch; skips without, which MNEME_REQUIRE=python does not allow.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "engine/config.h"
#include "tests/io/temporary_directory.h"

namespace mneme::test {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string page() {
  return text_of(std::string(MNEME_SOURCE_DIR) + "/docs/python.md");
}

// The blocks of a language, one behind the other.
std::string code_of(const std::string& text, const std::string& language) {
  const std::string begin = "\n```" + language + "\n", end = "\n```\n";
  std::string code;
  for (std::size_t at = 0; (at = text.find(begin, at)) != text.npos;) {
    at += begin.size();
    const std::size_t last = text.find(end, at);
    code += text.substr(at, last - at) + "\n\n";
  }
  return code;
}

class PythonPage : public ::testing::Test {
 protected:
  // A shell command in the folder; its output is in `output`.
  bool succeeds(const std::string& command) const {
    const std::string whole =
        fmt::format("cd '{}' && {{ {}; }} >output 2>&1 </dev/null", folder_.path(), command);
    const int status = std::system(whole.c_str());
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  std::string output() const { return text_of(folder_.file("output")); }

  // Says what is missing.
  static void skip_or_fail(const std::string& needed) {
    const char* required = std::getenv("MNEME_REQUIRE");
    if (required != nullptr && std::string(required).find("python") != std::string::npos) {
      FAIL() << needed << " is not there";
    }
    GTEST_SKIP() << needed << " is not there";
  }

  // The run, export and files that the page's commands make, of the quickstart's shape in small.
  void make_run() {
    const engine::Config config =
        engine::load_config(std::string(MNEME_SOURCE_DIR) + "/configs/quickstart.toml");
    const std::int64_t tokens = config.train.batch * (config.train.sequence / kScale);
    std::mt19937 random(1);
    std::ofstream text(folder_.file("text.txt"));
    for (int i = 0; i < 5000; ++i) text << static_cast<char>('a' + random() % 5 * (random() % 3));
    text.close();
    ASSERT_TRUE(succeeds(fmt::format(
        "'{0}' train '{1}/configs/quickstart.toml' --scale {2} --device cpu "
        "--set run.directory=runs/quickstart --set data.path=text.txt --set train.steps=3 "
        "--set train.warmup_steps=0 --set evaluation.every=0 --set sample.tokens=0 && "
        "'{0}' export runs/quickstart -o quickstart.safetensors --untouched && "
        "head -c {3} text.txt > sample.txt && "
        "'{0}' eval runs/quickstart --set data.validation_path=sample.txt --json > eval.json",
        MNEME_PROGRAM, MNEME_SOURCE_DIR, kScale, tokens + 1)))
        << output();
  }

  static constexpr std::int64_t kScale = 4;
  TemporaryDirectory folder_;
};

TEST_F(PythonPage, ItsCommandsFitTheQuickstart) {
  const engine::Config config =
      engine::load_config(std::string(MNEME_SOURCE_DIR) + "/configs/quickstart.toml");
  const std::string text = page();
  EXPECT_NE(text.find(fmt::format("head -c {} ", config.tokens_per_micro_batch() + 1)), text.npos)
      << "sample.txt has as many bytes as a micro-batch has tokens, and one";
  EXPECT_NE(text.find(fmt::format("{} × {} + 1.", config.train.batch, config.train.sequence)),
            text.npos);
  EXPECT_EQ(config.memory.query_key_norm, memory::QueryKeyNorm::kNone);
}

TEST_F(PythonPage, ItsCodeComputesTheLossThatMnemeComputes) {
  if (!succeeds("python3 -c 'import numpy, safetensors.numpy, tomllib'")) {
    skip_or_fail("python3 with numpy and safetensors (pip install numpy safetensors)");
    return;
  }
  make_run();
  if (HasFatalFailure()) return;
  std::ofstream(folder_.file("page.py")) << code_of(page(), "python");
  EXPECT_TRUE(succeeds("python3 page.py")) << output();
  EXPECT_NE(output().find(".memory.keys"), std::string::npos);
  EXPECT_NE(output().find("by mneme eval"), std::string::npos) << output();
}

TEST_F(PythonPage, ItsModuleAgreesAndLearns) {
  if (!succeeds("python3 -c 'import numpy, safetensors.numpy, tomllib, importlib.util as util; "
                "exit(util.find_spec(\"torch\") is None)'")) {
    skip_or_fail("python3 with numpy, safetensors and torch");
    return;
  }
  make_run();
  if (HasFatalFailure()) return;
  const std::string text = page();
  std::ofstream(folder_.file("page.py"))
      << code_of(text, "python") << code_of(text, "python torch");
  EXPECT_TRUE(succeeds("python3 page.py")) << output();
  EXPECT_NE(output().find("after 20 steps"), std::string::npos) << output();
}

}  // namespace
}  // namespace mneme::test
