#include "tests/kernels/tier_model.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

namespace mneme::testing {

using kernels::kDirty;
using kernels::kNoSlot;
using kernels::kOnDisk;
using kernels::kPrefetched;
using kernels::kUnsaved;
using kernels::Location;
using kernels::Place;
using kernels::place_of;
using kernels::RowId;
using kernels::slot_of;
using kernels::SlotId;

namespace {

// Relative precision of a count that was in the location of a row on disk: a few times without a
// use in between, or in the first steps, before which no use can be dated back.
constexpr float kOfLocation = 0.3f;

std::uint8_t bits(int state) {
  return static_cast<std::uint8_t>(state);
}

// Of ages beyond 63 the leading bit and the five below it count.
std::uint32_t rounded_age(std::uint32_t age) {
  const int bits = std::bit_width(age);
  return bits <= 6 ? age : age >> (bits - 6) << (bits - 6);
}

SlotId take_first(std::deque<SlotId>& queue) {
  const SlotId slot = queue.at(0);
  queue.pop_front();
  return slot;
}

kernels::SlotTableState totals_of(const TierModel::Tier& tier, std::uint32_t first_free) {
  return {.first_free = first_free,
          .free = static_cast<std::uint32_t>(tier.free.size()),
          .dropped = tier.dropped,
          .prefetch_used = tier.prefetch_used};
}

}  // namespace

TierModel::TierModel(std::uint32_t rows, std::uint32_t device_slots, std::uint32_t host_slots)
    : locations_(rows) {
  for (SlotId slot = 0; slot < device_slots; ++slot) device_.free.push_back(slot);
  for (SlotId slot = 0; slot < host_slots; ++slot) host_.free.push_back(slot);
}

// The report's first_free is not modelled: where a queue lies in its ring says nothing.
TestTiers::Looked TierModel::lookup(const std::vector<RowId>& rows, std::uint32_t host_lease,
                                    bool use_hints) {
  TestTiers::Looked looked;
  std::vector<std::uint32_t> untouched, disk;
  for (std::uint32_t i = 0; i < rows.size(); ++i) {
    const Location location = locations_[rows[i]];
    looked.slots.push_back(place_of(location) == Place::kDevice ? slot_of(location) : kNoSlot);
    if (place_of(location) == Place::kDevice && use_hints) {
      Entry& entry = device_.entries.at(slot_of(location));
      if ((entry.state & kPrefetched) != 0) ++device_.prefetch_used;
      entry.state = bits(entry.state & ~kernels::kHinted);
      entry.stays_until = 0;
    }
    if (place_of(location) == Place::kHost) {
      looked.missing.push_back(i);
      Entry& entry = host_.entries.at(slot_of(location));
      if (host_lease != 0) entry.leased = host_lease;
      if ((entry.state & kPrefetched) != 0) looked.hinted_rows.push_back(rows[i]);
    }
    if (place_of(location) == Place::kUntouched) untouched.push_back(i);
    if (place_of(location) == Place::kDisk) {
      disk.push_back(i);
      looked.disk_rows.push_back(rows[i]);
    }
  }
  looked.report = {.in_host = looked.missing.size(),
                   .untouched = untouched.size(),
                   .on_disk = disk.size(),
                   .device = totals_of(device_, 0),
                   .host = totals_of(host_, 0)};
  looked.missing.insert(looked.missing.end(), untouched.begin(), untouched.end());
  looked.missing.insert(looked.missing.end(), disk.begin(), disk.end());
  return looked;
}

TestTiers::Bound TierModel::bind(const std::vector<RowId>& rows, const std::vector<SlotId>& slots,
                                 const std::vector<std::uint32_t>& missing,
                                 const kernels::BindMissingArgs& args) {
  TestTiers::Bound bound{.slots = slots, .from = {}, .to = {}, .rows = {}};
  for (const std::uint32_t index : missing) {
    const RowId row = rows[index];
    const Location location = locations_[row];
    const bool in_host = place_of(location) == Place::kHost;
    bound.rows.push_back(row);
    bound.from.push_back(in_host ? slot_of(location) : kNoSlot);
    bound.to.push_back(args.copy_only ? index : device_.free.at(0));
    if (args.copy_only) continue;
    Entry entry{.row = row, .last_used = args.use_counter, .inserted = args.use_counter};
    if (in_host) {
      const Entry& old = host_.entries.at(slot_of(location));
      entry.state = bits(old.state & ~kernels::kHinted);
      entry.history = old.history;
      entry.uses = old.uses;
      if ((old.state & kPrefetched) != 0 && !args.hint) ++host_.prefetch_used;
      host_.entries.erase(slot_of(location));
      host_.free.push_back(slot_of(location));
    } else if (place_of(location) == Place::kDisk) {
      entry.state = kOnDisk;
      entry.history = history_[row];
    }
    if (args.hint) {
      entry.state |= kPrefetched;
      hint(entry, args.step_used);
    } else {
      entry.leased = args.use_counter;
      use(entry, args.step_used);
    }
    const SlotId slot = take_first(device_.free);
    bound.slots[index] = slot;
    locations_[row] = location_of(Place::kDevice, slot);
    device_.entries[slot] = entry;
  }
  return bound;
}

void TierModel::mark(Place place, const std::vector<SlotId>& slots,
                     const kernels::MarkUsedArgs& args) {
  for (const SlotId slot : slots) {
    if (slot == kNoSlot) continue;
    Entry& entry = tier(place).entries.at(slot);
    if (args.keep) {
      const bool is_used = entry.stays_until == 0 && entry.history.step >= args.unkept_before;
      if ((entry.state & kPrefetched) != 0 || is_used || entry.stays_until >= args.step) continue;
      hint(entry, args.step);
      entry.state |= kernels::kKept;
      continue;
    }
    if (args.use) {
      if (entry.last_used != args.use_counter) entry.referenced = 1;
      entry.last_used = args.use_counter;
      use(entry, args.step);
    }
    if (args.lease) entry.leased = args.use_counter;
    if (args.dirty) entry.state |= kDirty;
  }
}

void TierModel::mark_unsaved(Place place) {
  for (auto& [slot, entry] : tier(place).entries) {
    if ((entry.state & kDirty) != 0) entry.state |= kUnsaved;
  }
}

std::vector<kernels::Location> TierModel::take_unsaved(const std::vector<RowId>& rows) {
  std::vector<kernels::Location> taken;
  for (const RowId row : rows) {
    const kernels::Location location = locations_[row];
    const Place place = place_of(location);
    taken.push_back(location_of(Place::kUntouched));
    if (place != Place::kDevice && place != Place::kHost) continue;
    std::uint8_t& state = tier(place).entries.at(slot_of(location)).state;
    if ((state & kUnsaved) == 0) continue;
    state = bits((state & ~(kDirty | kUnsaved)) | kOnDisk);
    taken.back() = location;
  }
  return taken;
}

TestTiers::Victims TierModel::select(Place place, const kernels::SelectVictimsArgs& args) {
  // Oldest first; behind all others those of the current step, newest first, and last the hinted.
  using Worth = std::pair<int, std::int64_t>;
  std::vector<std::pair<Worth, SlotId>> all;
  for (const auto& [slot, entry] : tier(place).entries) {
    if (entry.leased >= args.first_live_lease) continue;
    const std::uint32_t age = rounded_age(args.use_counter - entry.last_used);
    const bool in_step = entry.step_used() >= args.step, hinted = entry.stays_until > 0;
    all.emplace_back(in_step && hinted ? Worth{2, 0}
                     : in_step         ? Worth{1, age}
                                       : Worth{0, -std::int64_t{age}},
                     slot);
  }
  std::sort(all.begin(), all.end());
  all.resize(std::min(all.size(), static_cast<std::size_t>(args.wanted)));
  if (!all.empty()) {
    const Worth last = all.back().first;
    std::sort(all.begin(), all.end(), [last](const auto& a, const auto& b) {
      return std::pair(a.first == last, a.second) < std::pair(b.first == last, b.second);
    });
  }
  TestTiers::Victims victims;
  for (const auto& [worth, slot] : all) {
    const Entry entry = tier(place).entries.at(slot);
    if ((entry.state & kPrefetched) != 0) ++tier(place).prefetch_wasted;
    victims.slots.push_back(slot);
    victims.rows.push_back(entry.row);
    victims.state.push_back(entry.state);
    victims.last_used.push_back(entry.last_used);
    victims.step_used.push_back(entry.step_used());
    victims.frequency.push_back(entry.history.uses);
    victims.uses.push_back(entry.uses);
    const bool initial = (entry.state & (kDirty | kOnDisk)) == 0;
    locations_[entry.row] = location_of(initial ? Place::kUntouched : Place::kDisk);
    if (!initial) history_[entry.row] = entry.history;
    tier(place).entries.erase(slot);
  }
  return victims;
}

TestTiers::Demoted TierModel::demote(const TestTiers::Victims& victims, std::uint32_t use_counter,
                                     std::int64_t padding) {
  TestTiers::Demoted demoted;
  for (std::size_t i = 0; i < victims.slots.size(); ++i) {
    const bool kept = (victims.state[i] & (kDirty | kOnDisk)) != 0;
    demoted.from.push_back(kept ? victims.slots[i] : kNoSlot);
    demoted.to.push_back(kept ? take_first(host_.free) : kNoSlot);
    if (!kept) {
      ++device_.dropped;
      continue;
    }
    host_.entries[demoted.to.back()] = {.row = victims.rows[i],
                                        .state = bits(victims.state[i] & ~kernels::kHinted),
                                        .referenced = bits(victims.frequency[i] > 1 ? 1 : 0),
                                        .last_used = victims.last_used[i],
                                        .inserted = use_counter,
                                        .history = history_[victims.rows[i]],
                                        .uses = victims.uses.empty() ? 0 : victims.uses[i]};
    locations_[victims.rows[i]] = location_of(Place::kHost, demoted.to.back());
  }
  demoted.from.resize(victims.slots.size() + static_cast<std::size_t>(padding), kNoSlot);
  demoted.to.resize(victims.slots.size() + static_cast<std::size_t>(padding), kNoSlot);
  return demoted;
}

void TierModel::release(Place place, const std::vector<SlotId>& slots) {
  for (const SlotId slot : slots) tier(place).free.push_back(slot);
}

std::vector<SlotId> TierModel::take(Place place, std::int64_t most) {
  std::vector<SlotId> taken;
  while (std::ssize(taken) < most && !tier(place).free.empty()) {
    taken.push_back(take_first(tier(place).free));
  }
  return taken;
}

void TierModel::publish(const std::vector<RowId>& rows, const std::vector<SlotId>& slots,
                        std::uint32_t use_counter, std::uint32_t step_used) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    locations_[rows[i]] = location_of(Place::kHost, slots[i]);
    host_.entries[slots[i]] = {.row = rows[i],
                               .state = bits(kOnDisk | kPrefetched),
                               .last_used = use_counter,
                               .inserted = use_counter,
                               .history = history_[rows[i]]};
    hint(host_.entries[slots[i]], step_used);
  }
}

