// The lookups of one call, grouped by row: which distinct rows they need and who reads each.
// Buffers are allocated at construction and reused by every call.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>

#include "kernels/backend.h"
#include "kernels/device_array.h"

namespace mneme::memory {

// Grouping counts look-ups in 32 bits and uses offsets up to their number.
inline constexpr std::int64_t kMostLookups = std::numeric_limits<std::uint32_t>::max() - 1;

struct LookupSetShape {
  std::int64_t tokens = 0;             // the most tokens of one call
  std::int64_t lookups_per_token = 0;  // heads * knn
  std::uint64_t table_rows = 0;        // rows are below this
  bool token_order = true;             // wanted by gather, not by the row update
  std::int32_t layer = -1;             // that the look-ups are of; -1: of no layer alone
};

class LookupSet {
 public:
  // Throws Error when the lookups of one set cannot be counted in 32 bits.
  LookupSet(kernels::Backend& backend, const LookupSetShape& shape);

  // Queues the grouping of rows: device, [tokens, lookups_per_token], which must stay unchanged
  // while the set is in use. The number of distinct rows is known on the device only.
  void group(kernels::Stream& stream, const kernels::RowId* rows, std::int64_t tokens);

  // Recorded behind the grouping: from then on the store can plan a lease of the distinct rows.
  kernels::Event& rows_ready() const { return *rows_ready_; }

  const kernels::GroupedLookups& grouped() const { return grouped_; }
  std::int64_t tokens() const { return tokens_; }
  std::int32_t layer() const { return shape_.layer; }
  std::int64_t lookups() const { return grouped_.lookups; }
  // [1], pinned host: the number of distinct rows, once rows_ready() is reached.
  const std::uint64_t* distinct_rows_at() const { return count_.data(); }
  // The same; waits for the grouping.
  std::int64_t distinct_rows() const;

 private:
  kernels::Backend* backend_;
  LookupSetShape shape_;
  kernels::DeviceArray<kernels::RowId> unique_rows_;  // [lookups]
  kernels::DeviceArray<std::uint32_t> offsets_;       // [lookups + 1]
  kernels::DeviceArray<std::uint32_t> order_;         // [lookups]
  kernels::DeviceArray<std::uint32_t> unique_index_;  // [lookups]
  kernels::DeviceArray<std::uint32_t> token_order_;   // [lookups], with token_order
  kernels::DeviceArray<std::uint64_t> count_;         // [1], pinned host
  kernels::GroupedLookups grouped_;
  std::unique_ptr<kernels::Event> rows_ready_;
  std::int64_t tokens_ = 0;
};

}  // namespace mneme::memory
