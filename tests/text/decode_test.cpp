// Decoding: whole texts and token by token give the same text, and a character is never split.
#include <gtest/gtest.h>

#include "io/error.h"
#include "text/tokenizer.h"

namespace mneme::text {
namespace {

std::vector<std::int32_t> bytes_of(std::string_view text) {
  std::vector<std::int32_t> tokens;
  make_byte_tokenizer()->make_encoder()->encode(text, {}, tokens);
  return tokens;
}

TEST(Decode, BytesGiveTheirText) {
  const auto tokenizer = make_byte_tokenizer();
  const std::string text = "a\u00e9\u4e2d\U0001f600\n";
  EXPECT_EQ(bytes_of(text).size(), text.size());
  EXPECT_EQ(decode(*tokenizer, bytes_of(text)), text);
}

TEST(Decode, WhatIsNoCharacterBecomesReplacementCharacters) {
  const auto tokenizer = make_byte_tokenizer();
  EXPECT_EQ(decode(*tokenizer, bytes_of("\xf0\x9f"
                                        "a\xff\xfe")),
            "\ufffda\ufffd\ufffd");
}

TEST(Decode, TokenByTokenNeverSplitsACharacter) {
  const auto tokenizer = make_byte_tokenizer();
  StreamDecoder stream(*tokenizer);
  std::vector<std::string> pieces;
  for (const std::int32_t token : bytes_of("\u4e2d!\xf0\x9f"
                                           "a\xe2\x82")) {
    pieces.push_back(stream.add(token));
  }
  pieces.push_back(stream.finish());
  EXPECT_EQ(pieces,
            (std::vector<std::string>{"", "", "\u4e2d", "!", "", "", "\ufffda", "", "", "\ufffd"}));
}

TEST(Decode, IdsOutsideTheVocabularyAreErrors) {
  const auto tokenizer = make_byte_tokenizer();
  EXPECT_THROW(decode(*tokenizer, std::vector<std::int32_t>{1, 256}), io::Error);
  EXPECT_THROW(StreamDecoder(*tokenizer).add(-1), io::Error);
}

}  // namespace
}  // namespace mneme::text
