// Whole lines of JSON, as many as fit a batch.
#include <algorithm>

#include "io/error.h"
#include "text/corpus/corpus_reader.h"

namespace mneme::text {
namespace {

class LinesReader : public SourceReader {
 public:
  LinesReader(const Source& source, const CorpusOptions& options, const CorpusPosition& start,
              const std::stop_token& stop)
      : options_(options),
        window_(source, TextWindow::Content::kBytes, options.invalid_utf8,
                {start.offset, start.line}, stop) {}

  bool append_piece(RawBatch& batch, std::size_t most_bytes) override {
    const std::size_t bytes = bytes_of_lines(std::max<std::size_t>(most_bytes, 1));
    if (bytes == 0) return false;
    Piece piece;
    piece.begin = batch.bytes.size();
    piece.source = &window_.source();
    piece.line = window_.line();
    batch.bytes += window_.ensure(bytes).substr(0, bytes);
    piece.end = batch.bytes.size();
    batch.pieces.push_back(piece);
    window_.consume(bytes);
    return true;
  }

  CorpusPosition position() const override {
    CorpusPosition position;
    position.offset = window_.offset();
    position.line = window_.line();
    return position;
  }
  std::uint64_t used_bytes() const override { return window_.used_bytes(); }

 private:
  // Of the lines that fit `most_bytes`, and of one line where none does; 0 at the end.
  std::size_t bytes_of_lines(std::size_t most_bytes) {
    std::string_view there = window_.ensure(most_bytes + 1);
    if (window_.is_whole() && there.size() <= most_bytes) return there.size();
    const std::size_t last = there.substr(0, most_bytes).rfind('\n');
    if (last != there.npos) return last + 1;
    for (std::size_t seen = std::min(most_bytes, there.size());;) {
      const std::size_t end = there.find('\n', seen);
      if (end != there.npos) return end + 1;
      if (window_.is_whole()) return there.size();
      seen = there.size();
      if (seen > options_.most_record_bytes) refuse();
      there = window_.ensure(seen + 1);
    }
  }

  [[noreturn]] void refuse() const {
    io::fail(
        "{}: line {}: a record of more than {} bytes; allow more with --max-document-bytes, if it "
        "is one",
        window_.source().path, window_.line(), options_.most_record_bytes);
  }

  const CorpusOptions& options_;
  TextWindow window_;
};

}  // namespace

std::unique_ptr<SourceReader> make_lines_reader(const Source& source, const CorpusOptions& options,
                                                const CorpusPosition& start,
                                                const std::stop_token& stop) {
  return std::make_unique<LinesReader>(source, options, start, stop);
}

}  // namespace mneme::text
