// Text as a tokenizer's tokens: of training, and of prompts.
#include "engine/tokenized_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/prompt.h"
#include "engine/run_tokenizer.h"
#include "tests/support/error_of.h"
#include "tests/support/small_tokenizer.h"
#include "tests/text/corpus/corpus_files.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;
using mneme::testing::SmallTokenizer;
using Tokens = std::vector<std::int32_t>;

class TokenizedTextTest : public ::testing::Test {
 protected:
  TokenizedTextTest() { SmallTokenizer().write(tokenizer()); }

  std::string tokenizer() const { return files_.path("tokenizer.json"); }
  DataPlace place(const std::string& path, const std::string& tokenizer) const {
    DataPlace place;
    place.key = "data.path";
    place.path = path;
    place.extensions = {".txt", ".md"};
    place.vocabulary = 300;
    place.tokenizer = tokenizer;
    return place;
  }
  DataPlace place(const std::string& path) const { return place(path, tokenizer()); }
  static Tokens read(const TokenSource& source) {
    Tokens tokens(source.tokens());
    source.read(0, tokens);
    return tokens;
  }
  Tokens encoded(const std::string& text) const {
    Tokens tokens;
    text::open_tokenizer(tokenizer())->make_encoder()->encode(text, {}, tokens);
    return tokens;
  }
  // With the end of text in front of each.
  Tokens encoded_documents(const std::vector<std::string>& documents) const {
    Tokens tokens;
    for (const std::string& document : documents) {
      tokens.push_back(SmallTokenizer().end());
      for (const std::int32_t token : encoded(document)) tokens.push_back(token);
    }
    return tokens;
  }
  void expect_error(const DataPlace& place, const std::vector<std::string>& parts) const {
    const std::string error = error_of([&] { open_tokens(place); });
    for (const std::string& part : parts) EXPECT_NE(error.find(part), std::string::npos) << error;
  }

  text::testing::CorpusFiles files_;
};

TEST_F(TokenizedTextTest, IsWhatTheEncoderMakesBehindTheSeparatorOfEachDocument) {
  files_.put("text/b.txt", "the second row\nthrow");
  files_.put("text/a.txt", "the row\nother");
  files_.put("text/empty.txt", "");
  files_.put("text/c.rst", "of another kind");
  const auto source = open_tokens(place(files_.path("text")));
  EXPECT_TRUE(source->is_text());
  const Tokens expected = encoded_documents({"the row\nother", "the second row\nthrow"});
  EXPECT_EQ(read(*source), expected);
  EXPECT_LT(expected.size(), 25u) << "merges are used";
  Tokens middle(3);
  source->read(2, middle);
  EXPECT_EQ(middle, Tokens(expected.begin() + 2, expected.begin() + 5));
  std::vector<std::uint64_t> histogram(300);
  source->count(5, histogram);
  EXPECT_EQ(histogram[std::size_t(SmallTokenizer().end())], 1u);
}

TEST_F(TokenizedTextTest, IsSplitBehindDocumentsAndLines) {
  files_.put("text/a.txt", "the row\nother\n");
  files_.put("text/b.txt", "row");
  const auto source = open_tokens(place(files_.path("text")));
  const SplitSource split = source->split_source();
  const std::uint64_t first = 1 + encoded("the row\nother\n").size();
  ASSERT_EQ(split.parts.size(), 1u);
  EXPECT_EQ(split.parts[0].end, source->tokens());
  EXPECT_EQ(split.documents, (std::vector<std::uint64_t>{first, source->tokens()}));
  const std::uint64_t line = 1 + encoded("the row\n").size();
  EXPECT_EQ(split.next_line(1, source->tokens()), line);
  EXPECT_EQ(split.next_line(line, source->tokens()), first);
  EXPECT_EQ(split.next_line(first, source->tokens()), first) << "no line ends behind it";
  EXPECT_EQ(split.next_line(line, line + 1), line) << "none within reach";
}

TEST_F(TokenizedTextTest, DoesNotDependOnTheNumberOfThreads) {
  std::string lines;
  for (int i = 0; lines.size() < (std::size_t{5} << 19); ++i) {
    lines += "{\"text\": \"the row " + std::to_string(i * 7919) + " throws the other\"}\n";
  }
  DataPlace many = place(files_.put("long.jsonl", lines));
  many.threads = 4;
  DataPlace one = many;
  one.threads = 1;
  const auto a = open_tokens(one);
  const auto b = open_tokens(many);
  EXPECT_TRUE(read(*a) == read(*b));
  EXPECT_EQ(a->split_source().documents, b->split_source().documents);
  EXPECT_EQ(a->fingerprint(), b->fingerprint());
}

