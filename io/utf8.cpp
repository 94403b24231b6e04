#include "io/utf8.h"

#include <fmt/format.h>

namespace mneme::io {
namespace {

using Byte = unsigned char;

// What the first byte of a character says of it.
struct Lead {
  std::size_t bytes = 0;  // of the whole character; 0 where none starts
  // The second byte's range, which excludes overlong forms, surrogates and what is above U+10FFFF.
  Byte least = 0x80, most = 0xbf;
};

Lead lead_of(Byte first) {
  if (first < 0x80) return {1};
  if (first >= 0xc2 && first <= 0xdf) return {2};
  if (first == 0xe0) return {3, 0xa0, 0xbf};
  if (first == 0xed) return {3, 0x80, 0x9f};
  if (first >= 0xe1 && first <= 0xef) return {3};
  if (first == 0xf0) return {4, 0x90, 0xbf};
  if (first == 0xf4) return {4, 0x80, 0x8f};
  if (first >= 0xf1 && first <= 0xf3) return {4};
  return {};
}

// Bytes at the front that belong to the character that `lead` begins: all of it, or what is there.
std::size_t bytes_of_lead(std::string_view text, Lead lead) {
  std::size_t bytes = 1;
  while (bytes < lead.bytes && bytes < text.size()) {
    const Byte next = static_cast<Byte>(text[bytes]);
    if (next < lead.least || next > lead.most) break;
    lead.least = 0x80;
    lead.most = 0xbf;
    ++bytes;
  }
  return bytes;
}

// Bytes of the character that starts at the first byte of `text`, 0 where none does.
std::size_t character_bytes(std::string_view text) {
  const Lead lead = lead_of(static_cast<Byte>(text[0]));
  return lead.bytes > 0 && bytes_of_lead(text, lead) == lead.bytes ? lead.bytes : 0;
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

std::size_t incomplete_utf8(std::string_view text) {
  for (std::size_t length = 1; length <= 3 && length <= text.size(); ++length) {
    const std::string_view end = text.substr(text.size() - length);
    const Lead lead = lead_of(static_cast<Byte>(end[0]));
    if (lead.bytes > length && bytes_of_lead(end, lead) == length) return length;
  }
  return 0;
}

void append_valid_utf8(std::string_view text, ReplacementUnit unit, std::string& out) {
  for (std::size_t at = 0; at < text.size();) {
    const Lead lead = lead_of(static_cast<Byte>(text[at]));
    const std::size_t bytes = bytes_of_lead(text.substr(at), lead);
    if (lead.bytes == bytes) {
      out += text.substr(at, bytes);
      at += bytes;
    } else {
      out += "\xef\xbf\xbd";
      at += unit == ReplacementUnit::kEachByte ? 1 : bytes;
    }
  }
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
