#include "text/normalization.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "io/error.h"

namespace mneme::text {
namespace {

// Whether all characters are of blocks in which nothing composes, decomposes or is reordered: what
// is in front of the combining marks (U+0300), Cyrillic letters, ideographs, kana and Hangul
// syllables. Other text may be in form C as well.
bool is_surely_nfc(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
    if (byte(0) < 0x80) {
      ++at;
    } else if (byte(0) < 0xcc || byte(0) == 0xd0 || byte(0) == 0xd1) {
      at += 2;  // to U+02FF, and U+0400 to U+047F
    } else if (byte(0) >= 0xe4 && byte(0) <= 0xec) {
      if (byte(0) == 0xe4 && byte(1) < 0xb8) return false;
      if (byte(0) == 0xea && byte(1) < 0xb0) return false;
      at += 3;  // U+4E00 to U+9FFF, and U+AC00 to U+CFFF
    } else if (byte(0) == 0xe3 && byte(1) >= 0x80 && byte(1) <= 0x83) {
      if (byte(1) == 0x82 && (byte(2) == 0x99 || byte(2) == 0x9a)) return false;
      if (byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xaf) return false;
      at += 3;  // U+3000 to U+30FF without the tone marks and the voiced sound marks
    } else {
      return false;
    }
  }
  return true;
}

// Characters that Unicode has added since version 9, and that have something to normalize. The
// reference's tables are of version 9: to it they are characters like any other. And U+11A7, which
// stands in front of Hangul's last consonants and is none: utf8proc takes it for one.
struct Range {
  std::uint32_t first, last;
};
constexpr std::array<Range, 47> kAsTheyAre = {
    {{0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
     {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x11a7, 0x11a7},
     {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0x32ff, 0x32ff},
     {0xa7f2, 0xa7f4},   {0xa82c, 0xa82c},   {0xab69, 0xab69},   {0x10781, 0x10785},
     {0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac},
     {0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070},
     {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11938},
     {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34},
     {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45},
     {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e030, 0x1e06d},
     {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
     {0x1e4ec, 0x1e4ef}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9}}};

// The character that begins at `at`, and behind it.
std::uint32_t next_character(std::string_view text, std::size_t& at) {
  const auto byte = static_cast<unsigned char>(text[at++]);
  if (byte < 0x80) return byte;
  const int more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
  std::uint32_t character = byte & (0x3fu >> more);
  for (int i = 0; i < more; ++i) {
    character = character << 6 | (static_cast<unsigned char>(text[at++]) & 0x3fu);
  }
  return character;
}

bool stays_as_it_is(std::uint32_t character) {
  const auto range = std::ranges::lower_bound(kAsTheyAre, character, {}, &Range::last);
  return range != kAsTheyAre.end() && range->first <= character;
}

bool is_ascii(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

int options_of(NormalizationForm form) {
  switch (form) {
    case NormalizationForm::kNone:
      break;
    case NormalizationForm::kC:
      return UTF8PROC_COMPOSE;
    case NormalizationForm::kD:
      return UTF8PROC_DECOMPOSE;
    case NormalizationForm::kKC:
      return UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
    case NormalizationForm::kKD:
      return UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
  }
  return 0;
}

struct FreeText {
  void operator()(utf8proc_uint8_t* text) const { std::free(text); }
};

void append_normalized(int options, std::string_view text, std::string& out) {
  if (text.empty()) return;
  utf8proc_uint8_t* normalized = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &normalized,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
  const std::unique_ptr<utf8proc_uint8_t, FreeText> owner(normalized);
  if (size < 0) {
    io::fail("cannot normalize {} bytes of text: {}", text.size(), utf8proc_errmsg(size));
  }
  out.append(reinterpret_cast<const char*>(normalized), static_cast<std::size_t>(size));
}

}  // namespace

std::string_view normalize(NormalizationForm form, std::string_view text, std::string& buffer) {
  if (form == NormalizationForm::kNone || is_ascii(text)) return text;
  if (form == NormalizationForm::kC && is_surely_nfc(text)) return text;
  buffer.clear();
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (!stays_as_it_is(next_character(text, at))) continue;
    append_normalized(options_of(form), text.substr(done, begin - done), buffer);
    buffer += text.substr(begin, at - begin);
    done = at;
  }
  append_normalized(options_of(form), text.substr(done), buffer);
  return buffer;
}

}  // namespace mneme::text
