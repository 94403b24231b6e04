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

bool RowSet::erase(kernels::RowId row) {
  if (!contains(row)) return false;
  std::uint64_t index = row;
  for (LazyArray<std::uint64_t>& level : levels_) {
    std::uint64_t& word = level[index / 64];
    word &= ~(std::uint64_t{1} << (index % 64));
    if (word != 0) break;  // so the levels above stay as they are
    index /= 64;
  }
  --count_;
  return true;
}

std::size_t RowSet::list(std::uint64_t first, std::span<kernels::RowId> rows) const {
  std::size_t count = 0;
  if (count_ == 0) return count;
  const std::uint64_t end = levels_[0].count() * 64;
  while (count < rows.size() && (first = next(first)) < end) {
    rows[count++] = static_cast<kernels::RowId>(first++);
  }
  return count;
}

// Up from the lowest level until a word has a later bit, then down again to the first one below it.
std::uint64_t RowSet::next(std::uint64_t first) const {
  std::uint64_t index = first;
  for (std::size_t level = 0; level < levels_.size(); ++level) {
    const std::uint64_t word = index / 64;
    if (word >= levels_[level].count()) break;
    std::uint64_t bits = levels_[level][word] & (~std::uint64_t{0} << (index % 64));
    if (bits == 0) {
      index = word + 1;
      continue;
    }
    index = word * 64 + static_cast<std::uint64_t>(std::countr_zero(bits));
    while (level-- > 0) {
      index = index * 64 + static_cast<std::uint64_t>(std::countr_zero(levels_[level][index]));
    }
    return index;
  }
  return levels_[0].count() * 64;
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
