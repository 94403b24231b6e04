// Checked access to TOML by a table of keys: what a key is called, which field it sets, what it may
// be. Knows nothing of what the keys mean (config_keys.cpp does).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mneme::engine {

// Kinds of values. Each is bound to one field of one Config object, which must outlive it.
struct IntegerValue {
  std::function<std::int64_t()> get;
  std::function<void(std::int64_t)> set;
  std::int64_t least = 0;
  std::int64_t most = 0;
};
struct BytesValue {  // an integer, or a string such as "64MiB"
  std::uint64_t* field = nullptr;
  // Where it may be a share such as "25%" instead: set then, and without a value for bytes.
  std::optional<double>* percent = nullptr;
  double most_percent = 100;
  bool* automatic = nullptr;  // where it may be "auto" instead: set then
};
struct RealValue {
  double* field = nullptr;
  double least = 0;
  double most = 0;
  double scale = 1;  // field = scale * (value in the file)
};
struct FlagValue {
  bool* field = nullptr;
};
enum class TextKind {
  kText,  // any bytes
  kPath,  // any bytes but NUL: a name in a file system
};
struct TextValue {
  std::string* field = nullptr;
  TextKind kind = TextKind::kText;
};
struct TextListValue {
  std::vector<std::string>* field = nullptr;
  TextKind kind = TextKind::kText;
};
struct IntegerListValue {
  std::vector<std::int64_t>* field = nullptr;
  std::int64_t least = 0;
  std::int64_t most = 0;
};
struct ChoiceValue {  // one of a few names
  std::vector<std::string> names;
  std::function<std::string()> get;
  std::function<void(const std::string& name)> set;
};
struct ParsedValue {  // text of a form of its own
  std::string form;   // for people
  std::vector<std::string> examples;
  std::function<std::string()> get;
  std::function<void(const std::string& text)> set;  // throws Error saying what is wrong
};
using KeyValue = std::variant<IntegerValue, BytesValue, RealValue, FlagValue, TextValue,
                              TextListValue, IntegerListValue, ChoiceValue, ParsedValue>;

struct Key {
  std::string name;  // "model.width"
  KeyValue value;
  std::string description;  // one sentence
};

// Where each key was set: "FILE:LINE" or "--set KEY=VALUE". Keys left at their defaults have none.
using KeyPlaces = std::map<std::string, std::string>;

// Sets the fields of `keys` from TOML text, then from the overrides. Throws Error (one line: place,
// key, what is wrong) on a syntax error, an unknown key, a wrong type and a value out of range. In
// TOML text, io::bytes_to_utf8's characters stand for bytes that are not UTF-8; overrides are
// bytes.
KeyPlaces read_keys(std::span<const Key> keys, std::string_view text, const std::string& name,
                    std::span<const std::string> overrides);

// Sets one key from a value as it is typed on a command line: TOML, or a bare string for keys that
// hold text. `place` stands in front of messages. Throws Error.
void set_key(const Key& key, std::string_view typed, const std::string& place);
// The type and range of a key for people: "integer, 1 to 64", "lru | lfu".
std::string describe_type(const KeyValue& value);
// The current value of a key in TOML.
std::string format_value(const KeyValue& value);

// The largest size that a key can hold.
inline constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 62;
// "64MiB", "1.5 GB", "4096" -> bytes (units B, KiB, MiB, GiB, TiB, kB, MB, GB, TB). False when it
// is no size, or one above kMostBytes.
bool parse_bytes(std::string_view text, std::uint64_t& bytes);
// "25%", "0.5 %" -> percent. False when it is no share, or none of (0, most].
bool parse_percent(std::string_view text, double most, double& percent);
// The shortest exact writing of a size: "64MiB" or "1000".
std::string format_bytes(std::uint64_t bytes);

// The number of single-letter edits (insert, remove, replace, swap neighbours) between two words.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace mneme::engine
