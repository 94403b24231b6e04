// Completions of the command line: everything that the help pages and the table of keys know is in
// them, and the shells complete with them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/config_keys.h"
#include "tests/tools/program.h"
#include "tools/mneme/arguments.h"

namespace mneme::tools {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

// The words of a help page that begin its lines, behind two blanks: commands below "Subcommands:",
// options elsewhere ("-o,--output" is two).
struct Page {
  Words commands;
  Words options;
};

Page page_of(Words command) {
  command.push_back("--help");
  std::istringstream text(parse_arguments(command).output);
  Page page;
  std::string section;
  for (std::string line; std::getline(text, line);) {
    if (line.ends_with(':')) section = line;
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (line.rfind("  ", 0) != 0 || line[2] == ' ') continue;
    if (section == "Subcommands:") page.commands.push_back(word);
    if (section != "Options:") continue;
    std::istringstream names(word);
    for (std::string name; std::getline(names, name, ',');) page.options.push_back(name);
  }
  return page;
}

class Completion : public ::testing::Test {
 protected:
  Completion() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              ("mneme_completion_" + std::string(test->name()) + "_" + std::to_string(getpid()));
    fs::create_directories(folder_ / "runs" / "first run");
    for (const char* name : {"run.toml", "rows.txt"}) std::ofstream(folder_ / name) << "x";
  }
  ~Completion() override { fs::remove_all(folder_); }

  // What `mneme completion SHELL` prints.
  std::string script_for(const std::string& shell) const {
    const test::Finished ended =
        test::Program(folder_.string(), test::mneme({"completion", shell})).wait_a_minute();
    EXPECT_EQ(ended.status, 0) << ended.error;
    return ended.output;
  }

  // What `shell` prints when it runs `text` in the folder, which holds its script as _mneme.
  std::string output_of(const std::string& shell, const std::string& text) const {
    std::ofstream(folder_ / "_mneme") << script_for(fs::path(shell).filename());
    std::ofstream(folder_ / "commands") << "cd '" << folder_.string() << "'\n" << text;
    const test::Finished ended =
        test::Program(folder_.string(), {shell, (folder_ / "commands").string()}).wait_a_minute();
    EXPECT_EQ(ended.status, 0) << ended.output;
    EXPECT_EQ(ended.error, "");
    return ended.output;
  }

  // What bash would put in place of the last word; `words` as it cuts them.
  std::string by_bash(const std::string& words) const {
    return output_of("/bin/bash", "source ./_mneme\nCOMP_WORDS=(mneme " + words +
                                      ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_mneme\n"
                                      "IFS='|'; echo \"${COMPREPLY[*]}\"\n");
  }

  fs::path folder_;
};

void expect_complete(const Words& command, const std::string& bash, const std::string& zsh) {
  std::string path;
  for (const std::string& word : command) path += (path.empty() ? "" : " ") + word;
  SCOPED_TRACE(path);
  const std::size_t in_bash = bash.find("    '" + path + "')\n");
  std::string function = command.empty() ? "_mneme" : "_mneme_" + path;
  for (char& letter : function) letter = letter == ' ' ? '_' : letter;
  const std::size_t in_zsh = zsh.find("\n" + function + "() {\n");
  ASSERT_NE(in_bash, bash.npos);
  ASSERT_NE(in_zsh, zsh.npos);
  const std::string of_bash = bash.substr(in_bash, bash.find(";;", in_bash) - in_bash);
  const std::string of_zsh = zsh.substr(in_zsh, zsh.find("\n}\n", in_zsh) - in_zsh);
  const Page page = page_of(command);
  EXPECT_FALSE(page.options.empty());
  for (const std::string& name : page.options) {
    EXPECT_TRUE(of_bash.find(" " + name + " ") != bash.npos ||
                of_bash.find("'" + name + " ") != bash.npos ||
                of_bash.find(" " + name + "'") != bash.npos)
        << name;
    EXPECT_TRUE(of_zsh.find(")" + name) != zsh.npos || of_zsh.find("'*" + name) != zsh.npos)
        << name;
  }
  for (const std::string& name : page.commands) {
    EXPECT_NE(of_bash.find(name), bash.npos) << name;
    EXPECT_NE(of_zsh.find("'" + name + ":"), zsh.npos) << name;
    Words below = command;
    below.push_back(name);
    expect_complete(below, bash, zsh);
  }
}

TEST_F(Completion, EveryCommandAndOptionOfTheHelpPagesIsInTheScripts) {
  expect_complete({}, script_for("bash"), script_for("zsh"));
}

