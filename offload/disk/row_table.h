// The row -> disk slot table as checkpoints keep it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/key_ops.h"

namespace mneme::offload {

struct TableEntry {
  kernels::RowId row = 0;
  std::uint32_t slot = 0;
  std::uint64_t generation = 0;
  bool operator==(const TableEntry&) const = default;
};

// What one flush changed: rows ascending.
struct TableDelta {
  std::vector<TableEntry> entries;
  std::uint64_t next_generation = 0;  // above every generation ever written
};

// The same, of any length, read in order through a small buffer.
class TableChanges {
 public:
  // Entries of rows from `first` on, ascending, as many as fit while there are some; how many.
  using Fill = std::function<std::size_t(std::uint64_t first, std::span<TableEntry> entries)>;

  TableChanges(std::uint64_t count, std::uint64_t next_generation, Fill fill)
      : count_(count), next_generation_(next_generation), fill_(std::move(fill)) {}
  // The delta must outlive the object.
  explicit TableChanges(const TableDelta& delta);

  std::uint64_t count() const { return count_; }
  std::uint64_t next_generation() const { return next_generation_; }
  // From the first entry on again.
  void restart();
  std::optional<TableEntry> next();

 private:
  std::uint64_t count_;
  std::uint64_t next_generation_;
  Fill fill_;
  std::uint64_t first_ = 0;  // row that the next filling starts from
  std::vector<TableEntry> entries_;
  std::size_t used_ = 0;
};
// All of them.
TableDelta delta_of(TableChanges changes);

// The whole table of one kept checkpoint: rows ascending.
struct CheckpointTable {
  std::uint64_t epoch = 0;
  std::vector<TableEntry> entries;
  std::uint64_t next_generation = 0;
};

}  // namespace mneme::offload
