#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "tools/mneme/completion_scripts.h"

namespace mneme::tools {
namespace {

// For inside of single quotes, with a backslash before each of `special`.
std::string escaped(std::string_view text, std::string_view special = "") {
  std::string result;
  for (const char letter : text) {
    if (special.find(letter) != special.npos) result += '\\';
    if (letter == '\'') {
      result += "'\\''";
    } else {
      result += letter;
    }
  }
  return result;
}

std::string function_of(const std::string& path) {
  std::string name = path.empty() ? "_mneme" : "_mneme_" + path;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

// What zsh calls an action: how a value is completed.
std::string action_of(const CompletedValue& value) {
  switch (value.kind) {
    case Completion::kNothing:
    case Completion::kAnything:
      return "";
    case Completion::kFile:
      return "_files";
    case Completion::kTomlFile:
      return "_files -g \"*.toml\"";
    case Completion::kFolder:
      return "_files -/";
    case Completion::kChoice:
      return fmt::format("({})", joined(value.choices, " "));
    case Completion::kSetting:
      return "_mneme_setting";
  }
  return "";
}

// The arguments of _arguments for a command's options: one for each name.
std::string option_specs(const CompletedCommand& command) {
  std::string text;
  for (const CompletedOption& option : command.options) {
    const bool takes_value = option.value.kind != Completion::kNothing;
    for (const std::string& name : option.names) {
      std::string spec = option.repeats ? "*" : fmt::format("({})", joined(option.names, " "));
      spec += name;
      if (takes_value) spec += name.starts_with("--") ? "=" : "+";
      spec += fmt::format("[{}]", escaped(option.description, "[]:\\"));
      if (takes_value) spec += ":value:" + action_of(option.value);
      text += fmt::format(" \\\n    '{}'", spec);
    }
  }
  return text;
}

std::string function_with_values(const CompletedCommand& command) {
  std::string text = fmt::format("{}() {{\n  _arguments", function_of(command.path));
  text += option_specs(command);
  for (const CompletedPositional& positional : command.positionals) {
    text += fmt::format(" \\\n    ':{}:{}'", positional.name, action_of(positional.value));
  }
  return text + "\n}\n\n";
}

std::string function_with_commands(const CompletedCommand& command) {
  std::string text = fmt::format(
      "{}() {{\n  local curcontext=$curcontext state line\n  typeset -A opt_args\n  local -a "
      "commands=(\n",
      function_of(command.path));
  std::string cases;
  for (const CompletedName& next : command.commands) {
    text += fmt::format("    '{}:{}'\n", next.name, escaped(next.description));
    cases +=
        fmt::format("        {}) {} ;;\n", next.name,
                    function_of(command.path.empty() ? next.name : command.path + " " + next.name));
  }
  text += "  )\n  _arguments -C" + option_specs(command);
  text += " \\\n    ':command:->command' \\\n    '*::argument:->argument'\n";
  text += "  case $state in\n    command) _describe -t commands command commands ;;\n";
  text += "    argument)\n      case $words[1] in\n" + cases + "      esac ;;\n  esac\n}\n\n";
  return text;
}

std::string setting_function(const std::vector<CompletedKey>& keys) {
  std::string names;
  std::string cases;
  for (const CompletedKey& key : keys) {
    names += fmt::format("    '{}:{}'\n", key.name, escaped(key.description));
    if (key.value.kind == Completion::kAnything) continue;
    const std::string action = key.value.kind == Completion::kChoice
                                   ? fmt::format("compadd -- {}", joined(key.value.choices, " "))
                                   : action_of(key.value);
    cases += fmt::format("      {}) {} ;;\n", key.name, action);
  }
  return "_mneme_setting() {\n  local -a keys=(\n" + names +
         "  )\n  if compset -P '*='; then\n    case ${${IPREFIX%=}##*=} in\n" + cases +
         "      *) _message value ;;\n    esac\n  else\n"
         "    _describe -t keys 'key of the configuration' keys -S =\n  fi\n}\n\n";
}

}  // namespace

std::string zsh_completion(const std::vector<CompletedCommand>& commands,
                           const std::vector<CompletedKey>& keys) {
  std::string text =
      "#compdef mneme\n# Completion of mneme for zsh, made by `mneme completion zsh`.\n\n";
  text += setting_function(keys);
  for (const CompletedCommand& command : commands) {
    text +=
        command.commands.empty() ? function_with_values(command) : function_with_commands(command);
  }
  // Called as a function of $fpath, or sourced.
  return text +
         "if [[ $funcstack[1] == _mneme ]]; then\n  _mneme \"$@\"\nelse\n  compdef _mneme "
         "mneme\nfi\n";
}

}  // namespace mneme::tools
