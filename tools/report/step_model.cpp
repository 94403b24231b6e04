#include "tools/report/step_model.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace mneme::report {
namespace {

using offload::Cause;
using offload::Field;

double rate_of(const RunReport& report, std::initializer_list<const char*> names) {
  double best = 0;
  for (const char* name : names) {
    for (const MoveRate& move : report.moves) {
      if (move.name == name) best = std::max(best, move.busy_bytes_per_s);
    }
  }
  return best;
}

// How much longer the planner took than in the run's own replay; differences as replays of the
// same leases show them are none.
double plan_ratio(const Replay& replay, const Replay& own) {
  constexpr double kNoise = 0.15;
  const double ratio = own.plan_seconds > 0 ? replay.plan_seconds / own.plan_seconds : 1;
  return std::abs(ratio - 1) < kNoise ? 1 : ratio;
}

// What evaluations and samples between the steps wait for is no time of a step.
double seconds_between_steps(const Replay& replay) {
  double seconds = 0;
  for (const Cause cause : {Cause::kEvaluation, Cause::kSampling}) {
    const offload::Entry entry = replay.books.total(cause);
    for (const Field wait :
         {Field::kStallHost, Field::kStallDisk, Field::kStallWriteBack, Field::kStallHint}) {
      seconds += 1e-6 * static_cast<double>(entry[wait]);
    }
  }
  return seconds;
}

}  // namespace

offload::ReplaySpeeds speeds_of(const RunReport& report, const offload::TraceTiers& tiers) {
  offload::ReplaySpeeds speeds;
  speeds.host_link = tiers.host_link > 0 ? static_cast<double>(tiers.host_link)
                                         : rate_of(report, {"host_to_device", "device_to_host"});
  speeds.disk_link =
      tiers.disk_link > 0
          ? static_cast<double>(tiers.disk_link)
          : rate_of(report, {"disk_to_device", "disk_to_host", "device_to_disk", "host_to_disk"});
  speeds.generate = rate_of(report, {"generated"});
  speeds.step_seconds = 1e-3 * report.computing_ms();
  return speeds;
}

double StepModel::planning_ms(const Replay& replay) const {
  return report_.planning_ms() * plan_ratio(replay, own_);
}

double StepModel::modelled_ms(const Replay& replay) const {
  const auto steps = static_cast<double>(replay.steps);
  const double linked = replay.run_seconds - seconds_between_steps(replay);
  double predicting = 1e3 * replay.predict_seconds / steps;
  // In the place of what the run predicted by.
  if (replay.history || !replay.has_hints) predicting -= report_.predicting_ms();
  return 1e3 * linked / steps + planning_ms(replay) + predicting;
}

double StepModel::predicted_ms(double modelled_ms) const {
  const double own = own_ms(), measured = report_.step_ms;
  return own <= measured ? modelled_ms + measured - own : modelled_ms * measured / own;
}

}  // namespace mneme::report
