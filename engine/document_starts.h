// Where the documents of a window begin, for attention that does not read across them.
#pragma once

#include <cstdint>
#include <span>

namespace mneme::engine {

// What tells documents apart in a source of tokens.
struct DocumentMarks {
  std::span<const std::uint64_t> ends;  // positions behind their last tokens, ascending
  std::int64_t separator = -1;          // the token that each starts with; -1: none
};

// starts[i] = where the document of tokens[i] begins, as an index of the window; 0 for one that
// began before the window. position: of the window's first token in the source. REQUIRES starts is
// as long as tokens.
void find_document_starts(std::span<const std::int32_t> tokens, std::uint64_t position,
                          const DocumentMarks& marks, std::span<std::int32_t> starts);

}  // namespace mneme::engine
