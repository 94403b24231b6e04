// SentencePiece models: the same ids and text as the library that makes them.
#include <sentencepiece_processor.h>

#include "tests/text/sentencepiece_models.h"
#include "tests/text/tokenizer_examples.h"
#include "text/sentencepiece_tokenizer.h"

namespace mneme::text {
namespace {

using testing::encoded;
using testing::Ids;
using testing::piece_field;
using testing::trained_model;

std::unique_ptr<Tokenizer> opened(const std::string& model) {
  return parse_sentencepiece(model, "a/tokenizer.model");
}

struct Case {
  std::string name;
  std::unordered_map<std::string, std::string> options;
};
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {{"bpe", {{"model_type", "bpe"}}},
                                        {"unigram", {{"model_type", "unigram"}}},
                                        {"char", {{"model_type", "char"}}},
                                        {"word", {{"model_type", "word"}}},
                                        {"bytes",
                                         {{"model_type", "bpe"},
                                          {"byte_fallback", "true"},
                                          {"vocab_size", "340"},
                                          {"normalization_rule_name", "identity"},
                                          {"remove_extra_whitespaces", "false"}}},
                                        {"unigram_bytes",
                                         {{"model_type", "unigram"},
                                          {"byte_fallback", "true"},
                                          {"vocab_size", "340"},
                                          {"add_dummy_prefix", "false"},
                                          {"remove_extra_whitespaces", "false"}}},
                                        {"suffix",
                                         {{"model_type", "bpe"},
                                          {"treat_whitespace_as_suffix", "true"},
                                          {"user_defined_symbols", "<pad>,qui"}}}};
  return all;
}

class SentencePiece : public ::testing::TestWithParam<std::size_t> {
 protected:
  SentencePiece() : model_(trained_model(cases()[GetParam()].options)), ours_(opened(model_)) {
    EXPECT_TRUE(library_.LoadFromSerializedProto(model_).ok());
  }
  std::string model_;
  std::unique_ptr<Tokenizer> ours_;
  sentencepiece::SentencePieceProcessor library_;
};
INSTANTIATE_TEST_SUITE_P(Models, SentencePiece, ::testing::Range<std::size_t>(0, 7),
                         [](const auto& chosen) { return cases()[chosen.param].name; });

TEST_P(SentencePiece, DecodesAsTheLibraryDoes) {
  std::mt19937 random(11);
  EXPECT_EQ(ours_->vocabulary(), library_.GetPieceSize());
  for (int round = 0; round < 500; ++round) {
    std::vector<int> ids;
    for (int i = 0; i < 1 + round % 9; ++i) {
      ids.push_back(static_cast<int>(random() % static_cast<unsigned>(library_.GetPieceSize())));
    }
    std::string expected;
    ASSERT_TRUE(library_.Decode(ids, &expected).ok());
    EXPECT_EQ(decode(*ours_, ids), expected) << ::testing::PrintToString(ids);
    StreamDecoder stream(*ours_);
    std::string streamed;
    for (const int id : ids) {
      const std::string piece = stream.add(id);
      EXPECT_EQ(io::find_invalid_utf8(piece), std::nullopt);
      streamed += piece;
    }
    EXPECT_EQ(streamed + stream.finish(), expected);
  }
}

TEST_P(SentencePiece, EncodesToTheTextThatTheLibrarySees) {
  std::mt19937 random(12);
  const auto encoder = ours_->make_encoder();
  for (int round = 0; round < 300; ++round) {
    const std::string text = testing::random_text(random, random() % 20);
    std::vector<int> expected;
    ASSERT_TRUE(library_.Encode(text, &expected).ok());
    Ids ids;
    encoder->encode(text, {}, ids);
    // Of unigram models other pieces that are as likely may be chosen.
    if (cases()[GetParam()].name.starts_with("unigram")) {
      EXPECT_EQ(decode(*ours_, ids), decode(*ours_, expected));
    } else {
      EXPECT_EQ(ids, expected);
    }
  }
}

TEST_P(SentencePiece, CutTextGivesTheTokensOfTheWhole) {
  std::mt19937 random(13);
  const auto encoder = ours_->make_encoder();
  for (int round = 0; round < 300; ++round) {
    const std::string text = testing::random_text(random, 2 + random() % 20);
    Ids whole;
    encoder->encode(text, {}, whole);
    for (std::size_t at = 0; (at = ours_->find_cut(text, at)) != std::string::npos; ++at) {
      Ids parts;
      encoder->encode(std::string_view(text).substr(0, at), {}, parts);
      encoder->encode(std::string_view(text).substr(at), {}, parts);
      EXPECT_EQ(parts, whole) << text << " cut at " << at;
    }
  }
}

TEST(SentencePieceModels, KnowTheirSpecialTokens) {
  const auto tokenizer = opened(trained_model({{"model_type", "bpe"}}));
  EXPECT_EQ(tokenizer->kind(), "SentencePiece");
  EXPECT_EQ(tokenizer->file_name(), "tokenizer.model");
  EXPECT_EQ(tokenizer->separator(), 2);
  ASSERT_EQ(tokenizer->special_tokens().size(), 2u);
  EXPECT_EQ(tokenizer->special_tokens()[0].text, "<s>");
  EXPECT_EQ(tokenizer->find_token("</s>"), 2);
  EXPECT_EQ(tokenizer->find_token("<none>"), std::nullopt);
  EXPECT_EQ(encoded(*tokenizer, "a", {.add_special = true})[0], 1);
  EXPECT_NE(tokenizer->find_cut("the dog", 0), std::string::npos);
  EXPECT_EQ(decode(*tokenizer, Ids{1, 0, 2}), " \u2047 ");
}

TEST(SentencePieceModels, UserDefinedPiecesOfAUnigramModelAreChosenAlways) {
  // The ids of the library since 0.2.2.
  const auto tokenizer =
      opened(piece_field("<unk>", 0, testing::kUnknown) + piece_field("a", -1) +
             piece_field("aa", -0.5f) + piece_field("aab", -90, testing::kUserDefined) +
             piece_field("b", -1) + testing::trainer_field(1) + testing::normalizer_field({}));
  EXPECT_EQ(encoded(*tokenizer, "aaab"), (Ids{1, 3}));
}

TEST(SentencePieceModels, UnknownTextIsTheUnknownTokenWhateverItsNameIs) {
  // The trainer's options name a piece that is known.
  for (const std::uint64_t type : {1, 2}) {
    const auto tokenizer = opened(piece_field("a", -1) + piece_field("odd", 0, testing::kUnknown) +
                                  testing::trainer_field(type, testing::bytes_field(45, "a")) +
                                  testing::normalizer_field({}));
    EXPECT_EQ(encoded(*tokenizer, "axa\u4e2dxx"), (Ids{0, 1, 0, 1}));
  }
}

TEST(SentencePieceModels, WithoutASpaceAreNotCut) {
  // One unknown token stands for "z" and the space behind it.
  const auto tokenizer = opened(piece_field("<unk>", 0, testing::kUnknown) + piece_field("a", -1) +
                                piece_field("b", -1) + piece_field("\u2581b", -1) +
                                testing::trainer_field(2) + testing::normalizer_field({}));
  EXPECT_EQ(encoded(*tokenizer, "z z"), (Ids{0}));
  EXPECT_EQ(tokenizer->find_cut("z z", 0), std::string::npos);
}

}  // namespace
}  // namespace mneme::text
