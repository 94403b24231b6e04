// A set of rows of one table, as a tree of bits: the lowest level has a bit for each row, each
// level above it a bit for each 64-bit word below that is not zero. Walking over the set takes time
// in proportion to the rows in it, whatever the size of the table. Memory: an eighth of a byte for
// each row of the table, of which only pages with rows in the set are in use.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/key_ops.h"
#include "offload/disk/lazy_array.h"

namespace mneme::offload {

class RowSet {
 public:
  // Of rows [0, rows).
  explicit RowSet(std::uint64_t rows);

  std::uint64_t count() const { return count_; }
  // Nothing happens when it is there already. REQUIRES row < rows.
  void insert(kernels::RowId row);
  // False when it was not there.
  bool erase(kernels::RowId row);
  bool contains(kernels::RowId row) const {
    return count_ > 0 && (levels_[0][row / 64] >> (row % 64) & 1) != 0;
  }
  void clear();
  // Calls visit(row) for each row, ascending.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    if (count_ > 0) descend(levels_.size() - 1, 0, visit);
  }
  // Up to rows.size() rows from `first` on, ascending; how many.
  std::size_t list(std::uint64_t first, std::span<kernels::RowId> rows) const;

 private:
  // The rows below one word of a level.
  template <typename Visit>
  void descend(std::size_t level, std::uint64_t word, const Visit& visit) const {
    for (std::uint64_t bits = levels_[level][word]; bits != 0; bits &= bits - 1) {
      const std::uint64_t index = word * 64 + static_cast<std::uint64_t>(std::countr_zero(bits));
      if (level == 0) {
        visit(static_cast<kernels::RowId>(index));
      } else {
        descend(level - 1, index, visit);
      }
    }
  }
  // The first row from `first` on, or no row of the table.
  std::uint64_t next(std::uint64_t first) const;
  void clear_word(std::size_t level, std::uint64_t word);

  std::vector<LazyArray<std::uint64_t>> levels_;  // the last one is a single word
  std::uint64_t count_ = 0;
};

}  // namespace mneme::offload
