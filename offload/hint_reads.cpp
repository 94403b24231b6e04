#include "offload/hint_reads.h"

#include <cstring>

#include "io/check.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

void HintReads::add(std::span<const RowId> rows, std::span<const SlotId> slots) {
  CHECK(rows.size() == slots.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool is_new =
        pending_.emplace(rows[i], Pending{.slot = slots[i], .account = ledger_.account()}).second;
    CHECK(is_new, "row {} was hinted before", rows[i]);
    queue_.push_back(rows[i]);
  }
}

bool HintReads::start(RowId row, Pending& pending) {
  const auto bytes = disk_.start_read(row, ReadFor::kHint);
  if (!bytes) return false;
  pending.is_reading = true;
  ++reading_;
  ledger_.book(pending.account, Field::kDiskToHostRows, 1);
  ledger_.book(pending.account, Field::kDiskToHostBytes, *bytes);
  return true;
}

bool HintReads::take_finished(bool wait) {
  const auto read = disk_.finished_read(ReadFor::kHint, wait);
  if (!read) return false;
  const auto found = pending_.find(read->row);
  CHECK(found != pending_.end() && found->second.is_reading, "row {} was not hinted", read->row);
  std::memcpy(mover_.host_record(found->second.slot), disk_.read_payload(read->buffer),
              mover_.record_bytes());
  disk_.release_read(read->buffer);
  pending_.erase(found);
  --reading_;
  return true;
}

void HintReads::advance() {
  while (reading_ > 0 && take_finished(false)) {
  }
  while (!queue_.empty() && reading_ < disk_.read_buffers() / 2) {
    const auto found = pending_.find(queue_.front());
    if (found != pending_.end() && !found->second.is_reading &&
        !start(found->first, found->second)) {
      return;
    }
    queue_.pop_front();
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
  std::size_t started = 0;
  for (std::size_t arrived = 0; arrived < rows.size();) {
    const auto found = pending_.find(rows[arrived]);
    if (found == pending_.end()) {
      ++arrived;
      continue;
    }
    for (; started < rows.size(); ++started) {
      const auto next = pending_.find(rows[started]);
      if (next == pending_.end() || next->second.is_reading) continue;
      if (!start(next->first, next->second)) break;
    }
    CHECK(take_finished(true), "row {} is waited for and not being read", rows[arrived]);
  }
}

void HintReads::cancel(RowId row) {
  const auto found = pending_.find(row);
  if (found == pending_.end()) return;
  if (!found->second.is_reading) {
    pending_.erase(found);
    return;
  }
  while (pending_.contains(row)) CHECK(take_finished(true), "row {} is not being read", row);
}

}  // namespace mneme::offload
