#include "io/basic_token_writer.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "io/check.h"
#include "io/error.h"

namespace mneme::io {
namespace {

constexpr std::size_t kBlockTokens = std::size_t{1} << 16;

// What the partial file keeps: nothing of one that is made. The bytes before the first token may
// not be there before that is.
std::optional<std::uint64_t> kept_bytes(const TokenWriterOptions& options, TokenType type,
                                        std::uint64_t front_bytes) {
  if (!options.resume) return std::nullopt;
  if (options.resume->tokens == 0) return 0;
  return front_bytes + options.resume->tokens * static_cast<std::uint64_t>(bytes_of(type));
}

}  // namespace

std::string partial_tokens_path(const std::string& path) {
  return path + ".partial";
}

BasicTokenWriter::BasicTokenWriter(Disk& disk, const TokenWriterOptions& options, TokenType type,
                                   std::uint64_t front_bytes)
    : disk_(disk),
      path_(options.path),
      type_(type),
      state_(options.resume.value_or(TokenWriterState{})),
      tokens_(disk, partial_tokens_path(options.path), kept_bytes(options, type, front_bytes)) {
  if (state_.tokens == 0) tokens_.append(std::vector<std::byte>(front_bytes));
}

std::uint64_t BasicTokenWriter::max_tokens() const {
  return static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / bytes_of(type_));
}

template <typename Body>
void BasicTokenWriter::change(const Body& body) {
  CHECK(!finished_);
  if (broken_) {
    fail("{}: an earlier write failed; go on from the last state that was synced", path_);
  }
  broken_ = true;
  body();
  broken_ = false;
}

void BasicTokenWriter::check(std::span<const std::int32_t> ids) const {
  if (ids.size() > max_tokens() - std::min(max_tokens(), state_.tokens)) {
    fail("{}: holds at most {} tokens; start another file", path_, max_tokens());
  }
  if (ids.size() > max_document_tokens() - std::min(max_document_tokens(), state_.open_tokens)) {
    fail("{}: a document holds at most {} tokens", path_, max_document_tokens());
  }
  const std::int32_t largest = largest_id(type_);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] <= largest) continue;
    fail("{}: token {} at position {} does not fit the file's {} bytes a token", path_, ids[i],
         state_.tokens + i, bytes_of(type_));
  }
}

void BasicTokenWriter::append(std::span<const std::int32_t> ids) {
  check(ids);
  change([&] {
    state_.tokens += ids.size();
    state_.open_tokens += ids.size();
    while (!ids.empty()) {
      const auto piece = ids.first(std::min(ids.size(), kBlockTokens));
      stored_.resize(piece.size() * static_cast<std::size_t>(bytes_of(type_)));
      store_ids(type_, piece, stored_.data());
      tokens_.append(stored_);
      ids = ids.subspan(piece.size());
    }
  });
}

void BasicTokenWriter::close_document() {
  if (state_.open_tokens == 0) return;
  add_document(state_.open_tokens);
  state_.open_tokens = 0;
  ++state_.documents;
}

void BasicTokenWriter::end_document() {
  change([&] { close_document(); });
}

void BasicTokenWriter::sync() {
  change([&] {
    tokens_.sync();
    sync_others();
  });
}

void BasicTokenWriter::finish() {
  if (state_.tokens == 0) fail("{}: a file of tokens needs at least one", path_);
  change([&] {
    close_document();
    tokens_.sync();
    sync_others();
    complete(tokens_);
    tokens_.close();
    disk_.rename(partial_tokens_path(path_), path_);
    disk_.sync_directory(directory_of(path_));
    clean_up();
  });
  finished_ = true;
}

}  // namespace mneme::io
