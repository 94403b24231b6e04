// Which rows a memory layer read for the tokens that came lately, by what the tokens stood behind:
// their context, a number that the caller makes of the token itself, or of it and those before.
//
// The look-ups of the last tokens stay where they are made, in device memory, in a ring; the host
// knows the places of the newest tokens of each context. So remembering is a copy, and recalling a
// gather. What is older than the ring is forgotten.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"

namespace mneme::memory {

struct RowHistoryShape {
  std::int64_t tokens = 0;             // the most of one call
  std::int64_t lookups_per_token = 0;  // heads * knn
  std::int64_t ring_tokens = 0;        // at least `tokens`
  std::uint32_t contexts = 0;
  int depth = 1;                                            // tokens that are known of a context
  std::int64_t recalled() const { return tokens * depth; }  // the most of one call
};

class RowHistory {
 public:
  // Allocates the ring on the device, and on the host 8 bytes a token that may be known of a
  // context, and 4 for each that a call recalls.
  RowHistory(kernels::Backend& backend, const RowHistoryShape& shape);

  // rows: device, [contexts.size(), lookups_per_token], copied on the stream. contexts: of the
  // tokens, each below shape.contexts.
  void remember(kernels::Stream& stream, const kernels::RowId* rows,
                std::span<const std::uint32_t> contexts);
  // Fills out, device, [returned, lookups_per_token], with the look-ups of the newest tokens of
  // each context, as far as they are in the ring. The call before must have run. At most
  // shape.tokens contexts.
  std::int64_t recall(kernels::Stream& stream, std::span<const std::uint32_t> contexts,
                      kernels::RowId* out);

 private:
  kernels::Backend& backend_;
  RowHistoryShape shape_;
  kernels::DeviceArray<kernels::RowId> ring_;  // [ring_tokens, lookups_per_token]
  kernels::DeviceArray<std::int32_t> wanted_;  // [recalled()], pinned host: places in the ring
  std::vector<std::uint64_t> newest_;  // [contexts, depth], newest first: tokens up to and with it
  std::uint64_t tokens_ = 0;           // remembered so far, gaps at the ring's end included
};

// The contexts of a batch of sequences: of each token the `length` tokens that end with it, as far
// as they are of its sequence, hashed to numbers below `contexts`. tokens: [batch, sequence]; out:
// the same.
void contexts_of(std::span<const std::int32_t> tokens, std::int64_t sequence, int length,
                 std::uint32_t contexts, std::span<std::uint32_t> out);

}  // namespace mneme::memory
