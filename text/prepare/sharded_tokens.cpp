#include "text/prepare/sharded_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "io/basic_token_writer.h"
#include "io/megatron_layout.h"

namespace mneme::text {

ShardedTokens::ShardedTokens(io::Disk& disk, const ShardedTokensOptions& options,
                             const ShardedTokensState& state)
    : disk_(disk), options_(options), full_(state.full) {
  disk_.make_directories(options_.folder);
  remove_from(full_.size() + (state.open ? 1 : 0));
  if (state.open) open(state.open);
}

std::string ShardedTokens::file_name(std::size_t index) const {
  if (options_.layout != io::TokenLayout::kLlmC) return options_.name + ".bin";
  return fmt::format("{}_{:06}.bin", options_.name, index);
}

// Files that were begun after the state was taken. One file of theirs at a time was open, so that
// none lies behind a gap.
void ShardedTokens::remove_from(std::size_t index) {
  if (index > 0 && options_.layout != io::TokenLayout::kLlmC) return;
  for (bool found = true; found; ++index) {
    const std::string file = path(index);
    found = disk_.exists(file) || disk_.exists(io::partial_tokens_path(file));
    io::remove_partial_tokens(disk_, options_.layout, file);
    disk_.remove(file);
    if (options_.layout == io::TokenLayout::kLlmC) continue;
    disk_.remove(io::megatron_index_path(file));
    return;
  }
}

std::uint64_t ShardedTokens::room() const {
  const std::uint64_t most = options_.layout == io::TokenLayout::kLlmC
                                 ? std::min(options_.shard_tokens, writer_->max_tokens())
                                 : std::numeric_limits<std::uint64_t>::max();
  return most - std::min(most, writer_->state().tokens);
}

void ShardedTokens::open(const std::optional<io::TokenWriterState>& state) {
  writer_ = io::make_token_writer(
      disk_, {options_.layout, path(full_.size()), options_.token_bytes, state});
}

void ShardedTokens::close() {
  writer_->finish();
  full_.push_back(writer_->state().tokens);
  writer_.reset();
}

void ShardedTokens::append(std::span<const std::int32_t> ids) {
  while (!ids.empty()) {
    if (writer_ != nullptr && room() == 0) close();
    if (writer_ == nullptr) open(std::nullopt);
    const std::size_t piece = std::min<std::uint64_t>(ids.size(), room());
    writer_->append(ids.first(piece));
    ids = ids.subspan(piece);
  }
}

void ShardedTokens::end_document() {
  if (writer_ != nullptr) writer_->end_document();
}

void ShardedTokens::sync() {
  if (writer_ != nullptr) writer_->sync();
}

ShardedTokensState ShardedTokens::state() const {
  ShardedTokensState state;
  state.full = full_;
  if (writer_ != nullptr) state.open = writer_->state();
  return state;
}

void ShardedTokens::finish() {
  if (writer_ != nullptr) close();
}

std::vector<ShardedTokens::File> ShardedTokens::files() const {
  std::vector<File> files;
  for (std::size_t i = 0; i < full_.size(); ++i) files.push_back({file_name(i), full_[i]});
  return files;
}

}  // namespace mneme::text
