// What a history of the tokens would have predicted and hinted in the run of a trace: it stands
// beside the store of a replay and sees the same events. The trace has to hold what each token read
// (run.trace_lookups). Hints are made where training makes them, within the same bytes; links are
// taken to be fast enough for these.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/prefetch/hint_sender.h"
#include "io/disk.h"
#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/prediction/hint_choice.h"
#include "memory/prediction/history_predictor.h"
#include "memory/prediction/predictor_kind.h"
#include "memory/prediction/vote_ranking.h"
#include "offload/replay/replay_store.h"
#include "offload/trace/trace_file.h"

namespace mneme::engine {

struct HistoryReplayOptions {
  memory::PredictorKind kind = memory::PredictorKind::kTrigramHistory;  // of the histories
  // As in the configuration of a run.
  double confidence = 0;
  std::uint64_t host_bytes = 0, device_bytes = 0, history_bytes = 0;
};

class HistoryReplay {
 public:
  // path: of the trace, which is read once more, a step ahead. All referents must outlive it.
  // Throws Error where the trace does not hold what it takes.
  HistoryReplay(kernels::Backend& backend, io::Disk& disk, const std::string& path,
                offload::ReplayStore& store, const HistoryReplayOptions& options);

  // To be called around apply() of each event that is not a hint.
  void before(const offload::TraceEvent& event);
  void after(const offload::TraceEvent& event);

 private:
  // What is known ahead of a step's events.
  struct StepAhead {
    std::uint64_t step = 0;                          // 0: there is none
    std::vector<std::vector<std::uint32_t>> tokens;  // of each micro-batch
    std::vector<std::int32_t> layers;
    std::int64_t lookups_per_token = 0, sequence = 0;
  };
  struct Layer {
    explicit Layer(double confidence) : choice(static_cast<float>(confidence)) {}
    memory::VoteRanking ranking;
    memory::HintChoice choice;
    memory::PredictedRows predicted;  // of the next step
    memory::ChosenRows chosen;
    std::vector<kernels::RowId> read;  // in the running step
  };

  StepAhead read_step();
  void begin_step(std::uint64_t step);
  void open();
  void remember(const offload::TraceEvent& event);
  std::size_t index_of(std::map<std::int32_t, Layer>::iterator layer);
  // Of the running step, what was read is known.
  void predict_next();

  kernels::Backend& backend_;
  offload::ReplayStore& store_;
  HistoryReplayOptions options_;
  std::string path_;
  std::unique_ptr<kernels::Stream> stream_;
  offload::TraceReader ahead_;
  std::uint64_t begun_ = 0;  // the step whose beginning was read last; 0: none
  StepAhead running_, next_;
  std::optional<memory::HistoryPredictor> predictor_;
  std::optional<HintSender> sender_;
  std::map<std::int32_t, Layer> layers_;          // by block
  kernels::DeviceArray<kernels::RowId> lookups_;  // of a micro-batch
  std::vector<std::int32_t> tokens_;
  std::uint64_t micro_ = 0;
  bool has_predicted_ = false;
};

}  // namespace mneme::engine
