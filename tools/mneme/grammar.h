// What the files that make up the command line's grammar share. For them alone.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/enum_names.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

// Names of types, shown by help pages and known to completion_table.cpp.
inline constexpr const char* kFileType = "FILE";
inline constexpr const char* kTomlType = "FILE.toml";
inline constexpr const char* kFolderType = "FOLDER";
inline constexpr const char* kSettingType = "KEY=VALUE";

struct CommandText {
  const char* name;
  const char* description;
  const char* example;
};

// Adds a sub-command whose options fill one struct; `command` becomes it when it is chosen.
template <typename Options>
CLI::App* add_command(CLI::App& parent, std::optional<Command>& command, const CommandText& text,
                      const std::shared_ptr<Options>& options) {
  CLI::App* app = parent.add_subcommand(text.name, text.description);
  app->footer(fmt::format("Example:\n  {}", text.example));
  app->callback([&command, options] { command = *options; });
  return app;
}

// An option with a value that is one of an enum's names.
template <typename Enum>
CLI::Option* add_choice(CLI::App* app, const char* name, Enum& field, const char* description) {
  return app
      ->add_option_function<std::string>(
          name, [&field](const std::string& text) { field = *io::value_named<Enum>(text); },
          description)
      ->default_str(io::name_of(field))
      ->check(CLI::IsMember(io::names_of<Enum>()));
}
// Steps of a run are counted in 31 bits, as in its configuration.
inline constexpr std::uint64_t kMostSteps = 2147483647;
// As run.seed.
inline constexpr std::uint64_t kMostSeed = 9223372036854775807;

// For transform(): refuses what is no whole number, or one outside these limits, and names them.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most);
// The same for any finite number.
CLI::Validator number(double least, double most);
void add_json(CLI::App* app, bool& json);
// --set KEY=VALUE, and --device as a short form of one of them.
void add_overrides(CLI::App* app, std::vector<std::string>& overrides);
void add_bytes(CLI::App* app, const char* name, std::uint64_t& bytes, const char* description);

// `mneme trace` and its commands, and `mneme replay`.
void add_trace_commands(CLI::App& parent, std::optional<Command>& command);
// `mneme tokenizer` and its commands.
void add_tokenizer_commands(CLI::App& parent, std::optional<Command>& command);
// `mneme plan`.
void add_plan_command(CLI::App& parent, std::optional<Command>& command);
// `mneme prepare`.
void add_prepare_command(CLI::App& parent, std::optional<Command>& command);
// `mneme bench` and its commands.
void add_bench_commands(CLI::App& parent, std::optional<Command>& command);

}  // namespace mneme::tools
