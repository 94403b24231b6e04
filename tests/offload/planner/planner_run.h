// A planner whose plans nobody carries out, driven by plain lists of rows: what it decides can be
// read without arenas, files or records.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/device_array.h"
#include "offload/planner/planner.h"
#include "tests/support/test_backend.h"

namespace mneme::offload::testing {

using Rows = std::vector<kernels::RowId>;

// What a lease or a hint decided, rows ascending.
struct Decision {
  Rows found_on_device, from_host, generated, from_disk;
  Rows to_disk;              // dirty victims of either tier
  Rows dropped;              // clean victims that the host was told of
  std::int64_t victims = 0;  // of the device tier
  Rows hinted;               // found in the host tier because of a hint
};

class PlannerRun {
 public:
  explicit PlannerRun(const PlannerOptions& options)
      : backend_(mneme::testing::test_backend()),
        planner_(backend_, options),
        rows_(kernels::pinned_array<kernels::RowId>(backend_, 4096)) {}

  Planner& planner() { return planner_; }

  // A lease from begin to end.
  Decision lease(const Rows& rows, PlanMode mode = PlanMode::kTrain, bool dirty = true) {
    Decision decision;
    PlannedLease& lease = hold(rows, mode, &decision);
    if (mode == PlanMode::kTrain && dirty) planner_.mark_dirty(lease);
    planner_.end_lease(lease);
    return decision;
  }
  // The same without its end.
  PlannedLease& hold(const Rows& rows, PlanMode mode = PlanMode::kTrain,
                     Decision* decision = nullptr) {
    Decision unwanted;
    if (decision == nullptr) decision = &unwanted;
    std::copy(rows.begin(), rows.end(), rows_.data());
    const std::vector<kernels::Location> before = locate(rows);
    planner_.look_up({.rows = rows_.data(), .count = std::ssize(rows)}, mode);
    const Found& found = planner_.found();
    decision->hinted.assign(found.hinted.begin(), found.hinted.end());
    PlannedLease& lease = planner_.begin_lease();
    Round round;
    while (planner_.next_round(round)) {
      planner_.plan(round);
      note(*decision, round);
      note(*decision, planner_.end_round(nullptr, nullptr));
    }
    planner_.finish_lease();
    planner_.stream().synchronize();  // the list of rows is used again
    for (std::size_t i = 0; i < rows.size(); ++i) {
      switch (kernels::place_of(before[i])) {
        case kernels::Place::kDevice:
          decision->found_on_device.push_back(rows[i]);
          break;
        case kernels::Place::kHost:
          decision->from_host.push_back(rows[i]);
          break;
        case kernels::Place::kUntouched:
          decision->generated.push_back(rows[i]);
          break;
        case kernels::Place::kDisk:
          decision->from_disk.push_back(rows[i]);
          break;
      }
    }
    sort(*decision);
    return lease;
  }

  // Where rows are now.
  std::vector<kernels::Location> locate(const Rows& rows) {
    const auto list = kernels::pinned_array<kernels::RowId>(backend_, 4096);
    const auto found = kernels::pinned_array<kernels::Location>(backend_, 4096);
    std::copy(rows.begin(), rows.end(), list.data());
    backend_.locate_rows(planner_.stream(), planner_.locations(), list.data(), std::ssize(rows),
                         found.data());
    planner_.stream().synchronize();
    return {found.data(), found.data() + rows.size()};
  }
  bool all_at(const Rows& rows, kernels::Place place) {
    const auto found = locate(rows);
    return std::all_of(found.begin(), found.end(), [&](kernels::Location location) {
      return kernels::place_of(location) == place;
    });
  }

 private:
  static void note(Decision& decision, const Victims& victims) {
    for (std::size_t i = 0; i < victims.rows.size(); ++i) {
      const bool dirty = (victims.state[i] & kernels::kDirty) != 0;
      (dirty ? decision.to_disk : decision.dropped).push_back(victims.rows[i]);
    }
  }
  static void note(Decision& decision, const Round& round) {
    note(decision, round.host_victims);
    note(decision, round.device_victims);
    decision.victims += round.victims;
  }
  static void sort(Decision& decision) {
    std::sort(decision.to_disk.begin(), decision.to_disk.end());
    std::sort(decision.dropped.begin(), decision.dropped.end());
  }

  kernels::Backend& backend_;
  Planner planner_;
  kernels::DeviceArray<kernels::RowId> rows_;
};

// first, first + 1, ..., last.
inline Rows rows_from(kernels::RowId first, kernels::RowId last) {
  Rows rows;
  for (kernels::RowId row = first; row <= last; ++row) rows.push_back(row);
  return rows;
}

}  // namespace mneme::offload::testing
