#include "engine/config_reader.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <utility>

#include "engine/config_file.h"
#include "io/error.h"
#include "io/utf8.h"

namespace mneme::engine {
namespace {

// One value found in a file or an override.
struct Found {
  const toml::node* node = nullptr;
  std::string place;  // "FILE:LINE" or "--set KEY=VALUE"
  // An override's value as typed; taken by keys that hold text when it is no TOML string.
  std::optional<std::string> bare;
};

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

class Assignment {
 public:
  Assignment(const Key& key, const Found& found) : key_(key), found_(found) {}

  void operator()(const IntegerValue& value) const {
    value.set(checked_integer(*found_.node, value.least, value.most));
  }
  void operator()(const BytesValue& value) const {
    std::uint64_t bytes = 0;
    const auto number = found_.node->value_exact<std::int64_t>();
    const std::string text = number ? fmt::format("{}", *number)
                                    : found_.bare.value_or(found_.node->value_or(std::string()));
    if (value.percent != nullptr) {
      double percent = 0;
      value.percent->reset();
      if (parse_percent(trimmed(text), value.most_percent, percent)) {
        *value.percent = percent;
        if (value.automatic != nullptr) *value.automatic = false;
        return;
      }
    }
    if (value.automatic != nullptr) {
      *value.automatic = trimmed(text) == "auto";
      if (*value.automatic) return;
    }
    if (!parse_bytes(trimmed(text), bytes)) {
      fail("expected {}, not {}", describe_type(value), shown());
    }
    *value.field = bytes;
  }
  void operator()(const RealValue& value) const {
    if (!found_.node->is_number()) fail("expected {}, not {}", describe_type(value), shown());
    const double number = *found_.node->value<double>();
    if (!(number >= value.least && number <= value.most)) {
      fail("expected {}, not {}", describe_type(value), number);
    }
    *value.field = number * value.scale;
  }
  void operator()(const FlagValue& value) const {
    const auto flag = found_.node->value_exact<bool>();
    if (!flag) fail("expected {}, not {}", describe_type(value), shown());
    *value.field = *flag;
  }
  void operator()(const TextValue& value) const { *value.field = checked_text(text(), value.kind); }
  void operator()(const ChoiceValue& value) const {
    const std::string name(trimmed(text()));
    if (std::ranges::find(value.names, name) == value.names.end()) {
      fail("must be one of {}, not \"{}\"", describe_type(value), io::printable(name));
    }
    value.set(name);
  }
  void operator()(const ParsedValue& value) const {
    try {
      value.set(text());
    } catch (const io::Error& error) {
      fail("{}", error.what());
    }
  }
  void operator()(const TextListValue& value) const {
    std::vector<std::string> list;
    for (const toml::node& element : array()) {
      const auto item = element.value_exact<std::string>();
      if (!item) fail("expected {}, not {}", describe_type(value), shown());
      list.push_back(checked_text(io::utf8_to_bytes(*item), value.kind));
    }
    *value.field = std::move(list);
  }
  void operator()(const IntegerListValue& value) const {
    std::vector<std::int64_t> list;
    for (const toml::node& element : array()) {
      list.push_back(checked_integer(element, value.least, value.most));
    }
    *value.field = std::move(list);
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    io::fail("{}: {}: {}", found_.place, key_.name,
             fmt::format(format, std::forward<Args>(args)...));
  }
  // What was found, for messages.
  std::string shown() const {
    if (found_.bare) return fmt::format("\"{}\"", io::printable(*found_.bare));
    switch (found_.node->type()) {
      case toml::node_type::table:
        return "a table";
      case toml::node_type::array:
        return "a list";
      case toml::node_type::string:
        return fmt::format("\"{}\"", io::printable(*found_.node->value<std::string>()));
      case toml::node_type::integer:
        return fmt::format("{}", *found_.node->value<std::int64_t>());
      case toml::node_type::floating_point:
        return fmt::format("{:#}", *found_.node->value<double>());
      case toml::node_type::boolean:
        return *found_.node->value<bool>() ? "true" : "false";
      default:
        return "a date or time";
    }
  }
  std::int64_t checked_integer(const toml::node& node, std::int64_t least,
                               std::int64_t most) const {
    const auto number = node.value_exact<std::int64_t>();
    if (!number) fail("expected {}, not {}", describe_type(key_.value), shown());
    if (*number < least || *number > most) {
      fail("expected {}, not {}", describe_type(key_.value), *number);
    }
    return *number;
  }
  std::string text() const {
    if (found_.bare) return *found_.bare;
    const auto value = found_.node->value_exact<std::string>();
    if (!value) fail("must be a string, not {}", shown());
    return io::utf8_to_bytes(*value);
  }
  std::string checked_text(std::string text, TextKind kind) const {
    const std::size_t nul = text.find('\0');
    if (kind == TextKind::kPath && nul != text.npos) {
      fail("no path has a byte 0x00, as at position {} of \"{}\"; leave it out", nul + 1,
           io::printable(text));
    }
    return text;
  }
  const toml::array& array() const {
    const toml::array* list = found_.node->as_array();
    if (list == nullptr) fail("expected {}, not {}", describe_type(key_.value), shown());
    return *list;
  }