void TierModel::use(Entry& entry, std::uint32_t step) {
  entry.history.uses = kernels::use_history::after_use(entry.history, step);
  entry.history.step = std::max(entry.history.step, step);
  entry.stays_until = 0;
  entry.uses += 1;
}

// Protected up to the step; counted as of two steps before.
void TierModel::hint(Entry& entry, std::uint32_t step) {
  const std::uint32_t counted = step - std::min(step, 2u);
  entry.history = {counted, kernels::use_history::uses_as_of(entry.history, counted)};
  entry.stays_until = step;
}

void TierModel::place_on_disk(const std::vector<RowId>& rows) {
  for (const RowId row : rows) locations_[row] = location_of(Place::kDisk);
}

std::uint64_t TierModel::count_spare(Place place, std::uint32_t step,
                                     std::uint32_t first_live_lease) const {
  std::uint64_t count = 0;
  for (const auto& [slot, entry] : (place == Place::kDevice ? device_ : host_).entries) {
    count += entry.leased < first_live_lease && entry.step_used() < step ? 1 : 0;
  }
  return count;
}

std::vector<std::pair<SlotId, RowId>> TierModel::dirty(Place place) const {
  std::vector<std::pair<SlotId, RowId>> all;
  for (const auto& [slot, entry] : (place == Place::kDevice ? device_ : host_).entries) {
    if ((entry.state & kDirty) != 0) all.emplace_back(slot, entry.row);
  }
  return all;
}

