// Text files become documents with exactly their text, however they are compressed and cut.
#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/text/corpus/corpus_files.h"

namespace mneme::text {
namespace {

using mneme::testing::error_of;
using namespace testing;
using Texts = std::vector<std::string>;

class TextFiles : public ::testing::Test {
 protected:
  Texts documents(const std::string& content, ReadSettings settings = {}) {
    return read_corpus({files_.put("a.txt", content)}, settings).documents;
  }
  std::string error(const std::string& name, const std::string& content) {
    return error_of([&] { read_corpus({files_.put(name, content)}); });
  }
  static ReadSettings separated_by(const std::string& separator) {
    ReadSettings settings;
    settings.corpus.document_separator = separator;
    return settings;
  }

  CorpusFiles files_;
};

TEST_F(TextFiles, AFileIsADocument) {
  EXPECT_EQ(documents("one\r\ntwo\n\nthree"), Texts{"one\r\ntwo\n\nthree"});
  EXPECT_EQ(documents(""), Texts{});
  EXPECT_EQ(documents("\xef\xbb\xbf"
                      "a\xef\xbb\xbf"),
            Texts{"a\xef\xbb\xbf"})
      << "a byte order mark is dropped at the start alone";
  EXPECT_EQ(documents(std::string("a\0b", 3)), Texts{std::string("a\0b", 3)});
}

TEST_F(TextFiles, ASeparatorIsALineOfItsOwn) {
  const ReadSettings settings = separated_by("<|end|>");
  EXPECT_EQ(documents("a\n<|end|>\nb <|end|>\n <|end|>\n<|end|> \n<|end|>\r\nc\n", settings),
            (Texts{"a\n", "b <|end|>\n <|end|>\n<|end|> \n", "c\n"}));
  EXPECT_EQ(documents("<|end|>\n<|end|>\na<|end|>\n<|end|>", settings), Texts{"a<|end|>\n"})
      << "documents without text are left out";
  EXPECT_EQ(documents("<|end|>", settings), Texts{});
}

TEST_F(TextFiles, AnEmptySeparatorIsAnEmptyLine) {
  const ReadSettings settings = separated_by("");
  EXPECT_EQ(documents("\n\na\nb\n\nc\r\n\r\n\n d\n \ne\n\n", settings),
            (Texts{"a\nb\n", "c\r\n", " d\n \ne\n"}));
}

TEST_F(TextFiles, CompressedOnesAreTheSame) {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "line " + std::to_string(i * 7919 % 10007) + "\n";
  const Texts expected = {text};
  EXPECT_EQ(read_corpus({files_.put("a.txt.gz", gzipped(text))}).documents, expected);
  EXPECT_EQ(read_corpus({files_.put("a.txt.zst", zstandard(text))}).documents, expected);
  const std::size_t half = text.size() / 2;
  const std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
  EXPECT_EQ(read_corpus({files_.put("b.gz", gzipped(text.substr(0, half)) + gzipped("") +
                                                gzipped(text.substr(half)))})
                .documents,
            expected);
  EXPECT_EQ(read_corpus({files_.put("b.zst", skippable + zstandard(text.substr(0, half)) +
                                                 skippable + zstandard(text.substr(half)))})
                .documents,
            expected);
}

TEST_F(TextFiles, DamagedCompressionIsAnErrorWithFileAndLine) {
  std::string text;
  for (int i = 0; i < 200000; ++i) text += std::to_string(i * 7919L % 1000003) + "\n";
  const auto expect = [&](const std::string& name, const std::string& content,
                          const std::string& part) {
    const std::string message = error(name, content);
    EXPECT_EQ(message.find(files_.path(name) + ": about line "), 0u) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  const std::string gzip = gzipped(text);
  const std::string zstd = zstandard(text);
  std::string bad = gzip;
  bad[bad.size() / 2] ^= 0x55;
  expect("bad.gz", bad, "damaged");
  std::string bad_sum = gzip;
  bad_sum[bad_sum.size() - 6] ^= 1;
  expect("sum.gz", bad_sum, "damaged");
  expect("cut.gz", gzip.substr(0, gzip.size() - 4), "cut short");
  expect("empty.gz", "", "cut short");
  expect("garbage.gz", gzip + "garbage", "no gzip follow");
  expect("text.gz", "text", "damaged");
  expect("cut.zst", zstd.substr(0, zstd.size() / 2), "cut short");
  expect("empty.zst", "", "cut short");
  expect("garbage.zst", zstd + "garbage", "damaged");
  EXPECT_EQ(error("half.gz", gzip.substr(0, gzip.size() / 2)).find(": about line 1:"),
            std::string::npos)
      << "says where";
}

TEST_F(TextFiles, ADecompressionThatNeedsTooMuchMemoryIsRefused) {
  // A frame's header that asks for a window of 2 GiB.
  const std::string frame("\x28\xb5\x2f\xfd\x00\xa8", 6);
  EXPECT_NE(error("a.zst", frame + std::string(20, 'x')).find("--long=27"), std::string::npos);
}

TEST_F(TextFiles, InvalidUtf8IsAnErrorWithFileAndLine) {
  EXPECT_EQ(error("a.txt", "one\ntwo\xff\n").find(files_.path("a.txt") + ": line 2: byte 0xff"),
            0u);
  EXPECT_NE(error("a.txt", "one\xe2\x82").find("line 1: byte 0xe2"), std::string::npos)
      << "half a character at the end";
  // Behind the first block of the file.
  const std::string long_text = std::string(300000, 'x') + "\n" + std::string(300000, 'y');
  EXPECT_NE(error("a.txt", long_text + "\x80").find("line 2: byte 0x80"), std::string::npos);
}

TEST_F(TextFiles, InvalidUtf8IsReplacedWhereAskedFor) {
  ReadSettings settings;
  settings.corpus.invalid_utf8 = InvalidUtf8::kReplace;
  EXPECT_EQ(documents("a\xff\xfe"
                      "b\xe2\x82",
                      settings),
            Texts{"a\ufffd\ufffdb\ufffd"});
}

TEST_F(TextFiles, CharactersAtTheEdgesOfBlocksStayWhole) {
  for (int shift = 0; shift < 4; ++shift) {
    std::string text(static_cast<std::size_t>(shift), 'x');
    for (int i = 0; i < 150000; ++i) text += "\U0001f600";
    EXPECT_EQ(documents(text), Texts{text});
  }
}

ReadSettings small_parts() {
  ReadSettings settings;
  settings.corpus.least_part_bytes = 16;
  settings.corpus.most_part_bytes = 64;
  settings.corpus.batch_bytes = 40;
  return settings;
}

TEST_F(TextFiles, LongDocumentsAreCutWhereTheTokenizerSays) {
  ReadSettings settings = small_parts();
  settings.corpus.find_cut = [](std::string_view text, std::size_t from) {
    return text.find('|', from);
  };
  const std::string text = "0123456789|0123456789|0123456789|0123456789|0123456789|0123456789";
  const CorpusRead read = read_corpus({files_.put("a.txt", text)}, settings);
  EXPECT_EQ(read.documents, Texts{text});
  EXPECT_EQ(read.parts,
            (Texts{"0123456789|0123456789", "|0123456789|0123456789", "|0123456789|0123456789"}));
  EXPECT_FALSE(read.is_roughly_cut);
}

TEST_F(TextFiles, LongDocumentsAreCutInFrontOfALineWhereNoPlaceIsKnown) {
  ReadSettings settings = small_parts();
  settings.corpus.find_cut = [](std::string_view, std::size_t) { return std::string_view::npos; };
  const std::string line = "a line of 20 bytes.\n";
  std::string text;
  for (int i = 0; i < 8; ++i) text += line;
  const CorpusRead read = read_corpus({files_.put("a.txt", text)}, settings);
  EXPECT_EQ(read.documents, Texts{text});
  EXPECT_EQ(read.parts, (Texts{line + line + line, line + line + line, line + line}));
  EXPECT_TRUE(read.is_roughly_cut);
  // Without a line between characters.
  std::string characters;
  for (int i = 0; i < 100; ++i) characters += "\u20ac";
  const CorpusRead whole = read_corpus({files_.put("a.txt", characters)}, settings);
  EXPECT_EQ(whole.documents, Texts{characters});
  for (const std::string& part : whole.parts) EXPECT_EQ(part.size() % 3, 0u);
  // Not much longer than a part.
  EXPECT_EQ(read_corpus({files_.put("a.txt", text.substr(0, 60))}, settings).parts.size(), 1u);
}

TEST_F(TextFiles, SeparatorsAreFoundWhereverPartsEnd) {
  ReadSettings settings = small_parts();
  settings.corpus.document_separator = "---";
  for (std::size_t length = 1; length < 80; ++length) {
    const std::string first = std::string(length, 'a') + "\n";
    EXPECT_EQ(documents(first + "---\r\nb--\n---\nc\n---", settings),
              (Texts{first, "b--\n", "c\n"}))
        << length;
    EXPECT_EQ(documents(first + "----\nb", settings), Texts{first + "----\nb"}) << length;
  }
  settings.corpus.document_separator = "";
  for (std::size_t length = 1; length < 80; ++length) {
    const std::string first = std::string(length, 'a') + "\n";
    EXPECT_EQ(documents(first + "\r\nb\n\n\nc", settings), (Texts{first, "b\n", "c"})) << length;
  }
}

// Of every position that a batch gives, reading goes on to the same documents.
void expect_resumable(const Texts& inputs, ReadSettings settings) {
  std::vector<CorpusPosition> positions;
  const CorpusRead whole = read_corpus(inputs, settings, &positions);
  ASSERT_GT(positions.size(), 5u);
  for (const CorpusPosition& position : positions) {
    settings.start = position;
    const CorpusRead rest = read_corpus(inputs, settings);
    ASSERT_LE(rest.parts.size(), whole.parts.size());
    EXPECT_TRUE(std::equal(rest.parts.rbegin(), rest.parts.rend(), whole.parts.rbegin()))
        << "from byte " << position.offset << " of source " << position.source;
  }
}

TEST_F(TextFiles, ReadingGoesOnFromWhereABatchEnded) {
  std::string text = "\xef\xbb\xbf";
  for (int i = 0; i < 60; ++i) {
    text += "line " + std::to_string(i) + (i % 7 == 0 ? "\n---\n" : "\u20ac\n");
  }
  ReadSettings settings = small_parts();
  settings.corpus.document_separator = "---";
  const Texts inputs = {files_.put("a.txt", text), files_.put("b.txt.gz", gzipped(text)),
                        files_.put("empty.txt", ""), files_.put("c.txt.zst", zstandard(text))};
  expect_resumable(inputs, settings);
  settings.corpus.find_cut = [](std::string_view, std::size_t) { return std::string_view::npos; };
  expect_resumable(inputs, settings);
  settings.corpus.invalid_utf8 = InvalidUtf8::kReplace;
  expect_resumable({files_.put("d.txt", text + "\xff\xff" + text + "\xfe\n" + text)}, settings);
}

TEST_F(TextFiles, AFileThatChangesWhileItIsReadIsAnError) {
  const std::string path = files_.put("a.txt", "text");
  const SourceList list = find_sources(Texts{path});
  files_.put("a.txt", "other text");
  CorpusOptions options;
  options.find_cut = cut_anywhere;
  EXPECT_NE(error_of([&] { CorpusReader(list, options, {}, {}).next(); }).find("has changed"),
            std::string::npos);
}

}  // namespace
}  // namespace mneme::text