  const Key& key_;
  const Found& found_;
};

[[noreturn]] void fail_unknown(std::span<const Key> keys, const std::string& place,
                               const std::string& name) {
  // The right key in the wrong section is near, too. Ties go to the nearer whole name. A name far
  // longer than any key is near none.
  constexpr std::size_t kLongest = 100;
  const std::string last = name.substr(name.rfind('.') + 1);
  const Key* nearest = nullptr;
  std::pair<std::size_t, std::size_t> smallest;
  for (const Key& key : keys) {
    if (name.size() > kLongest) break;
    const std::size_t whole = edit_distance(name, key.name);
    const std::size_t part = 1 + edit_distance(last, key.name.substr(key.name.rfind('.') + 1));
    const std::pair<std::size_t, std::size_t> distance(std::min(whole, part), whole);
    if (nearest == nullptr || distance < smallest) {
      nearest = &key;
      smallest = distance;
    }
  }
  const std::string shown = io::printable(name, kLongest);
  if (nearest != nullptr && smallest.first <= 1 + last.size() / 3) {
    io::fail("{}: unknown key {}; did you mean {}?", place, shown, nearest->name);
  }
  io::fail("{}: unknown key {}; `mneme train --help-config` lists the keys", place, shown);
}

const Key* find_key(std::span<const Key> keys, const std::string& name) {
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

bool is_section(std::span<const Key> keys, const std::string& name) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const Key& key) { return key.name.starts_with(name + "."); });
}

// Assigns every value of `table`, whose dotted name is `prefix`.
void read_table(std::span<const Key> keys, const toml::table& table, const std::string& prefix,
                const std::string& name, KeyPlaces& places) {
  for (const auto& [part, node] : table) {
    const std::string word(part.str());
    const std::string place = fmt::format("{}:{}", name, part.source().begin.line);
    if (word.empty() || word.find('.') != word.npos) {
      io::fail(
          "{}: unknown key {}\"{}\"; a name in quotes is one name, not a path: write it "
          "without them",
          place, prefix.empty() ? "" : prefix + ".", io::printable(word, 100));
    }
    const std::string full = prefix.empty() ? word : prefix + "." + word;
    if (const Key* key = find_key(keys, full)) {
      std::visit(Assignment(*key, Found{&node, place, std::nullopt}), key->value);
      places[full] = place;
    } else if (!is_section(keys, full)) {
      if (const toml::table* section = node.as_table(); section != nullptr && !section->empty()) {
        read_table(keys, *section, full, name, places);  // names the unknown key itself
      }
      fail_unknown(keys, place, full);
    } else if (const toml::table* section = node.as_table()) {
      read_table(keys, *section, full, name, places);
    } else {
      io::fail("{}: {} is a section; write its keys below [{}]", place, full, full);
    }
  }
}

// The table that "value = TYPED" is in TOML; empty where that is no single value.
toml::table parse_typed(std::string_view typed) {
  if (find_too_deep(typed)) return {};  // the parser recurses
  try {
    toml::table table = toml::parse(fmt::format("value = {}", io::bytes_to_utf8(typed)));
    if (table.size() == 1) return table;
  } catch (const toml::parse_error&) {
    return {};
  }
  return {};
}

