// Runs the cells of a grid, each in a process of its own, and keeps what they gave.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/disk.h"
#include "tools/ablate/grid.h"
#include "tools/ablate/results.h"

namespace mneme::ablate {

// One run of a cell.
struct PlannedRun {
  std::size_t cell = 0;  // of the grid
  std::int64_t repeat = 0;
  std::string identity;
  std::string problem;  // why the configuration is none; empty where it is one
  // Of the value table, as far as it fills the tier.
  std::uint64_t device_bytes = 0;
};

struct AblationHooks {
  // Asked several times a second while a run is under way; what it throws ends the ablation, which
  // can be gone on with.
  std::function<void()> check = [] {};
  // After each run that was not there already; done and all count these.
  std::function<void(const RunResult&, std::size_t done, std::size_t all)> ends = {};
};

class Ablation {
 public:
  // Makes the folder, and holds it: one program at a time. Throws Error where it is another's.
  Ablation(io::Disk& disk, Grid grid);

  const Grid& grid() const { return grid_; }
  // All runs, those of a repeat in the order of the cells, so that a machine that becomes slower
  // does so for all cells alike.
  const std::vector<PlannedRun>& runs() const { return runs_; }
  // Of the first repeat.
  const PlannedRun& run_of(std::size_t cell) const { return runs_[cell]; }
  // Those that have no result yet.
  std::size_t left() const;
  // Makes them. Results that are there are kept; with `retry`, those of runs that failed are not.
  void run(const AblationHooks& hooks, bool retry = false);
  // Null where it has not run.
  const RunResult* result(const PlannedRun& run) const;
  // The finished runs of a cell.
  std::vector<const RunResult*> results_of(std::size_t cell) const;

 private:
  std::vector<std::string> overrides_of(const Cell& cell) const;
  RunResult train(const PlannedRun& run, const AblationHooks& hooks);
  bool is_due(const PlannedRun& run, bool retry) const;

  io::Disk& disk_;
  Grid grid_;
  std::unique_ptr<io::DirectoryLock> lock_;
  std::vector<PlannedRun> runs_;
  Results results_;
};

}  // namespace mneme::ablate
