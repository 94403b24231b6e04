#include "engine/row_prefetch.h"

#include <algorithm>

namespace mneme::engine {

RowPrefetch::RowPrefetch(const Config& config, const Data& data, Run& run)
    : config_(config), data_(data), run_(run) {
  if (run_.table() == nullptr || config_.tiers.prefetch == offload::PrefetchKind::kNone) return;
  const std::int64_t lookups =
      config_.tokens_per_micro_batch() * config_.memory.heads * config_.memory.knn;
  pinned_ = run_.backend().allocate(static_cast<std::size_t>(lookups) * sizeof(kernels::RowId),
                                    kernels::MemoryKind::kPinnedHost);
}

void RowPrefetch::hint(std::uint64_t next_step) {
  if (run_.table() == nullptr || config_.tiers.prefetch == offload::PrefetchKind::kNone) return;
  if (next_step > static_cast<std::uint64_t>(config_.train.steps)) return;
  run_.table()->begin_evaluation(next_step - 1, offload::Cause::kPrefetch);
  rows_.clear();
  kernels::Stream& stream = run_.stream();
  for (std::int64_t micro = 0; micro < config_.train.micro_batches; ++micro) {
    data_.train_batch(next_step, micro, batch_);
    run_.model().evaluate(stream, {.tokens = batch_.tokens,
                                   .targets = batch_.targets,
                                   .batch = config_.train.batch,
                                   .sequence = config_.train.sequence});
    // The model's own list: of any other block there is no memory layer to ask.
    for (const std::int64_t block : run_.model().options().memory_blocks) {
      run_.backend().copy(stream, pinned_.as<void>(), run_.model().memory_layer(block)->rows(),
                          pinned_.bytes());
      stream.synchronize();
      const auto* rows = pinned_.as<kernels::RowId>();
      rows_.insert(rows_.end(), rows, rows + pinned_.bytes() / sizeof(kernels::RowId));
    }
  }
  std::sort(rows_.begin(), rows_.end());
  rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
  run_.table()->store().hint({.rows = rows_, .byte_budget = config_.tiers.prefetch_bytes});
}

}  // namespace mneme::engine
