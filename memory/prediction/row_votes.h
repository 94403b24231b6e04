// Candidates become a list: each row once, with the votes of the look-ups that named it, found in
// bulk on the device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/lookup_set.h"

namespace mneme::memory {

class RowVotes {
 public:
  // tokens: the most of one call; table_rows: rows are below it. A look-up has one vote; where
  // those of a token are ranked lists of `ranked` each, the best quarter has four, and the last
  // one.
  RowVotes(kernels::Backend& backend, std::int64_t tokens, std::int64_t lookups_per_token,
           std::uint64_t table_rows, std::int64_t ranked = 0);

  // Queues the count. candidates: device, [tokens, lookups_per_token].
  void count(kernels::Stream& stream, const kernels::RowId* candidates, std::int64_t tokens);
  // Waits for the last count. On the host, until the next: the rows, ascending, and the votes of
  // each.
  struct Counted {
    std::span<const kernels::RowId> rows;
    std::span<const std::uint32_t> votes;
  };
  Counted await();

 private:
  kernels::Backend& backend_;
  LookupSet set_;
  kernels::DeviceArray<kernels::RowId> rows_;    // [most], pinned host
  kernels::DeviceArray<std::uint32_t> offsets_;  // [most + 1], pinned host
  kernels::DeviceArray<std::uint32_t> order_;    // [most], pinned host, with ranked lists
  std::unique_ptr<kernels::Event> counted_;
  std::vector<std::uint8_t> votes_of_rank_;  // [ranked]
  std::vector<std::uint32_t> votes_;
  std::int64_t tokens_ = 0;  // of the last count
};

}  // namespace mneme::memory
