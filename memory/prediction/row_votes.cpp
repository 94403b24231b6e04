#include "memory/prediction/row_votes.h"

namespace mneme::memory {

RowVotes::RowVotes(kernels::Backend& backend, std::int64_t tokens, std::int64_t lookups_per_token,
                   std::uint64_t table_rows)
    : backend_(backend),
      set_(backend, {.tokens = tokens,
                     .lookups_per_token = lookups_per_token,
                     .table_rows = table_rows,
                     .token_order = false}),
      candidates_(backend, tokens * lookups_per_token),
      rows_(kernels::pinned_array<kernels::RowId>(backend, tokens * lookups_per_token)),
      offsets_(kernels::pinned_array<std::uint32_t>(backend, tokens * lookups_per_token + 1)) {}

void RowVotes::count(kernels::Stream& stream, std::int64_t tokens) {
  count_ = 0;
  if (tokens == 0) return;
  set_.group(stream, candidates_.data(), tokens);
  const std::int64_t distinct = set_.rows().count();
  backend_.copy(stream, rows_.data(), set_.grouped().unique_rows,
                kernels::DeviceArray<kernels::RowId>::bytes(distinct));
  backend_.copy(stream, offsets_.data(), set_.grouped().offsets,
                kernels::DeviceArray<std::uint32_t>::bytes(distinct + 1));
  stream.synchronize();
  count_ = static_cast<std::size_t>(distinct);
}

std::span<const kernels::RowId> RowVotes::rows() const {
  return {rows_.data(), count_};
}

}  // namespace mneme::memory
