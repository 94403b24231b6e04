// A set of rows of one table, as a tree of bits: the lowest level has a bit for each row, each
// level above it a bit for each 64-bit word below that is not zero. Walking over the set takes time
// in proportion to the rows in it, whatever the size of the table. Memory: an eighth of a byte for
// each row of the table, of which only pages with rows in the set are in use.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
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
  void clear();
  // Calls visit(row) for each row, ascending.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    if (count_ > 0) descend(levels_.size() - 1, 0, visit);
  }

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
  void clear_word(std::size_t level, std::uint64_t word);

  std::vector<LazyArray<std::uint64_t>> levels_;  // the last one is a single word
  std::uint64_t count_ = 0;
};

}  // namespace mneme::offload
