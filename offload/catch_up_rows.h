// Catching up rows in an arena, as a Currency says.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "offload/tiered_store.h"

namespace mneme::offload {

// Queues on `stream`, behind the upload of the tables, what brings the rows up to the currency's
// step; nothing where the optimiser needs none. rows, slots: [count], device.
inline void catch_up_rows(kernels::Backend& backend, kernels::Stream& stream,
                          const kernels::RowArena& arena, const kernels::RowId* rows,
                          const kernels::SlotId* slots, std::int64_t count,
                          const Currency& currency) {
  if (currency.catch_up == nullptr || currency.kind != kernels::RowOptimizerKind::kAdamW ||
      count == 0) {
    return;
  }
  if (currency.catch_up_ready != nullptr) stream.wait(*currency.catch_up_ready);
  backend.catch_up_rows(stream, arena, rows, slots, count, *currency.catch_up);
}

}  // namespace mneme::offload
