// Writes the rows that each token of a batch has read into the store's trace (run.trace_lookups).
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/forward_observer.h"
#include "engine/run.h"

namespace mneme::engine {

class LookupTrace final : public ForwardObserver {
 public:
  // The run must outlive it.
  explicit LookupTrace(Run& run) : run_(run) {}

  void begin(std::int64_t micro) { micro_ = micro; }

  void before_branch(std::size_t, const float*, kernels::Stream&) override {}
  void after_memory(std::int64_t block, const memory::TableLayer& layer,
                    kernels::Stream& stream) override {
    offload::TraceWriter* const trace = run_.table()->store().trace();
    if (trace == nullptr) return;
    const Config& config = run_.config();
    const std::int64_t per_token = config.memory.heads * config.memory.knn;
    trace->add({.kind = offload::TraceKind::kLookups,
                .number = static_cast<std::uint64_t>(micro_),
                .account = {offload::Cause::kTraining, static_cast<std::int32_t>(block),
                            offload::Pass::kForward},
                .lookups_per_token = static_cast<std::uint64_t>(per_token),
                .sequence = static_cast<std::uint64_t>(config.train.sequence)},
               stream, layer.rows(), config.tokens_per_micro_batch() * per_token);
  }
  void after_forward() override {}

 private:
  Run& run_;
  std::int64_t micro_ = 0;
};

}  // namespace mneme::engine
