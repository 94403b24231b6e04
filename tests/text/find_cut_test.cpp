// Places where text may be cut: encoding both sides one behind the other gives what encoding all of
// it would.
#include <gtest/gtest.h>

#include "tests/text/tokenizer_examples.h"
#include "text/known_patterns.h"

namespace mneme::text {
namespace {

using nlohmann::json;
using testing::encoded;
using testing::Ids;

// Cuts random texts wherever the tokenizer knows a place. Returns how many there were.
int check_cuts(const Tokenizer& tokenizer, unsigned seed) {
  std::mt19937 random(seed);
  const auto encoder = tokenizer.make_encoder();
  int cuts = 0;
  for (int round = 0; round < 400; ++round) {
    const std::string text = testing::random_text(random, 2 + random() % 20);
    Ids whole;
    encoder->encode(text, {}, whole);
    for (std::size_t at = 0; (at = tokenizer.find_cut(text, at)) != std::string::npos; ++at) {
      EXPECT_LT(at, text.size());
      Ids parts;
      encoder->encode(std::string_view(text).substr(0, at), {}, parts);
      encoder->encode(std::string_view(text).substr(at), {}, parts);
      EXPECT_EQ(parts, whole) << text << " cut at " << at;
      ++cuts;
    }
  }
  return cuts;
}

json with_pattern(std::string_view pattern) {
  json file = testing::byte_level_json({{" ", " "}, {"h", "e"}, {"t", "he"}, {" ", "the"}});
  file["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  return file;
}

TEST(FindCut, KnownPatternsAreCutBehindLetters) {
  for (const std::string_view pattern :
       {kGpt2Pattern, kR50kPattern, kCl100kPattern, kLlama3Pattern, kQwen2Pattern, kO200kPattern}) {
    EXPECT_GT(check_cuts(*testing::opened(with_pattern(pattern)), 1), 100) << pattern;
  }
  EXPECT_GT(check_cuts(*testing::opened(testing::tiktoken_content({"  ", "he", "the", " the"}),
                                        "cl100k_base"),
                       2),
            100);
  EXPECT_GT(check_cuts(*make_byte_tokenizer(), 3), 100);
  json prefix = testing::byte_level_json({{" ", "a"}});
  prefix["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_GT(check_cuts(*testing::opened(prefix), 4), 50);
}

TEST(FindCut, OtherPatternsAreNotCut) {
  EXPECT_EQ(check_cuts(*testing::opened(with_pattern("\\S+|\\s+")), 5), 0);
}

TEST(FindCut, AddedTokensAreNotCut) {
  const auto cuts = [](const json& token, const char* form = nullptr) {
    json file = with_pattern(kLlama3Pattern);
    if (form) file["normalizer"] = {{"type", form}};
    file["added_tokens"] = json::array({token});
    return check_cuts(*testing::opened(file), 6);
  };
  EXPECT_GT(cuts({{"content", "<pad>"}, {"id", 300}, {"lstrip", true}, {"rstrip", true}}), 0);
  EXPECT_GT(cuts({{"content", " "}, {"id", 300}}), 0);
  EXPECT_EQ(cuts({{"content", "a "}, {"id", 300}}), 0);
  EXPECT_EQ(cuts({{"content", "a"}, {"id", 300}, {"rstrip", true}}), 0);
  // A single word that begins with white space is one at the front of a text only.
  EXPECT_EQ(cuts({{"content", " the"}, {"id", 300}, {"single_word", true}}), 0);
  // U+00A0 becomes a space.
  EXPECT_EQ(cuts({{"content", "a\u00a0"}, {"id", 300}, {"normalized", true}}, "NFKC"), 0);
}

}  // namespace
}  // namespace mneme::text
