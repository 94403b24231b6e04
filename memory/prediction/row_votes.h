// Candidates become a list: each row once, with the number of look-ups that named it, found in bulk
// on the device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/lookup_set.h"

namespace mneme::memory {

class RowVotes {
 public:
  // tokens: the most of one call; table_rows: rows are below it.
  RowVotes(kernels::Backend& backend, std::int64_t tokens, std::int64_t lookups_per_token,
           std::uint64_t table_rows);

  // Device, [tokens, lookups_per_token]: candidates go here first.
  kernels::RowId* candidates() { return candidates_.data(); }
  // Counts those of `tokens` tokens and waits for the stream.
  void count(kernels::Stream& stream, std::int64_t tokens);

  // Of the last count, on the host, until the next: the rows, ascending, and the votes of each.
  std::span<const kernels::RowId> rows() const;
  std::uint32_t votes(std::size_t index) const {
    return offsets_[at(index) + 1] - offsets_[at(index)];
  }

 private:
  static std::int64_t at(std::size_t index) { return static_cast<std::int64_t>(index); }

  kernels::Backend& backend_;
  LookupSet set_;
  kernels::DeviceArray<kernels::RowId> candidates_;
  kernels::DeviceArray<kernels::RowId> rows_;    // [most], pinned host
  kernels::DeviceArray<std::uint32_t> offsets_;  // [most + 1], pinned host
  std::size_t count_ = 0;
};

}  // namespace mneme::memory
