// The most likely pieces of a text, ties among them.
#include "text/unigram.h"

#include <gtest/gtest.h>

#include <limits>

namespace mneme::text {
namespace {

using Kind = UnigramPiece::Kind;
using Parts = std::vector<std::pair<std::string, std::int32_t>>;

Parts split(const std::vector<UnigramPiece>& pieces, const std::string& text) {
  const Unigram unigram(pieces);
  Unigram::Scratch scratch;
  std::vector<Unigram::Part> parts;
  unigram.split(text, scratch, parts);
  Parts out;
  std::size_t done = 0;
  for (const Unigram::Part& part : parts) {
    EXPECT_EQ(part.begin, done);
    done = part.end;
    out.emplace_back(text.substr(part.begin, part.end - part.begin), part.id);
  }
  EXPECT_EQ(done, text.size());
  return out;
}

UnigramPiece piece(std::string text, float score, Kind kind = Kind::kNormal) {
  return {std::move(text), score, kind};
}

TEST(Unigram, TheMostLikelyPiecesAreChosen) {
  const std::vector<UnigramPiece> pieces = {piece("a", -1), piece("b", -1), piece("ab", -1.5f),
                                            piece("ba", -3)};
  EXPECT_EQ(split(pieces, "aba"), (Parts{{"ab", 2}, {"a", 0}}));
  EXPECT_EQ(split(pieces, "ba"), (Parts{{"b", 1}, {"a", 0}}));
  EXPECT_EQ(split(pieces, ""), Parts{});
}

TEST(Unigram, OfEqualSumsTheOneThatEndsInTheLongerPieceCounts) {
  // -2 each way: what was offered first, from further in front, stays.
  const std::vector<UnigramPiece> pieces = {piece("a", -1), piece("aa", -2), piece("aaa", -3)};
  EXPECT_EQ(split(pieces, "aa"), (Parts{{"aa", 1}}));
  EXPECT_EQ(split(pieces, "aaa"), (Parts{{"aaa", 2}}));
}

TEST(Unigram, SumsAreInSinglePrecision) {
  // 2^24 + 1 is no float: both ways are as likely, and the whole piece was offered first.
  const std::vector<UnigramPiece> pieces = {piece("a", -16777216), piece("b", -1),
                                            piece("ab", -16777216)};
  EXPECT_EQ(split(pieces, "ab"), (Parts{{"ab", 2}}));
}

TEST(Unigram, CharactersThatNoPieceHoldsArePartsOfTheirOwn) {
  const std::vector<UnigramPiece> pieces = {piece("a", -1), piece("\xe4\xb8", -1)};
  EXPECT_EQ(
      split(pieces, "a\u4e2d\u00e9a"),
      (Parts{{"a", 0}, {"\u4e2d", Unigram::kUnknown}, {"\u00e9", Unigram::kUnknown}, {"a", 0}}));
  EXPECT_EQ(split({}, "xy"), (Parts{{"x", Unigram::kUnknown}, {"y", Unigram::kUnknown}}));
}

TEST(Unigram, UserDefinedPiecesAreChosenAlways) {
  const std::vector<UnigramPiece> pieces = {piece("a", -1), piece("aa", -0.5f),
                                            piece("aab", -90, Kind::kUserDefined), piece("b", -1)};
  EXPECT_EQ(split(pieces, "aaab"), (Parts{{"a", 0}, {"aab", 2}}));
  // The longer one of two.
  EXPECT_EQ(split({piece("ab", 0, Kind::kUserDefined), piece("abc", 0, Kind::kUserDefined),
                   piece("c", -1)},
                  "abc"),
            (Parts{{"abc", 1}}));
}

TEST(Unigram, OtherKindsAreInNoText) {
  const std::vector<UnigramPiece> pieces = {piece("ab", 0, Kind::kOther), piece("a", -1),
                                            piece("b", -1), piece("", 5)};
  EXPECT_EQ(split(pieces, "ab"), (Parts{{"a", 1}, {"b", 2}}));
}

TEST(Unigram, ScoresThatAreNoNumbersStillSplitAllOfTheText) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float score : {nan, infinity, -infinity}) {
    split({piece("a", score), piece("ab", score), piece("b", -1)}, "abxab\u4e2da");
  }
}

}  // namespace
}  // namespace mneme::text
