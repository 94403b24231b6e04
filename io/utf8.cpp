#include "io/utf8.h"

#include <fmt/format.h>

namespace mneme::io {
namespace {

using Byte = unsigned char;

// Bytes of the character that starts at the first byte of `text`, 0 where none does.
std::size_t character_bytes(std::string_view text) {
  const Byte first = static_cast<Byte>(text[0]);
  if (first < 0x80) return 1;
  // The second byte's range excludes overlong forms, surrogates and what is above U+10FFFF.
  Byte least = 0x80, most = 0xbf;
  std::size_t bytes = 0;
  if (first >= 0xc2 && first <= 0xdf) {
    bytes = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    bytes = 3;
    if (first == 0xe0) least = 0xa0;
    if (first == 0xed) most = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    bytes = 4;
    if (first == 0xf0) least = 0x90;
    if (first == 0xf4) most = 0x8f;
  }
  if (bytes == 0 || text.size() < bytes) return 0;
  for (std::size_t i = 1; i < bytes; ++i) {
    const Byte next = static_cast<Byte>(text[i]);
    if (next < least || next > most) return 0;
    least = 0x80;
    most = 0xbf;
  }
  return bytes;
}

// U+EF80 to U+EFFF, which stand for the bytes 0x80 to 0xFF, are EE BE 80 to EE BF BF.
bool stands_for_byte(std::string_view text) {
  return text.size() >= 3 && text[0] == '\xee' && (text[1] == '\xbe' || text[1] == '\xbf') &&
         character_bytes(text) == 3;
}

void append_stand_in(char byte, std::string& out) {
  out += '\xee';
  out += static_cast<Byte>(byte) < 0xc0 ? '\xbe' : '\xbf';
  out += static_cast<char>(0x80 | (static_cast<Byte>(byte) & 0x3f));
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = character_bytes(text.substr(at));
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::nullopt;
}

std::string bytes_to_utf8(std::string_view bytes) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t character = character_bytes(bytes.substr(at));
    if (character == 0 || stands_for_byte(bytes.substr(at))) {
      append_stand_in(bytes[at], out);
      ++at;
    } else {
      out += bytes.substr(at, character);
      at += character;
    }
  }
  return out;
}

std::string utf8_to_bytes(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (stands_for_byte(text.substr(at))) {
      const int high = text[at + 1] == '\xbe' ? 0x80 : 0xc0;
      out += static_cast<char>(high | (static_cast<Byte>(text[at + 2]) & 0x3f));
      at += 3;
    } else {
      out += text[at];
      ++at;
    }
  }
  return out;
}

std::string printable(std::string_view text, std::size_t most) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (out.size() >= most) return out + "...";
    const std::size_t bytes = character_bytes(text.substr(at));
    const Byte byte = static_cast<Byte>(text[at]);
    if (bytes == 0 || byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02X}", byte);
      ++at;
    } else {
      out += text.substr(at, bytes);
      at += bytes;
    }
  }
  return out;
}

}  // namespace mneme::io
