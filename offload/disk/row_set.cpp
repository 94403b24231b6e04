#include "offload/disk/row_set.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::offload {

RowSet::RowSet(std::uint64_t rows) {
  std::uint64_t words = rows;
  do {
    words = std::max<std::uint64_t>(1, (words + 63) / 64);
    levels_.emplace_back(words);
  } while (words > 1);
}

void RowSet::insert(kernels::RowId row) {
  std::uint64_t index = row;
  CHECK(index / 64 < levels_.front().count());
  for (std::size_t level = 0; level < levels_.size(); ++level) {
    std::uint64_t& word = levels_[level][index / 64];
    const std::uint64_t before = word;
    word |= std::uint64_t{1} << (index % 64);
    if (level == 0 && word != before) ++count_;
    if (before != 0) return;  // so the levels above know of it
    index /= 64;
  }
}

void RowSet::clear() {
  if (count_ > 0) clear_word(levels_.size() - 1, 0);
  count_ = 0;
}

void RowSet::clear_word(std::size_t level, std::uint64_t word) {
  std::uint64_t& bits = levels_[level][word];
  for (; level > 0 && bits != 0; bits &= bits - 1) {
    clear_word(level - 1, word * 64 + static_cast<std::uint64_t>(std::countr_zero(bits)));
  }
  bits = 0;
}

}  // namespace mneme::offload
