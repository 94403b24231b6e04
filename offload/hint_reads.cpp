#include "offload/hint_reads.h"

#include <algorithm>
#include <utility>

#include "io/check.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

void HintReads::add(std::span<const RowId> rows, std::span<const SlotId> slots) {
  CHECK(rows.size() == slots.size());
  targets_.clear();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool is_new = pending_.emplace(rows[i], ledger_.account()).second;
    CHECK(is_new, "row {} was hinted before", rows[i]);
    targets_.push_back(mover_.host_record(slots[i]));
  }
  disk_.hint(rows, targets_);
}

void HintReads::collect() {
  if (pending_.empty()) return;
  for (const HintEvent& event : disk_.hint_events()) {
    const auto found = pending_.find(event.row);
    CHECK(found != pending_.end(), "row {} was not hinted", event.row);
    if (event.has_arrived) {
      pending_.erase(found);
      continue;
    }
    ledger_.book(found->second, Field::kDiskToHostRows, 1);
    ledger_.book(found->second, Field::kDiskToHostBytes, event.bytes);
  }
  const std::uint64_t now = disk_.busy_times().hint_us;
  ledger_.book({Cause::kPrefetch, kNoLayer}, Field::kDiskToHostTime,
               now - std::exchange(booked_us_, now));
}

template <typename Predicate>
void HintReads::collect_until(const Predicate& is_done) {
  collect();
  while (!is_done()) {
    disk_.await_hint_event();
    collect();
  }
}

std::vector<RowId> HintReads::waiting(std::span<const RowId> rows) const {
  std::vector<RowId> found;
  if (pending_.empty()) return found;
  for (const RowId row : rows) {
    if (pending_.contains(row)) found.push_back(row);
  }
  return found;
}

void HintReads::await(std::span<const RowId> rows) {
  disk_.hurry(rows);
  collect_until([&] {
    return std::none_of(rows.begin(), rows.end(),
                        [this](RowId row) { return pending_.contains(row); });
  });
}

void HintReads::finish() {
  collect_until([this] { return pending_.empty(); });
}

void HintReads::cancel(RowId row) {
  const auto found = pending_.find(row);
  if (found == pending_.end()) return;
  if (disk_.cancel_hint(row)) {
    collect();
    pending_.erase(row);
    return;
  }
  collect_until([this, row] { return !pending_.contains(row); });
}

}  // namespace mneme::offload