TEST_F(Completion, EveryKeyOfTheConfigurationIsInTheScripts) {
  const std::string bash = script_for("bash");
  const std::string zsh = script_for("zsh");
  engine::Config config;
  for (const engine::Key& key : engine::config_keys(config)) {
    EXPECT_TRUE(bash.find("    " + key.name + "\n") != bash.npos ||
                bash.find("    " + key.name + "'\n") != bash.npos)
        << key.name;
    EXPECT_NE(zsh.find("'" + key.name + ":"), zsh.npos) << key.name;
  }
}

TEST_F(Completion, BashCompletesCommandsOptionsAndChoices) {
  EXPECT_EQ(by_bash("gen"), "generate\n");
  EXPECT_EQ(by_bash("bench d"), "disk\n");
  EXPECT_EQ(by_bash("eval runs --accept"), "--accept-changed-data\n");
  EXPECT_EQ(by_bash("bench rows --optimizer adamw"), "adamw|adamw-lazy\n");
  EXPECT_EQ(by_bash("train --device = cp"), "cpu\n");
  EXPECT_EQ(by_bash("train --device=cp"), "--device=cpu\n") << "where = does not cut words";
  EXPECT_EQ(by_bash("completion ''"), "bash|zsh\n");
  EXPECT_EQ(by_bash("generate runs --tokens ''"), "\n");
  EXPECT_EQ(by_bash("generate --tokens 5 ru"), "runs\n") << "5 is no folder of the run";
}

TEST_F(Completion, BashCompletesFilesAndFolders) {
  EXPECT_EQ(by_bash("train r"), "runs|run.toml\n");
  EXPECT_EQ(by_bash("resume r"), "runs\n");
  EXPECT_EQ(by_bash("resume runs/"), "runs/first run\n");
  EXPECT_EQ(by_bash("resume runs ''"), "\n");
  EXPECT_EQ(by_bash("export runs -o ro"), "rows.txt\n");
}

TEST_F(Completion, BashCompletesSettings) {
  EXPECT_EQ(by_bash("train run.toml --set run.d"),
            "run.directory=|run.device=|run.device_index=\n");
  EXPECT_EQ(by_bash("train run.toml --set memory.gate = s"), "swilu\n");
  EXPECT_EQ(by_bash("train run.toml --set memory.gate ="), "none|swilu\n");
  EXPECT_EQ(by_bash("train run.toml --set memory.gate=s"), "memory.gate=swilu\n");
  EXPECT_EQ(by_bash("train run.toml --set model.feed_forward=me"), "model.feed_forward=memory@0\n");
  EXPECT_EQ(by_bash("resume runs --set = model.tied_output = t"), "true\n");
  EXPECT_EQ(by_bash("train run.toml --set data.path = ro"), "rows.txt\n");
}

// A real zsh on a terminal: each line, a tab, and a key that shows what has become of the line.
TEST_F(Completion, ZshCompletesCommandsOptionsFilesAndSettings) {
  const std::string zsh = "/usr/bin/zsh";
  if (!fs::exists(zsh)) GTEST_SKIP() << "there is no " << zsh;
  const std::vector<std::pair<std::string, std::string>> lines = {
      {"gen", "generate"},
      {"bench d", "bench disk"},
      {"eval runs --acc", "eval runs --accept-changed-data"},
      {"bench rows --device cu", "bench rows --device cuda"},
      {"train run", "train run"},  // runs/ or run.toml
      {"train run.", "train run.toml"},
      {"resume r", "resume runs/"},
      {"export runs -o ro", "export runs -o rows.txt"},
      {"train --set memory.sca", "train --set memory.scalar_gate="},
      {"train --set memory.gate=s", "train --set memory.gate=swilu"},
      {"train --set=data.path=ro", "train --set=data.path=rows.txt"},
  };
  std::string text =
      "zmodload zsh/zpty\n"
      "zpty shell env TERM=dumb zsh -f -i\n"
      "zpty -w shell \"autoload -U compinit; compinit -u -D; source ./_mneme\"\n"
      "zpty -w shell 'show() { print -r \"<\"\"<$BUFFER>\"\">\"; BUFFER=; }; zle -N show'\n"
      "zpty -w shell 'bindkey \"^T\" show'\n";
  std::string expected;
  for (const auto& [typed, completed] : lines) {
    text += "zpty -w -n shell 'mneme " + typed + "'$'\\t\\x14'\n" +
            "zpty -r shell line '*<<*>>*'; line=${line##*<<}; print -r -- \"${line%%>>*}\"\n";
    expected += "mneme " + completed + "\n";
  }
  std::string shown = output_of(zsh, text + "zpty -d shell\n");
  // zsh ends a complete word with a blank.
  for (std::size_t at = 0; (at = shown.find(" \n", at)) != shown.npos;) shown.erase(at, 1);
  EXPECT_EQ(shown, expected);
}

}  // namespace
}  // namespace mneme::tools
