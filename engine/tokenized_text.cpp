#include "engine/tokenized_text.h"

#include <algorithm>
#include <span>
#include <utility>

#include "engine/run_tokenizer.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/progress.h"
#include "io/text_source.h"
#include "text/prepare/encode_corpus.h"

namespace mneme::engine {
namespace {

class TokenizedText : public TokenSource {
 public:
  explicit TokenizedText(const DataPlace& place) {
    const auto tokenizer =
        open_tokenizer(place.tokenizer, place.tokenizer_encoding, place.vocabulary);
    io::TextSourceOptions files;
    files.extensions = place.extensions;
    const text::SourceList sources = text::find_sources(io::list_text_files(place.path, files));
    text::EncodeCorpusOptions how;
    how.encoding.separator = tokenizer->separator();
    how.threads = place.threads;
    io::Phase phase("encoding the text of " + io::printable(place.path), sources.bytes());
    text::encode_corpus(sources, *tokenizer, how, [&](const text::EncodedBatch& batch) {
      take(batch);
      phase.reach(batch.input_bytes);
    });
    if (tokens_.empty()) {
      io::fail("{} {}: has no text; check the folder and data.extensions", place.key, place.path);
    }
    ends_line_.resize(static_cast<std::size_t>(tokenizer->vocabulary()));
    for (std::int32_t id = 0; id < tokenizer->vocabulary(); ++id) {
      ends_line_[static_cast<std::size_t>(id)] = tokenizer->token_bytes(id).ends_with('\n');
    }
  }

  bool is_text() const override { return true; }
  std::uint64_t tokens() const override { return tokens_.size(); }
  SplitSource split_source() const override {
    SplitSource source;
    source.parts = {{0, tokens()}};
    source.documents = document_ends_;
    source.next_line = [this](std::uint64_t after, std::uint64_t limit) {
      for (std::uint64_t at = after; at < std::min(limit, tokens()); ++at) {
        if (ends_line_[static_cast<std::size_t>(tokens_[at])]) return at + 1;
      }
      return after;
    };
    return source;
  }
  void read(std::uint64_t first, std::span<std::int32_t> out) const override {
    std::copy_n(tokens_.begin() + static_cast<std::ptrdiff_t>(first), out.size(), out.begin());
  }
  void count(std::uint64_t limit, std::vector<std::uint64_t>& histogram) const override {
    const std::uint64_t end = std::min<std::uint64_t>(limit, tokens_.size());
    for (std::uint64_t i = 0; i < end; ++i) ++histogram[static_cast<std::size_t>(tokens_[i])];
  }
  // Of the tokens, so that another tokenizer makes other data of the same text, and of where
  // documents end, which decides which tokens validate.
  DataFingerprint fingerprint() const override {
    const io::Phase phase("taking the data's checksum");
    const std::uint64_t checksum = io::checksum64(std::as_bytes(std::span(tokens_)));
    return {text_bytes_, io::extend_checksum(checksum, std::as_bytes(std::span(document_ends_)))};
  }

 private:
  void take(const text::EncodedBatch& batch) {
    std::size_t begin = 0;
    for (const text::EncodedPart& part : batch.parts) {
      const auto tokens = std::span(batch.tokens).subspan(begin, part.tokens_end - begin);
      tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
      text_bytes_ += part.text_bytes;
      begin = part.tokens_end;
      if (part.ends_document) document_ends_.push_back(tokens_.size());
    }
  }

  std::vector<std::int32_t> tokens_;
  std::vector<std::uint64_t> document_ends_;
  std::uint64_t text_bytes_ = 0;
  std::vector<bool> ends_line_;  // by id
};

}  // namespace

std::unique_ptr<TokenSource> open_tokenized_text(const DataPlace& place) {
  return std::make_unique<TokenizedText>(place);
}

}  // namespace mneme::engine
