// Damaged and hostile SentencePiece models are Errors, or work; the library, which takes what it
// reads on trust, never gets to see what would lead it astray.
#include <cstring>

#include "tests/text/sentencepiece_models.h"
#include "tests/text/tokenizer_examples.h"
#include "text/normalization_table.h"
#include "text/sentencepiece_tokenizer.h"

namespace mneme::text {
namespace {

using testing::bytes_field;
using testing::error_of;
using testing::expect_parts;
using testing::number_field;
using testing::piece_field;
using testing::varint;

// Opens a model and uses all of it. What its Error says, empty where there is none.
std::string used(const std::string& model) {
  return error_of([&] {
    const auto tokenizer = parse_sentencepiece(model, "a/tokenizer.model");
    std::vector<std::int32_t> ids;
    const std::string text = "the \u4e2d\u6587 caf\u00e9  \u212b \ufb01 aaaab <0x0A> xyz\u3000!";
    tokenizer->make_encoder()->encode(text, {.add_special = true}, ids);
    for (const std::int32_t id : ids) {
      ASSERT_GE(id, 0);
      ASSERT_LT(id, tokenizer->vocabulary());
    }
    decode(*tokenizer, ids);
    tokenizer->find_cut(text, 0);
  });
}
void expect_refused(const std::string& model, std::vector<std::string> parts) {
  parts.push_back("a/tokenizer.model: ");
  expect_parts(used(model), parts);
}

const std::string kUnknownPiece = piece_field("<unk>", 0, testing::kUnknown);

TEST(SentencePieceDamage, CutShortIsAnErrorAtEveryByte) {
  // The trainer's options are first and the pieces behind them, so that every byte is missed.
  const std::string model = testing::trainer_field(2) + testing::normalizer_field({}) +
                            kUnknownPiece + piece_field("a", -1) + piece_field("\u2581", -2);
  ASSERT_EQ(used(model), "");
  int whole = 0;
  for (std::size_t bytes = 0; bytes < model.size(); ++bytes) {
    const std::string message = used(model.substr(0, bytes));
    whole += message.empty();
    if (!message.empty()) expect_parts(message, {"a/tokenizer.model: no whole"});
  }
  EXPECT_EQ(whole, 2);  // behind a piece
}

TEST(SentencePieceDamage, TrainedModelsWithDamageAreErrorsOrWork) {
  std::mt19937 random(1);
  for (const std::string type : {"bpe", "unigram"}) {
    const std::string model = testing::trained_model({{"model_type", type}});
    ASSERT_EQ(used(model), "");
    for (int round = 0; round < 150; ++round) {
      std::string damaged = model;
      if (round % 3 == 0) damaged.resize(random() % damaged.size());
      for (std::size_t i = 0; i < 1 + random() % 3 && !damaged.empty(); ++i) {
        // The table is most of the file; the pieces are in front of it.
        const std::size_t most = round % 2 ? 4000 : damaged.size();
        char& byte = damaged[random() % std::min(most, damaged.size())];
        byte = static_cast<char>(byte ^ 1 << random() % 8);
      }
      const std::string message = used(damaged);
      if (!message.empty()) expect_parts(message, {"a/tokenizer.model: "});
    }
  }
}

TEST(SentencePieceDamage, WhatCannotBeAVocabularyIsRefused) {
  const std::string rest = testing::trainer_field(1) + testing::normalizer_field({});
  expect_refused(rest, {"no whole SentencePiece model"});
  expect_refused(piece_field("a") + rest, {"no whole SentencePiece model"});
  expect_refused(kUnknownPiece + rest, {"no whole SentencePiece model"});
  expect_refused(kUnknownPiece + piece_field("") + rest, {"piece must not be empty"});
  expect_refused(kUnknownPiece + piece_field("a") + piece_field("a") + rest, {"already defined"});
  expect_refused(kUnknownPiece + piece_field("<0x00>", 0, testing::kByte) + rest, {"byte"});
  // What ends a text in the library's tables.
  const std::string zero = std::string("a\0b", 3);
  expect_refused(kUnknownPiece + piece_field("a") + piece_field(zero) + rest, {"zero byte"});
  expect_refused(kUnknownPiece + piece_field(zero.substr(1), 0, testing::kUserDefined) + rest,
                 {"zero byte"});
  std::string many;
  for (std::int64_t i = 0; i <= kMostTokens; ++i) many += bytes_field(1, "");
  expect_refused(many, {"262145 pieces", "262144"});
}

TEST(SentencePieceDamage, GroupsAndOddKeysHideNothing) {
  // The library passes over a group; what stands behind one would not be looked at.
  const std::string rest = kUnknownPiece + piece_field("a") + testing::trainer_field(2);
  EXPECT_EQ(used(rest), "");
  expect_refused(varint(99 << 3 | 3) + varint(99 << 3 | 4) + rest, {"no whole"});
  expect_refused(varint((std::uint64_t{1} << 32) + (3 << 3 | 2)) + varint(0) + rest, {"no whole"});
  expect_refused(varint(0) + rest, {"no whole"});
}

TEST(SentencePieceDamage, UserDefinedPiecesOverflowNoArray) {
  for (const std::uint64_t type : {std::uint64_t{1}, std::uint64_t{2}}) {
    std::string model = kUnknownPiece + piece_field("b") + testing::trainer_field(type) +
                        testing::normalizer_field({});
    std::string text;
    for (int i = 0; i < 64; ++i) {
      text += 'a';
      model += piece_field(text, 0, testing::kUserDefined);
    }
    EXPECT_EQ(used(model), "");
    expect_refused(model + piece_field(text + "a", 0, testing::kUserDefined),
                   {"more than 64 user-defined pieces"});
    // A type that the library does not know, and passes over.
    const std::string hidden =
        bytes_field(1, bytes_field(1, text + "a") + number_field(3, testing::kUserDefined) +
                           number_field(3, 99));
    expect_refused(model + hidden, {"more than 64 user-defined pieces"});
  }
}

TEST(SentencePieceDamage, RulesForDecodingAreNotSupported) {
  expect_refused(kUnknownPiece + piece_field("a") + bytes_field(5, bytes_field(2, "x")),
                 {"rules that change decoded text"});
}

// A normalization table of one block, whose units are set by the test.
class NormalizationTable : public ::testing::Test {
 protected:
  // No byte leads to a unit with this bit.
  static constexpr std::uint32_t kValue = 1u << 31, kEndsRule = 1u << 8;
  NormalizationTable() : units_(512, kValue), texts_("x\0", 2) { units_[0] = 256u << 10; }

