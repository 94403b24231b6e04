// Decoding: whole texts and token by token give the same text, and a character is never split.
#include <gtest/gtest.h>

#include "io/error.h"
#include "tests/text/tokenizer_examples.h"
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

TEST(Decode, TokenByTokenGivesTheTextOfAllBytesAtOnce) {
  const auto tokenizer =
      testing::opened(testing::tiktoken_content({"\u4e2d", "\xb8\xad", "ab\xf0"}), "cl100k_base");
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    StreamDecoder stream(*tokenizer);
    std::string bytes, streamed;
    for (int i = 0; i < 8; ++i) {
      // Many bytes that begin characters and go on with them.
      const auto id =
          static_cast<std::int32_t>(random() % 2 ? random() % 260 : 0x80 + random() % 128);
      bytes += tokenizer->token_bytes(id);
      const std::string piece = stream.add(id);
      EXPECT_EQ(io::find_invalid_utf8(piece), std::nullopt);
      streamed += piece;
    }
    streamed += stream.finish();
    std::string expected;
    io::append_valid_utf8(bytes, expected);
    EXPECT_EQ(streamed, expected);
  }
}

TEST(Decode, SpecialTokensAreLeftOutWhereTheyAreNotWanted) {
  const auto tokenizer = testing::opened(testing::tiktoken_content(), "r50k_base");
  const std::vector<std::int32_t> ids = {'a', 256, 'b'};
  EXPECT_EQ(decode(*tokenizer, ids), "a<|endoftext|>b");
  EXPECT_EQ(decode(*tokenizer, ids, false), "ab");
}

}  // namespace
}  // namespace mneme::text
