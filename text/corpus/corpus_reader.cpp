#include "text/corpus/corpus_reader.h"

#include <utility>

namespace mneme::text {
namespace {

// Of documents that are a few bytes long.
constexpr std::size_t kMostPieces = 16384;

}  // namespace

CorpusReader::CorpusReader(const SourceList& list, const CorpusOptions& options,
                           const CorpusPosition& start, std::stop_token stop)
    : list_(list), options_(options), position_(start), stop_(std::move(stop)) {
  for (std::size_t i = 0; i < start.source && i < list.sources.size(); ++i) {
    finished_bytes_ += list.sources[i].bytes;
  }
}

void CorpusReader::open() {
  const Source& source = list_.sources[position_.source];
  reader_ = source.kind == SourceKind::kJsonLines
                ? make_lines_reader(source, options_, position_, stop_)
                : make_text_reader(source, options_, position_, stop_);
}

std::optional<RawBatch> CorpusReader::next() {
  RawBatch batch;
  batch.bytes.reserve(options_.batch_bytes + options_.batch_bytes / 2);
  while (position_.source < list_.sources.size() && !stop_.stop_requested() &&
         batch.bytes.size() < options_.batch_bytes && batch.pieces.size() < kMostPieces) {
    if (reader_ == nullptr) open();
    const std::uint64_t index = position_.source;
    if (reader_->append_piece(batch, options_.batch_bytes - batch.bytes.size())) {
      position_ = reader_->position();
      position_.source = index;
    } else {
      reader_.reset();
      finished_bytes_ += list_.sources[index].bytes;
      position_ = CorpusPosition{};
      position_.source = index + 1;
    }
  }
  if (batch.pieces.empty() || stop_.stop_requested()) return std::nullopt;
  batch.bytes.append(RawBatch::kPadding, '\0');
  batch.next = position_;
  batch.input_bytes = finished_bytes_ + (reader_ != nullptr ? reader_->used_bytes() : 0);
  return batch;
}

}  // namespace mneme::text
