// What the operations of the step plan do to two tiers, in plain C++: one row after the other, in
// ordinary containers. Replacement is lru. How counts of uses lose weight is use_history_test.cpp's
// matter.
#pragma once

#include <deque>
#include <map>
#include <vector>

#include "kernels/use_history.h"
#include "tests/kernels/test_tiers.h"

namespace mneme::testing {

class TierModel {
 public:
  using History = kernels::use_history::UseHistory;
  struct Entry {
    kernels::RowId row = 0;
    std::uint8_t state = 0, referenced = 0;
    std::uint32_t last_used = 0, leased = 0, inserted = 0;
    std::uint32_t stays_until = 0;  // a hint's: the step up to which it is not a victim
    History history = {};
    float uses = 0;
    std::uint32_t step_used() const { return stays_until > 0 ? stays_until : history.step; }
  };
  struct Tier {
    std::map<kernels::SlotId, Entry> entries;
    std::deque<kernels::SlotId> free;
    std::uint64_t dropped = 0, prefetch_used = 0, prefetch_wasted = 0;
  };

  TierModel(std::uint32_t rows, std::uint32_t device_slots, std::uint32_t host_slots);

  const Tier& device() const { return device_; }
  const Tier& host() const { return host_; }
  kernels::Location locate(kernels::RowId row) const { return locations_[row]; }

  TestTiers::Looked lookup(const std::vector<kernels::RowId>& rows, std::uint32_t host_lease,
                           bool use_hints);
  TestTiers::Bound bind(const std::vector<kernels::RowId>& rows,
                        const std::vector<kernels::SlotId>& slots,
                        const std::vector<std::uint32_t>& missing,
                        const kernels::BindMissingArgs& args);
  void mark(kernels::Place place, const std::vector<kernels::SlotId>& slots,
            const kernels::MarkUsedArgs& args);
  void mark_unsaved(kernels::Place place);
  std::vector<kernels::Location> take_unsaved(const std::vector<kernels::RowId>& rows);
  TestTiers::Victims select(kernels::Place place, const kernels::SelectVictimsArgs& args);
  TestTiers::Demoted demote(const TestTiers::Victims& victims, std::uint32_t use_counter,
                            std::int64_t padding);
  void release(kernels::Place place, const std::vector<kernels::SlotId>& slots);
  std::vector<kernels::SlotId> take(kernels::Place place, std::int64_t most);
  void publish(const std::vector<kernels::RowId>& rows, const std::vector<kernels::SlotId>& slots,
               std::uint32_t use_counter, std::uint32_t step_used);
  void place_on_disk(const std::vector<kernels::RowId>& rows);
  std::vector<std::pair<kernels::SlotId, kernels::RowId>> dirty(kernels::Place place) const;
  std::uint64_t count_spare(kernels::Place place, std::uint32_t step,
                            std::uint32_t first_live_lease) const;

 private:
  static void use(Entry& entry, std::uint32_t step);
  static void hint(Entry& entry, std::uint32_t step);
  Tier& tier(kernels::Place place) { return place == kernels::Place::kDevice ? device_ : host_; }

  std::vector<kernels::Location> locations_;
  std::map<kernels::RowId, History> history_;  // of rows on disk
  Tier device_, host_;
};

// Fails where tables and model differ: locations, what each bound slot knows, free queues, totals.
void expect_equal(TestTiers& tiers, const TierModel& model);

}  // namespace mneme::testing
