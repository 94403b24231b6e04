#include "engine/training_saves.h"

#include <fmt/format.h>

#include <utility>

#include "io/log.h"
#include "io/progress.h"

namespace mneme::engine {

class TrainingSaves::StandsStill {
 public:
  explicit StandsStill(TrainingSaves& saves) : saves_(saves) { saves_.still_since_ = Clock::now(); }
  ~StandsStill() {
    saves_.count_standing_still();
    saves_.still_since_.reset();
  }

 private:
  TrainingSaves& saves_;
};

TrainingSaves::TrainingSaves(Run& run, MarkMetrics mark, std::function<void(std::uint64_t)> saved)
    : run_(run), mark_(std::move(mark)), tell_saved_(std::move(saved)) {}

void TrainingSaves::prepare() {
  if (run_.config().saves_behind_training() && run_.table() != nullptr) {
    run_.table()->store().prepare_checkpoints();
  }
}

void TrainingSaves::save(std::uint64_t step, const RunRecord& record) {
  finish();
  {
    const io::Phase phase(fmt::format("saving step {}", step));
    const StandsStill stands_still(*this);
    run_.save(step, record, mark_);
  }
  commit(step);
}

void TrainingSaves::begin(std::uint64_t step, const RunRecord& record) {
  finish();
  const StandsStill stands_still(*this);
  run_.begin_save(step, record, mark_);
  saving_ = step;
}

void TrainingSaves::go_on() {
  if (!saving_) return;
  const std::uint64_t step = *std::exchange(saving_, std::nullopt);
  const StandsStill stands_still(*this);
  if (run_.checkpoints().poll()) {
    commit(step);
  } else {
    saving_ = step;
  }
}

void TrainingSaves::finish() {
  if (!saving_) return;
  const std::uint64_t step = *std::exchange(saving_, std::nullopt);
  {
    const io::Phase phase(fmt::format("saving step {}", step));
    const StandsStill stands_still(*this);
    run_.checkpoints().finish();
  }
  commit(step);
}

void TrainingSaves::finish_after_failure() {
  if (!saving_) return;
  const std::uint64_t step = *saving_;
  try {
    finish();
  } catch (const std::exception& error) {
    io::warn("step {} cannot be saved: {}", step, error.what());
  }
}

double TrainingSaves::take_standing_still() {
  count_standing_still();
  return std::exchange(stood_still_ms_, 0);
}

void TrainingSaves::count_standing_still() {
  if (!still_since_) return;
  const auto now = Clock::now();
  stood_still_ms_ += std::chrono::duration<double, std::milli>(now - *still_since_).count();
  still_since_ = now;
}

void TrainingSaves::commit(std::uint64_t step) {
  saved_ = step;
  tell_saved_(step);
}

}  // namespace mneme::engine
