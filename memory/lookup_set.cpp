#include "memory/lookup_set.h"

#include "io/check.h"
#include "io/error.h"

namespace mneme::memory {
namespace {

std::int64_t checked_lookups(const LookupSetShape& shape) {
  if (shape.tokens < 1 || shape.lookups_per_token < 1) {
    io::fail("value table: {} tokens with {} lookups each; both must be at least 1", shape.tokens,
             shape.lookups_per_token);
  }
  if (shape.tokens > kMostLookups / shape.lookups_per_token) {
    io::fail(
        "value table: {} tokens with {} lookups each are more than {} lookups in one step; "
        "use fewer tokens or micro-batches a step",
        shape.tokens, shape.lookups_per_token, kMostLookups);
  }
  return shape.tokens * shape.lookups_per_token;
}

}  // namespace

LookupSet::LookupSet(kernels::Backend& backend, const LookupSetShape& shape)
    : backend_(&backend), shape_(shape) {
  const std::int64_t lookups = checked_lookups(shape);
  unique_rows_ = {backend, lookups};
  offsets_ = {backend, lookups + 1};
  order_ = {backend, lookups};
  unique_index_ = {backend, lookups};
  if (shape.token_order) token_order_ = {backend, lookups};
  count_ = kernels::pinned_array<std::uint64_t>(backend, 1);
  rows_ready_ = backend.create_event();
  grouped_.lookups_per_token = shape.lookups_per_token;
  grouped_.table_rows = shape.table_rows;
  grouped_.unique_rows = unique_rows_.data();
  grouped_.offsets = offsets_.data();
  grouped_.order = order_.data();
  grouped_.unique_index = unique_index_.data();
  grouped_.token_order = token_order_.data();
  grouped_.count = count_.data();
}

void LookupSet::group(kernels::Stream& stream, const kernels::RowId* rows, std::int64_t tokens) {
  CHECK(tokens >= 1 && tokens <= shape_.tokens, "{} tokens in a set of at most {}", tokens,
        shape_.tokens);
  tokens_ = tokens;
  grouped_.rows = rows;
  grouped_.lookups = tokens * shape_.lookups_per_token;
  backend_->group_lookups(stream, grouped_);
  stream.record(*rows_ready_);
}

std::int64_t DistinctRows::count() const {
  if (!ready->reached()) ready->synchronize();
  const auto count = static_cast<std::int64_t>(*number);
  CHECK(count >= 1 && count <= most);
  return count;
}

}  // namespace mneme::memory
