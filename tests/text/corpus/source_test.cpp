// What of the inputs is read, in which order, and as what.
#include "text/corpus/source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/error_of.h"
#include "tests/text/corpus/corpus_files.h"

namespace mneme::text {
namespace {

using mneme::testing::error_of;
using testing::CorpusFiles;

TEST(Sources, OfAFolderAreThoseWithKnownEndingsByPath) {
  CorpusFiles files;
  for (const char* name : {"b.txt", "a/z.jsonl.zst", "a/b/c.md", "c.jsonl.gz", "d.txt.zst",
                           "e.parquet", "f.json", "b.jsonl", "g.gz", ".txt"}) {
    files.put(name, "x");
  }
  const SourceList list = find_sources(std::vector{files.folder()});
  std::vector<std::string> names;
  for (const Source& source : list.sources) {
    names.push_back(std::filesystem::relative(source.path, files.folder()));
  }
  EXPECT_EQ(names, (std::vector<std::string>{".txt", "a/b/c.md", "a/z.jsonl.zst", "b.jsonl",
                                             "b.txt", "c.jsonl.gz", "d.txt.zst"}));
  EXPECT_EQ(list.left_out, 3u);
  EXPECT_EQ(list.first_left_out, files.path("e.parquet"));
  EXPECT_EQ(list.bytes(), 7u);
  EXPECT_EQ(list.sources[2].kind, SourceKind::kJsonLines);
  EXPECT_EQ(list.sources[2].compression, Compression::kZstd);
  EXPECT_EQ(list.sources[4].kind, SourceKind::kText);
  EXPECT_EQ(list.sources[5].compression, Compression::kGzip);
}

TEST(Sources, ThatAreNamedAreReadWhateverTheirEndingInTheOrderGiven) {
  CorpusFiles files;
  const std::vector<std::string> inputs = {files.put("z.log", "x"), files.put("a.gz", "x"),
                                           files.put("b.jsonl", "x")};
  const SourceList list = find_sources(inputs);
  ASSERT_EQ(list.sources.size(), 3u);
  EXPECT_EQ(list.sources[0].path, inputs[0]);
  EXPECT_EQ(list.sources[0].kind, SourceKind::kText);
  EXPECT_EQ(list.sources[1].compression, Compression::kGzip);
  EXPECT_EQ(list.sources[2].kind, SourceKind::kJsonLines);
}

TEST(Sources, ThatCannotBeReadAreErrorsThatNameThem) {
  CorpusFiles files;
  const auto error = [](const std::string& path) {
    return error_of([&] { find_sources(std::vector{path}); });
  };
  EXPECT_NE(error(files.path("none.txt")).find(files.path("none.txt") + ": cannot read"),
            std::string::npos);
  std::filesystem::create_directory(files.path("empty"));
  files.put("empty/a.bin", "x");
  EXPECT_NE(error(files.path("empty")).find("none of its 1 files"), std::string::npos);
  ASSERT_EQ(::mkfifo(files.path("pipe.txt").c_str(), 0600), 0);
  EXPECT_NE(error(files.path("pipe.txt")).find("not a regular file"), std::string::npos);
}

}  // namespace
}  // namespace mneme::text
