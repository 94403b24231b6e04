// What can be completed on mneme's command line, read off its grammar: a new command, option,
// choice or configuration key is here by itself. Knows no shell.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace mneme::tools {

// What a value may be, as far as a shell can help.
enum class Completion {
  kNothing,   // a flag: no value follows
  kAnything,  // a number, a text
  kFile,
  kTomlFile,
  kFolder,
  kChoice,   // one of `choices`
  kSetting,  // KEY=VALUE of the configuration
};

struct CompletedValue {
  Completion kind = Completion::kAnything;
  std::vector<std::string> choices;
};

struct CompletedOption {
  std::vector<std::string> names;  // as typed: "-o", "--output"
  std::string description;
  CompletedValue value;
  bool repeats = false;
};

struct CompletedPositional {
  std::string name;
  CompletedValue value;
};

struct CompletedName {
  std::string name;
  std::string description;
};

// `mneme` itself has the empty path, its commands "train", "bench disk" and so on.
struct CompletedCommand {
  std::string path;
  std::string description;
  std::vector<CompletedName> commands;  // that may follow
  std::vector<CompletedOption> options;
  std::vector<CompletedPositional> positionals;
};

// The program first, then each command before those below it.
std::vector<CompletedCommand> completed_commands(const CLI::App& app);

struct CompletedKey {
  std::string name;  // "run.device"
  std::string description;
  CompletedValue value;
};

// The keys of the configuration, in the order of its documentation.
std::vector<CompletedKey> completed_keys();

}  // namespace mneme::tools
