// The text of a configuration: whatever its bytes, lengths and depths, it is read as it is meant or
// refused in one line.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/config.h"
#include "engine/config_file.h"
#include "io/error.h"
#include "io/utf8.h"
#include "tests/engine/config_error.h"
#include "tests/io/temporary_directory.h"

namespace mneme::engine {
namespace {

using testing::error_of;

TEST(ConfigText, AQuotedNameIsOneNameAndNoPath) {
  const std::string way_out = "; a name in quotes is one name, not a path: write it without them";
  EXPECT_EQ(error_of("\"train.steps\" = 3"), "run.toml:1: unknown key \"train.steps\"" + way_out);
  EXPECT_EQ(error_of("[memory]\n'optimizer.kind' = \"sgd\""),
            "run.toml:2: unknown key memory.\"optimizer.kind\"" + way_out);
  EXPECT_EQ(error_of("[\"memory.optimizer\"]\nkind = \"sgd\""),
            "run.toml:1: unknown key \"memory.optimizer\"" + way_out);
  EXPECT_EQ(error_of("memory = {\"optimizer.kind\" = \"sgd\"}"),
            "run.toml:1: unknown key memory.\"optimizer.kind\"" + way_out);
  EXPECT_EQ(error_of("\"\".train.steps = 3"), "run.toml:1: unknown key \"\"" + way_out);
  EXPECT_EQ(parse_config("memory.optimizer.\"kind\" = \"sgd\"", "f").memory.optimizer.kind,
            kernels::RowOptimizerKind::kSgd);
}

TEST(ConfigText, NestingIsRefusedBeforeItsDepthCanDoHarm) {
  constexpr int kDeep = 100000;
  std::string dotted, lists, tables, headers = "[";
  for (int i = 0; i < kDeep; ++i) {
    dotted += "a.";
    lists += "[";
    tables += "{a=";
    headers += i % 2 == 0 ? "'a' . " : "\"]\".";
  }
  const std::string refused =
      "run.toml:2: keys, lists or tables are nested more than 16 deep; no key of a configuration "
      "has more than three parts, as memory.optimizer.kind";
  for (const std::string& text : std::vector<std::string>{
           dotted + "b = 1", "a = " + lists, "a = " + tables, headers + "a]", "[a]" + lists,
           "a = [{" + dotted + "b=1}]", "a = \"[\\\"\" # '\n"}) {
    SCOPED_TRACE(text.substr(0, 20));
    const bool shallow = text.size() < 20;
    EXPECT_EQ(error_of("\n" + text) == refused, !shallow) << error_of("\n" + text);
  }
  // Brackets and dots of strings and comments do not count.
  const std::string text = std::string(50, '[') + std::string(50, '.');
  EXPECT_EQ(parse_config("sample.prompt = '" + text + "'  # " + text, "f").sample.prompt, text);
  EXPECT_EQ(parse_config("sample.prompt = \"\"\"" + text + "\\\"\"\"\"\"", "f").sample.prompt,
            text + "\"\"");
  EXPECT_EQ(parse_config("", "f", std::vector<std::string>{"sample.prompt=" + lists}).sample.prompt,
            lists);
  const std::string in_list = error_of("", {"tiers.lookahead_distances=[{" + dotted + "b=1}]"});
  EXPECT_NE(in_list.find("tiers.lookahead_distances: expected list of integers"),
            std::string::npos);
  EXPECT_LT(in_list.size(), 1000u);
}

TEST(ConfigText, ATextThatIsTooLongForAConfigurationIsRefused) {
  std::string text(kMostConfigBytes, '\n');
  EXPECT_EQ(error_of(text), "no error");
  EXPECT_NE(error_of(text + "\n").find("run.toml: more than 1048576 bytes"), std::string::npos);
  // A name as long as a file may be makes a short line, soon.
  const std::string name = error_of(std::string(kMostConfigBytes - 5, 'x') + " = 1");
  EXPECT_NE(name.find("unknown key xxxx"), std::string::npos);
  EXPECT_LT(name.size(), 300u);
}

TEST(ConfigText, AFileIsUtf8OrRefusedByLineKeyAndByte) {
  EXPECT_EQ(error_of("[data]\nformat = \"bytes\"\npath = \"caf\xe9\"\n"),
            "run.toml:3: data.path: byte 0xE9 at position 12 of the line is not UTF-8; save the "
            "file as UTF-8");
  EXPECT_EQ(error_of("# caf\xe9\n"),
            "run.toml:1: byte 0xE9 at position 6 of the line is not UTF-8; save the file as UTF-8");
  EXPECT_EQ(error_of(std::string("\xff\xfe[\0t\0", 6)).substr(0, 27),
            "run.toml:1: byte 0xFF at po");
  EXPECT_EQ(parse_config("\xef\xbb\xbf[train]\r\nsteps = 30\r\n", "f").train.steps, 30);
  EXPECT_EQ(error_of(std::string("[train]\nsteps = \0 3", 19)).substr(0, 11), "run.toml:2:");
}

TEST(ConfigText, AnyBytesOfATextSurviveTheResolvedConfiguration) {
  std::vector<std::string> texts = {"caf\xe9.txt",
                                    "\xee\xbe\x80",
                                    "\xed\xa0\x80",
                                    "\xf4\x90\x80\x80",
                                    "\xc0\xaf",
                                    "\xee\xbe",
                                    "d\xc3\xa9j\xc3\xa0 \xf0\x9f\x98\x80"};
  std::string every;
  for (int byte = 1; byte < 256; ++byte) every += static_cast<char>(byte);
  texts.push_back(every);
  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (int length = 0; length < 6; ++length) {
      text += "\xee\xbe\xbf\x80\xe9\xf0\xed\xa0 a"[random() % 10];
    }
    texts.push_back(text);
  }
  for (const std::string& text : texts) {
    SCOPED_TRACE(io::printable(text));
    Config config;
    config.run.directory = text;
    config.data.path = text;
    config.data.extensions = {".txt", text};
    config.sample.prompt = text + std::string(1, '\0');
    EXPECT_NO_THROW(check_config(config));
    EXPECT_FALSE(io::find_invalid_utf8(to_toml(config)));
    const Config again = parse_config(to_toml(config), "again");
    EXPECT_EQ(again.run.directory, text);
    EXPECT_EQ(again.data.path, text);
    EXPECT_EQ(again.data.extensions, config.data.extensions);
    EXPECT_EQ(again.sample.prompt, config.sample.prompt);
    EXPECT_EQ(parse_config("", "f", std::vector<std::string>{"data.path=" + text}).data.path, text);
  }
}

TEST(ConfigText, APathHasNoNul) {
  const std::string reason = " at position 2 of \"r\\x00l\"; leave it out";
  for (const char* key : {"run.directory", "data.path"}) {
    EXPECT_EQ(error_of(std::string(key) + " = \"r\\u0000l\""),
              "run.toml:1: " + std::string(key) + ": no path has a byte 0x00, as" + reason);
    EXPECT_NE(error_of("", {std::string(key) + "=\"r\\u0000l\""}).find(reason), std::string::npos);
  }
  EXPECT_NE(error_of("data.extensions = [\".a\", \"r\\u0000l\"]").find(reason), std::string::npos);
  Config config;
  config.data.path = std::string("r\0l", 3);
  try {
    check_config(config);
    FAIL() << "no error";
  } catch (const io::Error& error) {
    EXPECT_NE(std::string(error.what()).find("data.path: no path has"), std::string::npos);
  }
}

TEST(ConfigText, SpacesAroundTheEqualsSignOfAnOverrideDoNotCount) {
  const std::vector<std::string> overrides = {"train.steps = 50",
                                              " run.device =\tcpu ",
                                              "tiers.host_bytes= 2MiB ",
                                              "data.path = /a b/c.txt",
                                              "sample.prompt = The ",
                                              "run.directory=\" x\"",
                                              "model.feed_forward = memory@0"};
  const Config config = parse_config("", "f", overrides);
  EXPECT_EQ(config.train.steps, 50);
  EXPECT_EQ(config.run.device, DeviceKind::kCpu);
  EXPECT_EQ(config.tiers.store.host_bytes, 2u << 20);
  EXPECT_EQ(config.data.path, "/a b/c.txt");
  EXPECT_EQ(config.sample.prompt, "The ");
  EXPECT_EQ(config.run.directory, " x");
  EXPECT_EQ(parse_config("", "f", std::vector<std::string>{"sample.prompt= a"}).sample.prompt,
            " a");
  EXPECT_EQ(error_of("", {" = 3"}), "--set  = 3: must be KEY=VALUE, as in --set train.steps=100");
}

TEST(ConfigText, WhateverAPathNamesIsReadOrRefusedWithAWayOut) {
  const test::TemporaryDirectory folder;
  const auto error = [](const std::string& path) -> std::string {
    try {
      load_config(path);
    } catch (const io::Error& refused) {
      EXPECT_EQ(std::string(refused.what()).rfind(path + ": ", 0), 0u) << refused.what();
      return refused.what();
    }
    return "no error";
  };
  EXPECT_NE(error(folder.file("")).find("name a TOML file"), std::string::npos);
  EXPECT_NE(error(folder.file("none.toml")).find("name a TOML file"), std::string::npos);
  EXPECT_NE(error(folder.file("none.toml/x")).find("name a TOML file"), std::string::npos);
  EXPECT_NE(error(std::string(5000, 'x')).find("name a TOML file"), std::string::npos);
  EXPECT_NE(error("/dev/zero").find("more than 1048576 bytes"), std::string::npos);
  EXPECT_NE(error("/proc/self/mem").find("cannot read the configuration"), std::string::npos);
  EXPECT_EQ(error("/dev/null"), "no error");
  const std::string pipe = folder.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_NE(error(pipe).find("nothing was written"), std::string::npos);
  // A pipe with a writer is read to its end.
  const int keep = ::open(pipe.c_str(), O_RDWR);
  ASSERT_GE(keep, 0);
  // What was written stays, should the writer be done before the pipe is opened.
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  std::thread writer([&] {
    const std::string text = "[train]\nsteps = 77\n";
    EXPECT_EQ(::write(keep, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::usleep(1000);
    ::close(keep);
  });
  const Config config = load_config(pipe);
  writer.join();
  ::close(reader);
  EXPECT_EQ(config.train.steps, 77);
}

}  // namespace
}  // namespace mneme::engine
