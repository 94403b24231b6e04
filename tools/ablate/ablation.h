// Runs the cells of a grid, each in a process of its own, and keeps what they gave.
//
// With replays, of cells that ask for the same rows one is trained, with a trace, and the others
// are answered from that (replayable.h, answers.h). Replays give the same counts however often they
// are made: a replayed cell has one result, whatever the repeats.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/disk.h"
#include "tools/ablate/grid.h"
#include "tools/ablate/replayable.h"
#include "tools/ablate/results.h"

namespace mneme::ablate {

// One run of a cell.
struct PlannedRun {
  std::size_t cell = 0;  // of the grid
  std::int64_t repeat = 0;
  std::string identity;
  std::string problem;         // why the configuration is none; empty where it is one
  bool chooses_tiers = false;  // budgets are "auto"
  // Of the value table, as far as it fills the tier.
  std::uint64_t device_bytes = 0;
};

struct AblationOptions {
  bool retry = false;   // results of runs that failed are made once more
  bool replay = false;  // cells are answered from traces where these tell every count
};

// Runs with a result, and those to come.
struct RunCounts {
  std::size_t there = 0, left = 0;
  std::size_t all() const { return there + left; }
};

struct AblationHooks {
  // Asked several times a second while a run is under way; what it throws ends the ablation, which
  // can be gone on with.
  std::function<void()> check = [] {};
  // After each run that was not there already.
  std::function<void(const RunResult&, const RunCounts&)> ends = {};
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
  // As run() with these options takes them.
  RunCounts count(const AblationOptions& options) const;
  // Makes them. Results of trained runs are kept, replayed ones only with `replay`.
  void run(const AblationHooks& hooks, const AblationOptions& options = {});
  // Whether there is no such run: the cell was replayed, and has one result.
  bool is_of_replayed_cell(const PlannedRun& run) const;
  // Null where it has not run.
  const RunResult* result(const PlannedRun& run) const;
  // The finished runs of a cell.
  std::vector<const RunResult*> results_of(std::size_t cell) const;

 private:
  // Of one run().
  struct Work {
    const AblationHooks& hooks;
    AblationOptions options;
    std::set<std::pair<std::string, std::int64_t>> made = {};
    std::set<std::string> unanswered = {};  // groups whose trace tells nothing
  };

  std::vector<std::string> overrides_of(const Cell& cell) const;
  std::string directory_of(const PlannedRun& run) const;
  RunResult train(const PlannedRun& run, const AblationHooks& hooks, bool with_trace);
  void make(const PlannedRun& run, bool with_trace, Work& work);
  void add(RunResult result, Work& work);
  bool is_due(const PlannedRun& run, const AblationOptions& options) const;
  bool is_due(const PlannedRun& run, const Work& work) const;
  RunCounts count(const Work& work) const;

  // Of the first repeat.
  std::vector<const PlannedRun*> due_of_group(const std::string& group, const Work& work) const;
  const PlannedRun* traced_of_group(const std::string& group) const;
  void settle_group(const PlannedRun& run, Work& work);
  void answer(const PlannedRun& traced, const std::vector<const PlannedRun*>& due, Work& work);

  io::Disk& disk_;
  Grid grid_;
  std::unique_ptr<io::DirectoryLock> lock_;
  std::vector<PlannedRun> runs_;
  std::vector<Replayable> replayable_;                      // of the cells
  std::map<std::string, std::vector<std::size_t>> groups_;  // cells that one trace answers for
  Results results_;
};

}  // namespace mneme::ablate
