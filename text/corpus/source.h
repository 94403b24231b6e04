// text/corpus/: text on disk as documents, read from front to back in bounded memory.
//
// source.h lists the files, byte_stream.h decompresses one, text_window.h gives its text, and
// corpus_reader.h cuts all of them into batches, which json_record.h and an encoder take further on
// many threads. This room knows files and documents; of tokens it knows where text may be cut.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mneme::text {

enum class SourceKind {
  kText,       // a document, or several with a separator between them
  kJsonLines,  // a record a line
};
enum class Compression { kNone, kGzip, kZstd };

struct Source {
  std::string path;  // as it was given, or below a folder as that was given
  SourceKind kind = SourceKind::kText;
  Compression compression = Compression::kNone;
  std::uint64_t bytes = 0;  // as it lies on the disk
  std::int64_t modified_ns = 0;

  bool operator==(const Source&) const = default;
};

struct SourceList {
  std::vector<Source> sources;  // in the order of the inputs; those of a folder by path
  std::uint64_t left_out = 0;   // files in folders whose ending is not known
  std::string first_left_out;   // path of one of them

  std::uint64_t bytes() const;
};

// Files are read whatever their ending says, as plain text where it says nothing. Of folders, and
// the folders in them, these endings: .txt .md .jsonl .txt.gz .md.gz .jsonl.gz and the same with
// .zst. A file that is named twice is listed twice. Throws Error naming what cannot be read, what
// is no regular file, and a folder without a file to read.
SourceList find_sources(std::span<const std::string> inputs);

}  // namespace mneme::text
