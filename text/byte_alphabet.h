// The characters that byte-level tokenizers write bytes as: printable Latin-1 characters stand for
// themselves, the other 68 bytes are U+0100 and on, in order (GPT-2).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace mneme::text {

// The character of each byte, as UTF-8.
const std::array<std::string, 256>& byte_characters();

// The bytes that a token stands for; nothing where one of its characters stands for none.
std::optional<std::string> bytes_of_characters(std::string_view written);

}  // namespace mneme::text
