#include "text/corpus/document_separator.h"

namespace mneme::text {
namespace {

// Behind the line break that stands at `at`, or npos where the line goes on.
std::size_t end_of_line(std::string_view text, std::size_t at, bool is_whole) {
  if (at == text.size()) return is_whole ? at : text.npos;
  if (text[at] == '\n') return at + 1;
  return text.substr(at).starts_with("\r\n") ? at + 2 : text.npos;
}

// The next line that is empty: its line break follows another one, or the beginning.
std::optional<SeparatorLine> find_empty_line(std::string_view text, const SeparatorSearch& search) {
  std::size_t at = search.from;
  const bool begins_line = at == 0 ? search.is_at_line_start : text[at - 1] == '\n';
  for (bool is_line = begins_line;; is_line = true) {
    if (is_line && at < text.size()) {
      const std::size_t end = end_of_line(text, at, false);
      if (end != text.npos) return SeparatorLine{at, end};
    }
    at = text.find('\n', at);
    if (at == text.npos) return std::nullopt;
    ++at;
  }
}

}  // namespace

std::optional<SeparatorLine> find_separator_line(std::string_view text,
                                                 const SeparatorSearch& search) {
  if (search.from > text.size()) return std::nullopt;
  if (search.separator.empty()) return find_empty_line(text, search);
  for (std::size_t at = search.from;; ++at) {
    at = text.find(search.separator, at);
    if (at == text.npos) return std::nullopt;
    if (at == 0 ? !search.is_at_line_start : text[at - 1] != '\n') continue;
    const std::size_t end = end_of_line(text, at + search.separator.size(), search.is_whole);
    if (end != text.npos) return SeparatorLine{at, end};
  }
}

}  // namespace mneme::text
