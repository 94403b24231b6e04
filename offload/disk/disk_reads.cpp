// Reads that a lease waits for, and hinted reads.
#include <algorithm>

#include "io/check.h"
#include "offload/disk/disk_engine.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

RecordPlace DiskEngine::place_of(RowId row) {
  CHECK(is_open() && has_slot(row), "row {} has no record on disk", row);
  CHECK(!is_unready(row), "the record of row {} is not in its buffer yet", row);
  const std::uint32_t slot = slot_of(row);
  return {.row = row, .slot = local(slot), .generation = generation(slot)};
}

std::size_t DiskEngine::start_reads(std::span<const RowId> rows, std::uint32_t index) {
  if (rows.empty()) return 0;
  const Lock lock(signal_.mutex);
  require_running();
  std::size_t started = 0;
  for (; started < rows.size(); ++started) {
    RecordPlace place = place_of(rows[started]);
    place.index = index + static_cast<std::uint32_t>(started);
    DiskLane& lane = lane_of(rows[started]);
    if (!lane.takes_read()) break;
    lane.read(place);
  }
  for (const Stripe& stripe : stripes_) stripe.lane->wake();
  return started;
}

std::size_t DiskEngine::finished_reads(std::span<FinishedRead> out, std::size_t at_least) {
  if (!is_open()) return 0;
  Lock lock(signal_.mutex);
  signal_.wait(lock, [&] {
    std::size_t arrived = 0;
    bool more = false;
    for (const Stripe& stripe : stripes_) {
      arrived += stripe.lane->arrived().size();
      more = more || stripe.lane->reads_are_due();
    }
    return has_failed() || arrived >= at_least || !more;
  });
  require_running();
  std::size_t count = 0;
  for (const Stripe& stripe : stripes_) {
    auto& arrived = stripe.lane->arrived();
    const std::size_t these = std::min(out.size() - count, arrived.size());
    std::copy_n(arrived.begin(), these, out.begin() + static_cast<std::ptrdiff_t>(count));
    arrived.erase(arrived.begin(), arrived.begin() + static_cast<std::ptrdiff_t>(these));
    count += these;
  }
  return count;
}

void DiskEngine::release_reads(std::span<const SlotId> buffers) {
  const Lock lock(signal_.mutex);
  for (const SlotId buffer : buffers) stripe_of_buffer(buffer).lane->release_read(buffer);
  for (const Stripe& stripe : stripes_) stripe.lane->wake();
}

DiskEngine::Asked DiskEngine::asked() const {
  const Lock lock(signal_.mutex);
  Asked asked;
  if (!is_open()) return asked;
  for (const Stripe& stripe : stripes_) {
    asked.rows += stripe.lane->demand_rows();
    asked.bytes += stripe.lane->demand_bytes();
  }
  return asked;
}

// ---- Hints.

void DiskEngine::hint(std::span<const RowId> rows, std::span<std::byte* const> targets) {
  if (rows.empty()) return;
  const Lock lock(signal_.mutex);
  require_running();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RecordPlace place = place_of(rows[i]);
    lane_of(rows[i]).hint(place, targets[i]);
  }
  for (const Stripe& stripe : stripes_) stripe.lane->wake();
}

void DiskEngine::hurry(std::span<const RowId> rows) {
  const Lock lock(signal_.mutex);
  require_running();
  for (const RowId row : rows) lane_of(row).hurry(row);
  for (const Stripe& stripe : stripes_) stripe.lane->wake();
}

bool DiskEngine::cancel_hint(RowId row) {
  const Lock lock(signal_.mutex);
  return lane_of(row).cancel(row);
}

std::vector<HintEvent> DiskEngine::hint_events() {
  const Lock lock(signal_.mutex);
  std::vector<HintEvent> events;
  if (!is_open()) return events;
  for (const Stripe& stripe : stripes_) {
    auto& mine = stripe.lane->hint_events();
    events.insert(events.end(), mine.begin(), mine.end());
    mine.clear();
  }
  return events;
}

void DiskEngine::await_hint_event() {
  Lock lock(signal_.mutex);
  signal_.wait(lock, [this] {
    return has_failed() || std::any_of(stripes_.begin(), stripes_.end(), [](const Stripe& stripe) {
             return !stripe.lane->hint_events().empty();
           });
  });
  require_running();
}

}  // namespace mneme::offload
