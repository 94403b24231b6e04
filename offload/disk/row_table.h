// The row -> disk slot table as checkpoints keep it.
#pragma once

#include <cstdint>
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

// The whole table of one kept checkpoint: rows ascending.
struct CheckpointTable {
  std::uint64_t epoch = 0;
  std::vector<TableEntry> entries;
  std::uint64_t next_generation = 0;
};

}  // namespace mneme::offload
