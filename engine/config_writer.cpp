// Everything that is written from the table of keys: TOML, the terminal's listing, documentation.
#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "engine/config_keys.h"
#include "engine/row_gradient_choice.h"
#include "io/utf8.h"

namespace mneme::engine {
namespace {

// A string of TOML. Bytes that are not UTF-8 stay as they are.
std::string quoted_bytes(const std::string& text) {
  std::string out = "\"";
  for (const char letter : text) {
    switch (letter) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) {
          out += fmt::format("\\u{:04X}", static_cast<unsigned char>(letter));
        } else {
          out += letter;
        }
    }
  }
  return out + "\"";
}

std::string quoted_text(const std::string& text) {
  return quoted_bytes(io::bytes_to_utf8(text));
}

template <typename List, typename Format>
std::string joined(const List& list, const char* separator, Format format) {
  std::string out;
  for (const auto& item : list) {
    if (!out.empty()) out += separator;
    out += format(item);
  }
  return out;
}

// The shortest writing that reads back, times `scale`, as the same number; always a TOML float.
std::string real_text(double number, double scale) {
  std::string text = fmt::format("{}", number / scale);
  for (int digits = 1; scale != 1 && digits <= 17; ++digits) {
    const std::string shorter = fmt::format("{:.{}g}", number / scale, digits);
    if (std::strtod(shorter.c_str(), nullptr) * scale == number) {
      text = shorter;
      break;
    }
  }
  const bool whole = text.find_first_not_of("-0123456789") == std::string::npos;
  if (whole) text += ".0";  // not behind nan and inf
  return text;
}

struct Formatter {
  std::string operator()(const IntegerValue& value) const { return fmt::format("{}", value.get()); }
  std::string operator()(const BytesValue& value) const {
    if (value.automatic != nullptr && *value.automatic) return quoted_text("auto");
    if (value.percent != nullptr && *value.percent)
      return quoted_text(fmt::format("{}%", **value.percent));
    const std::string text = format_bytes(*value.field);
    return text.back() == 'B' ? quoted_text(text) : text;
  }
  std::string operator()(const RealValue& value) const {
    return real_text(*value.field, value.scale);
  }
  std::string operator()(const FlagValue& value) const { return *value.field ? "true" : "false"; }
  std::string operator()(const TextValue& value) const { return quoted_text(*value.field); }
  std::string operator()(const TextListValue& value) const {
    return fmt::format("[{}]", joined(*value.field, ", ", quoted_text));
  }
  std::string operator()(const IntegerListValue& value) const {
    const auto plain = [](std::int64_t number) { return fmt::format("{}", number); };
    return fmt::format("[{}]", joined(*value.field, ", ", plain));
  }
  std::string operator()(const ChoiceValue& value) const { return quoted_text(value.get()); }
  std::string operator()(const ParsedValue& value) const { return quoted_text(value.get()); }
};

struct Describer {
  std::string operator()(const IntegerValue& value) const {
    return fmt::format("integer, {} to {}", value.least, value.most);
  }
  std::string operator()(const BytesValue& value) const {
    std::string text =
        fmt::format("bytes, 0 to {}, as 4096 or \"64MiB\"", format_bytes(kMostBytes));
    if (value.percent != nullptr) {
      text +=
          fmt::format(", or a share of the table up to \"{}%\", as \"25%\"", value.most_percent);
    }
    if (value.automatic != nullptr) text += ", or \"auto\"";
    return text;
  }
  std::string operator()(const RealValue& value) const {
    return fmt::format("number, {} to {}", value.least, value.most);
  }
  std::string operator()(const FlagValue&) const { return "true | false"; }
  std::string operator()(const TextValue& value) const {
    return value.kind == TextKind::kPath ? "path" : "string";
  }
  std::string operator()(const TextListValue&) const { return "list of strings"; }
  std::string operator()(const IntegerListValue& value) const {
    return fmt::format("list of integers, each {} to {}", value.least, value.most);
  }
  std::string operator()(const ParsedValue& value) const { return value.form; }
  std::string operator()(const ChoiceValue& value) const {
    return joined(value.names, " | ", [](const std::string& name) { return name; });
  }
};

