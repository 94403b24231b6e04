// Reads a corpus from front to back, one batch after the other. For one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "text/corpus/raw_batch.h"
#include "text/corpus/source.h"
#include "text/corpus/text_window.h"

namespace mneme::text {

struct CorpusOptions {
  // A line of a text file that is exactly this, with LF or CRLF behind it, stands between two
  // documents and belongs to neither; the empty text is an empty line. Without it a file is one
  // document.
  std::optional<std::string> document_separator;
  // A longer line of JSON is an Error: that much has to fit in memory, on several threads at once.
  std::uint64_t most_record_bytes = std::uint64_t{64} << 20;
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
  // Where text may be cut: Tokenizer::find_cut.
  std::function<std::size_t(std::string_view text, std::size_t from)> find_cut;

  std::size_t batch_bytes = std::size_t{1} << 20;  // about
  // Documents of text files that are longer than twice the first are cut, behind so many bytes or
  // soon after that. Where find_cut knows no place before the second, it is in front of a line.
  std::size_t least_part_bytes = std::size_t{256} << 10;
  std::size_t most_part_bytes = std::size_t{4} << 20;
};

// Reads one source into batches.
class SourceReader {
 public:
  virtual ~SourceReader() = default;
  // Appends a piece to the batch, about `most_bytes` long where a source leaves the choice. False
  // at the end of the source, where there is none.
  virtual bool append_piece(RawBatch& batch, std::size_t most_bytes) = 0;
  // Behind the last piece; its `source` is not set.
  virtual CorpusPosition position() const = 0;
  virtual std::uint64_t used_bytes() const = 0;
};

std::unique_ptr<SourceReader> make_lines_reader(const Source& source, const CorpusOptions& options,
                                                const CorpusPosition& start,
                                                const std::stop_token& stop);
std::unique_ptr<SourceReader> make_text_reader(const Source& source, const CorpusOptions& options,
                                               const CorpusPosition& start,
                                               const std::stop_token& stop);

class CorpusReader {
 public:
  // list and options must outlive the reader and its batches.
  CorpusReader(const SourceList& list, const CorpusOptions& options, const CorpusPosition& start,
               std::stop_token stop);
  // Nothing at the end of the corpus and when a stop was asked for. Throws Error naming file and
  // line for what cannot be read.
  std::optional<RawBatch> next();

 private:
  void open();

  const SourceList& list_;
  const CorpusOptions& options_;
  CorpusPosition position_;
  std::stop_token stop_;
  std::unique_ptr<SourceReader> reader_;
  std::uint64_t finished_bytes_ = 0;  // of the sources before the one that is open
};

}  // namespace mneme::text
