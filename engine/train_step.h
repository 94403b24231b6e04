// One training step of a run: micro-batches, dense update, row update, and where the time went.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/data.h"
#include "engine/metrics.h"
#include "engine/run.h"
#include "io/error.h"

namespace mneme::engine {

// The training has diverged.
class LossNotFinite : public io::Error {
 public:
  using Error::Error;
};

class TrainStep {
 public:
  // Fills micro-batch `micro` of a step.
  using NextBatch = std::function<void(std::int64_t micro, Batch& batch)>;

  // The run must outlive the object.
  explicit TrainStep(Run& run);

  // Takes step t (1 for the first). Synchronises the stream. Throws LossNotFinite, besides what the
  // parts throw.
  StepMetrics take(std::uint64_t t, const NextBatch& next_batch);

 private:
  // Device-time marks of one micro-batch.
  struct Marks {
    explicit Marks(kernels::Backend& backend);
    std::unique_ptr<kernels::Event> begin, forward_done, backward_done;
  };

  Run& run_;
  std::vector<Marks> marks_;
  std::unique_ptr<kernels::Event> update_done_;
  Batch batch_;
};

}  // namespace mneme::engine
