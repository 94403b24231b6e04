// Bytes that are not UTF-8 go through text that must be, and come back as they were.
#include "io/utf8.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace mneme::io {
namespace {

TEST(Utf8, FindsTheFirstByteThatIsPartOfNoCharacter) {
  for (const std::string text : {"", "plain", "d\xc3\xa9j\xc3\xa0", "\xe2\x82\xac", "\xed\x9f\xbf",
                                 "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(find_invalid_utf8(text), std::nullopt) << printable(text);
  }
  for (const std::string bad :
       {"\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x9f\xbf", "\xe2\x82",
        "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(find_invalid_utf8("ab" + bad), 2u) << printable(bad);
  }
}

TEST(Utf8, AnyBytesComeBackFromUtf8) {
  std::mt19937 random(3);
  for (int i = 0; i < 5000; ++i) {
    std::string bytes;
    for (std::size_t length = random() % 8; bytes.size() < length;) {
      // Mostly bytes around the characters that stand for others.
      bytes += i % 2 == 0 ? static_cast<char>(random()) : "\xee\xbe\xbf\x80\xef\xe9 "[random() % 7];
    }
    const std::string text = bytes_to_utf8(bytes);
    EXPECT_EQ(find_invalid_utf8(text), std::nullopt);
    EXPECT_EQ(utf8_to_bytes(text), bytes) << printable(bytes);
  }
  EXPECT_EQ(bytes_to_utf8("caf\xc3\xa9"), "caf\xc3\xa9") << "UTF-8 stays as it is";
  EXPECT_EQ(bytes_to_utf8("caf\xe9"), "caf\xee\xbf\xa9") << "U+EFE9";
}

TEST(Utf8, APrintableTextIsOneShortLine) {
  EXPECT_EQ(printable("a\nb\t\x1b[1m\x7f d\xc3\xa9 \xe9"),
            "a\\x0Ab\\x09\\x1B[1m\\x7F d\xc3\xa9 \\xE9");
  EXPECT_EQ(printable(std::string(1000, 'x'), 10), "xxxxxxxxxx...");
}

TEST(Utf8, TheBeginningOfACharacterAtTheEndIsCounted) {
  EXPECT_EQ(incomplete_utf8(""), 0u);
  EXPECT_EQ(incomplete_utf8("a\xe2"), 1u);
  EXPECT_EQ(incomplete_utf8("a\xe2\x82"), 2u);
  EXPECT_EQ(incomplete_utf8("a\xe2\x82\xac"), 0u);
  EXPECT_EQ(incomplete_utf8("\xf0\x9f\x98"), 3u);
  // No continuation makes characters of these.
  EXPECT_EQ(incomplete_utf8("\xe0\x80"), 0u);
  EXPECT_EQ(incomplete_utf8("\xff"), 0u);
  EXPECT_EQ(incomplete_utf8("a\x80"), 0u);
}

TEST(Utf8, WhatIsNoCharacterIsReplacedAsPythonReplacesIt) {
  const auto valid = [](std::string_view text) {
    std::string out;
    append_valid_utf8(text, out);
    return out;
  };
  EXPECT_EQ(valid("a\u00e9\u4e2d"), "a\u00e9\u4e2d");
  EXPECT_EQ(valid("\xe2\x82"
                  "a"),
            "\ufffda");  // a beginning: one
  EXPECT_EQ(valid("\xe0\x80"
                  "a"),
            "\ufffd\ufffda");                              // no beginning: each byte
  EXPECT_EQ(valid("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");  // a surrogate
  EXPECT_EQ(valid("\xf0\x9f\x98"), "\ufffd");
  EXPECT_EQ(valid("\xf5\x80"), "\ufffd\ufffd");
}

}  // namespace
}  // namespace mneme::io
