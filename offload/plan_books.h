// What the planner says, as entries of the books: for the store, and for replays of its traces.
//
// The device counts some of it by itself, and says so with its next report. What that is of is the
// account of the plan that came before.
#pragma once

#include <cstdint>
#include <utility>

#include "offload/ledger/ledger.h"
#include "offload/planner/planner.h"

namespace mneme::offload {

class PlanBooks {
 public:
  PlanBooks(Ledger& ledger, std::uint64_t record_bytes)
      : ledger_(ledger), record_bytes_(record_bytes) {}

  // A look-up, to the open account.
  void found(const Found& found) {
    book(Field::kLeases, 1);
    book(Field::kRowsLeased, found.count);
    book(Field::kFoundOnDevice, found.on_device);
    book(Field::kFoundInHost, found.in_host);
    book(Field::kFoundOnDisk, found.on_disk);
    book(Field::kFoundUntouched, found.untouched);
  }
  // What the device counts from the next report on is of the open account.
  void bind() { bound_ = ledger_.account(); }
  // Device victims on their way to the host tier, unless the device finds that they may be dropped.
  void leave(std::int64_t rows) { leaving_ += static_cast<std::uint64_t>(rows); }
  // A report that is waited for.
  void report(const kernels::LookupReport& now) {
    const kernels::LookupReport before = std::exchange(reported_, now);
    const std::uint64_t dropped = now.device.dropped - before.device.dropped;
    const std::uint64_t moved = std::exchange(leaving_, 0) - dropped;
    ledger_.book(bound_, Field::kDeviceToHostRows, moved);
    ledger_.book(bound_, Field::kDeviceToHostBytes, moved * record_bytes_);
    ledger_.book(bound_, Field::kDropped, dropped);
    ledger_.book(bound_, Field::kHintsWasted,
                 now.device.prefetch_wasted - before.device.prefetch_wasted);
    // A report comes with each look-up and before its rows are bound, so what the host tier counts
    // is of the lease before.
    ledger_.book(bound_, Field::kHintsUsed, now.host.prefetch_used - before.host.prefetch_used);
    ledger_.book(Field::kHintsUsed, now.device.prefetch_used - before.device.prefetch_used);
  }
  // A hint, to the open account.
  void hint(const PlannedHint& planned) {
    ledger_.book(Field::kHintsPresent, planned.present);
    ledger_.book(Field::kHintsDropped, planned.dropped);
    ledger_.book(Field::kHintsPlanned, planned.rows.size());
    ledger_.book(Field::kHintsPromoted, planned.promoted);
  }

 private:
  void book(Field field, std::int64_t count) {
    ledger_.book(field, static_cast<std::uint64_t>(count));
  }

  Ledger& ledger_;
  std::uint64_t record_bytes_;
  Account bound_;
  std::uint64_t leaving_ = 0;
  kernels::LookupReport reported_;
};

}  // namespace mneme::offload
