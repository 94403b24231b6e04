// Which rows coming steps will read, for the store's prefetch (tiers.prefetch), and how good that
// was.
//
//   token-history, bigram-history, trigram-history
//                      rows that the tokens of the next step's batch read lately, each behind the
//                      same tokens before (history_rows.h)
//   lookahead          each layer's rows from the residual stream some blocks before it, within
//                      the same forward pass (lookahead_rows.h)
//   next-batch         the next step's tokens go through the blocks up to the first memory layer
//                      (next_batch_rows.h)
//   union              of all of these
//   auto               of trigram-history, lookahead, next-batch and the last two together, or
//                      nothing, what makes steps faster, as measured (prefetch_trial.h)
//   oracle-next-step   the next step's tokens go through all blocks, between the steps: every row
//                      that it reads, at the price of a forward pass. An ablation's upper bound
//
// When. Rows of the next step are predicted and hinted between the forward and the backward pass of
// the running one, so that they come beside the latter: to the device where they are in the host
// tier, to the host tier where they are on disk; and once more to the device between the steps, as
// far as there was no room or they came from the disk meanwhile. Rows of the running step are
// hinted in front of the layer that the prediction is for. Of each step at most
// tiers.prefetch_bytes go to the host tier and tiers.prefetch_device_bytes to the device, the most
// confident rows first; and no more than the links can carry while a step computes, or where rows
// are of the running step, while the blocks compute that lookahead looks over (link_budget.h).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/data.h"
#include "engine/forward_observer.h"
#include "engine/metrics.h"
#include "engine/prefetch/hint_sender.h"
#include "engine/prefetch/link_budget.h"
#include "engine/prefetch/prediction_metrics.h"
#include "engine/prefetch/prefetch_trial.h"
#include "engine/prefetch/row_predictor.h"
#include "engine/run.h"
#include "memory/prediction/prediction_score.h"

namespace mneme::engine {

class RowPrefetch : public ForwardObserver {
 public:
  // All referents must outlive the object. Nothing is allocated for `none`.
  RowPrefetch(const Config& config, const Data& data, Run& run);
  ~RowPrefetch() override;

  // Of all predictors.
  NamedMaps maps() const;
  // Whether micro-batches have to be announced and their forward pass observed.
  bool observes() const { return !predictors_.empty(); }
  // A micro-batch of a step comes next.
  void begin(std::uint64_t step, std::int64_t micro, const Batch& batch);
  void before_branch(std::size_t branch, const float* state, kernels::Stream& stream) override;
  void after_memory(std::int64_t block, const memory::TableLayer& layer,
                    kernels::Stream& stream) override;
  // Behind the last micro-batch: scores what was predicted of the step; predicts the next one and
  // hints its rows. Waits for the forward pass. Behind the backward pass it would be too late: the
  // store's plans wait for the work of leases that have ended.
  void after_forward() override;

  // Between the steps: hints rows of `next_step` that have not been.
  void hint(std::uint64_t next_step);
  // The step is over: what it took, hint() included. What auto has decided by that, in words, else
  // nothing.
  std::string end_step(const StepTimes& times);
  // What was moved since the last call.
  void note_moves(const offload::Entry& moved);
  // Of the steps since the last call.
  std::vector<PredictionMetrics> take_scores();

 private:
  struct Layer;
  // Predictors that work together, by their numbers.
  using Group = std::vector<std::size_t>;

  bool is_on() const;
  void open();
  Group numbers_of(std::initializer_list<memory::PredictorKind> kinds) const;
  std::string describe(const Group& group) const;
  // Switches predictors on and off, and says so in the trace.
  void use(const Group& group);
  // Of a timeline.
  const std::string& track_of(std::size_t predictor) const { return tracks_[predictor]; }
  bool looks_ahead(std::size_t predictor) const { return predictors_[predictor]->distance() < 0; }
  Layer& layer_of(std::int64_t block);
  std::vector<kernels::RowId> rows_read(const Layer& layer) const;
  void score_step();
  void predict_next();
  void hint_running(Layer& layer, std::span<const memory::PredictedRows> lists);
  // The share of a step's computation that runs while rows come that lookahead names.
  double share_ahead(std::int64_t block) const;
  void hint_exactly(std::uint64_t next_step);
  void begin_budgets();

  const Config& config_;
  const Data& data_;
  Run& run_;
  Batch batch_;  // of the next step
  std::vector<kernels::RowId> rows_;
  kernels::Buffer pinned_;  // of exact predictors: the look-ups of a layer

  std::unique_ptr<kernels::Stream> side_;  // where predictions are made, beside the model
  std::unique_ptr<kernels::Event> seen_, side_done_;
  std::vector<std::unique_ptr<RowPredictor>> predictors_;
  std::vector<std::string> tracks_;     // of a timeline, for each of them
  Group active_;                        // ascending
  std::vector<Group> candidates_;       // of auto; the first is empty
  std::optional<PrefetchTrial> trial_;  // of auto
  std::optional<std::size_t> decided_;  // the candidate that auto has said it keeps
  std::vector<Layer> layers_;
  std::uint64_t step_ = 0;
  std::int64_t micro_ = 0;
  const Batch* current_ = nullptr;
  std::uint64_t predicted_step_ = 0;  // of which rows are predicted; 0: none
  std::optional<HintSender> sender_;
  LinkBudget host_link_, disk_link_;
  double forward_share_ = 0;         // of a step's computation
  std::uint64_t written_bytes_ = 0;  // to the disk, in the last step
};

}  // namespace mneme::engine
