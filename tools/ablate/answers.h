// What runs with other tiers would have given, from the trace of one that was trained.
//
// Their counts are those of the ledger of a run with these tiers (offload/replay/replay_store.h),
// their losses those of the trained run, which tiers do not change. What depends on time is
// predicted (report/step_model.h), and what the model does not know is left out.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/disk.h"
#include "offload/trace/trace_events.h"
#include "tools/report/findings.h"
#include "tools/report/replays.h"
#include "tools/report/run_report.h"

namespace mneme::ablate {

// Whether a number of a replayed run is a prediction, and not what a run would count: all times and
// what comes of them; and bytes that the disk reads, of which a run reads none for a record that is
// still on its way there.
bool is_predicted(std::string_view number);

// Whether a folder of a run has a trace.
bool has_trace(const io::Disk& disk, const std::string& directory);

class Answers {
 public:
  using Numbers = std::vector<std::pair<std::string, double>>;  // as report::numbers_of()

  // directory: of the trained run. check: asked now and then; what it throws ends the call. Throws
  // Error where the trace does not hold the steps that count, or where its replay with the run's
  // own tiers does not give the counts of the run.
  Answers(io::Disk& disk, const std::string& directory, const std::function<void()>& check);

  // How many cells are best asked at once.
  static std::size_t at_once();
  // For runs with these tiers.
  std::vector<Numbers> of(std::span<const offload::TraceTiers> cells,
                          const std::function<void()>& check);

 private:
  report::Replay question(const offload::TraceTiers& tiers) const;
  Numbers answer(const report::Replay& replay) const;
  void check_counts() const;

  io::Disk& disk_;
  std::string trace_;
  report::Findings trained_;
  report::StepSums sums_;
  report::Replay own_;
};

}  // namespace mneme::ablate