  // The state that `byte` leads to from a base.
  static std::uint32_t state(char byte, std::size_t at, std::size_t base, bool ends_rule = false) {
    return static_cast<std::uint32_t>((at ^ base) << 10) | (ends_rule ? kEndsRule : 0) |
           static_cast<unsigned char>(byte);
  }
  std::string content() const {
    std::string table(4 + 4 * units_.size(), '\0');
    const auto bytes = static_cast<std::uint32_t>(4 * units_.size());
    std::memcpy(table.data(), &bytes, 4);
    std::memcpy(table.data() + 4, units_.data(), bytes);
    return table + texts_;
  }
  std::string danger() const {
    return std::string(danger_in_normalization_table(content()).value_or(""));
  }
  std::string used_in_model() const {
    return used(kUnknownPiece + piece_field("x") + testing::trainer_field(2) +
                testing::normalizer_field({.table = content()}));
  }

  std::vector<std::uint32_t> units_;
  std::string texts_;
};

TEST_F(NormalizationTable, RulesReplaceText) {
  units_[256 ^ 'a'] = state('a', 256 ^ 'a', 0x80, true);
  units_[0x80] = kValue | 0;
  EXPECT_EQ(danger(), "");
  const auto tokenizer =
      parse_sentencepiece(kUnknownPiece + piece_field("x") + testing::trainer_field(2) +
                              testing::normalizer_field({.table = content()}),
                          "a/tokenizer.model");
  EXPECT_EQ(testing::encoded(*tokenizer, "xab"), (testing::Ids{1, 1, 0}));
}

TEST_F(NormalizationTable, ValuesStayInsideTheTexts) {
  units_[256 ^ 'a'] = state('a', 256 ^ 'a', 0x80, true);
  units_[0x80] = kValue | 2;
  EXPECT_EQ(danger(), "has a value outside its texts");
  // What is no value is followed as one all the same.
  units_[0x80] = state('a', 0x80, 0);
  EXPECT_EQ(danger(), "has a value outside its texts");
  EXPECT_NE(used_in_model(), "");
}

TEST_F(NormalizationTable, StepsStayInsideTheTable) {
  units_[256 ^ 'a'] = state('a', 256 ^ 'a', 1 << 20);
  EXPECT_EQ(danger(), "has a step outside itself");
  units_[256 ^ 'a'] = kValue;
  units_[0] = 1u << 20;
  EXPECT_EQ(danger(), "has a step outside itself");
  units_[0] = kValue | 256u << 10;
  EXPECT_EQ(danger(), "has no root");
}

TEST_F(NormalizationTable, RulesThatBeginAlikeAreAsManyAsTheLibraryHasRoomFor) {
  // 'a' leads to a state whose 'a' leads to itself: a rule ends there each time.
  units_[256 ^ 'a'] = state('a', 256 ^ 'a', 256, true);
  units_[256] = kValue | 0;
  EXPECT_EQ(danger(), "leads in a circle");
  EXPECT_NE(used_in_model(), "");
  // A chain of 32 rules, and one of 33.
  for (const std::size_t rules : {32, 33}) {
    units_.assign(256 * 40, kValue);
    units_[0] = 256u << 10;
    for (std::size_t i = 0; i < rules; ++i) {
      const std::size_t base = 256 * (i + 1);
      units_[base ^ 'a'] = state('a', base ^ 'a', base + 256, true);
    }
    EXPECT_EQ(danger(), rules == 32 ? "" : "has too many rules that begin alike");
    EXPECT_EQ(used_in_model().empty(), rules == 32);
  }
}

TEST_F(NormalizationTable, HasASizeAndTextsThatEnd) {
  EXPECT_EQ(danger_in_normalization_table(""), std::nullopt);
  for (const std::size_t bytes : {1u, 3u, 4u, 100u, 2051u}) {
    EXPECT_EQ(danger_in_normalization_table(content().substr(0, bytes)), "is cut short") << bytes;
  }
  EXPECT_EQ(danger_in_normalization_table(content().substr(0, 2052)), "has texts without an end");
  texts_ = "x";
  EXPECT_EQ(danger(), "has texts without an end");
  texts_ = std::string(2000, 'x') + '\0';
  EXPECT_EQ(danger(), "has a text that is too long");
  texts_ = std::string("x\0", 2);
  units_.resize(255);
  EXPECT_EQ(danger(), "has no root");
}

}  // namespace
}  // namespace mneme::text
