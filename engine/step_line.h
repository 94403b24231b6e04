// The line that says where a training run is: on a terminal as much of it as fits.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "engine/metrics.h"
#include "io/progress.h"

namespace mneme::engine {

// When a run will be over, from the pace of its last steps with all that came between them.
class RunPace {
 public:
  // A step is over at this time.
  void note(double seconds);
  // How long so many further steps will take; nothing before two steps were noted.
  std::optional<double> seconds_for(std::uint64_t steps) const;

 private:
  static constexpr std::size_t kMost = 50;
  std::deque<double> times_;
};

// The step, then by falling rank: the loss, the time left, the speed, and from where its distinct
// rows had to come into device memory: the disk, the host tier, or nowhere (new ones); the share of
// the step that stood still for them; and with hints, the share of the rows that had to come which
// were there before they were asked for.
std::vector<io::ProgressField> step_fields(const StepMetrics& metrics, std::uint64_t steps,
                                           std::optional<double> seconds_left, bool has_rows);

}  // namespace mneme::engine
