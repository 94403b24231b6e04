// tiktoken files: their lines, the encodings that they belong to, and what is said of files that
// are not whole.
#include "text/tiktoken_file.h"

#include <gtest/gtest.h>

#include "tests/text/tokenizer_examples.h"

namespace mneme::text {
namespace {

using testing::encoded;
using testing::error_of;
using testing::expect_parts;
using testing::Ids;
using testing::opened;
using testing::tiktoken_content;

std::string refusal(const std::string& content, const std::string& encoding = "cl100k_base") {
  return error_of([&] { opened(content, encoding); });
}

TEST(Tiktoken, RanksAreMerges) {
  const auto tokenizer = opened(tiktoken_content({"bc", "ab", "abc", " a"}), "r50k_base");
  EXPECT_EQ(encoded(*tokenizer, "ab"), (Ids{257}));
  EXPECT_EQ(encoded(*tokenizer, "abc a"), (Ids{258, 259}));
  EXPECT_EQ(encoded(*tokenizer, "abcd"), (Ids{258, 'd'}));  // "a" and "bc" make it as well
  EXPECT_EQ(encoded(*tokenizer, "abbc"), (Ids{257, 256}));
  EXPECT_EQ(tokenizer->vocabulary(), 261);
  EXPECT_EQ(tokenizer->separator(), 260);
  EXPECT_EQ(tokenizer->file_name(), "tokenizer.tiktoken");
  EXPECT_EQ(tokenizer->find_token("abc"), 258);
  EXPECT_EQ(tokenizer->find_token(""), std::nullopt);
}

TEST(Tiktoken, APieceThatIsATokenBecomesItWithoutMerges) {
  const auto tokenizer = opened(tiktoken_content({"xyz"}), "r50k_base");
  EXPECT_EQ(encoded(*tokenizer, "xyz"), (Ids{256}));
  EXPECT_EQ(encoded(*tokenizer, "xyza"), (Ids{'x', 'y', 'z', 'a'}));
}

TEST(Tiktoken, SpecialTokensAreTheEncodings) {
  // As many tokens as the published file has tell the encoding.
  std::string content = tiktoken_content();
  for (int rank = 256; rank < 50256; ++rank) {
    content += testing::base64(std::to_string(rank) + "t") + " " + std::to_string(rank) + "\r\n";
  }
  const auto gpt2 = opened(content, "auto");
  EXPECT_EQ(gpt2->kind(), "byte-level BPE (tiktoken, r50k_base)");
  EXPECT_EQ(gpt2->separator(), 50256);
  EXPECT_EQ(encoded(*gpt2, "<|endoftext|>"), (Ids{50256}));
  EXPECT_EQ(encoded(*gpt2, "<|endoftext|>", {.special_in_text = false}).size(), 13u);
  ASSERT_EQ(gpt2->special_tokens().size(), 1u);
  // With another encoding's name it is a file of one's own with that pattern.
  EXPECT_EQ(opened(content, "llama3")->special_tokens().size(), 1u);
}

TEST(Tiktoken, TokensWithoutBytesAndGapsStandForNothing) {
  const auto tokenizer = opened(tiktoken_content() + "= 256\n\nYWI= 300\n", "r50k_base");
  EXPECT_EQ(tokenizer->vocabulary(), 302);
  EXPECT_EQ(tokenizer->token_bytes(256), "");
  EXPECT_EQ(tokenizer->token_bytes(299), "");
  EXPECT_EQ(encoded(*tokenizer, "ab"), (Ids{300}));
}

TEST(Tiktoken, ErrorsNameTheLine) {
  const std::string content = tiktoken_content();
  const std::string place = "a/x.tiktoken:257: ";
  for (const std::string line :
       {"YWI=", "YWI= ", "YWI= x", "YWI= 256x", "YWI=  256", "YWI= -1", "YWI= 99999999999",
        "YWI 256", "Y=I= 256", "YW I= 256", "\xff\xff\xff\xff 256", " 256", "==== 256"}) {
    expect_parts(refusal(content + line + "\n"), {place + "not a token in base64 and its rank"});
  }
  expect_parts(refusal(content + "YWI= 262144\n"), {place + "rank 262144 is beyond", "262144"});
  expect_parts(refusal(content + "YWI= 255\n"), {place + "rank 255 is there twice"});
  expect_parts(refusal(content + "YQ== 256\n"), {"a/x.tiktoken: the token \"a\" is there twice"});
}

TEST(Tiktoken, TokensThatAreTooLongAreErrors) {
  // Each way to split a token is looked at: this must not take the square of a file.
  const std::string content = tiktoken_content({std::string(std::size_t{8} << 20, 'a')});
  expect_parts(refusal(content), {"a/x.tiktoken:257: ", "8388608 bytes", "1024"});
  EXPECT_EQ(refusal(tiktoken_content({std::string(1024, 'a')})), "");
}

TEST(Tiktoken, ErrorsNameTheEncoding) {
  expect_parts(refusal(tiktoken_content(), "gpt9"),
               {"a/x.tiktoken: the encoding \"gpt9\" is not known", "cl100k_base", "llama3"});
  expect_parts(refusal(tiktoken_content(), "auto"), {"no known encoding has its 256 tokens"});
  std::string full = tiktoken_content() + "YWI= 262143\n";
  expect_parts(refusal(full), {"no id is free for the special token <|endoftext|>"});
}

TEST(Tiktoken, CutShortIsAnErrorAtEveryByte) {
  const std::string content = tiktoken_content();
  for (std::size_t bytes = 0; bytes + 1 < content.size(); ++bytes) {
    const std::string message = refusal(content.substr(0, bytes));
    // "255" is whole as "2" and "25" are ranks as well, but twice.
    EXPECT_NE(message, "") << bytes;
    expect_parts(message, {"a/x.tiktoken:"});
  }
}

TEST(Tiktoken, IsToldByItsFirstLine) {
  EXPECT_TRUE(is_tiktoken("YWI= 0\n"));
  EXPECT_TRUE(is_tiktoken("YWI= 0\r\nx"));
  EXPECT_FALSE(is_tiktoken("YWI=\n"));
  EXPECT_FALSE(is_tiktoken("{}"));
  EXPECT_FALSE(is_tiktoken(""));
  EXPECT_FALSE(is_tiktoken(std::string(10000, 'A') + " 1"));
}

}  // namespace
}  // namespace mneme::text
