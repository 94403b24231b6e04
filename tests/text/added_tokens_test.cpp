// Tokens that are found in text before it is cut into pieces.
#include "text/added_tokens.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace mneme::text {
namespace {

AddedToken token(std::string text, std::int32_t id) {
  AddedToken token;
  token.text = std::move(text);
  token.id = id;
  return token;
}

// "between|<id>|between|..."
std::string split(const std::vector<AddedToken>& tokens, std::string_view text,
                  bool with_special = true) {
  std::string out;
  AddedTokens(tokens).split(text, with_special,
                            [&](std::string_view between, const AddedToken* found) {
                              out += between;
                              if (found) out += fmt::format("|<{}>|", found->id);
                            });
  return out;
}

TEST(AddedTokens, TheLeftmostAndThenTheLongestIsFound) {
  const std::vector<AddedToken> tokens = {token("ab", 1), token("abc", 2), token("bcde", 3)};
  EXPECT_EQ(split(tokens, "xabcdex"), "x|<2>|dex");
  EXPECT_EQ(split(tokens, "abdbcde"), "|<1>|d|<3>|");
  EXPECT_EQ(split(tokens, "abab"), "|<1>||<1>|");
  EXPECT_EQ(split(tokens, "a"), "a");
  EXPECT_EQ(split(tokens, ""), "");
  EXPECT_EQ(split({}, "abc"), "abc");
  EXPECT_EQ(split({token("", 1)}, "abc"), "abc");
}

TEST(AddedTokens, WhiteSpaceBesideThemIsTaken) {
  std::vector<AddedToken> tokens = {token("<a>", 1)};
  tokens[0].takes_left = true;
  EXPECT_EQ(split(tokens, "x \n\u2028\u3000<a> y"), "x|<1>| y");
  EXPECT_EQ(split(tokens, "x\u180e<a>"), "x\u180e|<1>|");
  tokens[0].takes_left = false;
  tokens[0].takes_right = true;
  EXPECT_EQ(split(tokens, "x <a> \t\u00a0\u0085y"), "x |<1>|y");
  EXPECT_EQ(split(tokens, "<a>  "), "|<1>|");
  tokens[0].takes_left = true;
  EXPECT_EQ(split(tokens, " <a> <a> "), "|<1>||<1>|");
}

TEST(AddedTokens, SingleWordsAreNotTouchedByWords) {
  std::vector<AddedToken> tokens = {token("the", 1)};
  tokens[0].single_word = true;
  EXPECT_EQ(split(tokens, "the then other the."), "|<1>| then other |<1>|.");
  for (const std::string beside : {"x", "7", "_", "\u00e9", "\u4e2d", "\u0301", "\u200d"}) {
    EXPECT_EQ(split(tokens, "the" + beside), "the" + beside);
    EXPECT_EQ(split(tokens, beside + "the"), beside + "the");
  }
  for (const std::string beside : {"-", " ", "\u3000", "\U0001f600"}) {
    EXPECT_EQ(split(tokens, beside + "the" + beside), beside + "|<1>|" + beside);
  }
}

TEST(AddedTokens, SpecialOnesAreTextWhereTheyAreNotWanted) {
  std::vector<AddedToken> tokens = {token("<a>", 1), token("<b>", 2)};
  tokens[0].is_special = true;
  EXPECT_EQ(split(tokens, "<a><b>"), "|<1>||<2>|");
  EXPECT_EQ(split(tokens, "<a><b>", false), "<a>|<2>|");
}

}  // namespace
}  // namespace mneme::text
