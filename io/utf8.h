// UTF-8 and bytes that are not: names in a file system are any bytes, TOML and JSON are UTF-8.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace mneme::io {

// Position of the first byte that is part of no character (Unicode's well-formed sequences: no
// overlong forms, no surrogates, nothing above U+10FFFF). Nothing where all of it is UTF-8.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

// How many bytes at the end of `text` are the beginning of a character that is not complete: at
// most 3, and 0 where no continuation makes a character of them.
std::size_t incomplete_utf8(std::string_view text);

// What a U+FFFD stands for: a beginning of a character that is as long as it can be, or else a byte
// (Unicode's and Python's practice); or each byte that is part of no character.
enum class ReplacementUnit { kLongestBeginning, kEachByte };

// Appends the text with U+FFFD in place of what is no character.
void append_valid_utf8(std::string_view text, ReplacementUnit unit, std::string& out);
inline void append_valid_utf8(std::string_view text, std::string& out) {
  append_valid_utf8(text, ReplacementUnit::kLongestBeginning, out);
}

// Any bytes as UTF-8, reversibly: a byte that is part of no character becomes the private character
// U+EF00 + byte (U+EF80 to U+EFFF); what is UTF-8 already stays as it is, but for those characters
// themselves, which become three of them each.
std::string bytes_to_utf8(std::string_view bytes);
std::string utf8_to_bytes(std::string_view text);

// The text with control characters and bytes that are not UTF-8 written as \xNN, cut to about
// `most` bytes with "..." behind.
std::string printable(std::string_view text, std::size_t most = 200);

}  // namespace mneme::io