// "train" of "train.steps", "memory.optimizer" of "memory.optimizer.kind".
std::string section_of(const std::string& name) {
  return name.substr(0, name.rfind('.'));
}
std::string last_part(const std::string& name) {
  return name.substr(name.rfind('.') + 1);
}

// `|` would end a cell of a Markdown table.
std::string cell(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    if (letter == '|') out += '\\';
    out += letter;
  }
  return out;
}

}  // namespace

std::string format_value(const KeyValue& value) {
  return std::visit(Formatter{}, value);
}
std::string describe_type(const KeyValue& value) {
  return std::visit(Describer{}, value);
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::pair<const char*, std::uint64_t> kUnits[] = {
      {"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}};
  for (const auto& [name, factor] : kUnits) {
    if (bytes != 0 && bytes % factor == 0) return fmt::format("{}{}", bytes / factor, name);
  }
  return fmt::format("{}", bytes);
}

std::string text_override(const std::string& key, const std::string& text) {
  return fmt::format("{}={}", key, quoted_bytes(text));
}

std::string to_toml(const Config& config) {
  Config copy = config;  // the table of keys binds to fields that it could change
  if (!copy.tiers.automatic.any()) choose_row_gradient(copy);
  const std::vector<Key> keys = config_keys(copy);
  std::string out;
  for (const ConfigSection& section : config_sections()) {
    out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section.name);
    for (const Key& key : keys) {
      if (section_of(key.name) != section.name) continue;
      out += fmt::format("{} = {}\n", last_part(key.name), format_value(key.value));
    }
  }
  return out;
}

std::string config_help() {
  Config defaults;
  const std::vector<Key> keys = config_keys(defaults);
  std::string out;
  for (const ConfigSection& section : config_sections()) {
    out += fmt::format("{}[{}]  {}\n", out.empty() ? "" : "\n", section.name, section.description);
    for (const Key& key : keys) {
      if (section_of(key.name) != section.name) continue;
      out += fmt::format("  {} = {}\n      {}\n      {}\n", last_part(key.name),
                         format_value(key.value), key.description, describe_type(key.value));
    }
  }
  return out;
}

std::string config_markdown() {
  Config defaults;
  const std::vector<Key> keys = config_keys(defaults);
  std::string out =
      "# Configuration\n"
      "\n"
      "A run is one TOML file; `mneme train FILE --set section.key=value` overrides single keys.\n"
      "Relative paths start at the working directory. Sizes are integers in bytes or strings such\n"
      "as \"64MiB\" or \"1.5GB\". An unknown key, a wrong type or an impossible size is an error\n"
      "that names the key, file and line.\n"
      "\n"
      "A tier's budget may be a share of the value table: \"25%\" is a quarter of its rows, "
      "rounded\n"
      "to whole rows, times the bytes of a record (value, moments and 32 bytes, "
      "[formats.md](formats.md#rows-file)).\n"
      "What a tier keeps beside its records comes out of that, too: bookkeeping, on the device "
      "`tiers.evaluation_share`,\n"
      "and on disk the rest of each slot and the rows of kept checkpoints. So somewhat less than "
      "a quarter\n"
      "of the rows fits, and a disk budget may be up to 1000%.\n"
      "\n"
      "After `--set`, text needs no quotes. In `--set \"key = value\"` the spaces around `=` do "
      "not\n"
      "count; in `--set \"key= value\"` the space is part of a text. Paths and texts there may "
      "hold\n"
      "any bytes; in a file, which is UTF-8, the character U+EF00 + byte stands for a byte that "
      "is\n"
      "part of no UTF-8 character. A file has at most 1 MiB; keys and values nest at most 16 "
      "deep.\n"
      "\n"
      "This page is written by `mneme train --help-config markdown`.\n";
  for (const ConfigSection& section : config_sections()) {
    out +=
        fmt::format("\n## [{}]\n\n{}\n\n| key | default | values | meaning |\n|---|---|---|---|\n",
                    section.name, section.description);
    for (const Key& key : keys) {
      if (section_of(key.name) != section.name) continue;
      out +=
          fmt::format("| `{}` | `{}` | {} | {} |\n", last_part(key.name), format_value(key.value),
                      cell(describe_type(key.value)), cell(key.description));
    }
  }
  return out;
}

}  // namespace mneme::engine
