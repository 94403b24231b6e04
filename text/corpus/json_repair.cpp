#include "text/corpus/json_repair.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace mneme::text {
namespace {

constexpr std::size_t kEscapeLength = 6;  // \uXXXX

bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}

// The number of digits from `at` on.
std::size_t digits(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && is_digit(text[end])) ++end;
  return end - at;
}

// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?
bool is_json_number(std::string_view text) {
  std::size_t at = text.starts_with('-') ? 1 : 0;
  const std::size_t whole = digits(text, at);
  if (whole == 0 || (whole > 1 && text[at] == '0')) return false;
  at += whole;
  if (at < text.size() && text[at] == '.') {
    const std::size_t fraction = digits(text, at + 1);
    if (fraction == 0) return false;
    at += 1 + fraction;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    const std::size_t exponent = digits(text, at);
    if (exponent == 0) return false;
    at += exponent;
  }
  return at == text.size();
}

// Behind the string that begins at a quotation mark.
std::size_t end_of_string(std::string_view json, std::size_t at) {
  for (++at; at < json.size() && json[at] != '"'; ++at) {
    if (json[at] == '\\') ++at;
  }
  return std::min(at + 1, json.size());
}

// The code unit of a \u escape at this place, or -1.
std::int32_t code_unit_at(std::string_view json, std::size_t at) {
  if (json.size() < at + kEscapeLength || json[at] != '\\' || json[at + 1] != 'u') return -1;
  std::int32_t unit = 0;
  const char* const begin = json.data() + at + 2;
  const char* const end = begin + 4;
  const auto [behind, error] = std::from_chars(begin, end, unit, 16);
  return error == std::errc() && behind == end && unit >= 0 ? unit : -1;
}

bool is_high(std::int32_t unit) {
  return unit >= 0xd800 && unit < 0xdc00;
}
bool is_low(std::int32_t unit) {
  return unit >= 0xdc00 && unit < 0xe000;
}

}  // namespace

std::string without_numbers(std::string_view json) {
  std::string out;
  for (std::size_t at = 0; at < json.size();) {
    std::size_t end = at + 1;
    if (json[at] == '"') {
      end = end_of_string(json, at);
    } else if (json[at] == '-' || is_digit(json[at])) {
      end = std::min(json.find_first_not_of("0123456789+-.eE", at), json.size());
      if (is_json_number(json.substr(at, end - at))) {
        out += '0';
        at = end;
        continue;
      }
    }
    out += json.substr(at, end - at);
    at = end;
  }
  return out;
}

std::optional<std::string> without_lone_surrogates(std::string_view json) {
  std::optional<std::string> changed;
  for (std::size_t at = json.find('\\'); at != json.npos; at = json.find('\\', at)) {
    const std::int32_t unit = code_unit_at(json, at);
    if (is_high(unit) && is_low(code_unit_at(json, at + kEscapeLength))) {
      at += 2 * kEscapeLength;
    } else if (is_high(unit) || is_low(unit)) {
      if (!changed) changed = json;
      changed->replace(at + 2, 4, "FFFD");
      at += kEscapeLength;
    } else {
      at += 2;  // of any other escape, and more letters at most
    }
  }
  return changed;
}

}  // namespace mneme::text
