// The checkpoints of a training run: waited for or behind training, which one is under way, and how
// long training stands still for them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "engine/run.h"

namespace mneme::engine {

class TrainingSaves {
 public:
  // run must outlive the object. mark: writes the line of the step that is saved (checkpoint.h).
  // saved: told of each step that is committed.
  TrainingSaves(Run& run, MarkMetrics mark, std::function<void(std::uint64_t)> saved);

  // Takes the memory of checkpoints behind training, where there will be any.
  void prepare();
  // Saves the state after `step`, and waits for it, and for one under way before.
  void save(std::uint64_t step, const RunRecord& record);
  // The same while training goes on; waits for the one before.
  void begin(std::uint64_t step, const RunRecord& record);
  // Does what one under way has for this thread, without waiting.
  void go_on();
  // Waits for one under way.
  void finish();
  // The same behind a failure: a step that failed leaves it as it was. Warns where it fails, too.
  void finish_after_failure();

  // The step of the newest checkpoint.
  std::optional<std::uint64_t> saved() const { return saved_; }
  // The run goes on from a checkpoint of this step.
  void resume_from(std::uint64_t step) { saved_ = step; }
  // Milliseconds that training stood still since the last call, also amid save() and begin().
  double take_standing_still();

 private:
  using Clock = std::chrono::steady_clock;
  class StandsStill;

  void count_standing_still();
  void commit(std::uint64_t step);

  Run& run_;
  MarkMetrics mark_;
  std::function<void(std::uint64_t)> tell_saved_;
  std::optional<std::uint64_t> saved_;
  std::optional<std::uint64_t> saving_;  // under way
  std::optional<Clock::time_point> still_since_;
  double stood_still_ms_ = 0;
};

}  // namespace mneme::engine
