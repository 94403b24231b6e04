// The gradient of a step's rows where it is added up in the rows themselves, some calls at a time:
// which rows have one, and what row operations take to work on it. The numbers stand in the rows'
// gradient arrays (kernels/row_layout.h) and go with them from tier to tier. What is kept here
// takes a bit and four bytes for a row of the table, and a byte for a look-up of a group of calls,
// however many tokens a step has.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/lookup_set.h"

namespace mneme::memory {

struct AccumulatedGradientShape {
  std::uint64_t table_rows = 0;
  std::int64_t lookups_of_group = 0;  // the most that are added at once
  std::int64_t lookups_of_step = 0;   // the most of a step
  std::int64_t slots = 0;             // of the arena that rows are leased in
};

class AccumulatedGradient {
 public:
  // The most rows that row operations take at once.
  static constexpr std::int64_t kMostRows = std::int64_t{1} << 18;

  AccumulatedGradient(kernels::Backend& backend, const AccumulatedGradientShape& shape);

  // Forgets the rows, and with them what stands there.
  void clear() { is_empty_ = true; }
  bool is_empty() const { return is_empty_; }

  // Queues that these rows, of a group of calls, are among the step's from now on. is_first() says
  // of each, until the next call, whether it was none of them: [rows.count()], device.
  void add_rows(kernels::Stream& stream, const DistinctRows& rows);
  const std::uint8_t* is_first() const { return is_first_.data(); }

  // Queues the list of all rows added so far.
  DistinctRows list(kernels::Stream& stream);
  // The gradient of `count` rows of the list, from `first` on, as rows 0 .. count - 1. slots:
  // device, where they are in the arena.
  kernels::RowGradient gradient(const kernels::RowArena& arena, const kernels::SlotId* slots,
                                std::int64_t first, std::int64_t count) const;

 private:
  kernels::Backend* backend_;
  AccumulatedGradientShape shape_;
  kernels::RowMarks marks_;
  kernels::DeviceArray<std::uint32_t> words_;     // of marks_
  kernels::DeviceArray<std::uint8_t> is_first_;   // [lookups_of_group]
  kernels::DeviceArray<kernels::RowId> rows_;     // [the most rows of a step]
  kernels::DeviceArray<std::uint64_t> number_;    // [1], pinned host
  kernels::DeviceArray<std::uint32_t> counting_;  // [kMostRows + 1]: 0, 1, 2, ...
  std::unique_ptr<kernels::Event> listed_;
  bool is_empty_ = true;
};

}  // namespace mneme::memory
