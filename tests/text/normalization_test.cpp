// Unicode's normalization forms, with the characters that the reference does not know left alone.
#include "text/normalization.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace mneme::text {
namespace {

constexpr std::array kForms = {NormalizationForm::kC, NormalizationForm::kD, NormalizationForm::kKC,
                               NormalizationForm::kKD};

std::string normalized(NormalizationForm form, std::string_view text) {
  std::string buffer;
  return std::string(normalize(form, text, buffer));
}

TEST(Normalization, EachFormIsUnicodes) {
  const std::string text = "\u00e9 e\u0301 \ufb01 \uac00 \u212b";
  EXPECT_EQ(normalized(NormalizationForm::kNone, text), text);
  EXPECT_EQ(normalized(NormalizationForm::kC, text), "\u00e9 \u00e9 \ufb01 \uac00 \u00c5");
  EXPECT_EQ(normalized(NormalizationForm::kD, text), "e\u0301 e\u0301 \ufb01 \u1100\u1161 A\u030a");
  EXPECT_EQ(normalized(NormalizationForm::kKC, text), "\u00e9 \u00e9 fi \uac00 \u00c5");
  EXPECT_EQ(normalized(NormalizationForm::kKD, text), "e\u0301 e\u0301 fi \u1100\u1161 A\u030a");
  for (const NormalizationForm form : kForms) {
    EXPECT_EQ(normalized(form, ""), "");
    EXPECT_EQ(normalized(form, std::string_view("a\0b", 3)), std::string_view("a\0b", 3));
  }
}

TEST(Normalization, CharactersAddedAfterUnicode9StayAsTheyAre) {
  // U+32FF decomposes, U+1E136 and U+11A34 are marks with an order; none was there in version 9.
  for (const NormalizationForm form : kForms) {
    EXPECT_EQ(normalized(form, "\u32ff"), "\u32ff");
    EXPECT_EQ(normalized(form, "e\U0001e136\u0301"), "e\U0001e136\u0301");
    EXPECT_EQ(normalized(form, "\U0001fbf5"), "\U0001fbf5");
  }
  EXPECT_EQ(normalized(NormalizationForm::kC, "e\u0301\u32ffe\u0301"), "\u00e9\u32ff\u00e9");
  // Its older neighbour decomposes.
  EXPECT_EQ(normalized(NormalizationForm::kKC, "\u32fe"), "\u30f2");
}

// A text in form C is often known to be without a look at each character; an emoji behind it makes
// the slow way be taken.
TEST(Normalization, TheQuickLookNeverDiffers) {
  const std::string emoji = "\U0001f600";
  std::mt19937 random(3);
  const auto character = [&] {
    constexpr std::array<std::pair<unsigned, unsigned>, 6> kRanges = {{{0x40, 0x80},
                                                                       {0x80, 0x300},
                                                                       {0x400, 0x480},
                                                                       {0x3000, 0x3100},
                                                                       {0x4e00, 0x4e80},
                                                                       {0xac00, 0xac80}}};
    const auto [first, end] = kRanges[random() % kRanges.size()];
    const unsigned c = first + static_cast<unsigned>(random() % (end - first));
    if (c < 0x80) return std::string(1, static_cast<char>(c));
    std::string out;
    if (c >= 0x800) out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(c < 0x800 ? 0xc0 | c >> 6 : 0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
    return out;
  };
  for (int round = 0; round < 50'000; ++round) {
    const std::string text = character() + character() + character();
    EXPECT_EQ(normalized(NormalizationForm::kC, text) + emoji,
              normalized(NormalizationForm::kC, text + emoji));
  }
  EXPECT_EQ(normalized(NormalizationForm::kC, "\u3042\u302c\u302a"), "\u3042\u302a\u302c");
}

}  // namespace
}  // namespace mneme::text
