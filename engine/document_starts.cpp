#include "engine/document_starts.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::engine {

void find_document_starts(std::span<const std::int32_t> tokens, std::uint64_t position,
                          const DocumentMarks& marks, std::span<std::int32_t> starts) {
  CHECK(starts.size() == tokens.size());
  auto end = std::ranges::lower_bound(marks.ends, position);
  std::int32_t start = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    bool begins = tokens[i] == marks.separator;
    for (; end != marks.ends.end() && *end == position + i; ++end) begins = true;
    if (begins) start = static_cast<std::int32_t>(i);
    starts[i] = start;
  }
}

}  // namespace mneme::engine
