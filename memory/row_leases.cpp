#include "memory/row_leases.h"

namespace mneme::memory {

RowLeases::RowLeases(kernels::Backend& backend, offload::TieredStore& store,
                     const RowOptimizerOptions& optimizer, std::uint64_t seed)
    : store_(store), kind_(optimizer.kind), catch_up_(backend, optimizer, seed) {}

void RowLeases::begin_step(std::uint64_t step) {
  CHECK(step >= 1, "training steps count from 1");
  mode_ = offload::LeaseMode::kTrain;
  cause_ = offload::Cause::kTraining;
  store_.begin_step(step);
  current_for_ = step - 1;
}

void RowLeases::begin_evaluation(std::uint64_t completed_step, offload::Cause cause) {
  mode_ = offload::LeaseMode::kReadOnly;
  cause_ = cause;
  current_for_ = completed_step;
}

offload::Currency RowLeases::currency(std::uint64_t step) {
  const kernels::CatchUpArgs* const catch_up = catch_up_.advance(step);
  return {.kind = kind_, .step = step, .catch_up = catch_up, .catch_up_ready = catch_up_.ready()};
}

offload::LeaseRequest RowLeases::request(const DistinctRows& rows, offload::Pass pass) const {
  return {.rows = rows.rows,
          .count = rows.most,
          .mode = mode_,
          .account = {cause_, rows.layer, pass},
          .rows_ready = rows.ready,
          .count_at = rows.number};
}

void RowLeases::look_up(kernels::Stream& stream, const DistinctRows& rows, offload::Pass pass) {
  store_.look_up(stream, request(rows, pass));
  looked_up_ = rows.rows;
}

std::int64_t RowLeases::count(kernels::Stream& stream, const DistinctRows& rows) {
  if (std::exchange(looked_up_, nullptr) == rows.rows) return store_.looked_up(stream);
  return rows.count();
}

}  // namespace mneme::memory
