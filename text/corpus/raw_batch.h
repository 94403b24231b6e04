// What a corpus is read in: about a megabyte of whole records and of documents or their parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "text/corpus/source.h"

namespace mneme::text {

// A place in the corpus at which reading can begin. Equal places give equal batches from there on.
struct CorpusPosition {
  std::uint64_t source = 0;     // index in the list
  std::uint64_t offset = 0;     // bytes of its text (text_window.h)
  std::uint64_t line = 1;       // its number there, from 1
  bool is_in_document = false;  // the document that goes on here has begun before
  bool is_at_line_start = true;

  bool operator==(const CorpusPosition&) const = default;
};

// A stretch of a batch's bytes.
struct Piece {
  std::size_t begin = 0, end = 0;
  const Source* source = nullptr;
  std::uint64_t line = 1;       // of its first byte
  bool begins_document = true;  // of text: JSON lines are whole records
  bool ends_document = true;
};

struct RawBatch {
  // Bytes that follow the last piece, so that a parser may read beyond it.
  static constexpr std::size_t kPadding = 64;

  std::string bytes;  // of the pieces, then the padding
  std::vector<Piece> pieces;
  CorpusPosition next;            // behind the batch
  std::uint64_t input_bytes = 0;  // of all files that are done then, as they lie on the disk
  // A document was cut where the tokens on both sides may differ from those of the whole.
  const Source* roughly_cut = nullptr;
};

}  // namespace mneme::text
