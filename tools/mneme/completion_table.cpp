#include "tools/mneme/completion_table.h"

#include <sstream>

#include "engine/config_keys.h"
#include "tools/mneme/grammar.h"

namespace mneme::tools {
namespace {

// The names of a choice, from the set that its help page shows: "TEXT:{auto,cpu,cuda}".
std::vector<std::string> choices_of(const std::string& type) {
  const std::size_t open = type.find('{');
  const std::size_t close = type.find('}', open == type.npos ? 0 : open);
  if (open == type.npos || close == type.npos) return {};
  std::istringstream names(type.substr(open + 1, close - open - 1));
  std::vector<std::string> choices;
  for (std::string name; std::getline(names, name, ',');) choices.push_back(name);
  return choices;
}

CompletedValue value_of(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return {Completion::kNothing, {}};
  const std::string type = option.get_type_name();
  if (type == kFileType) return {Completion::kFile, {}};
  if (type == kTomlType) return {Completion::kTomlFile, {}};
  if (type == kFolderType) return {Completion::kFolder, {}};
  if (type == kSettingType) return {Completion::kSetting, {}};
  std::vector<std::string> choices = choices_of(type);
  if (choices.empty()) return {};
  return {Completion::kChoice, std::move(choices)};
}

void add(const CLI::App& app, const std::string& path, std::vector<CompletedCommand>& all) {
  CompletedCommand command;
  command.path = path;
  command.description = app.get_description();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      command.positionals.push_back({option->get_name(true), value_of(*option)});
      continue;
    }
    CompletedOption completed{{}, option->get_description(), value_of(*option), false};
    for (const std::string& name : option->get_snames()) completed.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) completed.names.push_back("--" + name);
    completed.repeats = option->get_items_expected_max() > 1;
    command.options.push_back(std::move(completed));
  }
  const auto below = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* next : below) {
    command.commands.push_back({next->get_name(), next->get_description()});
  }
  all.push_back(std::move(command));
  for (const CLI::App* next : below) {
    add(*next, path.empty() ? next->get_name() : path + " " + next->get_name(), all);
  }
}

CompletedValue value_of(const engine::KeyValue& value) {
  if (const auto* choice = std::get_if<engine::ChoiceValue>(&value)) {
    return {Completion::kChoice, choice->names};
  }
  if (const auto* parsed = std::get_if<engine::ParsedValue>(&value)) {
    return {Completion::kChoice, parsed->examples};
  }
  if (std::holds_alternative<engine::FlagValue>(value)) {
    return {Completion::kChoice, {"true", "false"}};
  }
  const auto* text = std::get_if<engine::TextValue>(&value);
  if (text != nullptr && text->kind == engine::TextKind::kPath) return {Completion::kFile, {}};
  return {};
}

}  // namespace

std::vector<CompletedCommand> completed_commands(const CLI::App& app) {
  std::vector<CompletedCommand> all;
  add(app, "", all);
  return all;
}

std::vector<CompletedKey> completed_keys() {
  engine::Config config;
  std::vector<CompletedKey> keys;
  for (const engine::Key& key : engine::config_keys(config)) {
    keys.push_back({key.name, key.description, value_of(key.value)});
  }
  return keys;
}

}  // namespace mneme::tools
