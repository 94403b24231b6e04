// What a step takes in a replay, beside what it took in the run whose trace is replayed.
//
// A step of the link model (offload/replay/replay_clock.h) computes for as long as the run's steps
// did beside their waits, plans for as long as they waited for plans, and waits for links of the
// speeds that the run declared or, where it did not, has measured. Another plan costs more or less
// as the planner took more or less time in the replay.
#pragma once

#include "offload/replay/replay_clock.h"
#include "offload/trace/trace_events.h"
#include "tools/report/replays.h"
#include "tools/report/run_report.h"

namespace mneme::report {

// Links as `tiers` declare them, or as they went in the run.
offload::ReplaySpeeds speeds_of(const RunReport& report, const offload::TraceTiers& tiers);

class StepModel {
 public:
  // own: of the run's trace with the run's tiers and speeds. Both must outlive the model.
  StepModel(const RunReport& report, const Replay& own) : report_(report), own_(own) {}

  // Milliseconds of a step, as the model has it.
  double modelled_ms(const Replay& replay) const;
  double own_ms() const { return modelled_ms(own_); }
  // What the step waits for plans.
  double planning_ms(const Replay& replay) const;
  // From what the model has and what the run has measured: where the model is short of the measured
  // step, what is missing stays as it is; where it is longer, its speeds were too low. modelled_ms:
  // of the replay that is asked about.
  double predicted_ms(double modelled_ms) const;

 private:
  const RunReport& report_;
  const Replay& own_;
};

}  // namespace mneme::report
