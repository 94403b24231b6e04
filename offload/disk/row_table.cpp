#include "offload/disk/row_table.h"

#include <algorithm>

namespace mneme::offload {
namespace {

constexpr std::size_t kBufferedEntries = 4096;

}  // namespace

TableChanges::TableChanges(const TableDelta& delta)
    : TableChanges(delta.entries.size(), delta.next_generation,
                   [&delta](std::uint64_t first, std::span<TableEntry> entries) {
                     const auto from = std::ranges::lower_bound(
                         delta.entries, first, {},
                         [](const TableEntry& entry) { return std::uint64_t{entry.row}; });
                     const auto left = static_cast<std::size_t>(delta.entries.end() - from);
                     const std::size_t count = std::min(left, entries.size());
                     std::copy_n(from, count, entries.begin());
                     return count;
                   }) {}

void TableChanges::restart() {
  first_ = 0;
  entries_.clear();
  used_ = 0;
}

std::optional<TableEntry> TableChanges::next() {
  if (used_ == entries_.size()) {
    entries_.resize(kBufferedEntries);
    entries_.resize(fill_(first_, entries_));
    used_ = 0;
    if (entries_.empty()) return std::nullopt;
    first_ = std::uint64_t{entries_.back().row} + 1;
  }
  return entries_[used_++];
}

TableDelta delta_of(TableChanges changes) {
  TableDelta delta{{}, changes.next_generation()};
  delta.entries.reserve(changes.count());
  changes.restart();
  while (const auto entry = changes.next()) delta.entries.push_back(*entry);
  return delta;
}

}  // namespace mneme::offload
