#include <fmt/format.h>

#include "tools/mneme/completion_scripts.h"

namespace mneme::tools {
namespace {

// The part that knows the shell. The functions that it calls know the grammar and set `kind`,
// `choices`, `commands`, `options`, `positionals` and `keys`.
constexpr const char* kScript = R"script(
# _mneme_value KIND VALUE BEFORE: COMPREPLY with what VALUE can become, BEFORE in front of each.
_mneme_value() {
  local kind=$1 value=$2 before=$3 choices=
  case $kind in
    choice:*) mapfile -t COMPREPLY < <(compgen -W "${kind#choice:}" -- "$value") ;;
    file) mapfile -t COMPREPLY < <(compgen -f -- "$value") ;;
    folder) mapfile -t COMPREPLY < <(compgen -d -- "$value") ;;
    toml) mapfile -t COMPREPLY < <(compgen -d -- "$value"; compgen -f -X '!*.toml' -- "$value") ;;
    setting)
      if [[ $value == *=* ]]; then
        _mneme_key "${value%%=*}"
        _mneme_value "$kind" "${value#*=}" "$before${value%%=*}="
        return
      fi
      local keys
      _mneme_keys
      mapfile -t COMPREPLY < <(compgen -W "$keys" -S = -- "$value")
      compopt -o nospace 2>/dev/null ;;
  esac
  [[ $kind == file || $kind == folder || $kind == toml ]] && compopt -o filenames 2>/dev/null
  COMPREPLY=("${COMPREPLY[@]/#/$before}")
}

_mneme() {
  local IFS=$' \t\n' word last option= command= kind= commands= options=
  local -a words=() positionals=()
  local -i at place=0
  COMPREPLY=()
  # COMP_WORDBREAKS cuts words at = and : unless somebody changed it; here they are whole.
  for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    if [[ -n $word && ${#words[@]} -gt 1 && ( $word == [=:]* || $last == *[=:] ) ]]; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
    last=$word
  done
  local current=${words[-1]}
  [[ $last == [=:] ]] && last=
  local kept=${current%"$last"}  # of the current word, what the shell leaves as it is

  _mneme_command ""
  for ((at = 1; at < ${#words[@]} - 1; ++at)); do
    word=${words[at]}
    if [[ -n $option ]]; then
      option=
    elif [[ $word == -* ]]; then
      _mneme_option "$command" "$word"
      [[ -n $kind ]] && option=$word
    elif [[ " $commands " == *" $word "* ]]; then
      command+=${command:+ }$word
      _mneme_command "$command"
    else
      place+=1
    fi
  done

  if [[ -n $option ]]; then
    _mneme_option "$command" "$option"
    _mneme_value "$kind" "$current" ""
  elif [[ $current == --*=* ]]; then
    _mneme_option "$command" "${current%%=*}"
    _mneme_value "$kind" "${current#*=}" "${current%%=*}="
  elif [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  elif [[ -n $commands ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
  elif ((place < ${#positionals[@]})); then
    _mneme_value "${positionals[place]}" "$current" ""
  fi
  COMPREPLY=("${COMPREPLY[@]#"$kept"}")
}

complete -F _mneme mneme
)script";

// Nothing for a flag.
std::string kind_of(const CompletedValue& value) {
  switch (value.kind) {
    case Completion::kNothing:
      return "";
    case Completion::kAnything:
      return "anything";
    case Completion::kFile:
      return "file";
    case Completion::kTomlFile:
      return "toml";
    case Completion::kFolder:
      return "folder";
    case Completion::kChoice:
      return fmt::format("'choice:{}'", joined(value.choices, " "));
    case Completion::kSetting:
      return "setting";
  }
  return "";
}

std::string command_function(const std::vector<CompletedCommand>& all) {
  std::string text = "_mneme_command() {\n  case $1 in\n";
  for (const CompletedCommand& command : all) {
    std::vector<std::string> below;
    for (const CompletedName& next : command.commands) below.push_back(next.name);
    std::vector<std::string> options;
    for (const CompletedOption& option : command.options) {
      options.insert(options.end(), option.names.begin(), option.names.end());
    }
    std::vector<std::string> positionals;
    for (const CompletedPositional& positional : command.positionals) {
      positionals.push_back(kind_of(positional.value));
    }
    text += fmt::format(
        "    '{}')\n      commands='{}'\n      options='{}'\n      positionals=({}) ;;\n",
        command.path, joined(below, " "), joined(options, " "), joined(positionals, " "));
  }
  return text + "  esac\n}\n";
}

std::string option_function(const std::vector<CompletedCommand>& all) {
  std::string text = "_mneme_option() {\n  kind=\n  case \"$1 $2\" in\n";
  for (const CompletedCommand& command : all) {
    for (const CompletedOption& option : command.options) {
      if (option.value.kind == Completion::kNothing) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names) {
        patterns.push_back(fmt::format("'{} {}'", command.path, name));
      }
      text += fmt::format("    {}) kind={} ;;\n", joined(patterns, " | "), kind_of(option.value));
    }
  }
  return text + "  esac\n}\n";
}

std::string key_functions(const std::vector<CompletedKey>& keys) {
  std::string text = "_mneme_key() {\n  case $1 in\n";
  std::vector<std::string> names;
  for (const CompletedKey& key : keys) {
    names.push_back(key.name);
    if (key.value.kind == Completion::kAnything) continue;
    text += fmt::format("    {}) kind={} ;;\n", key.name, kind_of(key.value));
  }
  text += "    *) kind=anything ;;\n  esac\n}\n";
  return text + fmt::format("_mneme_keys() {{\n  keys='\n    {}'\n}}\n", joined(names, "\n    "));
}

}  // namespace

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

std::string bash_completion(const std::vector<CompletedCommand>& commands,
                            const std::vector<CompletedKey>& keys) {
  return "# Completion of mneme for bash, made by `mneme completion bash`.\n\n" +
         command_function(commands) + option_function(commands) + key_functions(keys) + kScript;
}

}  // namespace mneme::tools
