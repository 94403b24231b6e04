#include "memory/prediction/row_votes.h"

namespace mneme::memory {

RowVotes::RowVotes(kernels::Backend& backend, std::int64_t tokens, std::int64_t lookups_per_token,
                   std::uint64_t table_rows, std::int64_t ranked)
    : backend_(backend),
      set_(backend, {.tokens = tokens,
                     .lookups_per_token = lookups_per_token,
                     .table_rows = table_rows,
                     .token_order = false}),
      rows_(kernels::pinned_array<kernels::RowId>(backend, tokens * lookups_per_token)),
      offsets_(kernels::pinned_array<std::uint32_t>(backend, tokens * lookups_per_token + 1)),
      counted_(backend.create_event()) {
  if (ranked == 0) return;
  order_ = kernels::pinned_array<std::uint32_t>(backend, tokens * lookups_per_token);
  for (std::int64_t rank = 0; rank < ranked; ++rank) {
    votes_of_rank_.push_back(static_cast<std::uint8_t>(4 - 4 * rank / ranked));
  }
}

void RowVotes::count(kernels::Stream& stream, const kernels::RowId* candidates,
                     std::int64_t tokens) {
  tokens_ = tokens;
  if (tokens == 0) return;
  set_.group(stream, candidates, tokens);
  // Nobody waits here for how many there are: of the lists all comes that may be in use.
  backend_.copy(stream, rows_.data(), set_.grouped().unique_rows,
                kernels::DeviceArray<kernels::RowId>::bytes(set_.lookups()));
  backend_.copy(stream, offsets_.data(), set_.grouped().offsets,
                kernels::DeviceArray<std::uint32_t>::bytes(set_.lookups() + 1));
  if (!votes_of_rank_.empty()) {
    backend_.copy(stream, order_.data(), set_.grouped().order,
                  kernels::DeviceArray<std::uint32_t>::bytes(set_.lookups()));
  }
  stream.record(*counted_);
}

RowVotes::Counted RowVotes::await() {
  if (tokens_ == 0) return {};
  counted_->synchronize();
  const std::int64_t rows = set_.rows().count();
  votes_.resize(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) {
    std::uint32_t& votes = votes_[static_cast<std::size_t>(i)];
    votes = offsets_[i + 1] - offsets_[i];
    if (votes_of_rank_.empty()) continue;
    votes = 0;
    for (std::int64_t j = offsets_[i]; j < offsets_[i + 1]; ++j) {
      votes += votes_of_rank_[order_[j] % votes_of_rank_.size()];
    }
  }
  return {{rows_.data(), votes_.size()}, votes_};
}

}  // namespace mneme::memory
