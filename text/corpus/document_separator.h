// Lines that stand between two documents of a text file.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace mneme::text {

struct SeparatorLine {
  std::size_t begin = 0;
  std::size_t end = 0;  // behind its line break
};

struct SeparatorSearch {
  std::string_view separator;    // the line without its line break
  std::size_t from = 0;          // only lines that begin here or later
  bool is_at_line_start = true;  // the text begins with the beginning of a line
  bool is_whole = true;          // nothing follows the text: its last line needs no line break
};

// The first line of the text that is the separator and nothing else. One whose line break is not
// there yet is none.
std::optional<SeparatorLine> find_separator_line(std::string_view text,
                                                 const SeparatorSearch& search);

}  // namespace mneme::text
