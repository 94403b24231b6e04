// Documents of text files; long ones in parts that can be encoded apart.
#include <algorithm>

#include "text/corpus/corpus_reader.h"
#include "text/corpus/document_separator.h"

namespace mneme::text {
namespace {

constexpr std::size_t kLineBreakBytes = 2;  // at most

// The last place at or before `at` where no character is cut. REQUIRES: the text is UTF-8.
std::size_t whole_characters(std::string_view text, std::size_t at) {
  if (at >= text.size()) return text.size();
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

class TextReader : public SourceReader {
 public:
  TextReader(const Source& source, const CorpusOptions& options, const CorpusPosition& start,
             const std::stop_token& stop)
      : options_(options),
        window_(source, TextWindow::Content::kUtf8, options.invalid_utf8,
                {start.offset, start.line}, stop),
        is_in_document_(start.is_in_document),
        is_at_line_start_(start.is_at_line_start) {}

  bool append_piece(RawBatch& batch, std::size_t) override {
    skip_empty_documents();
    const Part part = next_part();
    if (part.bytes == 0) return false;
    Piece piece;
    piece.begin = batch.bytes.size();
    piece.source = &window_.source();
    piece.line = window_.line();
    piece.begins_document = !is_in_document_;
    piece.ends_document = part.ends_document;
    batch.bytes += window_.ensure(part.bytes).substr(0, part.bytes);
    piece.end = batch.bytes.size();
    batch.pieces.push_back(piece);
    if (part.is_rough) batch.roughly_cut = &window_.source();
    consume(part.bytes);
    is_in_document_ = !part.ends_document;
    if (part.ends_document) skip_separator();
    return true;
  }

  CorpusPosition position() const override {
    CorpusPosition position;
    position.offset = window_.offset();
    position.line = window_.line();
    position.is_in_document = is_in_document_;
    position.is_at_line_start = is_at_line_start_;
    return position;
  }
  std::uint64_t used_bytes() const override { return window_.used_bytes(); }

 private:
  struct Part {
    std::size_t bytes = 0;  // 0 at the end of the source
    bool ends_document = true;
    bool is_rough = false;
  };

  // What the next document has in the window.
  struct Rest {
    std::string_view text;  // `most` bytes or all of it, without half a character
    bool is_all = false;
  };
  // The same text gives the same rest, however it was read.
  Rest rest_of_document(std::size_t most) {
    const std::size_t separator =
        options_.document_separator ? options_.document_separator->size() + kLineBreakBytes : 0;
    const std::string_view there = window_.ensure(most + separator + 1);
    if (const auto line = separator_in(there); line && line->begin <= most) {
      return {there.substr(0, line->begin), true};
    }
    if (window_.is_whole() && there.size() <= most) return {there, true};
    return {there.substr(0, whole_characters(there, most)), false};
  }

  std::optional<SeparatorLine> separator_in(std::string_view there) {
    if (!options_.document_separator) return std::nullopt;
    SeparatorSearch search;
    search.separator = *options_.document_separator;
    search.from = searched_;
    search.is_at_line_start = is_at_line_start_;
    search.is_whole = window_.is_whole();
    const auto line = find_separator_line(there, search);
    // A separator at the end may be one of which a part is there.
    const std::size_t open = search.separator.size() + kLineBreakBytes;
    searched_ =
        line ? line->begin : std::max(searched_, there.size() - std::min(there.size(), open));
    return line;
  }

  // A document that is not much longer than a part stays whole.
  Part next_part() {
    const std::size_t step = options_.least_part_bytes;
    std::size_t from = step;
    for (std::size_t most = 2 * step; most <= options_.most_part_bytes; most += step) {
      const Rest rest = rest_of_document(most);
      if (rest.is_all && rest.text.size() <= 2 * step) return {rest.text.size(), true, false};
      const std::size_t cut = options_.find_cut(
          rest.text, whole_characters(rest.text, std::min(from, rest.text.size())));
      if (cut > 0 && cut < rest.text.size()) return {cut, false, false};
      if (rest.is_all) return {rest.text.size(), true, false};
      from = most;
    }
    const auto [text, is_all] = rest_of_document(options_.most_part_bytes);
    if (is_all) return {text.size(), true, false};
    const std::size_t line = text.rfind('\n');
    const bool has_line = line != text.npos && line + 1 < text.size();
    return {has_line ? line + 1 : text.size(), false, true};
  }

  void skip_empty_documents() {
    while (!is_in_document_ && skip_separator()) {
    }
  }

  // The separator line that begins at the front, where there is one.
  bool skip_separator() {
    if (!options_.document_separator) return false;
    const std::string_view there =
        window_.ensure(options_.document_separator->size() + kLineBreakBytes + 1);
    const auto line = separator_in(there);
    if (!line || line->begin != 0) return false;
    consume(line->end);
    is_at_line_start_ = true;
    return true;
  }

  void consume(std::size_t bytes) {
    if (bytes == 0) return;
    is_at_line_start_ = window_.ensure(bytes)[bytes - 1] == '\n';
    searched_ -= std::min(searched_, bytes);
    window_.consume(bytes);
  }

  const CorpusOptions& options_;
  TextWindow window_;
  std::size_t searched_ = 0;  // bytes of the window in which no separator begins
  bool is_in_document_;
  bool is_at_line_start_;
};

}  // namespace

std::unique_ptr<SourceReader> make_text_reader(const Source& source, const CorpusOptions& options,
                                               const CorpusPosition& start,
                                               const std::stop_token& stop) {
  return std::make_unique<TextReader>(source, options, start, stop);
}

}  // namespace mneme::text