namespace {

void expect_equal(const TestTier& tier, const TierModel::Tier& model) {
  const kernels::SlotTable& table = tier.table();
  EXPECT_EQ(tier.free_queue(), std::vector<SlotId>(model.free.begin(), model.free.end()));
  EXPECT_EQ(table.totals->dropped, model.dropped);
  EXPECT_EQ(table.totals->prefetch_used, model.prefetch_used);
  EXPECT_EQ(table.totals->prefetch_wasted, model.prefetch_wasted);
  for (SlotId slot = 0; slot < table.slots; ++slot) {
    SCOPED_TRACE(slot);
    const auto entry = model.entries.find(slot);
    ASSERT_EQ(table.occupied[slot], entry == model.entries.end() ? 0 : 1);
    if (entry == model.entries.end()) continue;
    EXPECT_EQ(table.row_of_slot[slot], entry->second.row);
    EXPECT_EQ(table.state[slot], entry->second.state);
    EXPECT_EQ(table.last_used[slot], entry->second.last_used);
    EXPECT_EQ(table.leased[slot], entry->second.leased);
    EXPECT_EQ(table.step_used[slot], entry->second.step_used());
    EXPECT_NEAR(table.frequency[slot], entry->second.history.uses,
                kOfLocation * entry->second.history.uses);
    EXPECT_EQ(table.referenced[slot], entry->second.referenced);
    if (table.uses != nullptr) {
      EXPECT_EQ(table.uses[slot], entry->second.uses);
    }
    if (table.inserted != nullptr) {
      EXPECT_EQ(table.inserted[slot], entry->second.inserted);
    }
  }
}

}  // namespace

void expect_equal(TestTiers& tiers, const TierModel& model) {
  std::vector<RowId> rows(tiers.locations().size());
  std::iota(rows.begin(), rows.end(), 0u);
  const std::vector<Location> located = tiers.locate(rows);
  for (const RowId row : rows) {
    // What the location of a row on disk says of its uses shows when it comes back.
    const bool on_disk = place_of(model.locate(row)) == Place::kDisk;
    ASSERT_EQ(on_disk ? location_of(place_of(located[row])) : located[row], model.locate(row))
        << "row " << row;
  }
  {
    SCOPED_TRACE("device");
    expect_equal(tiers.device_tier(), model.device());
  }
  SCOPED_TRACE("host");
  if (tiers.host().slots > 0) expect_equal(tiers.host_tier(), model.host());
}

}  // namespace mneme::testing
