// One training step of a run: micro-batches, dense update, row update, and where the time went.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/data.h"
#include "engine/metrics.h"
#include "engine/prefetch/row_prefetch.h"
#include "engine/run.h"
#include "io/error.h"
#include "kernels/stream_times.h"

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

  // The run must outlive the object. With will_be_saved, a step is refused whose result would not
  // find room on the disk at a checkpoint.
  TrainStep(Run& run, bool will_be_saved);

  // Takes step t (1 for the first). Synchronises the stream. The metrics have no books: those of
  // the store go on until they are taken. Throws LossNotFinite, or offload::DiskBudgetError while
  // no parameter and no value has changed yet, besides what the parts throw.
  // prefetch: sees the forward passes; or null.
  StepMetrics take(std::uint64_t t, const NextBatch& next_batch, RowPrefetch* prefetch = nullptr);
  // Whether take() has begun to change parameters or rows and has not returned: after an error,
  // they are of no step.
  bool is_updating() const { return updating_; }

 private:
  // These return the milliseconds that they waited for a checkpoint under way: until the step's
  // result can be saved, too, and until it has read the parameters.
  double make_gradient_room();
  double check_disk_room();
  template <typename Work>
  double with_disk_room(const Work& work);
  double await_checkpoint();
  void trace_tokens(std::int64_t micro);

  // The step by its marks, and its blocks, where there is a timeline.
  void show(std::uint64_t t) const;

  // Device-time marks of one micro-batch.
  struct Marks {
    explicit Marks(kernels::Backend& backend);
    // Before there is room for its row gradient, and after.
    std::unique_ptr<kernels::Event> start, begin;
    std::unique_ptr<kernels::Event> forward_done, backward_begins, backward_done;
  };

  Run& run_;
  std::shared_ptr<const kernels::StreamTimes> times_;  // with a timeline
  bool will_be_saved_;
  std::vector<Marks> marks_;
  std::unique_ptr<kernels::Event> update_done_;
  Batch batch_;
  bool updating_ = false;
};

}  // namespace mneme::engine
