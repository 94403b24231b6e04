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

// Distinct rows, ascending, in device memory, of which only the device may know how many there are.
struct DistinctRows {
  const kernels::RowId* rows = nullptr;
  std::int64_t most = 0;
  // Recorded behind what fills them: from then on the store can plan a lease of them.
  kernels::Event* ready = nullptr;
  const std::uint64_t* number = nullptr;  // [1], pinned host, once `ready` is reached
  std::int32_t layer = -1;                // that they are booked to

  // Waits for it.
  std::int64_t count() const;
};

class LookupSet {
 public:
  // Throws Error when the lookups of one set cannot be counted in 32 bits.
  LookupSet(kernels::Backend& backend, const LookupSetShape& shape);

  // Queues the grouping of rows: device, [tokens, lookups_per_token], which must stay unchanged
  // while the set is in use. The number of distinct rows is known on the device only.
  void group(kernels::Stream& stream, const kernels::RowId* rows, std::int64_t tokens);

  const kernels::GroupedLookups& grouped() const { return grouped_; }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t lookups() const { return grouped_.lookups; }
  // Of the last grouping.
  DistinctRows rows() const {
    return {grouped_.unique_rows, grouped_.lookups, rows_ready_.get(), count_.data(), shape_.layer};
  }

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
