// A line of JSON is a document; what is no such line is an error that says where.
#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/text/corpus/corpus_files.h"

namespace mneme::text {
namespace {

using mneme::testing::error_of;
using namespace testing;
using Texts = std::vector<std::string>;

class JsonLines : public ::testing::Test {
 protected:
  Texts documents(const std::string& content, const ReadSettings& settings = {}) {
    return read_corpus({files_.put("a.jsonl", content)}, settings).documents;
  }
  static ReadSettings replacing() {
    ReadSettings settings;
    settings.corpus.invalid_utf8 = InvalidUtf8::kReplace;
    return settings;
  }
  // The error of the line, behind two good ones and an empty one.
  std::string error(const std::string& line, const ReadSettings& settings = {}) {
    const std::string path = files_.put(
        "a.jsonl", "{\"text\": \"a\"}\n\r\n{\"text\": \"b\"}\n" + line + "\n{\"text\": \"c\"}\n");
    const std::string message = error_of([&] { read_corpus({path}, settings); });
    EXPECT_EQ(message.find(path + ": line 4: "), 0u) << line << ": " << message;
    return message;
  }
  void expect_error(const std::string& line, const std::string& part) {
    EXPECT_NE(error(line).find(part), std::string::npos) << error(line);
  }

  CorpusFiles files_;
};

TEST_F(JsonLines, TheFieldOfEachRecordIsADocument) {
  EXPECT_EQ(documents("{\"text\": \"one\", \"id\": 1}\n\n \t\r\n{\"id\":[{}],\"text\":\"t\\u00e9\\n"
                      "\\ud83d\\ude00\\u0000\"}\r\n{\"text\":\"last\"}"),
            (Texts{"one", std::string("t\u00e9\n\U0001f600\0", 9), "last"}));
  EXPECT_EQ(documents("\xef\xbb\xbf{\"text\": \"a\"}"), Texts{"a"});
  EXPECT_EQ(documents("{\"text\": \"a\", \"t\\u0065xt\": \"b\"}"), Texts{"b"}) << "as in Python";
  ReadSettings settings;
  settings.field = "content";
  EXPECT_EQ(documents("{\"text\": \"a\", \"content\": \"b\"}", settings), Texts{"b"});
}

TEST_F(JsonLines, RecordsWithoutTextAreCountedAndLeftOut) {
  const CorpusRead read = read_corpus(
      {files_.put("a.jsonl", "{\"text\": \"\"}\n{\"text\": \"a\"}\n\n{\"text\": \"\"}\n")});
  EXPECT_EQ(read.documents, Texts{"a"});
  EXPECT_EQ(read.empty_records, 2u);
}

TEST_F(JsonLines, NumbersOfAnySizeAreTaken) {
  EXPECT_EQ(documents("{\"a\": 123456789012345678901234567890, \"b\": [-1e999, 0.5E+3], "
                      "\"text\": \"1e999 \\\" 5\"}"),
            Texts{"1e999 \" 5"});
  for (const char* number : {"01", "1.", ".5", "-", "1e", "+1", "0x10", "1e999.5", "NaN"}) {
    error(std::string("{\"text\": \"a\", \"n\": ") + number + "}");
  }
}

TEST_F(JsonLines, WhatIsNoJsonIsAnErrorWithFileAndLine) {
  for (const char* line :
       {"text", "{", "{\"text\": \"a\"", "{\"text\": \"a}", "{\"text\" \"a\"}",
        "{\"text\": \"a\",}", "{\"text\": \"a\"} {}", "{\"text\": \"a\"}}", "{\"text\": \"a\\x\"}",
        "{\"text\": \"a\\u12\"}", "{\"text\": \"a\tb\"}", "{'text': 'a'}", "{\"text\": tru}",
        "{\"text\": \"a\", \"b\": [1 2]}", "// {\"text\": \"a\"}"}) {
    expect_error(line, "is no JSON");
  }
  std::string deep = "{\"text\": \"a\", \"b\": ";
  deep.append(5000, '[');
  deep.append(5000, ']');
  expect_error(deep + "}", "is no JSON");
}

TEST_F(JsonLines, ARecordWithoutTheTextIsAnErrorWithFileAndLine) {
  expect_error("[\"text\"]", "is no object");
  expect_error("\"text\"", "is no object");
  expect_error("{}", "no field \"text\"");
  expect_error("{\"a\": {\"text\": \"a\"}}", "no field \"text\"");
  for (const char* value : {"1", "null", "true", "[\"a\"]", "{}"}) {
    expect_error(std::string("{\"text\": ") + value + "}", "is no string");
  }
}

TEST_F(JsonLines, InvalidUtf8IsAnErrorOrReplaced) {
  const std::string line = "{\"text\": \"a\xff\xe2\x82z\"}";
  expect_error(line, "no UTF-8");
  EXPECT_EQ(documents(line, replacing()), Texts{"a\ufffd\ufffdz"});
}

TEST_F(JsonLines, HalvesOfSurrogatePairsAreAnErrorOrReplaced) {
  for (const char* half : {"\\ud800", "\\udc00", "\\uDBFF\\n", "\\ud83d\\u0041"}) {
    const std::string line = std::string("{\"text\": \"") + half + "\"}";
    expect_error(line, "half of a surrogate pair");
  }
  EXPECT_EQ(documents(R"({"text": "\\ud800 \ud83d\ud83d\ude00\udc00\ud800"})", replacing()),
            Texts{"\\ud800 \ufffd\U0001f600\ufffd\ufffd"});
  const std::string both = "{\"n\": 1e999, \"text\": \"\\ud800\xff\"}";
  EXPECT_EQ(documents(both, replacing()), Texts{"\ufffd\ufffd"});
  EXPECT_NE(error("{\"text\": \"\\ud800\\x\"}", replacing()).find("is no JSON"), std::string::npos);
}

TEST_F(JsonLines, ALineThatIsTooLongIsAnErrorBeforeAllOfItIsRead) {
  ReadSettings settings;
  settings.corpus.most_record_bytes = 100;
  settings.corpus.batch_bytes = 50;
  for (const std::size_t length : {101u, 2000u, 3'000'000u}) {
    const std::string line = "{\"text\": \"" + std::string(length, 'x') + "\"}";
    EXPECT_NE(error(line, settings).find("more than 100 bytes"), std::string::npos);
  }
  settings.corpus.batch_bytes = 1 << 20;
  error("{\"text\": \"" + std::string(101, 'x') + "\"}", settings);
  EXPECT_EQ(documents("{\"text\": \"" + std::string(88, 'x') + "\"}", settings),
            Texts{std::string(88, 'x')});
}

TEST_F(JsonLines, BatchesOfAnySizeGiveTheSameAndGoOnFromTheirEnds) {
  std::string content = "\xef\xbb\xbf";
  Texts expected;
  for (int i = 0; i < 50; ++i) {
    expected.push_back(std::string(static_cast<std::size_t>(1 + i * 37 % 90), 'a') +
                       std::to_string(i));
    content += "{\"text\": \"" + expected.back() + "\"}\n";
  }
  content.pop_back();
  for (const auto& [name, bytes] :
       std::vector<std::pair<std::string, std::string>>{{"a.jsonl", content},
                                                        {"a.jsonl.gz", gzipped(content)},
                                                        {"a.jsonl.zst", zstandard(content)}}) {
    const std::string path = files_.put(name, bytes);
    for (const std::size_t size : {1u, 60u, 300u, 100000u}) {
      ReadSettings settings;
      settings.corpus.batch_bytes = size;
      std::vector<CorpusPosition> positions;
      EXPECT_EQ(read_corpus({path}, settings, &positions).documents, expected);
      for (const CorpusPosition& position : positions) {
        settings.start = position;
        const Texts rest = read_corpus({path}, settings).documents;
        EXPECT_TRUE(std::equal(rest.rbegin(), rest.rend(), expected.rbegin()));
        EXPECT_TRUE(rest.empty() || position.line == 51 - rest.size()) << position.line;
      }
    }
  }
}

}  // namespace
}  // namespace mneme::text
