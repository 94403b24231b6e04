#include "text/byte_alphabet.h"

#include <cstdint>

namespace mneme::text {
namespace {

constexpr int kExtra = 0x100;  // the first character that stands for a byte that is not printable

bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// A character below U+0800.
std::string utf8_of(int character) {
  if (character < 0x80) return {static_cast<char>(character)};
  return {static_cast<char>(0xc0 | (character >> 6)), static_cast<char>(0x80 | (character & 0x3f))};
}

}  // namespace

const std::array<std::string, 256>& byte_characters() {
  static const std::array<std::string, 256> characters = [] {
    std::array<std::string, 256> made;
    int extra = kExtra;
    for (int byte = 0; byte < 256; ++byte) {
      made[static_cast<std::size_t>(byte)] = utf8_of(is_printable(byte) ? byte : extra++);
    }
    return made;
  }();
  return characters;
}

std::optional<std::string> bytes_of_characters(std::string_view written) {
  static const std::array<int, 0x200> bytes = [] {
    std::array<int, 0x200> made;
    made.fill(-1);
    int extra = kExtra;
    for (int byte = 0; byte < 256; ++byte) {
      made[static_cast<std::size_t>(is_printable(byte) ? byte : extra++)] = byte;
    }
    return made;
  }();
  std::string out;
  for (std::size_t at = 0; at < written.size();) {
    std::uint32_t character = static_cast<unsigned char>(written[at++]);
    if (character >= 0x80) {
      if (character < 0xc2 || character > 0xdf || at == written.size()) return {};
      character = (character & 0x1f) << 6 | (static_cast<unsigned char>(written[at++]) & 0x3f);
    }
    if (character >= bytes.size() || bytes[character] < 0) return {};
    out += static_cast<char>(bytes[character]);
  }
  return out;
}

}  // namespace mneme::text