void apply_override(std::span<const Key> keys, const std::string& text, KeyPlaces& places) {
  const std::size_t equals = text.find('=');
  const std::string place = "--set " + io::printable(text);
  const std::string name(trimmed(std::string_view(text).substr(0, std::min(equals, text.size()))));
  if (equals == std::string::npos || name.empty()) {
    io::fail("{}: must be KEY=VALUE, as in --set train.steps=100", place);
  }
  std::string_view typed = std::string_view(text).substr(equals + 1);
  // In "key = value" the spaces belong to the assignment; in "key= value" they belong to the value.
  if (text[equals - 1] == ' ' || text[equals - 1] == '\t') {
    typed.remove_prefix(std::min(typed.find_first_not_of(" \t"), typed.size()));
  }
  const Key* key = find_key(keys, name);
  if (key == nullptr) fail_unknown(keys, place, name);
  set_key(*key, typed, place);
  places[name] = place;
}

// A number without a sign and what stands behind it: "1.5 GB".
bool parse_amount(std::string_view text, std::string& number_text, double& number,
                  std::string_view& unit) {
  std::size_t digits = 0;
  while (digits < text.size() &&
         (std::isdigit(static_cast<unsigned char>(text[digits])) != 0 || text[digits] == '.')) {
    ++digits;
  }
  if (digits == 0 || digits > 20) return false;
  number_text = text.substr(0, digits);
  char* end = nullptr;
  number = std::strtod(number_text.c_str(), &end);
  unit = text.substr(digits);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  return *end == '\0';
}

}  // namespace

void set_key(const Key& key, std::string_view typed, const std::string& place) {
  toml::table table = parse_typed(typed);
  const bool quoted = table.contains("value") && table.get("value")->is_string();
  if (table.empty()) table.insert("value", std::string(typed));
  const Found found{table.get("value"), place,
                    quoted ? std::nullopt : std::optional<std::string>(typed)};
  std::visit(Assignment(key, found), key.value);
}

KeyPlaces read_keys(std::span<const Key> keys, std::string_view text, const std::string& name,
                    std::span<const std::string> overrides) {
  check_config_text(text, name);
  KeyPlaces places;
  toml::table table;
  try {
    table = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    io::fail("{}:{}: {}", name, error.source().begin.line, io::printable(error.description()));
  }
  read_table(keys, table, "", name, places);
  for (const std::string& override : overrides) apply_override(keys, override, places);
  return places;
}

bool parse_percent(std::string_view text, double most, double& percent) {
  std::string number_text;
  std::string_view unit;
  return parse_amount(text, number_text, percent, unit) && unit == "%" && percent > 0 &&
         percent <= most;
}

bool parse_bytes(std::string_view text, std::uint64_t& bytes) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {{"KiB", 1024.0},
                                                                   {"MiB", 1048576.0},
                                                                   {"GiB", 1073741824.0},
                                                                   {"TiB", 1099511627776.0},
                                                                   {"kB", 1e3},
                                                                   {"KB", 1e3},
                                                                   {"MB", 1e6},
                                                                   {"GB", 1e9},
                                                                   {"TB", 1e12},
                                                                   {"B", 1},
                                                                   {"", 1}};
  std::string number_text;
  double number = 0;
  std::string_view unit;
  if (!parse_amount(text, number_text, number, unit)) return false;
  for (const auto& [name, factor] : kUnits) {
    if (unit != name) continue;
    const double size = number * factor;
    if (!(size <= static_cast<double>(kMostBytes))) return false;
    // Whole numbers are exact also above 2^53.
    bytes =
        number_text.find('.') == std::string::npos
            ? std::strtoull(number_text.c_str(), nullptr, 10) * static_cast<std::uint64_t>(factor)
            : static_cast<std::uint64_t>(size);
    return bytes <= kMostBytes;
  }
  return false;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Optimal string alignment: three rows of the table are enough.
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1,
                         above[j - 1] + (a[i - 1] == b[j - 1] ? std::size_t{0} : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

}  // namespace mneme::engine
