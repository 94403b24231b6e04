// Splits by patterns: what becomes of matches, the pieces of published patterns, and expressions
// that cannot be used.
#include "text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "tests/text/tokenizer_examples.h"
#include "text/known_patterns.h"

namespace mneme::text {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(const std::vector<Split>& splits, std::string_view text) {
  PreTokenizer pre_tokenizer(splits);
  Pieces pieces;
  pre_tokenizer.split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

Pieces split(std::string_view expression, std::string_view text,
             SplitBehavior behavior = SplitBehavior::kIsolated, bool inverted = false) {
  std::vector<Split> splits;
  splits.push_back({Pattern(std::string(expression), "a file"), behavior, inverted});
  return split(splits, text);
}

TEST(PreTokenizer, BehaviorsSayWhatBecomesOfMatches) {
  const auto with = [](SplitBehavior behavior, bool inverted = false) {
    return split("-", "-a--b-", behavior, inverted);
  };
  EXPECT_EQ(with(SplitBehavior::kIsolated), (Pieces{"-", "a", "-", "-", "b", "-"}));
  EXPECT_EQ(with(SplitBehavior::kRemoved), (Pieces{"a", "b"}));
  EXPECT_EQ(with(SplitBehavior::kMergedWithPrevious), (Pieces{"-", "a-", "-", "b-"}));
  EXPECT_EQ(with(SplitBehavior::kMergedWithNext), (Pieces{"-a", "-", "-b", "-"}));
  EXPECT_EQ(with(SplitBehavior::kContiguous), (Pieces{"-", "a", "--", "b", "-"}));
  EXPECT_EQ(with(SplitBehavior::kRemoved, true), (Pieces{"-", "-", "-", "-"}));
}

TEST(PreTokenizer, EmptyMatchesSplitWhereTheyStand) {
  EXPECT_EQ(split("(?=X)", "aXbX"), (Pieces{"a", "Xb", "X"}));
  EXPECT_EQ(split("", "a\u00e9\u4e2d"), (Pieces{"a", "\u00e9", "\u4e2d"}));
}

TEST(PreTokenizer, SplitsFollowOneAnother) {
  std::vector<Split> splits;
  splits.push_back({Pattern("\\p{N}", "a file")});
  splits.push_back({Pattern(" ", "a file"), SplitBehavior::kMergedWithNext, false});
  EXPECT_EQ(split(splits, "ab c12 d"), (Pieces{"ab", " c", "1", "2", " d"}));
  EXPECT_EQ(split(splits, ""), Pieces{});
  EXPECT_EQ(split(std::vector<Split>(), "a b"), (Pieces{"a b"}));
}

TEST(KnownPatterns, Gpt2) {
  const auto pieces = [](std::string_view text) { return split(kGpt2Pattern, text); };
  EXPECT_EQ(pieces("I'll they'RE"), (Pieces{"I", "'ll", " they", "'", "RE"}));
  EXPECT_EQ(pieces("a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(pieces("a  "), (Pieces{"a", "  "}));
  EXPECT_EQ(pieces("x\n\n y"), (Pieces{"x", "\n\n", " y"}));
  EXPECT_EQ(pieces("12345 67!?"), (Pieces{"12345", " 67", "!?"}));
  EXPECT_EQ(pieces("caf\u00e9 e\u0301"), (Pieces{"caf\u00e9", " e", "\u0301"}));
}

TEST(KnownPatterns, Llama3AndQwen2DifferInDigits) {
  const std::string text = "We'LL pay 12345";
  EXPECT_EQ(split(kLlama3Pattern, text), (Pieces{"We", "'LL", " pay", " ", "123", "45"}));
  EXPECT_EQ(split(kQwen2Pattern, text),
            (Pieces{"We", "'LL", " pay", " ", "1", "2", "3", "4", "5"}));
  EXPECT_EQ(split(kLlama3Pattern, "(a)\r\n\n  b"), (Pieces{"(a", ")\r\n\n", " ", " b"}));
  EXPECT_EQ(split(kLlama3Pattern, "a \n b"), (Pieces{"a", " \n", " b"}));
}

TEST(KnownPatterns, Cl100kGivesBackTheLastSpaceOnly) {
  EXPECT_EQ(split(kCl100kPattern, "a   b 1234"), (Pieces{"a", "  ", " b", " ", "123", "4"}));
  EXPECT_EQ(split(kCl100kPattern, "a  \n\n  b"), (Pieces{"a", "  \n\n", " ", " b"}));
  EXPECT_EQ(split(kCl100kPattern, "a   "), (Pieces{"a", "   "}));
  EXPECT_EQ(split(kCl100kPattern, "it's $x."), (Pieces{"it", "'s", " $", "x", "."}));
}

TEST(KnownPatterns, O200kKnowsCapitals) {
  EXPECT_EQ(split(kO200kPattern, "HelloWorld don't HTTPServer"),
            (Pieces{"Hello", "World", " don't", " HTTPServer"}));
  EXPECT_EQ(split(kO200kPattern, "a/b//\n"), (Pieces{"a", "/b", "//\n"}));
}

TEST(KnownPatterns, WhiteSpaceIsUnicodesOwn) {
  // U+0085 and U+2028 are white space; U+180E and U+200B are not any more.
  EXPECT_EQ(split(kGpt2Pattern, "a\u0085\u2028b"), (Pieces{"a", "\u0085", "\u2028", "b"}));
  EXPECT_EQ(split(kGpt2Pattern, "a\u180eb"), (Pieces{"a", "\u180e", "b"}));
  EXPECT_EQ(split(kGpt2Pattern, "a \u180eb"), (Pieces{"a", " \u180e", "b"}));
  EXPECT_EQ(split(kGpt2Pattern, "a \u200bb"), (Pieces{"a", " \u200b", "b"}));
  EXPECT_EQ(split(kLlama3Pattern, "a\u3000\u00a0b"), (Pieces{"a", "\u3000", "\u00a0b"}));
  EXPECT_EQ(split(R"([^\s])", " \u180e"), (Pieces{" ", "\u180e"}));
  EXPECT_EQ(split(R"(\S+)", "a\u180eb\u0085c"), (Pieces{"a\u180eb", "\u0085", "c"}));
}

TEST(KnownPatterns, NothingIsLost) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const std::string text = testing::random_text(random, 1 + random() % 30);
    for (const std::string_view pattern : {kGpt2Pattern, kR50kPattern, kCl100kPattern,
                                           kLlama3Pattern, kQwen2Pattern, kO200kPattern}) {
      std::string joined;
      for (const std::string& piece : split(pattern, text)) joined += piece;
      EXPECT_EQ(joined, text);
    }
  }
}

TEST(Pattern, WhatIsNoExpressionIsAnError) {
  for (const std::string expression : {"(", "[a", "a{2,1}", "\\p{Nothing}", "\\C", "(?<=a+)b"}) {
    const std::string message =
        testing::error_of([&] { Pattern(expression, "dir/tokenizer.json"); });
    testing::expect_parts(message, {"dir/tokenizer.json: the pattern \"" + expression + "\""});
  }
}

TEST(Pattern, WhatTakesTooManyStepsIsAnError) {
  const std::string text = std::string(40, 'a') + "\u00e9";
  for (const std::string how : {"", "(*NO_JIT)"}) {
    const std::string message = testing::error_of([&] { split(how + "(a|aa|a+)+$", text); });
    testing::expect_parts(message, {"a file: the pattern", "cannot be matched with \"aaa"});
  }
}

}  // namespace
}  // namespace mneme::text