TEST_F(TokenizedTextTest, FingerprintTellsTokenizersTextsAndDocumentsApart) {
  const std::string path = files_.put("text/a.txt", "the rows");
  const DataFingerprint print = open_tokens(place(path))->fingerprint();
  EXPECT_EQ(open_tokens(place(path))->fingerprint(), print);
  EXPECT_EQ(print.bytes, 8u);
  SmallTokenizer other;
  other.merges.pop_back();
  const std::string another = other.write(files_.path("other.json"));
  EXPECT_NE(open_tokens(place(path, another))->fingerprint(), print);
  files_.put("text/a.txt", "the rowt");
  EXPECT_NE(open_tokens(place(path))->fingerprint(), print);

  const std::string plain =
      SmallTokenizer{.merges = {}, .has_end = false}.write(files_.path("plain.json"));
  files_.put("two/a.txt", "ab");
  files_.put("two/b.txt", "c");
  const auto before = open_tokens(place(files_.path("two"), plain));
  files_.put("two/a.txt", "a");
  files_.put("two/b.txt", "bc");
  const auto after = open_tokens(place(files_.path("two"), plain));
  EXPECT_EQ(read(*before), read(*after));
  EXPECT_NE(before->fingerprint(), after->fingerprint()) << "documents end elsewhere";
}

TEST_F(TokenizedTextTest, ReadsRecordsAndCompressedFiles) {
  const std::string lines = "{\"text\": \"the row\"}\n{\"text\": \"\"}\n{\"text\": \"row\"}\n";
  const Tokens records = encoded_documents({"the row", "row"});
  EXPECT_EQ(read(*open_tokens(place(files_.put("a.jsonl", lines)))), records);
  const std::string zipped = files_.put("in/b.jsonl.gz", text::testing::gzipped(lines));
  EXPECT_EQ(read(*open_tokens(place(zipped))), records);
  files_.put("in/c.txt", "left out");
  DataPlace folder = place(files_.path("in"));
  folder.extensions = {".jsonl.gz"};
  EXPECT_EQ(read(*open_tokens(folder)), records);
  const std::string text = files_.put("d.txt.gz", text::testing::gzipped("the row"));
  EXPECT_EQ(read(*open_tokens(place(text))), encoded_documents({"the row"}));
}

TEST_F(TokenizedTextTest, WhatCannotBeReadIsNamed) {
  const std::string bad = files_.put("bad.txt", "the row\nof \xff");
  expect_error(place(bad), {bad, "line 2", "UTF-8"});
  const std::string json = files_.put("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 1}\n");
  expect_error(place(json), {json, "line 2"});
  const std::string good = files_.put("good.txt", "the row");
  DataPlace small = place(good);
  small.vocabulary = 261;
  expect_error(small, {"data.vocabulary is 261", tokenizer(), "set it to 262"});
  const std::string missing = files_.path("missing.json");
  expect_error(place(good, missing), {missing});
  expect_error(place(files_.put("empty.txt", "")), {"data.path", "empty.txt", "has no text"});
  files_.put("kinds/a.rst", "text");
  expect_error(place(files_.path("kinds")), {"data.path", "data.extensions"});
}

TEST_F(TokenizedTextTest, PromptsAreTokensOfTheTokenizer) {
  const auto opened = text::open_tokenizer(tokenizer());
  EXPECT_EQ(prompt_tokens("the row", opened.get(), 300), encoded("the row"));
  EXPECT_EQ(prompt_tokens("<|endoftext|>", opened.get(), 300), Tokens{SmallTokenizer().end()});
  const auto error = [&](const std::string& prompt) {
    return error_of([&] { prompt_tokens(prompt, opened.get(), 300); });
  };
  EXPECT_NE(error("a\xff").find("sample.prompt: byte 2"), std::string::npos) << error("a\xff");
  EXPECT_NE(error("").find("sample.prompt"), std::string::npos);
  const auto bytes = text::make_byte_tokenizer();
  EXPECT_EQ(prompt_tokens("\xff", bytes.get(), 256), Tokens{255});
}

TEST_F(TokenizedTextTest, ARunHasTheTokenizerThatItNamesOrBytesOrNone) {
  DataConfig data;
  EXPECT_EQ(open_run_tokenizer(data)->file_name(), "");
  data.vocabulary = 300;
  EXPECT_EQ(open_run_tokenizer(data), nullptr);
  EXPECT_FALSE(record_tokenizer(nullptr, data));
  data.tokenizer = tokenizer();
  const auto opened = open_run_tokenizer(data);
  EXPECT_EQ(opened->vocabulary(), SmallTokenizer().vocabulary());
  const auto record = record_tokenizer(opened.get(), data);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->file, "tokenizer.json");
  EXPECT_EQ(record->encoding, "auto");
  data.vocabulary = 261;
  EXPECT_NE(error_of([&] { open_run_tokenizer(data); }).find("set it to 262"), std::string::npos);
}

}  // namespace
}  // namespace mneme::engine
