// Plans of hints: rows that are brought ahead of their use.
#include <algorithm>
#include <unordered_set>

#include "io/check.h"
#include "offload/planner/planner.h"

namespace mneme::offload {

using kernels::Place;
using kernels::RowId;
using kernels::SlotId;

template <typename Use>
void Planner::for_each_located(std::span<const RowId> rows, const Use& use) {
  const auto most = static_cast<std::size_t>(list_rows_.count());
  for (std::size_t first = 0; first < rows.size(); first += most) {
    const std::size_t count = std::min(most, rows.size() - first);
    stream_->synchronize();
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(first), count, list_rows_.data());
    backend_.locate_rows(*stream_, residency_.locations(), list_rows_.data(),
                         static_cast<std::int64_t>(count), list_slots_.data());
    stream_->synchronize();
    use(first, static_cast<std::int64_t>(count));
  }
}

// Chooses up to `limit` rows that are at `from`, in order, and keeps those that are in the tier
// above it. Rows on disk cannot come to the device: they have to be in the host tier first. Waits.
// Once the stream has run, the lists are free again.
PlannedHint Planner::choose_hinted(std::span<const RowId> rows, Place from, std::int64_t limit) {
  PlannedHint hint;
  SlotTier& tier = from == Place::kDisk ? host_ : device_;
  const Place to = from == Place::kDisk ? Place::kHost : Place::kDevice;
  for_each_located(rows, [&](std::size_t, std::int64_t count) {
    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const Place place = kernels::place_of(list_slots_[i]);
      if (place == to) list_slots_[kept++] = kernels::slot_of(list_slots_[i]);
      if (place != from) {
        ++(place == Place::kDisk ? hint.dropped : hint.present);
      } else if (std::ssize(hint.rows) >= limit) {
        ++hint.dropped;
      } else {
        hint.rows.push_back(list_rows_[i]);
      }
    }
    if (kept > 0) tier.keep(list_slots_.data(), kept, hint_step_, now());
  });
  std::vector<RowId> ascending = hint.rows;
  std::sort(ascending.begin(), ascending.end());
  if (std::adjacent_find(ascending.begin(), ascending.end()) != ascending.end()) {
    std::unordered_set<RowId> seen;
    hint.present += std::erase_if(hint.rows, [&](RowId row) { return !seen.insert(row).second; });
  }
  return hint;
}

void Planner::locate(std::span<const RowId> rows, std::span<Place> places) {
  CHECK(places.size() == rows.size());
  for_each_located(rows, [&](std::size_t first, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      places[first + static_cast<std::size_t>(i)] = kernels::place_of(list_slots_[i]);
    }
  });
}

PlannedHint Planner::plan_hint_to_host(std::span<const RowId> rows, std::int64_t most,
                                       HintStep step) {
  CHECK(stage_ != Stage::kRounds, "a hint while a lease is being planned");
  stage_ = Stage::kNone;
  hint_step_ = number_of(step);
  const kernels::SlotTableState before = settle().host;
  const auto waiting = static_cast<std::int64_t>(hinted_to_host_ - promoted_ -
                                                 before.prefetch_used - before.prefetch_wasted);
  // So that hinted rows do not displace each other before use.
  const std::int64_t limit =
      std::min({most, host_.slots() / 2 - std::min<std::int64_t>(waiting, host_.slots() / 2),
                victim_slots_.count(), list_rows_.count()});
  PlannedHint hint = choose_hinted(rows, Place::kDisk, limit);
  if (hint.rows.empty()) return hint;
  // Leases need one free slot at the least.
  std::int64_t free = std::int64_t{before.free} - 1;
  if (free < std::ssize(hint.rows)) {
    ++look_ups_;  // no row is protected for an earlier one
    hint.host_victims = take_host_victims(std::ssize(hint.rows) - free);
    free += std::ssize(hint.host_victims.slots);
  }
  free = std::max<std::int64_t>(free, 0);
  if (free < std::ssize(hint.rows)) {
    hint.dropped += static_cast<std::uint64_t>(std::ssize(hint.rows) - free);
    hint.rows.resize(static_cast<std::size_t>(free));
  }
  const std::int64_t count = std::ssize(hint.rows);
  if (count == 0) return hint;
  stream_->synchronize();
  backend_.take_slots(*stream_, host_.table(), count, list_slots_.data(), list_count_.data());
  stream_->synchronize();
  CHECK(list_count_[0] == hint.rows.size());
  hint.slots.assign(list_slots_.data(), list_slots_.data() + count);
  std::copy(hint.rows.begin(), hint.rows.end(), list_rows_.data());
  backend_.publish_rows(*stream_, host_.table(),
                        {.rows = list_rows_.data(),
                         .slots = list_slots_.data(),
                         .count = count,
                         .use_counter = use_counter_,
                         .step_used = hint_step_});
  stream_->synchronize();  // the lists are free again
  hinted_to_host_ += hint.rows.size();
  return hint;
}

PlannedHint Planner::plan_hint_to_device(std::span<const RowId> rows, std::int64_t most,
                                         HintStep step) {
  CHECK(stage_ != Stage::kRounds, "a hint while a lease is being planned");
  stage_ = Stage::kNone;
  hint_step_ = number_of(step);
  const std::int64_t free = settle().device.free;
  const std::int64_t limit =
      std::min({most, capacity(PlanMode::kHintToDevice), list_rows_.count()});
  PlannedHint hint = choose_hinted(rows, Place::kHost, limit);
  if (hint.rows.empty()) return hint;
  device_.count_spare(now(), first_live_lease(), list_count_.data());
  stream_->synchronize();
  const std::int64_t room = free + static_cast<std::int64_t>(list_count_[0]);
  if (room < std::ssize(hint.rows)) {
    hint.dropped += static_cast<std::uint64_t>(std::ssize(hint.rows) - room);
    hint.rows.resize(static_cast<std::size_t>(room));
    if (room == 0) return hint;
  }
  std::copy(hint.rows.begin(), hint.rows.end(), list_rows_.data());
  std::sort(list_rows_.data(), list_rows_.data() + std::ssize(hint.rows));
  look_up({.rows = list_rows_.data(), .count = std::ssize(hint.rows)}, PlanMode::kHintToDevice);
  found();
  CHECK(found_.in_host == found_.count);
  stage_ = Stage::kRounds;
  left_ = {.in_host = found_.in_host};
  hint.promoted = found_.hinted.size();
  promoted_ += hint.promoted;
  hinted_to_device_ += static_cast<std::uint64_t>(found_.count);
  return hint;
}

}  // namespace mneme::offload
