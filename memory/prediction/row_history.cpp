#include "memory/prediction/row_history.h"

#include <algorithm>

#include "io/check.h"
#include "offload/mix.h"

namespace mneme::memory {
namespace {

// Entries are copied, whatever their bits mean.
static_assert(sizeof(kernels::RowId) == sizeof(float));

}  // namespace

RowHistory::RowHistory(kernels::Backend& backend, const RowHistoryShape& shape)
    : backend_(backend),
      shape_(shape),
      ring_(backend, shape.ring_tokens * shape.lookups_per_token),
      wanted_(kernels::pinned_array<std::int32_t>(backend, shape.recalled())),
      newest_(shape.contexts * static_cast<std::size_t>(shape.depth)) {
  CHECK(shape.tokens >= 1 && shape.ring_tokens >= shape.tokens && shape.contexts >= 1 &&
        shape.depth >= 1);
}

void RowHistory::remember(kernels::Stream& stream, const kernels::RowId* rows,
                          std::span<const std::uint32_t> contexts) {
  const auto count = static_cast<std::int64_t>(contexts.size());
  CHECK(count <= shape_.tokens);
  // A batch lies in one piece: what does not fit behind the others begins at the front.
  const auto ring = static_cast<std::uint64_t>(shape_.ring_tokens);
  std::uint64_t place = tokens_ % ring;
  if (place + contexts.size() > ring) {
    tokens_ += ring - place;
    place = 0;
  }
  backend_.copy(stream, ring_.data() + static_cast<std::int64_t>(place) * shape_.lookups_per_token,
                rows,
                kernels::DeviceArray<kernels::RowId>::bytes(count * shape_.lookups_per_token));
  const auto depth = static_cast<std::size_t>(shape_.depth);
  for (const std::uint32_t context : contexts) {
    std::uint64_t* const newest = newest_.data() + context * depth;
    std::copy_backward(newest, newest + depth - 1, newest + depth);
    newest[0] = ++tokens_;
  }
}

std::int64_t RowHistory::recall(kernels::Stream& stream, std::span<const std::uint32_t> contexts,
                                kernels::RowId* out) {
  CHECK(static_cast<std::int64_t>(contexts.size()) <= shape_.tokens);
  const auto ring = static_cast<std::uint64_t>(shape_.ring_tokens);
  std::int64_t known = 0;
  const auto depth = static_cast<std::size_t>(shape_.depth);
  for (const std::uint32_t context : contexts) {
    for (std::size_t i = 0; i < depth; ++i) {
      const std::uint64_t newest = newest_[context * depth + i];
      if (newest == 0 || newest + ring <= tokens_) break;
      wanted_[known++] = static_cast<std::int32_t>((newest - 1) % ring);
    }
  }
  if (known == 0) return 0;
  backend_.embedding(stream, {.tokens = wanted_.data(),
                              .table = reinterpret_cast<const float*>(ring_.data()),
                              .out = reinterpret_cast<float*>(out),
                              .count = known,
                              .width = shape_.lookups_per_token,
                              .vocabulary = shape_.ring_tokens});
  return known;
}

void contexts_of(std::span<const std::int32_t> tokens, std::int64_t sequence, int length,
                 std::uint32_t contexts, std::span<std::uint32_t> out) {
  CHECK(out.size() == tokens.size() && sequence >= 1 && length >= 1);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto position = static_cast<std::int64_t>(i) % sequence;
    std::uint64_t hash = 0;
    for (std::int64_t back = std::min<std::int64_t>(length - 1, position); back >= 0; --back) {
      const auto token = static_cast<std::uint32_t>(tokens[i - static_cast<std::size_t>(back)]);
      hash = offload::mix(hash + token + 1);
    }
    out[i] = static_cast<std::uint32_t>(hash % contexts);
  }
}

}  // namespace mneme::memory
